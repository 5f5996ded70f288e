import { describe, expect, it } from "vitest";
import type { Config } from "../../../src/config/types.ts";
import { present } from "../../../src/kernel/assert.ts";
import { type LogLine, SimCluster } from "../cluster.ts";

const KEYS = 60;
const HISTORY_MS = 2_000;

const shortHistory = (config: Config): Config => ({
  ...config,
  replication: { ...config.replication, historyMs: HISTORY_MS },
});

async function batch(cluster: SimCluster, node: string, items: readonly Record<string, unknown>[]): Promise<void> {
  const response = await cluster.request(node, {
    method: "POST",
    path: "/v1/batch",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ items: items.map((item) => ({ bucket: "b", ...item })) }),
  });
  expect(response.status).toBe(200);
}

const keys = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => `k${from + i}`);

/** The first third stays, the second is deleted, the third is deleted and made anew; a counter and a set likewise. */
async function prepare(cluster: SimCluster): Promise<void> {
  await batch(
    cluster,
    "eu",
    keys(0, KEYS).map((key) => ({ action: "put", key, value: "old" })),
  );
  await batch(cluster, "us", [
    { action: "ops", key: "count", ops: [{ op: "increment", by: 5 }] },
    { action: "ops", key: "set", ops: [{ op: "add", elements: ["old", "stays"] }] },
  ]);
  await cluster.converged();
}

async function meanwhile(cluster: SimCluster): Promise<void> {
  await batch(
    cluster,
    "us",
    keys(KEYS / 3, KEYS).map((key) => ({ action: "delete", key })),
  );
  await batch(cluster, "eu", [
    ...keys((2 * KEYS) / 3, KEYS).map((key) => ({ action: "put", key, value: "new" })),
    { action: "ops", key: "count", ops: [{ op: "reset" }, { op: "increment", by: 2 }] },
    {
      action: "ops",
      key: "set",
      ops: [
        { op: "remove", elements: ["old"] },
        { op: "add", elements: ["new"] },
      ],
    },
  ]);
  await cluster.until(
    () => ["eu", "us"].every((name) => cluster.image(name)?.log.length === 0),
    60_000,
    "the logs of those who are there are cut",
  );
}

function isUnlinked(cluster: SimCluster, node: string): boolean {
  const others = cluster.names.filter((name) => name !== node).flatMap((name) => cluster.replica(name).status().peers);
  return others.every((peer) => peer.node !== node || peer.link !== "up");
}

async function checkAll(cluster: SimCluster): Promise<void> {
  const expected = [
    ...keys(0, KEYS / 3).map((key) => [key, "old"]),
    ...keys((2 * KEYS) / 3, KEYS).map((key) => [key, "new"]),
    ["count", 2],
    ["set", ["new", "stays"]],
  ].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
  for (const name of cluster.names) {
    const listed = (await cluster.getJson(name, "/v1/kv/b?values&limit=1000")) as {
      items: { key: string; value: unknown }[];
    };
    expect(listed.items.map(({ key, value }) => [key, value])).toEqual(expected);
  }
}

function makeCluster(seed: number): { cluster: SimCluster; adopted: () => number } {
  const lines: LogLine[] = [];
  const cluster = new SimCluster({ seed, config: shortHistory, onLog: (line) => lines.push(line) });
  const adopted = (): number => lines.filter(({ node, event }) => node === "ap" && event === "catch-up.adopted").length;
  return { cluster, adopted };
}

describe("a node that was away while keys were deleted and made anew, and the others' logs were cut", () => {
  it("catches up by copies, and nothing deleted returns", async () => {
    const { cluster, adopted } = makeCluster(31);
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      await prepare(cluster);
      cluster.crash("ap");
      await meanwhile(cluster);
      cluster.start("ap");
      await cluster.converged();
      expect(adopted()).toBeGreaterThan(0);
      await checkAll(cluster);
    });
  });

  it("keeps what it wrote itself while it was cut off", async () => {
    const { cluster, adopted } = makeCluster(32);
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      await prepare(cluster);
      cluster.cutRegion("ap");
      await batch(cluster, "ap", [{ action: "put", key: "k25", value: "written while away" }]);
      await meanwhile(cluster);
      // What was pushed into the cut and still waits in a stream would arrive without a copy.
      await cluster.until(() => isUnlinked(cluster, "ap"), 10_000, "the links to ap are down");
      cluster.heal();
      await cluster.converged();
      expect(adopted()).toBeGreaterThan(0);
      for (const name of cluster.names) expect(await cluster.getJson(name, "/v1/kv/b/k25")).toBe("written while away");
      await batch(cluster, "ap", [{ action: "delete", key: "k25" }]);
      await cluster.converged();
      await checkAll(cluster);
    });
  });

  it("does the same when its disk is an hour-old copy, also without having been away", async () => {
    const { cluster, adopted } = makeCluster(33);
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      await prepare(cluster);
      const old = present(cluster.image("ap"), "ap has a disk");
      await meanwhile(cluster);
      await batch(cluster, "ap", [{ action: "put", key: "k0", value: "later" }]);
      await cluster.converged();
      // Nothing happens while the machines are off: an hour costs no events.
      for (const name of cluster.names) cluster.crash(name, "machine");
      await cluster.kernel.sleep(3_600_000);
      cluster.restoreImage("ap", old);
      await cluster.startAll();
      await batch(cluster, "ap", [{ action: "put", key: "k0", value: "old" }]);
      await cluster.converged();
      expect(adopted()).toBeGreaterThan(0);
      for (const name of cluster.names) {
        const explained = (await cluster.getJson(name, "/v1/explain/b/k0")) as { dots: { value: unknown }[] };
        expect(explained.dots.map(({ value }) => value).sort()).toEqual(["later", "old"]);
      }
      await batch(cluster, "eu", [{ action: "put", key: "k0", value: "old" }]);
      await cluster.converged();
      await checkAll(cluster);
    });
  });
});
