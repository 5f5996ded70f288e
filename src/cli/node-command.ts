import { Command } from "commander";
import { makeConfig, needsOwnCluster } from "../config/config.ts";
import type { Config } from "../config/types.ts";
import { effectiveSettings, withSettings } from "./config-sources.ts";
import { withExamples } from "./context.ts";
import { ownCluster } from "./own-cluster.ts";

/** Runs a node until it is told to stop. `warnings` belong into its log at every start. */
export type RunNode = (config: Config, warnings: readonly string[]) => Promise<void>;

export function nodeCommand(runNode: RunNode): Command {
  const command = withSettings(new Command("node"))
    .description("run a node until SIGTERM or SIGINT. Settings: file < STARLING_SECTION_KEY < flags")
    .action(async (_options, self: Command) => {
      const { values } = effectiveSettings(self);
      const own = needsOwnCluster(values) ? ownCluster(values["node.data_dir"]) : null;
      await runNode(makeConfig(values, own), values["security.insecure"] ? [INSECURE] : []);
    });
  return withExamples(
    command,
    ["one node with its data in ./data", "node --node.data_dir data"],
    ["from a file, another port", "node --config starling.toml --client.bind 127.0.0.1:8001"],
  );
}

const INSECURE =
  "security.insecure is set: whoever reaches the listeners can read, write and impersonate nodes; keep them on a network where every host is trusted";
