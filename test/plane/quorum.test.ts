import { describe, expect, it } from "vitest";
import { PROFILES } from "../../gossip/index.ts";
import type { Config } from "../../src/config/types.ts";
import { seededRng } from "../../src/kernel/rng.ts";
import { type NodeSpec, type SimCluster, THREE_REGIONS } from "../sim/cluster.ts";
import { alike, elected, inCluster, planeOf, voters } from "./clusters.ts";

// What the loss of a quorum costs: nothing that is read or written, and every change of the configuration (I10).

const MINUTE_MS = 60_000;
const FIVE: readonly NodeSpec[] = [...THREE_REGIONS, { name: "eu2", region: "eu" }, { name: "us2", region: "us" }];
const SURVIVORS = ["eu", "us"];
const GONE = ["ap", "eu2", "us2"];
/** At each survivor, at fixed times, whether the one before was answered or not. */
const REQUESTS_PER_SECOND = 2;
const KEYS = 100;

/** What goes on without clients is most of the work of a simulated hour: it goes on less often. */
function atLeisure(config: Config): Config {
  const replication = { ...config.replication, syncIntervalMs: 10_000 };
  return { ...config, replication, gossip: { ...config.gossip, profile: PROFILES.geo } };
}

interface Load {
  sent: number;
  readonly latenciesMs: number[];
  readonly failures: string[];
}

async function load(cluster: SimCluster, forMs: number, seed: number): Promise<Load> {
  const { kernel } = cluster;
  const rng = seededRng(seed);
  const seen: Load = { sent: 0, latenciesMs: [], failures: [] };
  const underWay: Promise<void>[] = [];
  for (const endMs = kernel.nowMs + forMs; kernel.nowMs < endMs; await kernel.sleep(1_000 / REQUESTS_PER_SECOND))
    for (const name of SURVIVORS) {
      seen.sent += 1;
      // Each puts and gets by turns.
      underWay.push(ask(cluster, name, Math.ceil(seen.sent / 2) % 2 === 0, `k${rng.below(KEYS)}`, seen));
    }
  await Promise.all(underWay);
  return seen;
}

async function ask(cluster: SimCluster, name: string, isPut: boolean, key: string, seen: Load): Promise<void> {
  const { kernel } = cluster;
  const startMs = kernel.nowMs;
  const path = `/v1/kv/b/${key}`;
  try {
    const { status } = await cluster.request(
      name,
      isPut ? { method: "PUT", path, body: "v" } : { method: "GET", path },
    );
    if (status === (isPut ? 204 : 200)) seen.latenciesMs.push(kernel.nowMs - startMs);
    else seen.failures.push(`${name} ${isPut ? "PUT" : "GET"} ${status}`);
  } catch (error) {
    seen.failures.push(String(error));
  }
}

function figures({ latenciesMs }: Load): { readonly meanMs: number; readonly p99Ms: number } {
  const sorted = [...latenciesMs].sort((a, b) => a - b);
  const meanMs = sorted.reduce((sum, ms) => sum + ms, 0) / sorted.length;
  return { meanMs, p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0 };
}

/** As `before`: all answered, and as soon. Sooner would mean that something had to be waited for before. */
function expectSame(phase: Load, before: Load): void {
  expect(phase.failures).toEqual([]);
  expect(phase.latenciesMs).toHaveLength(phase.sent);
  const [now, then] = [figures(phase), figures(before)];
  expect(now.meanMs / then.meanMs).toBeGreaterThan(0.95);
  expect(now.meanMs / then.meanMs).toBeLessThan(1.05);
  expect(now.p99Ms / then.p99Ms).toBeGreaterThan(0.95);
  expect(now.p99Ms / then.p99Ms).toBeLessThan(1.05);
}

interface Answered {
  readonly status: number;
  readonly slug: string | null;
  readonly retryAfterSeconds: number;
  readonly tookMs: number;
}

async function setPolicy(cluster: SimCluster, name: string, bucket: string, timeoutMs = 5_000): Promise<Answered> {
  const startMs = cluster.kernel.nowMs;
  const response = await cluster.request(name, {
    method: "PUT",
    path: `/v1/policies/${bucket}?timeoutMs=${timeoutMs}`,
    headers: { "content-type": "application/json" },
    body: '{"show":"siblings"}',
  });
  const slug = /"type":"([^"]+)"/.exec(await response.text())?.[1] ?? null;
  const retryAfterSeconds = Number(response.headers.get("retry-after"));
  return { status: response.status, slug, retryAfterSeconds, tookMs: cluster.kernel.nowMs - startMs };
}

/** Asks for a change every five minutes, at each survivor. */
async function refusedMeanwhile(cluster: SimCluster, forMs: number): Promise<number> {
  const { kernel } = cluster;
  let asked = 0;
  // What was handed to a leader just before it was lost nobody can answer for: that is over after its time-out.
  await kernel.sleep(20_000);
  for (const endMs = kernel.nowMs + forMs - 60_000; kernel.nowMs < endMs; await kernel.sleep(5 * MINUTE_MS))
    for (const name of SURVIVORS) {
      asked += 1;
      const timeoutMs = 500 * asked;
      const answer = await setPolicy(cluster, name, `refused-${asked}`, timeoutMs);
      expect(answer).toMatchObject({ status: 503, slug: "no-leader" });
      expect(answer.retryAfterSeconds).toBeGreaterThan(0);
      expect(answer.tookMs).toBeLessThan(timeoutMs + 500);
    }
  return asked;
}

describe("three of five voters gone for an hour", () => {
  it(
    "cost the data of the others nothing; changes of the configuration are refused, and work again after",
    () =>
      inCluster(
        41,
        async (cluster) => {
          await cluster.startAll();
          await voters(cluster, 5);
          await elected(cluster);
          for (let i = 0; i < KEYS; i++)
            expect((await cluster.request("eu", { method: "PUT", path: `/v1/kv/b/k${i}`, body: "v" })).status).toBe(
              204,
            );
          await cluster.converged();
          expect(await setPolicy(cluster, "eu", "before")).toMatchObject({ status: 200 });
          const before = await load(cluster, 10 * MINUTE_MS, 1);
          expectSame(before, before);

          for (const name of GONE) cluster.crash(name);
          const [during, asked] = await Promise.all([
            load(cluster, 60 * MINUTE_MS, 2),
            refusedMeanwhile(cluster, 60 * MINUTE_MS),
          ]);
          expect(asked).toBeGreaterThan(20);
          expectSame(during, before);

          await cluster.startAll();
          await voters(cluster, 5);
          await elected(cluster);
          for (const name of cluster.names)
            expect(await setPolicy(cluster, name, `after-${name}`)).toMatchObject({ status: 200 });
          const after = await load(cluster, 5 * MINUTE_MS, 3);
          expectSame(after, before);
          await alike(cluster);
          await cluster.converged();
          const buckets = [...(planeOf(cluster, "us").state?.policies.keys() ?? [])].sort();
          expect(buckets).toEqual([...cluster.names.map((name) => `after-${name}`).sort(), "before"]);
        },
        {
          nodes: FIVE,
          config: atLeisure,
          tuning: () => ({ heartbeatMs: 5_000 }),
          raft: { tickMs: 500 },
        },
      ),
    300_000,
  );
});
