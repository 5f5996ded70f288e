import { Command } from "commander";
import { makeConfig, needsOwnCluster } from "../config/config.ts";
import type { Config } from "../config/types.ts";
import { effectiveSettings, withSettings } from "./config-sources.ts";
import { contextOf, withExamples } from "./context.ts";
import { CliError, EXIT } from "./exit.ts";
import { readOwnCluster } from "./own-cluster.ts";

/** Gives up the lost quorum of a stopped node's cluster. Rejects with InputError, and has changed nothing, when it can't. */
export type Recover = (
  config: Config,
  asked: { readonly voters: readonly string[]; readonly cluster: string },
) => Promise<{
  readonly incarnation: number;
  readonly version: number;
  readonly voters: readonly string[];
  readonly others: readonly string[];
}>;

interface RecoverOptions {
  readonly voters: string;
  readonly cluster: string;
}

/** `starling recover`: for when the quorum is lost for good. @param line how it is called */
export function recoverCommand(line: string, recover: Recover): Command {
  const command = withSettings(new Command("recover"))
    .description(
      "on one stopped node: go on without the lost majority of voters. What only they had agreed on is lost; whoever is left " +
        "follows this node, and the lost ones are fenced off should they come back",
    )
    .requiredOption("--voters <ids>", "who votes from now on, this node among them, such as eu,us")
    .requiredOption("--cluster <name>", "the cluster's name: to be sure")
    .action(async (options: RecoverOptions, self: Command) => {
      const { out } = contextOf(self);
      const { values } = effectiveSettings(self);
      const own = needsOwnCluster(values) ? readOwnCluster(values["node.data_dir"]) : null;
      if (needsOwnCluster(values) && own === null)
        throw new CliError(EXIT.usage, `${values["node.data_dir"]} belongs to no cluster: there is nothing to recover`);
      const voters = options.voters.split(",").map((id) => id.trim());
      const done = await recover(makeConfig(values, own), { voters, cluster: options.cluster });
      out.result(done, () => {
        out.line(`the cluster goes on as incarnation ${done.incarnation}, with version ${done.version}`);
        out.note(
          `start this node again; ${done.others.join(", ") || "nobody else"} will follow it, also if running now`,
        );
      });
    });
  return withExamples(command, [
    "two of three are gone, their disks too",
    `${line} --voters eu --cluster starling --config starling.toml`,
  ]);
}
