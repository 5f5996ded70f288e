import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DnsServer } from "../discovery/real-dns-server.ts";
import { RealCluster, until } from "./cluster.ts";

// Nodes that know nothing of each other's gossip addresses but the name of a service.

const SERVICE = "_starling-gossip._udp.e2e.test";

describe("nodes that are given a DNS service for seeds, by the environment", () => {
  let dns: DnsServer;
  let cluster: RealCluster;
  beforeAll(async () => {
    dns = await DnsServer.start();
    cluster = await RealCluster.make(["eu", "us", "ap", "af"]);
    dns.silent = true;
  }, 60_000);
  afterAll(async () => {
    await cluster.stopAll();
    dns.close();
  });

  const environment = (): Record<string, string> => ({
    STARLING_CLUSTER_SEEDS: `dns+srv://${SERVICE}`,
    STARLING_CLUSTER_DNS_SERVER: `${dns.address.host}:${dns.address.port}`,
  });

  /** Each node has a host name; all of them are on loopback, at ports of their own. */
  function publish(...names: string[]): void {
    for (const name of names) dns.zone.set(`${name}.e2e.test`, [{ type: "A", address: "127.0.0.1" }]);
    const records = names.map((name) => {
      const { gossip } = cluster.node(name).ports;
      return { type: "SRV", target: `${name}.e2e.test`, port: gossip } as const;
    });
    dns.zone.set(SERVICE, records);
  }

  async function aliveAt(name: string): Promise<string> {
    const { nodes } = (await (await fetch(`${cluster.node(name).url}/cluster/nodes`)).json()) as {
      nodes: { id: string; state: string }[];
    };
    return nodes
      .filter(({ state }) => state === "alive")
      .map(({ id }) => id)
      .sort()
      .join();
  }

  it("start at once while the DNS server is silent, and say what they wait for", { timeout: 60_000 }, async () => {
    const startedMs = performance.now();
    await Promise.all(["eu", "us", "ap"].map((name) => cluster.start(name, environment())));
    console.log(`all live ${((performance.now() - startedMs) / 1_000).toFixed(1)} s after their start`);
    await until("all asked", async () => dns.asked.filter((one) => one === `udp SRV ${SERVICE}`).length >= 3, 10_000);
    await until("all say so", async () => ["eu", "us", "ap"].every((name) => notFound(name) > 0), 20_000);
    for (const name of ["eu", "us", "ap"]) {
      const log = cluster.log(name);
      expect(log.indexOf("node.started")).toBeGreaterThan(0);
      expect(log.indexOf("node.started")).toBeLessThan(log.indexOf("gossip.seeds-not-found"));
      expect(await aliveAt(name)).toBe(name);
      expect((await fetch(`${cluster.node(name).url}/health/live`)).status).toBe(200);
    }
  });

  /** What the one source that a node asks has said. */
  async function answerAt(name: string): Promise<readonly string[]> {
    const { items } = (await (await fetch(`${cluster.node(name).url}/cluster/gossip/seeds`)).json()) as {
      items: { source: string; addresses: string[] }[];
    };
    expect(items.map(({ source }) => source)).toEqual([`dns+srv://${SERVICE}`]);
    return items[0]?.addresses.toSorted() ?? [];
  }

  const notFound = (name: string): number => cluster.log(name).split("gossip.seeds-not-found").length - 1;

  it("find each other when it speaks", { timeout: 60_000 }, async () => {
    publish("eu", "us");
    dns.silent = false;
    await until(
      "three are one pool",
      async () => (await Promise.all(["eu", "us", "ap"].map(aliveAt))).every((alive) => alive === "ap,eu,us"),
      40_000,
    );
    // A pool is one as soon as one of them has asked again; eu's own question may come seconds later.
    const wanted = ["eu", "us"].map((name) => `127.0.0.1:${cluster.node(name).ports.gossip}`).sort();
    await until("eu has its answer, too", async () => (await answerAt("eu")).join() === wanted.join(), 20_000);
    // Said once, though asked again and again.
    for (const name of ["eu", "us", "ap"]) expect(notFound(name)).toBe(1);
  });

  it("find one that knows nobody once it is in DNS", { timeout: 90_000 }, async () => {
    await cluster.start("af", { ...environment(), STARLING_CLUSTER_SEEDS: "" });
    expect(await aliveAt("af")).toBe("af");
    publish("eu", "us", "af");
    await until(
      "four are one pool",
      async () => (await Promise.all(["eu", "us", "ap", "af"].map(aliveAt))).every((alive) => alive === "af,ap,eu,us"),
      60_000,
    );
  });

  it("stop at once while a question is under way", { timeout: 60_000 }, async () => {
    dns.silent = true;
    const asked = dns.asked.length;
    await until("asked again", async () => dns.asked.length > asked, 40_000);
    const startedMs = performance.now();
    await Promise.all(["eu", "us", "ap", "af"].map((name) => cluster.kill(name, "SIGTERM")));
    expect(performance.now() - startedMs).toBeLessThan(9_000); // leaving takes up to five seconds
    for (const name of ["eu", "us", "ap", "af"]) expect(cluster.log(name)).toContain("node.stopped");
  });
});
