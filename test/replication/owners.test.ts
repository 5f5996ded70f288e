import { describe, expect, it } from "vitest";
import { parseNodeId, parseRegion } from "../../src/kernel/ids.ts";
import { OWNERS_MAX, type Owner, Owners } from "../../src/replication/owners.ts";
import type { Replica } from "../../src/replication/replica.ts";
import { put, ReplicaCluster } from "./cluster.ts";

const owner = (id: string): Owner => ({ id: parseNodeId(id), region: parseRegion(id) });
const peersOf = (replica: Replica): string[] => replica.status().peers.map(({ node }) => node);
function logOf(cluster: ReplicaCluster, name: string): readonly unknown[] {
  return cluster.members.get(name)?.node.disk.snapshot("/data")?.log ?? ["no disk"];
}

/** @param historyMs the log is kept for its own sake so long */
async function inCluster(seed: number, run: (cluster: ReplicaCluster) => Promise<void>, historyMs = 0): Promise<void> {
  const cluster = new ReplicaCluster(seed, ["eu", "us", "ap"], { historyMs });
  await cluster.kernel.run(() => run(cluster));
  expect(cluster.failures).toEqual([]);
}

/** `eu` and `us` run, and hold each other for the only owners. */
async function startTwo(cluster: ReplicaCluster): Promise<{ eu: Replica; us: Replica; all: readonly Owner[] }> {
  const { replica: eu } = await cluster.start("eu");
  const { replica: us } = await cluster.start("us");
  const { all } = eu.owners;
  const two = all.filter(({ id }) => id !== "ap");
  eu.owners.set(two);
  us.owners.set(two);
  return { eu, us, all };
}

describe("who becomes an owner while the others run", () => {
  it("gets all that was written before, though the log was cut, and all that is written after", () =>
    inCluster(1, async (cluster) => {
      const { eu, us, all } = await startTwo(cluster);
      for (let i = 0; i < 50; i++) await eu.write(put(`k${i}`, "before"));
      await cluster.converged();
      for (const replica of [eu, us]) await replica.cutLog();
      expect([...logOf(cluster, "eu"), ...logOf(cluster, "us")]).toEqual([]);

      const { replica: ap } = await cluster.start("ap");
      for (const replica of [eu, us]) replica.owners.set(all);
      expect(peersOf(eu)).toEqual(["us", "ap"]);
      await cluster.converged();
      expect(ap.status().records).toBe(50);

      await us.write(put("new", "after"));
      await cluster.converged();
      expect(ap.status().records).toBe(51);
      expect(eu.status().peers.map(({ link }) => link)).toEqual(["up", "up"]);
    }));
});

describe("who is an owner no more", () => {
  it("is pushed and asked nothing by the others, and counts for nothing; links to who stays stay", () =>
    inCluster(3, async (cluster) => {
      await cluster.startAll();
      const [eu, us, ap] = [cluster.at("eu"), cluster.at("us"), cluster.at("ap")];
      await eu.write(put("k", "v"));
      await cluster.converged();
      const links: string[] = [];
      eu.subscribe((event) => event.kind === "link" && links.push(`${event.peer} ${event.state}`));

      const two = eu.owners.all.filter(({ id }) => id !== "ap");
      for (const replica of [eu, us]) replica.owners.set(two);
      expect(peersOf(eu)).toEqual(["us"]);
      expect(links).toEqual(["ap down"]);
      ap.owners.set([owner("ap")]);
      await eu.write(put("later", "v"));
      await cluster.kernel.sleep(30_000);
      expect([eu, us, ap].map((replica) => replica.status().records)).toEqual([2, 2, 1]);
      expect(links).toEqual(["ap down"]);
      await eu.cutLog();
      expect(logOf(cluster, "eu")).toEqual([]);
    }));

  it("counts no more as one who has an entry, also when it comes back: it may have forgotten", () =>
    inCluster(
      5,
      async (cluster) => {
        await cluster.startAll();
        const eu = cluster.at("eu");
        const { all } = eu.owners;
        cluster.members.get("us")?.node.crash();
        await eu.write(put("k", "v"));
        await cluster.kernel.sleep(5_000);
        expect(cluster.at("ap").status().records).toBe(1);
        cluster.members.get("ap")?.node.crash();
        eu.owners.set(all.filter(({ id }) => id !== "ap"));
        await cluster.kernel.sleep(30_000);
        await eu.cutLog();
        expect(logOf(cluster, "eu")).toHaveLength(1);
        eu.owners.set(all);
        await eu.cutLog();
        expect(logOf(cluster, "eu")).toHaveLength(1);
        eu.owners.set(all.filter(({ id }) => id === "eu"));
        await eu.cutLog();
        expect(logOf(cluster, "eu")).toEqual([]);
      },
      20_000,
    ));

  it("comes back as one who was away", () =>
    inCluster(4, async (cluster) => {
      await cluster.startAll();
      const [eu, us] = [cluster.at("eu"), cluster.at("us")];
      const { all } = eu.owners;
      const two = all.filter(({ id }) => id !== "ap");
      await eu.write(put("k", "v"));
      await cluster.converged();
      for (const replica of [eu, us]) replica.owners.set(two);
      await eu.write(put("k", "w"));
      await cluster.kernel.sleep(5_000);
      await eu.cutLog();
      for (const replica of [eu, us]) replica.owners.set(all);
      await cluster.converged();
    }));
});

describe("the list of owners", () => {
  it("takes each node once, and not more than the bound", () => {
    const owners = new Owners(parseNodeId("eu"), [owner("eu")]);
    expect(() => owners.set([owner("eu"), owner("eu")])).toThrow("an owner is named once");
    const many = (count: number): Owner[] => Array.from({ length: count }, (_, i) => owner(`n${i}`));
    expect(() => owners.set(many(OWNERS_MAX + 1))).toThrow("keeps to the bound");
    owners.set(many(OWNERS_MAX));
    expect(owners.others).toHaveLength(OWNERS_MAX);
  });
});
