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

async function rejectsAt(name: string): Promise<Map<string, number>> {
  const text = await (await fetch(`${cluster.node(name).url}/metrics`)).text();
  const lines = text.matchAll(/^starling_gossip_rejected_packets\{reason="([^"]+)"\} (\d+)$/gm);
  return new Map([...lines].map(([, reason, count]) => [reason ?? "", Number(count)]));
}

it("20,000 junk packets a second on a gossip port get nobody suspected and no write lost, and are counted by reason", {
  timeout: 120_000,
}, async () => {
  const load = new Load(cluster, "flood", seededRng(1));
  const args = [cluster.node("eu").ports.gossip, PACKETS_PER_SECOND, SECONDS, "e2e", "eu"].map(String);
  const { stdout } = await promisify(execFile)(process.execPath, [FLOODER, ...args]);
  await load.stop();
  const { sent } = JSON.parse(stdout) as { sent: number };
  const counted = await rejectsAt("eu");
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
