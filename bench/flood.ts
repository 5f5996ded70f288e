import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Flooded } from "./flooder.ts";
import type { Figure, Report } from "./machine.ts";
import { machineLine, median, percentile } from "./machine.ts";
import type { BenchNode } from "./nodes.ts";
import { withNodes } from "./nodes.ts";
import { openLoop } from "./open-loop.ts";

// Question: what do clients of a node notice while 20,000 junk packets a second come to its gossip port, and is anybody
// suspected for it?
// Peer: the same load beside the same sender with a closed port as its target: what the sender costs the machine, and not
// the node. The three take turns, in every round in another order.
// Run: npm run -s bench -- flood   (FLOOD_SECONDS=60 and FLOOD_ROUNDS=3 if nothing else is said)

const SECONDS = Number(process.env.FLOOD_SECONDS ?? 60);
const ROUNDS = Number(process.env.FLOOD_ROUNDS ?? 3);
const PACKETS_PER_SECOND = Number(process.env.FLOOD_RATE ?? 20_000);
/** Half of them PUT, half GET, all to the node that is flooded: far from what it can do. */
const REQUESTS_PER_SECOND = 200;
const WARM_UP_SECONDS = 5;
const WATCH_MS = 250;
/** All of them are written while it warms up. */
const KEYS = 200;
const LABEL = "bench";
const NAMES = ["eu", "us", "ap"];
const TICKS_PER_SECOND = 100;

type Phase = "quiet" | "closed port" | "flood";
const PHASES: readonly Phase[] = ["quiet", "closed port", "flood"];

interface Seen {
  readonly p99Ms: number;
  readonly p50Ms: number;
  readonly failed: number;
  readonly nodeCpuSeconds: number;
  readonly flooded: Flooded;
  /** Junk that was counted, by reason. */
  readonly rejects: ReadonlyMap<string, number>;
  readonly suspicions: number;
}

export async function run(): Promise<Report> {
  const seen = new Map<Phase, Seen[]>(PHASES.map((phase) => [phase, []]));
  await withNodes(NAMES, async (nodes) => {
    await until(async () => (await badStates(nodes)) === 0);
    await load(nodes[0] as BenchNode, WARM_UP_SECONDS);
    for (let round = 0; round < ROUNDS; round++)
      for (let turn = 0; turn < PHASES.length; turn++) {
        const phase = PHASES[(round + turn) % PHASES.length] as Phase;
        seen.get(phase)?.push(await measure(nodes, phase));
      }
  });
  return {
    bench: "flood",
    question: `what do clients notice of ${PACKETS_PER_SECOND.toLocaleString("en")} junk gossip packets a second?`,
    machine: machineLine(),
    peers: ["the same sender with a closed port as its target: CPU that it takes from everybody"],
    figures: figuresOf(seen),
  };
}

/** One phase: load on the first node, perhaps beside a flood, and who is suspected meanwhile. */
async function measure(nodes: BenchNode[], phase: Phase): Promise<Seen> {
  const [target] = nodes as [BenchNode];
  const startMs = Date.now();
  const before = { rejects: await rejectsOf(target), cpu: cpuSecondsOf(target) };
  const watch = new AbortController();
  const watching = badStatesUntil(nodes, watch.signal);
  const [flooded, latenciesMs] = await Promise.all([flood(target, phase), load(target, SECONDS)]);
  watch.abort();
  const bad = await watching;
  const after = { rejects: await rejectsOf(target), cpu: cpuSecondsOf(target) };
  const rejects = [...after.rejects].map(
    ([reason, count]) => [reason, count - (before.rejects.get(reason) ?? 0)] as const,
  );
  return {
    p99Ms: percentile(latenciesMs.filter(Number.isFinite), 0.99),
    p50Ms: percentile(latenciesMs.filter(Number.isFinite), 0.5),
    failed: latenciesMs.filter((ms) => !Number.isFinite(ms)).length,
    nodeCpuSeconds: after.cpu - before.cpu,
    flooded,
    rejects: new Map(rejects.filter(([, count]) => count > 0)),
    suspicions: bad + (await changedStates(nodes, startMs)),
  };
}

function flood(target: BenchNode, phase: Phase): Promise<Flooded> {
  if (phase === "quiet") return Promise.resolve({ sent: 0, seconds: SECONDS });
  // Discard: nobody listens there.
  const port = phase === "flood" ? target.gossipPort : 9;
  const args = [port, PACKETS_PER_SECOND, SECONDS, LABEL, target.name].map(String);
  const file = fileURLToPath(new URL("flooder.js", import.meta.url));
  const child = spawn(process.execPath, [file, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (bytes: Buffer) => {
    output += bytes.toString();
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => (code === 0 ? resolve(JSON.parse(output) as Flooded) : reject(new Error(`${code}`))));
  });
}

function load({ url }: BenchNode, seconds: number): Promise<number[]> {
  return openLoop({ urls: [url], perSecond: REQUESTS_PER_SECOND, seconds, keys: KEYS });
}

interface NodesAnswer {
  readonly nodes: readonly { readonly id: string; readonly state: string; readonly since: string | null }[];
}

async function seenBy({ url }: BenchNode): Promise<NodesAnswer["nodes"]> {
  return ((await (await fetch(`${url}/cluster/nodes`)).json()) as NodesAnswer).nodes;
}

/** How many members are anything but alive, as each of the nodes sees them. */
async function badStates(nodes: BenchNode[]): Promise<number> {
  const all = await Promise.all(nodes.map(seenBy));
  return all.reduce(
    (sum, seen) => sum + NAMES.filter((name) => seen.find(({ id }) => id === name)?.state !== "alive").length,
    0,
  );
}

async function badStatesUntil(nodes: BenchNode[], signal: AbortSignal): Promise<number> {
  let bad = 0;
  while (!signal.aborted) {
    bad += await badStates(nodes);
    await pause(WATCH_MS);
  }
  return bad;
}

/** Of all views of all members, how many changed: none escapes between two looks, also when it is alive again. */
async function changedStates(nodes: BenchNode[], sinceMs: number): Promise<number> {
  const all = await Promise.all(nodes.map(seenBy));
  return all.flat().filter(({ since }) => since !== null && Date.parse(since) > sinceMs).length;
}

async function rejectsOf({ url }: BenchNode): Promise<Map<string, number>> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text.matchAll(/^starling_gossip_rejected_packets\{reason="([^"]+)"\} (\d+)$/gm);
  return new Map([...lines].map(([, reason, count]) => [reason ?? "", Number(count)]));
}

/** User and system time since its start; not a number where there is no /proc. */
function cpuSecondsOf({ pid }: BenchNode): number {
  const file = `/proc/${pid}/stat`;
  if (!existsSync(file)) return Number.NaN;
  const fields = readFileSync(file, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (await holds().catch(() => false)) return;
    await pause(100);
  }
  throw new Error("the nodes did not find each other in time");
}

function figuresOf(seen: ReadonlyMap<Phase, readonly Seen[]>): Figure[] {
  const of = (phase: Phase): readonly Seen[] => seen.get(phase) ?? [];
  const middle = (phase: Phase, value: (one: Seen) => number): number => median(of(phase).map(value));
  const all = PHASES.flatMap(of);
  const p99 = (one: Seen): number => one.p99Ms;
  const cpu = (one: Seen): number => one.nodeCpuSeconds;
  const sent = middle("flood", ({ flooded }) => flooded.sent);
  const reasons = [...new Set(of("flood").flatMap(({ rejects }) => [...rejects.keys()]))].sort();
  return [
    ...PHASES.map((phase) => ({ name: `client p99, ${phase}`, value: middle(phase, p99), unit: "ms" })),
    ...PHASES.map((phase) => ({
      name: `client p50, ${phase}`,
      value: middle(phase, ({ p50Ms }) => p50Ms),
      unit: "ms",
    })),
    { name: "p99, flood to quiet", value: middle("flood", p99) / middle("quiet", p99), unit: "×", aim: { atMost: 2 } },
    {
      name: "p99, closed port to quiet: the sender's share",
      value: middle("closed port", p99) / middle("quiet", p99),
      unit: "×",
    },
    {
      name: "p99, flood to closed port: the node's share",
      value: middle("flood", p99) / middle("closed port", p99),
      unit: "×",
    },
    { name: "false suspicions", value: sum(all.map(({ suspicions }) => suspicions)), unit: "", aim: { atMost: 0 } },
    { name: "failed requests", value: sum(all.map(({ failed }) => failed)), unit: "", aim: { atMost: 0 } },
    ...(["closed port", "flood"] as const).map((phase) => ({
      name: `packets sent, ${phase}`,
      value: middle(phase, ({ flooded }) => flooded.sent / flooded.seconds),
      unit: "/s",
    })),
    {
      name: "the node's CPU per packet sent",
      value: (1e6 * (middle("flood", cpu) - middle("closed port", cpu))) / sent,
      unit: "µs",
    },
    ...reasons.map((reason) => ({
      name: `counted as ${reason}`,
      value: middle("flood", ({ rejects }) => rejects.get(reason) ?? 0),
      unit: "",
    })),
  ];
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
