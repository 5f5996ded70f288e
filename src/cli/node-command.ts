import { Command } from "commander";
import { makeConfig, mayFoundAlone, needsOwnCluster, type OwnCluster } from "../config/config.ts";
import type { Values } from "../config/settings.ts";
import type { Config } from "../config/types.ts";
import { effectiveSettings, withSettings } from "./config-sources.ts";
import { withExamples } from "./context.ts";
import { ownCluster, readOwnCluster } from "./own-cluster.ts";

/** Runs a node until it is told to stop. `warnings` belong into its log at every start. */
export type RunNode = (config: Config, warnings: readonly string[]) => Promise<void>;

/** Looks again and again until `look` finds something, and says meanwhile why it waits; null when it was told to stop
 *  before. */
export type WaitFor = <T>(look: () => T | null, why: string, log: Config["log"]) => Promise<T | null>;

export function nodeCommand(runNode: RunNode, waitFor: WaitFor): Command {
  const command = withSettings(new Command("node"))
    .description("run a node until SIGTERM or SIGINT. Settings: file < STARLING_SECTION_KEY < flags")
    .action(async (_options, self: Command) => {
      const { values } = effectiveSettings(self);
      const warnings = values["security.insecure"] ? [INSECURE] : [];
      if (!needsOwnCluster(values)) return runNode(makeConfig(values, null), warnings);
      const own = await clusterIn(values, waitFor);
      if (own) await runNode(makeConfig(values, own), warnings);
    });
  return withExamples(
    command,
    ["one node with its data in ./data", "node --node.data_dir data"],
    ["from a file, another port", "node --config starling.toml --client.bind 127.0.0.1:8001"],
    ["beside a serf agent", "node --cluster.seeds 127.0.0.1:7946 --cluster.bootstrap_expect 1"],
  );
}

/** The cluster that the data directory belongs to. Where there may be one already, nobody founds another by accident. */
async function clusterIn(values: Values, waitFor: WaitFor): Promise<OwnCluster | null> {
  const dataDir = values["node.data_dir"];
  if (mayFoundAlone(values)) return ownCluster(dataDir);
  const own = readOwnCluster(dataDir);
  if (own) return own;
  const why =
    `there are seeds (${values["cluster.seeds"].join(", ")}), and ${dataDir} belongs to no cluster yet: run \`starling join\` ` +
    "with this data directory to join theirs, `starling init` to found one, or set cluster.bootstrap_expect = 1";
  return waitFor(() => readOwnCluster(dataDir), why, { level: values["log.level"], format: values["log.format"] });
}

const INSECURE =
  "security.insecure is set: whoever reaches the listeners can read, write and impersonate nodes; keep them on a network where every host is trusted";
