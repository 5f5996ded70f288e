import { join, relative, resolve } from "node:path";
import { Command, Option } from "commander";
import { prettyLine } from "../observability/log-line.ts";
import { contextOf, outputOf, withExamples } from "./context.ts";
import type { DevCluster, DevListener } from "./dev-cluster.ts";
import { checkNotRunning, removeDevData, startDevCluster } from "./dev-cluster.ts";
import { changeRules, type NetworkRules, withCuts } from "./dev-network.ts";
import { ensurePlan, readPlan } from "./dev-plan.ts";
import { CliError, EXIT } from "./exit.ts";
import { formatSpan } from "./format.ts";
import { listOwners } from "./nodes.ts";
import type { Output } from "./output.ts";

interface DevOptions {
  readonly data: string;
  readonly ports?: string;
  readonly fresh?: boolean;
  readonly latency?: string;
}

/** @param main the script that runs `starling`: the nodes are processes of their own */
export function devCommand(main: string): Command {
  const command = new Command("dev")
    .description("a whole cluster on this machine: three regions (eu us ap), one process each")
    .addOption(new Option("--data <dir>", "where the data lives").default(".starling"))
    .option("--ports <base>", "first port; regions follow in tens (7001, or those of last time)")
    .option("--fresh", "start over: delete this directory's dev cluster first")
    .option("--latency <pairs>", "delay between regions in ms, such as eu-us=80,eu-ap=160")
    .action(async (options: DevOptions, self: Command) => runDev(options, main, outputOf(self)));
  const cut = new Command("cut")
    .description("cut the network between two regions of the running dev cluster")
    .argument("<region>")
    .argument("<region>")
    .action(async (a: string, b: string, _options, self: Command) => {
      await changeNetwork(self, (rules) => withCuts(rules, [[a, b]]));
    });
  const heal = new Command("heal")
    .description("undo all cuts in the running dev cluster (delays stay)")
    .action(async (_options, self: Command) => {
      await changeNetwork(self, (rules) => ({ ...rules, cut: [] }));
    });
  withExamples(
    command,
    ["start, or go on with the data of last time", "dev"],
    ["start over with delays between regions", "dev --fresh --latency eu-us=80,eu-ap=160,us-ap=200"],
    ["cut ap off from eu, then undo it", "dev cut eu ap && starling dev heal"],
  );
  withExamples(cut, ["nothing passes between eu and us any more", "dev cut eu us"]);
  withExamples(heal, ["undo all cuts", "dev heal"]);
  return command.addCommand(cut).addCommand(heal);
}

async function changeNetwork(command: Command, change: (rules: NetworkRules) => NetworkRules): Promise<void> {
  const { out, client } = contextOf(command);
  const urls = (await listOwners(client)).map(({ url }) => url);
  const { rules, unreachable } = await changeRules(urls, change);
  const pairs = rules.cut.map((pair) => pair.join("–"));
  out.result({ ...rules, unreachable }, () =>
    out.line(pairs.length === 0 ? "nothing is cut: every region reaches every other" : `cut: ${pairs.join(", ")}`),
  );
  if (unreachable.length > 0) out.note(`not told, nobody answers there: ${unreachable.join(", ")}`);
}

async function runDev(options: DevOptions, main: string, out: Output): Promise<void> {
  const dataDir = resolve(options.data);
  const delays = options.latency === undefined ? null : parseLatency(options.latency);
  const before = readPlan(dataDir);
  if (before) await checkNotRunning(before);
  if (before && options.fresh) removeDevData(before);
  const plan = ensurePlan(dataDir, options.ports === undefined ? null : Number(options.ports));

  const stopping = stopRequest();
  const startedMs = Date.now();
  if (!out.json) out.line(`starting eu, us and ap with their data in ${options.data} …`);
  const cluster = await startDevCluster(plan, main, listenerOf(out), stopping.signal);
  try {
    const urls = plan.nodes.map(({ url }) => url);
    if (delays) await changeRules(urls, (rules) => ({ ...rules, delayMs: delays }));
    tellReady(out, cluster, Date.now() - startedMs);
    await Promise.race([stopping.requested, allGone(cluster)]);
  } finally {
    if (!out.json) out.line("\nstopping …");
    const killed = await cluster.stop();
    for (const id of killed) out.note(`${id} did not stop within 10 s and was killed`);
    if (!out.json) out.line("stopped; the data stays");
  }
}

function listenerOf(out: Output): DevListener {
  const colors = [out.color.cyan, out.color.magenta, out.color.yellow];
  const prefix = (id: string, at: number): string => (colors[at % colors.length] ?? out.color.cyan)(`${id} │`);
  return {
    onWarning: (node, at, line) => out.note(`${prefix(node.id, at)} ${prettyLine(line).trimEnd()}`),
    onExit: (node, at, how) =>
      out.note(
        `${prefix(node.id, at)} ended (${how}): see ${here(node.dataDir, "node.log")}. To start it again: starling node --config ${here(node.dataDir, "node.toml")}`,
      ),
  };
}

/** As one would type it here, when that is shorter. */
function here(folder: string, file: string): string {
  const path = join(folder, file);
  const short = relative(process.cwd(), path);
  return short.length < path.length ? short : path;
}

async function allGone(cluster: DevCluster): Promise<void> {
  await cluster.gone;
  throw new CliError(EXIT.failed, "all three nodes have ended");
}

function tellReady(out: Output, { plan }: DevCluster, tookMs: number): void {
  out.result({ ready: true, tookMs, nodes: plan.nodes.map(({ id, url }) => ({ id, region: id, url })) }, () => {
    out.table(
      ["region", "address", "gossip", "peer", "log"],
      plan.nodes.map((node) => [
        node.id,
        out.color.green(node.url),
        node.gossipPort,
        node.peerPort,
        here(node.dataDir, "node.log"),
      ]),
    );
    const base = plan.nodes[0]?.url ?? "";
    const us = plan.nodes[1]?.url ?? "";
    const flag = base.endsWith(":7001") ? "" : ` --node ${base}`;
    out.line(`ready in ${formatSpan(tookMs)}. In another terminal:
  npx starling tour${flag}
  curl -X PUT -d 'hello from eu' ${base}/v1/kv/demo/greeting
  curl ${us}/v1/kv/demo/greeting
Ctrl-C stops all three; the data stays.`);
  });
}

/** `eu-us=80,eu-ap=160` → ms by pair. */
export function parseLatency(text: string): Record<string, number> {
  const pairs = text.split(",").map((item): [string, number] => {
    const match = /^([a-z0-9]+)-([a-z0-9]+)=(\d+)(?:ms)?$/.exec(item.trim());
    if (!match)
      throw new CliError(EXIT.usage, `--latency takes pairs such as eu-us=80,eu-ap=160, not ${JSON.stringify(item)}`);
    return [`${match[1]}-${match[2]}`, Number(match[3])];
  });
  return Object.fromEntries(pairs);
}

const PARENT_CHECK_MS = 500;

/** Resolves `requested` at the first SIGINT, SIGTERM or SIGHUP. A second one ends at once; the nodes then stop too. */
function stopRequest(): { signal: AbortSignal; requested: Promise<void> } {
  const controller = new AbortController();
  const requested = new Promise<void>((done) => {
    const stop = (): void => {
      if (controller.signal.aborted) process.exit(EXIT.failed);
      controller.abort();
      done();
    };
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
    watchNpm(stop);
  });
  return { signal: controller.signal, requested };
}

/** Under `npm start` a shell stands between npm and us. A signal sent to npm alone ends that shell without reaching us:
 *  notice it, or the cluster would run on with nobody to stop it. */
function watchNpm(stop: () => void): void {
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    stop();
  }, PARENT_CHECK_MS);
  timer.unref();
}
