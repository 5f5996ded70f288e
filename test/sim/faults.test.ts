import { describe, expect, it } from "vitest";
import { slotsOf } from "../../crdt/index.ts";
import { present } from "../../src/kernel/assert.ts";
import { seededRng } from "../../src/kernel/rng.ts";
import { damageSums } from "../../src/storage/memory.ts";
import { Violations } from "./checkers/history.ts";
import { Ledger } from "./checkers/ledger.ts";
import { SimCluster, type SimClusterOptions, THREE_REGIONS } from "./cluster.ts";
import type { SimDisk } from "./disk.ts";
import { Trouble } from "./faults.ts";
import { drawPlan, type Fault } from "./plan.ts";

/** Many keys in each leaf: different rows of one leaf get garbled at different nodes. */
const LAYOUT = { partitionBits: 0, leafBits: 1 };
const LEAVES = [0, 1];
const KEYS = 16;
const LOOK_EVERY_MS = 100;

interface Scene {
  readonly cluster: SimCluster;
  readonly trouble: Trouble;
  readonly violations: Violations;
  readonly strike: (faults: Readonly<Partial<Record<Fault, number>>>) => void;
}

function makeScene(seed: number, nodes: number, more: Partial<SimClusterOptions> = {}): Scene {
  const violations = new Violations();
  const ledger: Ledger = new Ledger(violations, () => cluster.kernel.nowMs, LAYOUT);
  const cluster = new SimCluster({
    seed,
    nodes: THREE_REGIONS.slice(0, nodes),
    observer: ledger,
    tuning: () => ({ layout: LAYOUT }),
    ...more,
  });
  const trouble = new Trouble(cluster, ledger, seededRng(seed));
  const strike: Scene["strike"] = (faults) =>
    trouble.start({ ...drawPlan({ seed }), faults: new Map(Object.entries(faults) as [Fault, number][]) });
  return { cluster, trouble, violations, strike };
}

async function write(cluster: SimCluster): Promise<void> {
  const items = Array.from({ length: KEYS }, (_, i) => ({ bucket: "b", key: `k${i}`, action: "put", value: i }));
  const response = await cluster.request("eu", {
    method: "POST",
    path: "/v1/batch",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ items }),
  });
  expect(response.status).toBe(200);
  await cluster.converged();
}

/** Where nothing is garbled in a leaf, nor marked as damaged. */
function soundAt(cluster: SimCluster, leaf: number): string[] {
  const { from, to } = slotsOf(LAYOUT, 0, leaf);
  return cluster.names.filter((name) => {
    const image = cluster.image(name);
    const marks = [...(image?.damaged.values() ?? [])];
    const rows = [...(image?.rows.values() ?? [])].filter(({ slot }) => slot >= from && slot < to);
    return rows.every(({ isSound }) => isSound) && marks.every((mark) => mark.leaf !== leaf);
  });
}

/** The least number of nodes that ever have one leaf sound, in so many looks. */
async function fewestSound(cluster: SimCluster, looks: number, meanwhile: () => void = () => {}): Promise<number> {
  let fewest = cluster.names.length;
  for (let i = 0; i < looks; i++) {
    await cluster.kernel.sleep(LOOK_EVERY_MS);
    meanwhile();
    fewest = Math.min(fewest, ...LEAVES.map((leaf) => soundAt(cluster, leaf).length));
  }
  return fewest;
}

function repairAll(cluster: SimCluster): void {
  for (const { running } of cluster.members.values()) running?.replica.repair();
}

describe("rows that the simulator garbles", () => {
  it("are of leaves that another node has sound, whatever is garbled at a third; and they heal", async () => {
    const { cluster, trouble, violations, strike } = makeScene(1, 3);
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      await write(cluster);
      strike({ damage: 500 });
      expect(await fewestSound(cluster, 600)).toBe(1); // nobody reads: nothing is found, nothing heals
      await trouble.end();
      await cluster.startAll();
      repairAll(cluster);
      const areSound = (): boolean => LEAVES.every((leaf) => soundAt(cluster, leaf).length === cluster.names.length);
      // A repair that found no link yet is made up for within half a minute.
      await cluster.until(areSound, 60_000, "all leaves are sound");
      await cluster.converged();
    });
    expect(violations.list).toEqual([]);
  });

  it("stay the only ones while their node is stopped: no other disk goes back to when it was damaged", async () => {
    const { cluster, violations, strike } = makeScene(2, 2);
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      await write(cluster);
      strike({ damage: 500, rollback: 500 });
      expect(await fewestSound(cluster, 2_000, () => repairAll(cluster))).toBe(1);
    });
    expect(violations.list).toEqual([]);
  });
});

describe("sums that the simulator loses", () => {
  it("are doubted where the log was cut, and heal from a node that has all of the partition", async () => {
    const doubts: unknown[] = [];
    const { cluster, trouble, violations, strike } = makeScene(13, 3, {
      config: (config) => ({ ...config, replication: { ...config.replication, historyMs: 2_000 } }),
      onLog: ({ event, fields }) => {
        if (event === "storage.sums-lost") doubts.push(fields.leavesToCompare);
      },
    });
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      await write(cluster);
      await cluster.until(
        () => cluster.names.every((name) => cluster.image(name)?.log.length === 0),
        60_000,
        "the logs are cut",
      );
      strike({ "lost-sums": 500, damage: 700 });
      await cluster.kernel.sleep(30_000);
      await trouble.end();
      await cluster.startAll();
      await cluster.converged();
    });
    expect(doubts).toContain(LEAVES.length);
    expect(violations.list).toEqual([]);
  });
});

describe("a node that stands still", () => {
  it("is waited for when trouble ends", async () => {
    const { cluster, trouble } = makeScene(6, 2);
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      cluster.stall("eu", 5_000);
      await trouble.end();
      expect(cluster.member("eu").node?.stalled).toBe(false);
    });
  });
});

describe("a disk that the simulator tells to fail", () => {
  /** A commit takes up to 250 ms, and its node hears of it up to 25 ms later. */
  const SLOW = 50;

  async function keepWriting(cluster: SimCluster, untilMs: number): Promise<void> {
    for (let i = 0; cluster.kernel.nowMs < untilMs; i++) {
      const path = `/v1/kv/b/k${i % KEYS}`;
      const headers = { "content-type": "application/json" };
      const request = { method: "PUT", path, headers, body: `${i}` };
      await cluster.request("eu", request, { timeoutMs: 1_000 }).catch(() => {}); // nobody answers while it is down
      await cluster.kernel.sleep(10);
    }
  }

  /** How often it was told to fail while its node had not heard of the last failure. Looks from now on. */
  function countEarly(cluster: SimCluster, disk: SimDisk): () => number {
    const failNextCommit = disk.failNextCommit.bind(disk);
    let count = 0;
    disk.failNextCommit = () => {
      if (cluster.isAlive("eu") && disk.hasFailed) count += 1;
      failNextCommit();
    };
    return () => count;
  }

  it("may stop its node each time, also when told again before the node has heard of the last failure", async () => {
    const { cluster, trouble, violations, strike } = makeScene(3, 1);
    const stops: boolean[] = [];
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      const { disk } = present(cluster.member("eu").node, "eu runs");
      const early = countEarly(cluster, disk);
      // Every other process commits so soon that what was told to the one before is what befalls it.
      disk.slowness = SLOW;
      cluster.onNodeFailed = (name) => {
        stops.push(trouble.mayStop(name));
        disk.slowness = disk.slowness === 1 ? SLOW : 1;
        cluster.start(name);
      };
      strike({ fsync: 100 });
      await keepWriting(cluster, 60_000);
      expect(early()).toBeGreaterThan(5);
      expect(stops.length).toBeGreaterThan(50);
      expect(stops).not.toContain(false);
      await trouble.end();
    });
    expect(violations.list).toEqual([]);
  });

  it("may stop the process whose commit has failed, and no later one", async () => {
    const { cluster, trouble, strike } = makeScene(4, 1);
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      const { disk } = present(cluster.member("eu").node, "eu runs");
      disk.slowness = SLOW;
      strike({ fsync: 10 });
      void keepWriting(cluster, 10_000);
      await cluster.kernel.until(() => disk.hasFailed, 10_000);
      expect(cluster.isAlive("eu")).toBe(true); // it has not heard of it
      cluster.crash("eu");
      cluster.start("eu");
      expect(trouble.mayStop("eu")).toBe(false);
    });
  });

  it("may end the start of a process that commits in it", async () => {
    const { cluster, trouble } = makeScene(5, 1);
    const stops: boolean[] = [];
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      await write(cluster);
      await cluster.stop("eu");
      cluster.restoreImage("eu", damageSums(present(cluster.image("eu"), "it has a disk"), 0));
      present(cluster.member("eu").node, "eu ran").disk.failNextCommit();
      cluster.onNodeFailed = (name) => stops.push(trouble.mayStop(name));
      cluster.start("eu");
      await cluster.until(() => stops.length > 0, 5_000, "eu has stopped");
    });
    expect(cluster.member("eu").failure).toContain("fsync failed");
    expect(stops).toEqual([true]);
  });

  it("fails no more when trouble is over", async () => {
    const { cluster, trouble, strike } = makeScene(5, 1);
    const stops: string[] = [];
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      cluster.onNodeFailed = (_, reason) => stops.push(reason);
      await cluster.kernel.sleep(30_000); // the control plane has come to rest
      strike({ fsync: 10 });
      await cluster.kernel.sleep(100); // nobody writes
      await trouble.end();
      await keepWriting(cluster, cluster.kernel.nowMs + 1_000);
    });
    expect(stops).toEqual([]);
  });
});
