import { describe, expect, it } from "vitest";
import { PROFILES, type ProfileName } from "../../../gossip/index.ts";
import type { Config } from "../../../src/config/types.ts";
import { SimCluster } from "../cluster.ts";

const NAMES = ["local", "lan", "geo"] as const;

function withProfile(name: ProfileName): (config: Config) => Config {
  return (config) => ({ ...config, gossip: { ...config.gossip, profile: PROFILES[name] } });
}

/** GET /cluster/nodes: id → state. */
async function statesAt(cluster: SimCluster, node: string): Promise<Record<string, string>> {
  const { nodes } = (await cluster.getJson(node, "/cluster/nodes")) as { nodes: { id: string; state: string }[] };
  return Object.fromEntries(nodes.map(({ id, state }) => [id, state]));
}

/** Waits until a node shows others in these states. */
async function shows(
  cluster: SimCluster,
  node: string,
  expected: Readonly<Record<string, string>>,
  withinMs: number,
): Promise<void> {
  const untilMs = cluster.kernel.nowMs + withinMs;
  for (;;) {
    const states = await statesAt(cluster, node);
    if (Object.entries(expected).every(([id, state]) => states[id] === state)) return;
    if (cluster.kernel.nowMs > untilMs) throw new Error(`${node} shows ${JSON.stringify(states)} after ${withinMs} ms`);
    await cluster.kernel.sleep(100);
  }
}

async function put(cluster: SimCluster, node: string, key: string): Promise<void> {
  const headers = { "content-type": "application/json" };
  const response = await cluster.request(node, { method: "PUT", path: `/v1/kv/b/${key}`, headers, body: `"${node}"` });
  expect(response.status).toBe(204);
}

describe("two nodes that were cut off from each other for five minutes", () => {
  for (const profile of NAMES)
    it(`find each other unattended, and converge (profile ${profile})`, async () => {
      const nodes = ["eu", "us"].map((name) => ({ name, region: name }));
      const cluster = new SimCluster({ seed: 11, nodes, config: withProfile(profile) });
      await cluster.kernel.run(async () => {
        await cluster.startAll();
        await shows(cluster, "eu", { us: "alive" }, 30_000);
        cluster.cutRegion("eu");
        for (let minute = 0; minute < 5; minute++) {
          for (const name of cluster.names) await put(cluster, name, `minute-${minute}`);
          await cluster.kernel.sleep(60_000);
        }
        for (const [here, there] of [["eu", "us"] as const, ["us", "eu"] as const])
          expect((await statesAt(cluster, here))[there]).toBe("dead");
        cluster.heal();
        await cluster.converged(10_000);
        await shows(cluster, "eu", { us: "alive" }, 60_000);
        await shows(cluster, "us", { eu: "alive" }, 60_000);
        const { conflicts } = (await cluster.getJson("us", "/v1/conflicts")) as { conflicts: unknown[] };
        expect(conflicts).toHaveLength(5);
      });
    });
});

describe("a killed node", () => {
  it("is suspect, then dead for the others, and alive again after its restart", async () => {
    const cluster = new SimCluster({ seed: 12, config: withProfile("lan") });
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      for (const name of cluster.names) await shows(cluster, name, { eu: "alive", us: "alive", ap: "alive" }, 10_000);
      for (const how of ["process", "machine"] as const) {
        cluster.crash("us", how);
        for (const state of ["suspect", "dead"])
          for (const name of ["eu", "ap"]) await shows(cluster, name, { us: state }, 30_000);
        cluster.start("us");
        for (const name of cluster.names) await shows(cluster, name, { eu: "alive", us: "alive", ap: "alive" }, 30_000);
      }
      await cluster.converged();
    });
  });
});

describe("a node that was stalled for 5 s", () => {
  it("declares nobody dead when it wakes, and is alive for the others again within seconds", async () => {
    for (const seed of [13, 14, 15, 16, 17]) {
      const dead: string[] = [];
      const cluster = new SimCluster({
        seed,
        config: withProfile("lan"),
        onLog: ({ node, event, fields }) => {
          if (node === "eu" && event === "gossip.member-dead") dead.push(String(fields.member));
        },
      });
      await cluster.kernel.run(async () => {
        await cluster.startAll();
        for (const name of cluster.names) await shows(cluster, name, { eu: "alive", us: "alive", ap: "alive" }, 10_000);
        cluster.stall("eu", 5_000);
        await cluster.kernel.sleep(5_000);
        for (const name of cluster.names) await shows(cluster, name, { eu: "alive", us: "alive", ap: "alive" }, 5_000);
        await cluster.kernel.sleep(30_000);
        await cluster.converged();
      });
      expect(dead, `seed ${seed}`).toEqual([]);
    }
  });
});
