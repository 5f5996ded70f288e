import { describe, expect, it } from "vitest";
import type { Config } from "../../src/config/types.ts";
import { present } from "../../src/kernel/assert.ts";
import { toHex, utf8 } from "../../src/kernel/bytes.ts";
import { parseNodeId } from "../../src/kernel/ids.ts";
import { seededRng } from "../../src/kernel/rng.ts";
import type { Wish } from "../../src/plane/api.ts";
import { recover } from "../../src/plane/recovery.ts";
import { type NodeSpec, type SimCluster, THREE_REGIONS } from "../sim/cluster.ts";
import { agreed, alike, elected, inCluster, POLICY, planeOf, planes, voters } from "./clusters.ts";

const HOUR_MS = 3_600_000;
const TOKEN = "joiners.secret";

function instanceOf(cluster: SimCluster, asked: string, of: string): string | null {
  return planeOf(cluster, asked).state?.members.get(of)?.instance ?? null;
}

async function put(cluster: SimCluster, name: string, key: string): Promise<number> {
  return (await cluster.request(name, { method: "PUT", path: `/v1/kv/b/${key}`, body: "v" })).status;
}

async function startOne(cluster: SimCluster, name: string): Promise<void> {
  cluster.start(name);
  await cluster.until(() => cluster.member(name).running !== null, 20_000, `${name} is up`);
}

async function get(cluster: SimCluster, name: string, key: string): Promise<number> {
  return (await cluster.request(name, { method: "GET", path: `/v1/kv/b/${key}` })).status;
}

describe("the founding", () => {
  it("is one node's; the others claim their places and come to vote", () =>
    inCluster(1, async (cluster) => {
      await cluster.startAll();
      expect([...(await voters(cluster, 3))].sort()).toEqual(["ap", "eu", "us"]);
      await alike(cluster);
      const members = present(planeOf(cluster, "eu").state, "it was founded").members;
      for (const { state, role, instance, addresses } of members.values()) {
        expect({ state, role }).toEqual({ state: "active", role: "voter" });
        expect(instance).toMatch(/^[0-9a-f]{32}$/);
        expect(addresses.peer).toMatch(/:7003$/);
      }
      expect(new Set([...members.values()].map(({ instance }) => instance)).size).toBe(3);
    }));

  it("waits for more than half of the other owners, in whatever order they start; data doesn't", () =>
    inCluster(2, async (cluster) => {
      cluster.start("ap");
      cluster.start("eu");
      await cluster.until(() => cluster.member("ap").running !== null, 20_000, "ap is up");
      await cluster.kernel.sleep(30_000);
      expect(planeOf(cluster, "ap").state).toBeNull();
      expect(planeOf(cluster, "ap").waitsFor).toMatch(/waiting for .*us/);
      expect(await put(cluster, "ap", "k")).toBe(204);
      cluster.start("us");
      await voters(cluster, 3);
    }));

  it.each([1, 2, 3, 4, 5, 6])("of the expected number, whoever comes when, makes one cluster (seed %i)", (seed) =>
    inCluster(
      100 + seed,
      async (cluster) => {
        const rng = seededRng(seed);
        for (const name of [...cluster.names].sort(() => rng.below(3) - 1)) {
          cluster.start(name);
          await cluster.kernel.sleep(rng.below(4_000));
        }
        await voters(cluster, 3);
        await alike(cluster, 60_000);
        expect(planes(cluster)).toHaveLength(3);
        await cluster.until(() => cluster.whyNotConverged() === null, 60_000, "all own");
        expect(await put(cluster, "us", "k")).toBe(204);
      },
      { config: expecting(3) },
    ),
  );

  it("of an expected number that never comes is waited for, and no data is taken", () =>
    inCluster(
      3,
      async (cluster) => {
        cluster.start("eu");
        cluster.start("us");
        await cluster.kernel.sleep(60_000);
        for (const plane of planes(cluster)) expect(plane.state).toBeNull();
        expect(planeOf(cluster, "eu").waitsFor).toMatch(/waiting for 3 nodes.*2 are there/);
        expect(await put(cluster, "eu", "k")).toBe(503);
      },
      { config: expecting(3) },
    ));
});

function expecting(count: number): (config: Config) => Config {
  return (config) => ({ ...config, cluster: { ...config.cluster, owners: [], start: { kind: "expect", count } } });
}

describe("a member whose directory was emptied", () => {
  it.each(["us", "ap"])(
    "comes back without a vote until it has been taken in again, and nothing is lost (%s)",
    (name) =>
      inCluster(4, async (cluster) => {
        await cluster.startAll();
        await voters(cluster, 3);
        await agreed(cluster, "eu", POLICY);
        expect(await put(cluster, name, "k")).toBe(204);
        await cluster.converged();
        const before = instanceOf(cluster, "eu", name);
        const { incarnation, id } = present(planeOf(cluster, "eu").state, "founded").cluster;
        cluster.crash(name);
        cluster.wipe(name);
        cluster.start(name);
        await cluster.until(
          () => {
            const after = instanceOf(cluster, "eu", name);
            return after !== null && after !== before;
          },
          60_000,
          "its new log is known",
        );
        await voters(cluster, 3, 120_000);
        await alike(cluster);
        await cluster.converged();
        expect(planeOf(cluster, name).state?.policies.has("carts")).toBe(true);
        expect(planeOf(cluster, name).state?.cluster).toMatchObject({ incarnation, id });
      }),
  );

  it("never elects a leader that lacks what was committed: alone with one that was cut off, it decides nothing", () =>
    inCluster(5, async (cluster) => {
      await cluster.startAll();
      await voters(cluster, 3);
      const leader = await elected(cluster);
      const [behind = "", emptied = ""] = cluster.names.filter((name) => name !== leader);
      cluster.cutNode(behind);
      await cluster.kernel.sleep(3_000);
      await agreed(cluster, leader, POLICY);
      cluster.crash(emptied);
      cluster.wipe(emptied);
      cluster.crash(leader);
      cluster.heal();
      cluster.start(emptied);
      await cluster.kernel.sleep(60_000);
      for (const name of [behind, emptied]) expect(planeOf(cluster, name).status().role).not.toBe("leader");
      cluster.start(leader);
      await voters(cluster, 3, 120_000);
      const hasAll = (): boolean => planes(cluster).every((plane) => plane.state?.policies.has("carts"));
      await cluster.until(hasAll, 60_000, "what was committed is everywhere");
      expect(planes(cluster)).toHaveLength(3);
    }));
});

describe("an older copy of a member's directory, put back", () => {
  it("costs it its part in the group until it was taken in again; its data goes on", () =>
    inCluster(6, async (cluster) => {
      await cluster.startAll();
      await voters(cluster, 3);
      const leader = await elected(cluster);
      const name = present(
        cluster.names.find((one) => one !== leader),
        "three run",
      );
      await cluster.stop(name);
      const old = cluster.wholeImage(name);
      await startOne(cluster, name);
      for (let i = 0; i < 5; i++) await agreed(cluster, name, { ...POLICY, bucket: `b${i}` });
      expect(await put(cluster, name, "k")).toBe(204);
      await cluster.converged();
      cluster.crash(name);
      cluster.restoreWhole(name, old);
      await startOne(cluster, name);
      await cluster.kernel.sleep(20_000);
      expect(cluster.member(name).failure).toBeNull();
      await voters(cluster, 3, 120_000);
      await alike(cluster);
      await cluster.converged();
      expect(planeOf(cluster, name).state?.policies.size).toBe(5);
      expect(await get(cluster, name, "k")).toBe(200);
    }));
});

const FIVE: readonly NodeSpec[] = [...THREE_REGIONS, { name: "eu2", region: "eu" }, { name: "us2", region: "us" }];

const FOUNDER_ALONE = (config: Config, name: string): Config => ({
  ...config,
  cluster:
    name === "eu"
      ? { ...config.cluster, owners: [{ id: parseNodeId("eu"), region: config.node.region }], start: { kind: "alone" } }
      : { ...config.cluster, owners: [], start: { kind: "joined" } },
});

async function makeToken(cluster: SimCluster, uses: number): Promise<void> {
  await agreed(cluster, "eu", {
    kind: "token-create",
    token: "joiners",
    hash: toHex(cluster.sha256(utf8(TOKEN))),
    uses,
    region: null,
    expiresAtMs: Math.floor(present(cluster.member("eu").node, "it runs").world.clock.wallMs()) + 24 * HOUR_MS,
    by: "tester",
    reason: null,
    ifVersion: null,
  });
}

async function join(cluster: SimCluster, name: string, replace: string | null = null): Promise<void> {
  const wish: Wish = {
    kind: "join",
    cluster: "test",
    token: "joiners",
    tokenHash: toHex(cluster.sha256(utf8(TOKEN))),
    member: {
      id: name,
      region: cluster.member(name).spec.region,
      zone: "",
      weight: 100,
      addresses: { client: null, gossip: null, peer: null },
      protocol: { min: 1, max: 1 },
    },
    replace: replace === null ? null : { id: replace, heardAtMs: 0 },
    by: "tester",
    reason: null,
    ifVersion: null,
  };
  await agreed(cluster, "eu", wish);
  await startOne(cluster, name);
}

function stateOf(cluster: SimCluster, asked: string, of: string): string | null {
  return planeOf(cluster, asked).state?.members.get(of)?.state ?? null;
}

async function founderAndFour(cluster: SimCluster): Promise<void> {
  await startOne(cluster, "eu");
  await cluster.until(() => planeOf(cluster, "eu").state !== null, 20_000, "it founded");
  for (let i = 0; i < 20; i++) expect(await put(cluster, "eu", `before-${i}`)).toBe(204);
  await makeToken(cluster, 10);
  for (const name of ["us", "ap", "eu2", "us2"]) {
    await join(cluster, name);
    await cluster.until(() => stateOf(cluster, "eu", name) === "active", 120_000, `${name} is active`);
  }
}

describe("four that join one founder, over three regions", () => {
  it("get the data before they own it, and come to vote; voters are spread", () =>
    inCluster(
      7,
      async (cluster) => {
        await founderAndFour(cluster);
        await voters(cluster, 5, 300_000);
        await alike(cluster);
        await cluster.converged();
        for (const name of cluster.names)
          for (let i = 0; i < 20; i++) expect(await get(cluster, name, `before-${i}`)).toBe(200);
      },
      { nodes: FIVE, config: FOUNDER_ALONE },
    ));

  it("a joining node answers for no data, and waits where it has no peer", () =>
    inCluster(
      8,
      async (cluster) => {
        cluster.start("us");
        await cluster.until(() => cluster.member("us").running !== null, 20_000, "us is up");
        await cluster.kernel.sleep(30_000);
        expect(await put(cluster, "us", "k")).toBe(503);
        expect(await get(cluster, "us", "k")).toBe(503);
        expect(planeOf(cluster, "us").state).toBeNull();
        expect(planeOf(cluster, "us").waitsFor).toMatch(/waiting to hear of the cluster/);
      },
      { nodes: FIVE, config: FOUNDER_ALONE },
    ));

  it("one drains: it hands over, leaves and stops; nothing is lost; started again it isn't served from", () =>
    inCluster(
      9,
      async (cluster) => {
        await founderAndFour(cluster);
        await voters(cluster, 5, 300_000);
        await cluster.converged();
        for (let i = 0; i < 20; i++) expect(await put(cluster, "eu2", `late-${i}`)).toBe(204);
        await agreed(cluster, "ap", { kind: "drain", member: "eu2", by: "tester", reason: null, ifVersion: null });
        await cluster.until(() => !cluster.isAlive("eu2"), 60_000, "it has stopped by itself");
        expect(cluster.member("eu2").failure).toBeNull();
        for (const name of ["eu", "us", "ap", "us2"]) {
          await cluster.until(() => stateOf(cluster, name, "eu2") === null, 20_000, `${name} knows that it left`);
          for (let i = 0; i < 20; i++) expect(await get(cluster, name, `late-${i}`)).toBe(200);
        }
        await voters(cluster, 3, 120_000);
        cluster.start("eu2");
        await cluster.until(() => cluster.member("eu2").running !== null, 20_000, "it is up");
        await cluster.kernel.sleep(20_000);
        expect(await get(cluster, "eu2", "late-1")).toBe(503);
        expect(await put(cluster, "eu2", "late-1")).toBe(503);
      },
      { nodes: FIVE, config: FOUNDER_ALONE },
    ));

  it("a dead voter is replaced by another member, and one that was emptied for good by a newcomer of its id", () =>
    inCluster(
      10,
      async (cluster) => {
        await founderAndFour(cluster);
        await voters(cluster, 5, 300_000);
        await agreed(cluster, "eu", {
          kind: "set-autopilot",
          settings: { on: true, deadAfterMs: 10_000, stabiliseMs: 5_000, votersMax: 3 },
          by: "tester",
          reason: null,
          ifVersion: null,
        });
        const three = await voters(cluster, 3, 120_000);
        const dead = present(
          three.find((name) => name !== "eu" && name !== planeOf(cluster, "eu").status().leader),
          "two others",
        );
        cluster.crash(dead);
        const hasGone = (): boolean => !planes(cluster).some((plane) => plane.status().voters.includes(dead));
        await cluster.until(hasGone, 120_000, "another one votes in its place");
        expect((await voters(cluster, 3)).includes(dead)).toBe(false);
        cluster.wipe(dead);
        await cluster.kernel.sleep(70_000);
        await join(cluster, dead, dead);
        await cluster.until(() => stateOf(cluster, "eu", dead) === "active", 120_000, "it is active again");
        await cluster.converged();
        await cluster.until(() => stateOf(cluster, dead, dead) === "active", 20_000, "it knows that itself");
        expect(await get(cluster, dead, "before-3")).toBe(200);
      },
      { nodes: FIVE, config: FOUNDER_ALONE },
    ));
});

describe("a quorum that is lost for good", () => {
  it("is given up on one stopped node; the others follow it, and an old voter that comes back is fenced", () =>
    inCluster(11, async (cluster) => {
      await cluster.startAll();
      await voters(cluster, 3);
      await agreed(cluster, "eu", POLICY);
      await alike(cluster);
      cluster.crash("ap");
      cluster.crash("us");
      await cluster.stop("eu");
      const node = cluster.kernel.makeWorld({ ...cluster.member("eu").spec, host: cluster.member("eu").host });
      const done = await recover({ config: cluster.config("eu"), world: node.world, voters: ["eu"], cluster: "test" });
      expect(done).toMatchObject({ incarnation: 2, voters: ["eu"], others: ["ap", "us"] });
      node.crash();
      await startOne(cluster, "eu");
      await cluster.until(() => planeOf(cluster, "eu").status().role === "leader", 20_000, "eu leads alone");
      expect(planeOf(cluster, "eu").state?.policies.has("carts")).toBe(true);
      await agreed(cluster, "eu", { ...POLICY, bucket: "after" });
      // Both old voters together are a majority of the old group.
      cluster.start("us");
      cluster.start("ap");
      await voters(cluster, 3, 120_000);
      await alike(cluster, 60_000);
      for (const plane of planes(cluster)) {
        expect(plane.state?.cluster.incarnation).toBe(2);
        expect(plane.state?.policies.has("after")).toBe(true);
      }
    }));

  it("old voters that elected a leader meanwhile give it up for the recovered cluster", () =>
    inCluster(12, async (cluster) => {
      await cluster.startAll();
      await voters(cluster, 3);
      await cluster.stop("eu");
      const node = cluster.kernel.makeWorld({ ...cluster.member("eu").spec, host: cluster.member("eu").host });
      // By mistake: the two others are alive and lead each other.
      await recover({ config: cluster.config("eu"), world: node.world, voters: ["eu"], cluster: "test" });
      node.crash();
      await agreed(cluster, "us", { ...POLICY, bucket: "lost" });
      await startOne(cluster, "eu");
      const follow = (): boolean => planes(cluster).every((plane) => plane.state?.cluster.incarnation === 2);
      await cluster.until(follow, 60_000, "all follow it");
      await voters(cluster, 3, 120_000);
      await alike(cluster, 60_000);
      for (const name of cluster.names) expect(await put(cluster, name, `k-${name}`)).toBe(204);
      await cluster.converged();
    }));

  it("is refused with a sentence, and nothing changes, where it makes no sense", () =>
    inCluster(13, async (cluster) => {
      await cluster.startAll();
      await voters(cluster, 3);
      await cluster.stop("eu");
      const before = cluster.wholeImage("eu");
      const node = cluster.kernel.makeWorld({ ...cluster.member("eu").spec, host: cluster.member("eu").host });
      const ask = { config: cluster.config("eu"), world: node.world };
      await expect(recover({ ...ask, voters: ["eu"], cluster: "other" })).rejects.toThrow(/belongs to cluster test/);
      await expect(recover({ ...ask, voters: ["us"], cluster: "test" })).rejects.toThrow(/name eu itself/);
      await expect(recover({ ...ask, voters: ["eu", "nobody"], cluster: "test" })).rejects.toThrow(
        /nobody is no member/,
      );
      node.crash();
      expect(cluster.wholeImage("eu").raft.entries).toEqual(before.raft.entries);
      cluster.start("eu");
      await voters(cluster, 3);
    }));
});
