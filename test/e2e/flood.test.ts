import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { seededRng } from "../../src/kernel/rng.ts";
import { RealCluster, until } from "./cluster.ts";
import { Load } from "./load.ts";

// Junk on a gossip port (gossip.md, item 19). What clients notice of it, bench/flood.ts measures.

const FLOODER = join(fileURLToPath(new URL("../..", import.meta.url)), "dist/bench/flooder.js");
const SECONDS = Number(process.env.E2E_FLOOD_SECONDS ?? 8);
const PACKETS_PER_SECOND = 20_000;
const NAMES = ["eu", "us", "ap"];
/** What strangers' packets make a member send (gossip/swim/context.ts). */
const STRANGER_PACKETS_PER_SECOND = 256;

let cluster: RealCluster;
beforeAll(async () => {
  cluster = await RealCluster.make(NAMES);
  await Promise.all(NAMES.map((name) => cluster.start(name, { STARLING_GOSSIP_PROFILE: "lan" })));
  await until("all alive for all", () => cluster.every(seesAllAlive), 30_000);
}, 60_000);
afterAll(() => cluster?.stopAll());

async function seesAllAlive({ url }: { url: string }): Promise<boolean> {
  const { nodes } = (await (await fetch(`${url}/cluster/nodes`)).json()) as { nodes: { id: string; state: string }[] };
  return NAMES.every((name) => nodes.find(({ id }) => id === name)?.state === "alive");
}

interface Figures {
  readonly rejects: ReadonlyMap<string, number>;
  /** By name, without `starling_gossip_`. */
  readonly counts: ReadonlyMap<string, number>;
}

async function figuresAt(name: string): Promise<Figures> {
  const text = await (await fetch(`${cluster.node(name).url}/metrics`)).text();
  const numbers = (pattern: RegExp): Map<string, number> =>
    new Map([...text.matchAll(pattern)].map(([, key, count]) => [key ?? "", Number(count)]));
  return {
    rejects: numbers(/^starling_gossip_rejected_packets\{reason="([^"]+)"\} (\d+)$/gm),
    counts: numbers(/^starling_gossip_(\w+) (\d+)$/gm),
  };
}

/** What a count of a node's gossip grew by during something. */
type Growth = (name: string, count: string) => number;

async function during<T>(doing: () => Promise<T>): Promise<[T, Growth]> {
  const all = (): Promise<Figures[]> => Promise.all(NAMES.map(figuresAt));
  const before = await all();
  const result = await doing();
  const after = await all();
  const at = (figures: Figures[], name: string, count: string): number =>
    figures[NAMES.indexOf(name)]?.counts.get(count) ?? Number.NaN;
  return [result, (name, count) => at(after, name, count) - at(before, name, count)];
}

/** Shorter than a probe waits. What was due meanwhile waits until the sockets are drained, and in a flood they never are. */
async function standStill(name: string): Promise<void> {
  cluster.signal(name, "SIGSTOP");
  await pause(250);
  cluster.signal(name, "SIGCONT");
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

it("20,000 junk packets a second on a gossip port get nobody suspected and no write lost, and are counted by reason", {
  timeout: 120_000,
}, async () => {
  const load = new Load(cluster, "flood", seededRng(1));
  const args = [cluster.node("eu").ports.gossip, PACKETS_PER_SECOND, SECONDS, "e2e", "eu"].map(String);
  const [{ stdout }, grown] = await during(async () => {
    const flooding = promisify(execFile)(process.execPath, [FLOODER, ...args]);
    await pause(1_000);
    await standStill("eu");
    return flooding;
  });
  await load.stop();
  const { sent, seconds } = JSON.parse(stdout) as { sent: number; seconds: number };
  // Beside a node of the same cluster at the same time to which no junk came:
  const more = (count: string): number => grown("eu", count) - grown("us", count);
  expect(grown("us", "probes")).toBeGreaterThan(0);
  expect(grown("eu", "probes")).toBeGreaterThanOrEqual(grown("us", "probes") / 2);
  expect(more("sent_packets")).toBeLessThanOrEqual(STRANGER_PACKETS_PER_SECOND * (seconds + 2));
  // With the kernel's smallest buffer it is a twelfth; with ours nearly all on a quiet machine.
  expect(more("received_packets")).toBeGreaterThanOrEqual(sent / 4);
  const { rejects: counted } = await figuresAt("eu");
  for (const reason of ["foreign-label", "bad-crc", "unknown-type", "stranger"])
    expect([reason, counted.get(reason) ?? 0]).toEqual([reason, expect.toSatisfy((count: number) => count > 0)]);
  expect([...counted.values()].reduce((total, count) => total + count, 0)).toBeLessThanOrEqual(sent);
  expect(load.history.count("acknowledged")).toBeGreaterThan(0);
  expect([load.history.count("refused"), load.history.count("unknown")]).toEqual([0, 0]);
  await cluster.converged();
  for (const node of cluster.nodes) expect(load.history.violations(await load.shownAt(node))).toEqual([]);
  for (const name of NAMES) expect(cluster.log(name)).toMatch(/gossip\.member-up/);
  for (const name of NAMES) expect(cluster.log(name)).not.toMatch(/gossip\.(?:member-suspect|member-dead|refuted)/);
  expect(await cluster.every(seesAllAlive)).toBe(true);
});
