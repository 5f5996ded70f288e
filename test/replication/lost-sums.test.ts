import { describe, expect, it } from "vitest";
import { damageLog, damageRow, damageSums, type StoreImage } from "../../src/storage/memory.ts";
import type { SimDisk } from "../sim/disk.ts";
import { del, put, ReplicaCluster, valuesOf } from "./cluster.ts";

const THREE = ["eu", "us", "ap"] as const;
const KEYS = 200;
const ALL = [...Array(64).keys()];

async function registersAt(cluster: ReplicaCluster, name: string, key: string): Promise<string[]> {
  return valuesOf((await cluster.at(name).read({ bucket: "test", key })).row).registers;
}

/** Returns the partition of k1. */
async function writeAll(cluster: ReplicaCluster): Promise<number> {
  const [, ofK1] = await cluster.at("eu").writeAll([...Array(KEYS).keys()].map((i) => put(`k${i}`, `v${i}`)));
  for (let i = 0; i < KEYS; i += 10) await cluster.at("eu").write(del(`k${i}`));
  if (!ofK1 || ofK1 instanceof Error) throw new Error("k1 was not written");
  return ofK1.partition;
}

/** All have the same rows, and logs that no longer reach back to them. */
async function writeAndCutLogs(cluster: ReplicaCluster): Promise<void> {
  await cluster.startAll();
  await writeAll(cluster);
  await cluster.converged();
  await cluster.kernel.sleep(20_000);
}

/** Stops a node and returns what is on its disk, with damaged sums of these partitions. */
async function stopAndDamage(cluster: ReplicaCluster, name: string, partitions = ALL): Promise<StoreImage> {
  const member = cluster.members.get(name);
  await cluster.at(name).stop();
  member?.node.crash();
  let image = member?.node.disk.snapshot("/data");
  if (!image) throw new Error(`${name} has no data`);
  expect(image.sums.size).toBe(64);
  for (const partition of partitions) image = damageSums(image, partition);
  expect(image.lostSums.size).toBe(new Set(partitions).size);
  return image;
}

async function startAlone(cluster: ReplicaCluster, name: string, image: StoreImage): Promise<void> {
  for (const other of THREE) if (other !== name) cluster.kernel.cut(name, other);
  cluster.members.get(name)?.node.disk.restore("/data", image);
  await cluster.start(name);
}

/** A start without room on the disk; there is some again when this returns. */
async function startFull(cluster: ReplicaCluster, name: string, image: StoreImage): Promise<SimDisk> {
  const disk = cluster.members.get(name)?.node.disk;
  if (!disk) throw new Error(`${name} has a disk`);
  disk.isFull = true;
  await startAlone(cluster, name, image);
  disk.isFull = false;
  return disk;
}

const damagedLeaves = (cluster: ReplicaCluster, name: string): number =>
  cluster
    .at(name)
    .status()
    .partitions.reduce((sum, partition) => sum + partition.damagedLeaves, 0);

const cutPartitions = (cluster: ReplicaCluster, name: string): number[] =>
  cluster
    .at(name)
    .status()
    .partitions.flatMap(({ partition, floor }) => (floor.size > 0 ? [partition] : []));

async function run(cluster: ReplicaCluster, body: () => Promise<void>): Promise<void> {
  await cluster.kernel.run(body);
  expect(cluster.failures).toEqual([]);
}

describe("a node whose saved sums are damaged", () => {
  it("starts with the digest it had, and in doubt of nothing, while its log is whole", async () => {
    const cluster = new ReplicaCluster(1, THREE);
    await run(cluster, async () => {
      await cluster.startAll();
      await writeAll(cluster);
      await cluster.converged();
      await startAlone(cluster, "ap", await stopAndDamage(cluster, "ap"));
      const { digest, records } = cluster.at("eu").status();
      expect(cluster.at("ap").status()).toMatchObject({ digest, records });
      expect(damagedLeaves(cluster, "ap")).toBe(0);
      expect(await registersAt(cluster, "ap", "k7")).toEqual(["v7"]);
      cluster.kernel.heal();
      await cluster.at("ap").write(put("after", "x"));
      await cluster.converged();
    });
  });

  it("doubts the leaves where rows and log say different things, and no others, and they heal", async () => {
    const cluster = new ReplicaCluster(2, THREE);
    await run(cluster, async () => {
      await cluster.startAll();
      await writeAll(cluster);
      await cluster.converged();
      const image = await stopAndDamage(cluster, "ap");
      const damaged = damageRow(damageRow(image, "test", "k1", "remove"), "test", "k2", "flip");
      await startAlone(cluster, "ap", damaged);
      expect(damagedLeaves(cluster, "ap")).toBe(2);
      cluster.kernel.heal();
      await cluster.converged();
      for (const key of [1, 2, 3]) expect(await registersAt(cluster, "ap", `k${key}`)).toEqual([`v${key}`]);
    });
  });

  it("doubts whole partitions whose log was cut, with the digest it had, until a peer has been asked", async () => {
    const cluster = new ReplicaCluster(3, THREE, { historyMs: 2_000 });
    await run(cluster, async () => {
      await writeAndCutLogs(cluster);
      await startAlone(cluster, "ap", await stopAndDamage(cluster, "ap", cutPartitions(cluster, "ap").slice(0, 5)));
      const { digest, records } = cluster.at("eu").status();
      expect(cluster.at("ap").status()).toMatchObject({ digest, records });
      expect(damagedLeaves(cluster, "ap")).toBe(5 * 1024);
      cluster.kernel.heal();
      await cluster.converged();
      for (let i = 0; i < KEYS; i++) expect(await registersAt(cluster, "ap", `k${i}`)).toEqual(i % 10 ? [`v${i}`] : []);
    });
  });

  it("notices a partition whose record of sums is gone though its log was cut", async () => {
    const cluster = new ReplicaCluster(9, THREE, { historyMs: 2_000 });
    await run(cluster, async () => {
      await writeAndCutLogs(cluster);
      const image = await stopAndDamage(cluster, "ap", cutPartitions(cluster, "ap").slice(0, 2));
      await startAlone(cluster, "ap", { ...image, lostSums: new Set() });
      const { digest, records } = cluster.at("eu").status();
      expect(cluster.at("ap").status()).toMatchObject({ digest, records });
      expect(damagedLeaves(cluster, "ap")).toBe(2 * 1024);
    });
  });

  it("brings nothing back that its disk kept too long, and misses nothing that it lost", async () => {
    const cluster = new ReplicaCluster(4, THREE, { historyMs: 2_000 });
    await run(cluster, async () => {
      await cluster.startAll();
      const { partition: ofStale } = await cluster.at("eu").write(put("stale", "old"));
      await cluster.converged();
      const old = cluster.members.get("ap")?.node.disk.snapshot("/data");
      await cluster.at("eu").write(del("stale"));
      const ofK1 = await writeAll(cluster);
      await cluster.converged();
      await cluster.kernel.sleep(20_000);
      const image = await stopAndDamage(cluster, "ap", [ofStale, ofK1]);
      const stale = [...(old?.rows ?? [])].filter(([, row]) => row.key === "stale");
      expect(stale).toHaveLength(1);
      const rows = new Map([...image.rows, ...stale]);
      await startAlone(cluster, "ap", damageRow({ ...image, rows }, "test", "k1", "remove"));
      cluster.kernel.heal();
      await cluster.converged();
      for (const name of THREE) {
        expect(await registersAt(cluster, name, "stale")).toEqual([]);
        expect(await registersAt(cluster, name, "k1")).toEqual(["v1"]);
      }
    });
  });

  it("still doubts them after another crash, until a peer has been asked", async () => {
    const cluster = new ReplicaCluster(5, THREE, { historyMs: 2_000 });
    await run(cluster, async () => {
      await writeAndCutLogs(cluster);
      await startAlone(cluster, "ap", await stopAndDamage(cluster, "ap", cutPartitions(cluster, "ap").slice(0, 2)));
      for (let life = 0; life < 3; life++) {
        expect(damagedLeaves(cluster, "ap")).toBe(2 * 1024);
        expect(cluster.members.get("ap")?.node.disk.snapshot("/data")?.lostSums.size).toBe(0);
        cluster.members.get("ap")?.node.crash();
        await cluster.start("ap");
      }
      cluster.kernel.heal();
      await cluster.converged();
    });
  });

  it("still doubts them after another crash when its disk was full meanwhile", async () => {
    const cluster = new ReplicaCluster(8, THREE, { historyMs: 2_000 });
    await run(cluster, async () => {
      await writeAndCutLogs(cluster);
      const image = await stopAndDamage(cluster, "ap", cutPartitions(cluster, "ap").slice(0, 2));
      const disk = await startFull(cluster, "ap", image);
      await cluster.kernel.until(() => disk.snapshot("/data")?.lostSums.size === 0, 60_000);
      cluster.members.get("ap")?.node.crash();
      await cluster.start("ap");
      expect(damagedLeaves(cluster, "ap")).toBe(2 * 1024);
    });
  });

  it("still doubts the others when one healed first, after its disk was full", async () => {
    const cluster = new ReplicaCluster(10, THREE, { historyMs: 2_000 });
    await run(cluster, async () => {
      await writeAndCutLogs(cluster);
      const image = await stopAndDamage(cluster, "ap", cutPartitions(cluster, "ap").slice(0, 1));
      const disk = await startFull(cluster, "ap", image);
      cluster.kernel.heal();
      // The leaves heal some at a time: with the first ones the sums of the whole partition become durable.
      await cluster.kernel.until(() => damagedLeaves(cluster, "ap") < 1024, 60_000);
      await cluster.kernel.until(() => disk.snapshot("/data")?.lostSums.size === 0, 60_000);
      const marked = disk.snapshot("/data")?.damaged.size;
      expect(marked).toBe(damagedLeaves(cluster, "ap"));
      await cluster.converged();
    });
  });

  it("takes a damaged log for no witness", async () => {
    const cluster = new ReplicaCluster(6, THREE);
    await run(cluster, async () => {
      await cluster.startAll();
      const { partition } = await cluster.at("eu").write(put("k", "v"));
      await cluster.converged();
      await startAlone(cluster, "ap", damageLog(await stopAndDamage(cluster, "ap", [partition]), 1));
      expect(damagedLeaves(cluster, "ap")).toBe(1024);
      expect(cluster.at("ap").status().digest).toBe(cluster.at("eu").status().digest);
    });
  });

  it("believes its rows when it is the only owner: nobody can be asked", async () => {
    const cluster = new ReplicaCluster(7, ["eu"], { historyMs: 2_000 });
    await run(cluster, async () => {
      await cluster.startAll();
      await writeAll(cluster);
      await cluster.kernel.sleep(20_000);
      const { records } = cluster.at("eu").status();
      expect(cutPartitions(cluster, "eu").length).toBeGreaterThan(30);
      const image = damageRow(await stopAndDamage(cluster, "eu"), "test", "k1", "flip");
      cluster.members.get("eu")?.node.disk.restore("/data", image);
      await cluster.start("eu");
      expect(damagedLeaves(cluster, "eu")).toBe(1);
      expect(cluster.at("eu").status().records).toBe(records - 1);
      expect(await registersAt(cluster, "eu", "k7")).toEqual(["v7"]);
      await cluster.at("eu").write(put("k7", "new"));
      expect(await registersAt(cluster, "eu", "k7")).toEqual(["new"]);
    });
  });
});
