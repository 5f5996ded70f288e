import { Command } from "commander";
import { positive } from "./arguments.ts";
import { contextOf, withExamples } from "./context.ts";
import { changeRules } from "./dev-network.ts";
import { CliError, EXIT } from "./exit.ts";
import { formatCount, formatSpan } from "./format.ts";
import type { NodeClient } from "./http-client.ts";
import { Narrator } from "./narrator.ts";
import type { ReachableNode } from "./nodes.ts";
import { listOwners } from "./nodes.ts";
import type { TourStage } from "./tour-cities.ts";
import { importRealCities } from "./tour-cities.ts";
import { cutAndWrite, healAndCompare, prepareRecords, settleConflict } from "./tour-conflict.ts";

export function tourCommand(): Command {
  const command = new Command("tour")
    .description("what Starling does, shown on the running dev cluster in a minute: real data, a cut, a conflict")
    .option("--limit <n>", "import so many places (default: as many as fit the time)")
    .action(async (options: { limit?: string }, self: Command) => {
      const { out, client } = contextOf(self);
      const limit = options.limit === undefined ? null : positive(options.limit, "--limit", 1_000_000);
      const stage = await openStage(client, new Narrator(out));
      const { narrator } = stage;
      narrator.say(
        "Each step names the command that does the same by hand (starling is `npx starling` in the repository).",
      );
      try {
        await importRealCities(stage, limit);
        await prepareRecords(stage);
        await cutAndWrite(stage);
        await healAndCompare(stage);
        await settleConflict(stage);
      } finally {
        await leaveWhole(stage);
      }
      out.result({ ok: true, tookMs: narrator.tookMs, claims: narrator.claims }, () =>
        out.line(
          `\nAll ${formatCount(narrator.claims.length)} claims held, in ${formatSpan(narrator.tookMs)}. The records stay: starling kv buckets, starling kv ls tour`,
        ),
      );
    });
  return withExamples(
    command,
    ["in another terminal than `starling dev`", "tour"],
    ["a short one", "tour --limit 1000"],
  );
}

/** Whatever happened, no cut stays behind. */
async function leaveWhole({ urls, narrator }: TourStage): Promise<void> {
  try {
    await changeRules(urls, (rules) => ({ ...rules, cut: [] }));
  } catch (error) {
    // The error that brought us here matters more than this one.
    narrator.out.note(`could not heal the cut: ${error instanceof Error ? error.message : error}`);
  }
}

/** The nodes of the dev cluster: the last region is the one that is cut off. */
async function openStage(client: NodeClient, narrator: Narrator): Promise<TourStage> {
  const rules = await client.request("GET", "/v1/dev/network", { allow: [404] });
  await rules.arrayBuffer();
  const nodes = await listOwners(client);
  const [home, near, far] = ["eu", "us", "ap"].map((region) => nodes.find((node) => node.region === region));
  if (rules.status === 404 || !home || !near || !far)
    throw new CliError(
      EXIT.failed,
      `${client.url} belongs to no dev cluster with eu, us and ap: start one with \`starling dev\``,
    );
  const stage = [home, near, far] satisfies ReachableNode[];
  const urls = stage.map(({ url }) => url);
  // A cut that somebody left would make every claim fail for the wrong reason.
  await changeRules(urls, (before) => ({ ...before, cut: [] }));
  return { narrator, home, near, far, nodes: stage, urls };
}
