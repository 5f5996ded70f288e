import { describe, expect, it } from "vitest";
import { present } from "../../src/kernel/assert.ts";
import type { SimCluster } from "../sim/cluster.ts";
import type { ClientResponse } from "../sim/http.ts";
import { elected, inCluster, voters } from "./clusters.ts";

// The API of the control plane on whole nodes: Raft, links and gossip are the real ones.

async function inThree(seed: number, run: (cluster: SimCluster, leader: string) => Promise<void>): Promise<void> {
  await inCluster(seed, async (cluster) => {
    await cluster.startAll();
    await voters(cluster, 3);
    await run(cluster, await elected(cluster));
  });
}

function setPolicy(
  cluster: SimCluster,
  name: string,
  bucket: string,
  headers: Record<string, string> = {},
): Promise<ClientResponse> {
  return cluster.request(
    name,
    {
      method: "PUT",
      path: `/v1/policies/${bucket}`,
      headers: { "content-type": "application/json", ...headers },
      body: '{"show":"siblings"}',
    },
    { timeoutMs: 20_000 },
  );
}

async function versionAt(cluster: SimCluster, name: string, query = ""): Promise<number> {
  return ((await cluster.getJson(name, `/v1/config${query}`)) as { version: number }).version;
}

describe("the API of the control plane, on nodes that run", () => {
  it("takes a write at any node, and a consistent read at any other has it", () =>
    inThree(21, async (cluster) => {
      for (const [i, name] of cluster.names.entries()) {
        const put = await setPolicy(cluster, name, `b${i}`);
        const text = await put.text();
        expect([put.status, text]).toEqual([200, expect.stringContaining(`"bucket":"b${i}"`)]);
        const { version } = JSON.parse(text) as { version: number };
        const other = present(cluster.names[(i + 1) % 3], "there are three");
        expect(await versionAt(cluster, other, "?consistent")).toBeGreaterThanOrEqual(version);
      }
    }));

  it("sends who doesn't want to be forwarded to the leader's own address, and that one takes it", () =>
    inThree(22, async (cluster, leader) => {
      const follower = present(
        cluster.names.find((name) => name !== leader),
        "two follow",
      );
      const moved = await setPolicy(cluster, follower, "b", { "starling-forward": "no" });
      const { host } = cluster.member(leader);
      expect([moved.status, moved.headers.get("location")]).toEqual([307, `http://${host}:7001/v1/policies/b`]);
      expect((await setPolicy(cluster, leader, "b", { "starling-forward": "no" })).status).toBe(200);
    }));

  it("without a quorum: 503 with Retry-After for writes and consistent reads; plain reads and data go on; and back", () =>
    inThree(23, async (cluster, leader) => {
      for (const name of cluster.names) if (name !== leader) cluster.crash(name);
      await cluster.kernel.sleep(5_000);
      const refused = await setPolicy(cluster, leader, "b");
      expect([refused.status, await refused.text()]).toEqual([503, expect.stringContaining('"type":"no-leader"')]);
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
      const read = await cluster.request(leader, { method: "GET", path: "/v1/config?consistent" });
      expect(read.status).toBe(503);
      expect(await versionAt(cluster, leader)).toBeGreaterThan(0);
      expect((await cluster.request(leader, { method: "GET", path: "/cluster/leader" })).status).toBe(404);
      expect(await cluster.getJson(leader, "/cluster/status")).toMatchObject({
        leader: null,
        quorum: { voters: 3, needed: 2, reached: false },
      });
      expect((await cluster.request(leader, { method: "PUT", path: "/v1/kv/b/k", body: "v" })).status).toBe(204);
      await cluster.startAll();
      await elected(cluster);
      expect((await setPolicy(cluster, leader, "b")).status).toBe(200);
    }));

  it("shows roles and the leader's view of its followers, and takes a snapshot when asked", () =>
    inThree(24, async (cluster, leader) => {
      const { nodes } = (await cluster.getJson(leader, "/cluster/nodes")) as {
        nodes: { id: string; role: string; leader?: boolean; memberState: string }[];
      };
      expect(nodes.map(({ role, memberState }) => [role, memberState])).toEqual(Array(3).fill(["voter", "active"]));
      expect(nodes.filter((node) => node.leader).map(({ id }) => id)).toEqual([leader]);
      await setPolicy(cluster, leader, "b");
      await cluster.kernel.sleep(1_000);
      expect(await cluster.getJson(leader, "/cluster/consensus")).toMatchObject({
        role: "leader",
        followers: [
          { state: "replicate", lagEntries: 0 },
          { state: "replicate", lagEntries: 0 },
        ],
        links: [{ isUp: true }, { isUp: true }],
      });
      const taken = await cluster.request(leader, { method: "POST", path: "/cluster/snapshot" });
      const { index, isNew } = JSON.parse(await taken.text()) as { index: number; isNew: boolean };
      expect([taken.status, isNew]).toEqual([200, true]);
      expect(await cluster.getJson(leader, "/cluster/status")).toMatchObject({ stats: { snapshotIndex: index } });
    }));

  it("lets a watcher see every version once and in order, across nodes and leaders", () =>
    inThree(25, async (cluster, leader) => {
      const [a = "", b = ""] = cluster.names.filter((name) => name !== leader);
      const seen: number[] = [await versionAt(cluster, a, "?consistent")];
      const made: number[] = [...seen];
      const make = async (name: string, bucket: string): Promise<void> => {
        const put = await setPolicy(cluster, name, bucket);
        made.push((JSON.parse(await put.text()) as { version: number }).version);
      };
      await make(a, "one");
      await make(leader, "two");
      const first = follow(cluster, a, seen, 3);
      await make(b, "three");
      await first;
      cluster.crash(leader);
      await elected(cluster);
      await make(a, "four");
      await follow(cluster, b, seen, 1);
      cluster.start(leader);
      await cluster.until(() => cluster.member(leader).running !== null, 20_000, "it is back");
      await elected(cluster);
      await make(b, "five");
      await cluster.until(
        () => cluster.member(leader).running?.plane.state?.version === made.at(-1),
        20_000,
        "it has caught up",
      );
      await follow(cluster, leader, seen, 1);
      expect(made).toHaveLength(6);
      // What the members' own steps made (autopilot) is among them too.
      expect(seen.filter((version) => made.includes(version))).toEqual(made);
      expect(seen).toEqual([...new Set(seen)].sort((x, y) => x - y));
    }));
});

/** Adds versions from a node's stream to those already seen, until so many have come. */
async function follow(cluster: SimCluster, name: string, seen: number[], count: number): Promise<void> {
  const path = `/v1/config?watch&since=${seen.at(-1)}`;
  const { status, body } = await cluster.request(name, { method: "GET", path }, { timeoutMs: 60_000 });
  expect(status).toBe(200);
  const reader = present(body, "a stream has a body").getReader();
  const until = seen.length + count;
  while (seen.length < until) {
    const { value, done } = await reader.read();
    expect(done).toBe(false);
    for (const [, id, event] of new TextDecoder().decode(value).matchAll(/^id: (\d+)\nevent: (\w+)$/gm)) {
      expect(event).toBe("version");
      seen.push(Number(id));
    }
  }
  await reader.cancel();
}
