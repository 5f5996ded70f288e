import { describe, expect, it } from "vitest";
import type { Config } from "../../../src/config/types.ts";
import { present } from "../../../src/kernel/assert.ts";
import { damageRow } from "../../../src/storage/memory.ts";
import { type LogLine, SimCluster } from "../cluster.ts";

/** All keys share one leaf, so that the damage of one is the doubt of all. */
const ONE_LEAF = { layout: { partitionBits: 0, leafBits: 0 } };
/** A commit takes 75 to 250 ms: reads fall between its begin and its end. */
const SLOW = 50;
/** A read takes 100 ms to a second. */
const VERY_SLOW = 2_000;
const READ_EVERY_MS = 20;
const READS = 50;

async function add(cluster: SimCluster, key: string, element: string): Promise<void> {
  const response = await cluster.request("eu", {
    method: "POST",
    path: `/v1/ops/b/${key}`,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ops: [{ op: "add", elements: [element] }] }),
  });
  expect(response.status).toBe(200);
}

async function put(cluster: SimCluster, node: string, value: string): Promise<void> {
  const response = await cluster.request(node, {
    method: "PUT",
    path: "/v1/kv/b/register",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(value),
  });
  expect(response.status).toBeLessThan(300);
}

function damage(cluster: SimCluster, node: string, key: string): void {
  cluster.restoreImage(node, damageRow(present(cluster.image(node), "it has a disk"), "b", key, "flip"));
}

/** ap starts with a garbled row of `set`. Before that heals, an entry is applied to what is left of it. */
async function prepare(cluster: SimCluster): Promise<void> {
  await cluster.startAll();
  for (const key of ["another", "set"]) await add(cluster, key, "old");
  await cluster.converged();
  cluster.crash("ap");
  damage(cluster, "ap", "set");
  await add(cluster, "set", "new");
  cluster.start("ap");
  await cluster.until(() => cluster.member("ap").running !== null, 20_000, "ap is up");
  present(cluster.member("ap").node, "ap runs").disk.slowness = SLOW;
}

/** Asks `what` of ap again and again while it heals, and for a while after. Returns all that was answered. */
async function askWhileHealing(cluster: SimCluster, what: () => Promise<unknown>): Promise<unknown[]> {
  const asked: Promise<unknown>[] = [];
  for (let i = 0; i < READS; i++) {
    asked.push(what());
    await cluster.kernel.sleep(READ_EVERY_MS);
  }
  await cluster.converged();
  return Promise.all(asked);
}

describe("a row that was garbled, and that an entry was applied to before it healed", () => {
  it("shows no reader what was left of it, not while its healing is being written either", async () => {
    const cluster = new SimCluster({ seed: 41, tuning: () => ONE_LEAF });
    await cluster.kernel.run(async () => {
      await prepare(cluster);
      const answers = await askWhileHealing(cluster, () => cluster.getJson("ap", "/v1/kv/b/set"));
      for (const answer of answers) expect(answer).toContain("old");
    });
  });

  it("shows no reader what was left of it whose read began before the damage was found", async () => {
    const cluster = new SimCluster({ seed: 44, tuning: () => ONE_LEAF });
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      await add(cluster, "set", "old");
      await cluster.converged();
      cluster.crash("ap");
      damage(cluster, "ap", "set");
      cluster.start("ap");
      await cluster.kernel.sleep(2_000); // it is level and linked, and has not looked at the row
      const { disk } = present(cluster.member("ap").node, "ap runs");
      disk.slowness = VERY_SLOW;
      const asked = Array.from({ length: READS }, () => cluster.getJson("ap", "/v1/kv/b/set"));
      await cluster.kernel.sleep(20);
      disk.slowness = SLOW;
      await add(cluster, "set", "new");
      for (const answer of await Promise.all(asked)) expect(answer).toContain("old");
    });
  });

  it("is asked for once, however many reads wait for it", async () => {
    const lines: LogLine[] = [];
    const cluster = new SimCluster({ seed: 46, tuning: () => ONE_LEAF, onLog: (line) => lines.push(line) });
    await cluster.kernel.run(async () => {
      await prepare(cluster);
      let commits = 0;
      cluster.kernel.onEvent = ({ node, kind }) => {
        if (node === "ap" && kind === "commit") commits += 1;
      };
      await Promise.all(Array.from({ length: READS }, () => cluster.getJson("ap", "/v1/kv/b/set")));
      expect(commits).toBeLessThan(READS / 5);
      expect(lines.filter(({ event }) => event === "storage.damage")).not.toEqual([]);
    });
  });

  it("is in no list as what was left of it, when it heals while the list is put together", async () => {
    const cluster = new SimCluster({ seed: 42, tuning: () => ONE_LEAF });
    await cluster.kernel.run(async () => {
      await prepare(cluster);
      const answers = await askWhileHealing(cluster, () => cluster.getJson("ap", "/v1/kv/b?values"));
      for (const answer of answers as { items: { key: string; value: unknown }[] }[])
        expect(answer.items.find(({ key }) => key === "set")?.value).toContain("old");
    });
  });
});

describe("a garbled row that was in conflict", () => {
  it("is in no list of conflicts when it heals to what was settled meanwhile", async () => {
    const cluster = new SimCluster({ seed: 45, tuning: () => ONE_LEAF });
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      cluster.cutRegion("eu");
      for (const name of cluster.names) await put(cluster, name, `from ${name}`);
      cluster.heal();
      await cluster.converged();
      expect(await cluster.getJson("ap", "/v1/conflicts")).toMatchObject({ conflicts: [{ key: "register" }] });
      cluster.crash("ap");
      damage(cluster, "ap", "register");
      await put(cluster, "eu", "settled");
      cluster.start("ap");
      await cluster.until(() => cluster.member("ap").running !== null, 20_000, "ap is up");
      expect(await cluster.getJson("ap", "/v1/conflicts")).toMatchObject({ conflicts: [] });
      expect(await cluster.getJson("ap", "/v1/kv/b/register")).toBe("settled");
    });
  });
});

describe("a node that must catch up by a copy, and holds a garbled row that it doesn't know of", () => {
  const told: string[] = [];
  const make = (seed: number): SimCluster =>
    new SimCluster({
      seed,
      tuning: () => ONE_LEAF,
      config: (config): Config => ({ ...config, replication: { ...config.replication, historyMs: 2_000 } }),
      onLog: ({ node, event }) => {
        if (node === "ap" && (event === "storage.damage" || event === "catch-up.adopted")) told.push(event);
      },
    });

  /** Starts ap when it has a garbled row of `set` and the others' logs don't reach back to it. */
  async function prepareBelowLogs(cluster: SimCluster): Promise<void> {
    told.length = 0;
    await cluster.startAll();
    for (const key of ["another", "set"]) await add(cluster, key, "old");
    const areCut = (...names: string[]): Promise<void> =>
      cluster.until(() => names.every((name) => cluster.image(name)?.log.length === 0), 60_000, "logs are cut");
    await areCut("eu", "us", "ap"); // a cut looks at the rows first, and would find the damage
    cluster.crash("ap");
    damage(cluster, "ap", "set");
    await add(cluster, "another", "new");
    await areCut("eu", "us");
    cluster.start("ap");
  }

  it("finds the damage before it adopts the copy: sums and rows agree after", async () => {
    const cluster = make(43);
    await cluster.kernel.run(async () => {
      await prepareBelowLogs(cluster);
      await cluster.converged();
      await cluster.kernel.sleep(10_000);
      expect(told[0]).toBe("storage.damage");
      expect(told.lastIndexOf("storage.damage")).toBe(0);
      expect(await cluster.getJson("ap", "/v1/kv/b/set")).toEqual(["old"]);
    });
  });

  it("finds it once, though it is read while the copy is being written", async () => {
    const cluster = make(47);
    await cluster.kernel.run(async () => {
      await prepareBelowLogs(cluster);
      await cluster.until(() => cluster.member("ap").running !== null, 20_000, "ap is up");
      present(cluster.member("ap").node, "ap runs").disk.slowness = SLOW;
      const answers = await askWhileHealing(cluster, () => cluster.getJson("ap", "/v1/kv/b/set"));
      for (const answer of answers) expect(answer).toEqual(["old"]);
      expect(told.filter((event) => event === "storage.damage")).toHaveLength(1);
      expect(told).toContain("catch-up.adopted");
    });
  });
});
