import { describe, expect, it } from "vitest";
import { damageRow } from "../../src/storage/memory.ts";
import { del, put, ReplicaCluster, valuesOf, write } from "./cluster.ts";

const THREE = ["eu", "us", "ap"] as const;

async function registersAt(cluster: ReplicaCluster, name: string, key: string): Promise<string[]> {
  return valuesOf((await cluster.at(name).read({ bucket: "test", key })).row).registers;
}

describe("replicas", () => {
  it("push a write to all peers", async () => {
    const cluster = new ReplicaCluster(1, THREE);
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      const result = await cluster.at("eu").write(put("k", "v"));
      expect(result.dots).toHaveLength(1);
      await cluster.converged();
      for (const name of THREE) expect(await registersAt(cluster, name, "k")).toEqual(["v"]);
      expect(cluster.at("ap").status().records).toBe(1);
    });
    expect(cluster.failures).toEqual([]);
  });

  it("take writes on both sides of a cut and keep both as siblings, with equal digests", async () => {
    const cluster = new ReplicaCluster(2, THREE);
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      cluster.kernel.cut("eu", "us");
      cluster.kernel.cut("eu", "ap");
      for (let i = 0; i < 50; i++) {
        await cluster.at("eu").write(put(`k${i}`, "from eu"));
        await cluster.at("us").write(put(`k${i}`, "from us"));
      }
      cluster.kernel.heal();
      await cluster.converged();
      for (const name of THREE) {
        expect(await registersAt(cluster, name, "k7")).toEqual(["from eu", "from us"]);
        expect(await cluster.at(name).countConflicts()).toBe(50);
      }
    });
    expect(cluster.failures).toEqual([]);
  });

  it("bring a node that was away up to date, by log, in order", async () => {
    const cluster = new ReplicaCluster(3, THREE);
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      cluster.members.get("ap")?.node.crash();
      for (let i = 0; i < 200; i++) await cluster.at("eu").write(put(`k${i % 40}`, `v${i}`));
      for (let i = 0; i < 40; i += 2) await cluster.at("us").write(del(`k${i}`));
      await cluster.start("ap");
      await cluster.converged();
      expect(cluster.at("ap").status().records).toBe(cluster.at("eu").status().records);
    });
    expect(cluster.failures).toEqual([]);
  });

  it("catch up by a copy when the log was cut, and nothing deleted returns", async () => {
    const cluster = new ReplicaCluster(4, THREE, { historyMs: 2_000 });
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      for (let i = 0; i < 60; i++) await cluster.at("eu").write(put(`k${i}`, "old"));
      await cluster.converged();
      cluster.members.get("ap")?.node.crash();
      for (let i = 0; i < 30; i++) await cluster.at("eu").write(del(`k${i}`));
      for (let i = 0; i < 10; i++) await cluster.at("us").write(put(`k${i}`, "anew"));
      await cluster.kernel.sleep(20_000);
      const floors = cluster
        .at("eu")
        .status()
        .partitions.filter(({ floor }) => floor.size > 0);
      expect(floors.length).toBeGreaterThan(0);
      await cluster.start("ap");
      await cluster.converged();
      expect(await registersAt(cluster, "ap", "k5")).toEqual(["anew"]);
      expect(await registersAt(cluster, "ap", "k20")).toEqual([]);
      expect(await registersAt(cluster, "ap", "k45")).toEqual(["old"]);
    });
    expect(cluster.failures).toEqual([]);
  });

  it("cut all of the log that is due, however much it is, and what is above its bound in bytes", async () => {
    const cluster = new ReplicaCluster(8, THREE, { historyMs: 60_000, logMaxBytes: 200_000 });
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      const eu = cluster.at("eu");
      const logBytes = (): number => {
        const log = cluster.members.get("eu")?.node.disk.snapshot("/data")?.log ?? [];
        return log.reduce((sum, { body }) => sum + body.length, 0);
      };
      // All to one key: one actor in one partition, more than is cut at a time.
      const puts = Array.from({ length: 4_500 }, (_, i) => put("k", `v${i}`));
      for (let i = 0; i < puts.length; i += 500) await eu.writeAll(puts.slice(i, i + 500));
      await cluster.converged();
      expect(logBytes()).toBeGreaterThan(200_000);
      await eu.cutLog();
      expect(logBytes()).toBeLessThanOrEqual(200_000);
      expect(logBytes()).toBeGreaterThan(0);
      await cluster.kernel.sleep(70_000);
      await eu.cutLog();
      expect(logBytes()).toBe(0);
      expect(await registersAt(cluster, "eu", "k")).toEqual(["v4499"]);
    });
    expect(cluster.failures).toEqual([]);
  });

  it("level a node whose disk went back, without reusing a dot", async () => {
    const cluster = new ReplicaCluster(5, THREE, { historyMs: 2_000 });
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      await cluster.at("eu").write(put("kept", "1"));
      await cluster.converged();
      const eu = cluster.members.get("eu");
      const image = eu?.node.disk.snapshot("/data");
      for (let i = 0; i < 30; i++) await cluster.at("eu").write(put(`k${i}`, "x"));
      await cluster.converged();
      for (let i = 0; i < 15; i++) await cluster.at("us").write(del(`k${i}`));
      await cluster.converged();
      await cluster.kernel.sleep(20_000);
      eu?.node.crash();
      if (image) eu?.node.disk.restore("/data", image);
      await cluster.start("eu");
      await cluster.at("eu").write(put("kept", "2"));
      await cluster.converged();
      expect(cluster.at("eu").status().records).toBe(16);
      for (const name of THREE) expect(await registersAt(cluster, name, "kept")).toEqual(["2"]);
    });
    expect(cluster.failures).toEqual([]);
  });

  it("find removed and garbled rows by repair, and heal them from a peer", async () => {
    const cluster = new ReplicaCluster(6, THREE);
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      for (let i = 0; i < 100; i++) await cluster.at("eu").write(put(`k${i}`, `v${i}`));
      await cluster.converged();
      const ap = cluster.members.get("ap");
      await cluster.at("ap").stop();
      ap?.node.crash();
      let image = ap?.node.disk.snapshot("/data");
      for (let i = 0; i < 20 && image; i++) image = damageRow(image, "test", `k${i}`, i % 2 ? "flip" : "remove");
      if (image) ap?.node.disk.restore("/data", image);
      await cluster.start("ap");
      // A garbled row is found by its read, and healed at once.
      expect(await registersAt(cluster, "ap", "k3")).toEqual(["v3"]);
      cluster.at("ap").repair();
      await cluster.kernel.until(() => cluster.at("ap").repairProgress()?.state !== "running", 60_000);
      expect(cluster.at("ap").repairProgress()).toMatchObject({ state: "done", problems: [] });
      await cluster.converged();
      for (let i = 0; i < 100; i++) expect(await registersAt(cluster, "ap", `k${i}`)).toEqual([`v${i}`]);
      expect(cluster.at("ap").status().records).toBe(100);
    });
    expect(cluster.failures).toEqual([]);
  });

  it("count every increment once, wherever it was made", async () => {
    const cluster = new ReplicaCluster(7, THREE);
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      cluster.kernel.cut("ap", "eu");
      const writes = [...Array(60).keys()].map((i) =>
        cluster.at(THREE[i % 3] ?? "eu").write(write("n", [{ path: [], slot: { op: "increment", by: BigInt(i) } }])),
      );
      await Promise.all(writes);
      cluster.kernel.heal();
      await cluster.converged();
      for (const name of THREE)
        expect(valuesOf((await cluster.at(name).read({ bucket: "test", key: "n" })).row).counter).toBe(1770n);
    });
    expect(cluster.failures).toEqual([]);
  });
});
