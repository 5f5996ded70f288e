import { describe, expect, test } from "vitest";
import { makeApp } from "../../src/http/app.ts";
import { exchange, type Json, makeNode, memberOf, type Node, OWNERS, SEED_SOURCES, slugOf, until } from "./harness.ts";

describe("the cluster as one node sees it", () => {
  test("status names the cluster, its nodes and whether they agree", async () => {
    const status = await makeNode().json("GET", "/cluster/status");
    expect(status).toMatchObject({
      state: "healthy",
      cluster: { id: "c-1", name: "test" },
      leader: "eu-1",
      term: 3,
      quorum: { voters: 1, needed: 1, reached: true },
      partitions: 64,
      records: 0,
      converged: true,
      config: { version: 1, hash: expect.stringMatching(/^[0-9a-f]{64}$/) },
      stats: { commitIndex: 2, lastLogIndex: 3, snapshotIndex: 0 },
    });
    expect(status.nodes).toMatchObject([
      {
        id: "eu-1",
        role: "voter",
        leader: true,
        memberState: "active",
        state: "alive",
        self: true,
        addresses: { client: "127.0.0.1:7001" },
      },
      {
        id: "us-1",
        region: "us",
        role: "none",
        memberState: "active",
        state: "alive",
        lag: { link: "up", to: 0, from: 0 },
      },
    ]);
  });

  test("nodes, peers and one node are views of the same", async () => {
    const node = makeNode();
    const { nodes } = await node.json("GET", "/cluster/nodes");
    expect((await node.json("GET", "/cluster/peers")).nodes).toEqual([nodes[1]]);
    expect(await node.json("GET", "/cluster/nodes/us-1")).toEqual(nodes[1]);
  });

  test("an owner that gossip never heard of is listed as unknown, and health says so", async () => {
    const node = makeNode();
    const quiet = { ...node.deps, members: () => [memberOf(...ownerOf(0), node.nowMs)] };
    const app = makeApp(quiet);
    const get = async (path: string): Promise<Json> => (await app.fetch(new Request(`http://localhost${path}`))).json();
    expect((await get("/cluster/nodes")).nodes[1]).toMatchObject({
      id: "us-1",
      region: "us",
      state: "unknown",
      incarnation: null,
    });
    const health = await get("/cluster/health");
    expect(health.state).toBe("degraded");
    expect(health.checks.find(({ name }: Json) => name === "members")).toEqual({
      name: "members",
      ok: false,
      detail: "not alive: us-1",
    });
  });

  test("a clock that is off shows in status, health and metrics, and costs no readiness", async () => {
    const node = makeNode();
    expect((await node.json("GET", "/cluster/status")).clock).toEqual(node.replica.clock);
    node.replica.clock = { suspect: true, clocks: 3, offsetMs: 3_600_004, uncertaintyMs: 20 };
    const health = await node.json("GET", "/cluster/health");
    expect(health.state).toBe("degraded");
    expect(health.checks.filter(({ ok }: Json) => !ok)).toEqual([
      {
        name: "clock",
        ok: false,
        detail: "3600004 ± 20 ms ahead of the median of 3: what is written here is marked clock-suspect",
      },
    ]);
    expect((await node.call("GET", "/readyz")).status).toBe(200);
    const metrics = async (): Promise<string> => (await node.call("GET", "/metrics")).text();
    expect(await metrics()).toMatch(/^starling_clock_offset_ms 3600004$/m);
    expect(await metrics()).toMatch(/^starling_clock_suspect 1$/m);
    node.replica.clock = { suspect: false, clocks: 2, offsetMs: null, uncertaintyMs: null };
    expect(await metrics()).not.toMatch(/^starling_clock_offset_ms/m);
    expect(await metrics()).toMatch(/^starling_clock_known 2$/m);
    expect((await node.call("GET", "/cluster/health")).status).toBe(200);
  });

  test("health is 200 while all checks hold and 503 when one doesn't; readiness follows the storage", async () => {
    const node = makeNode();
    expect((await node.call("GET", "/cluster/health")).status).toBe(200);
    for (const path of ["/health/ready", "/readyz", "/health/ready?for=read"])
      expect((await node.call("GET", path)).status).toBe(200);
    node.replica.failed = "fsync failed";
    expect((await node.call("GET", "/cluster/health")).status).toBe(503);
    expect(await node.json("GET", "/readyz")).toMatchObject({ ready: false, failed: "fsync failed" });
    for (const path of ["/health/live", "/livez"]) expect((await node.call("GET", path)).status).toBe(200);
    expect(await slugOf(await node.call("GET", "/readyz?for=fun"))).toBe("bad-parameter");
  });

  test("sync answers per peer, and its status holds digest and records", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    await eu.call("PUT", "/v1/kv/b/k", { body: "x" });
    exchange(eu, us);
    const [one, two] = [await eu.json("POST", "/cluster/sync"), await us.json("GET", "/cluster/sync/status")];
    expect(one).toMatchObject({ node: "eu-1", records: 1, converged: true });
    expect(one.peers).toMatchObject([{ node: "us-1", link: "up", lag: { to: 0, from: 0 }, differences: 0 }]);
    expect(two.digest).toBe(one.digest);
  });

  test("repair is an operation with a place to look", async () => {
    const node = makeNode();
    expect(await slugOf(await node.call("GET", "/cluster/repair"))).toBe("not-found");
    const started = await node.call("POST", "/cluster/repair");
    expect(started.status).toBe(202);
    const place = started.headers.get("location") ?? "";
    expect(await node.json("GET", place)).toMatchObject({
      kind: "repair",
      state: "done",
      progress: { done: 64, total: 64 },
    });
    expect(await node.json("GET", "/cluster/repair")).toEqual(await node.json("GET", place));
  });

  test("partitions show owners, vectors and digests", async () => {
    const node = makeNode();
    await node.call("PUT", "/v1/kv/b/k", { body: "x" });
    const { partitions } = await node.json("GET", "/v1/partitions");
    const used = partitions.filter(({ records }: Json) => records > 0);
    expect([partitions.length, used.length]).toEqual([64, 1]);
    expect(Object.values(used[0].vector)).toEqual([1]);
    expect(used[0].owners).toEqual(["eu-1", "us-1"]);
    expect(await node.json("GET", `/v1/partitions/${used[0].partition}`)).toEqual(used[0]);
  });

  test("the dev network is set whole, shown, and healed by an empty object", async () => {
    const node = makeNode();
    const rules = { cut: [["eu", "us"]], delayMs: { "eu-us": 80 }, lossPercent: 5 };
    expect(await node.json("PUT", "/v1/dev/network", rules)).toEqual(rules);
    expect(await node.json("GET", "/v1/dev/network")).toEqual(rules);
    expect(await node.json("PUT", "/v1/dev/network", {})).toEqual({ cut: [], delayMs: {}, lossPercent: 0 });
  });
});

function ownerOf(index: number): [Parameters<typeof memberOf>[0], Parameters<typeof memberOf>[1]] {
  const owner = OWNERS[index];
  if (!owner) throw new Error("two owners");
  return [owner.id, owner.region];
}

describe("events", () => {
  async function open(node: Node): Promise<{ next: () => Promise<string>; cancel: () => Promise<void> }> {
    const response = await node.call("GET", "/cluster/events");
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const reader = response.body?.getReader();
    if (!reader) throw new Error("a stream has a body");
    return {
      next: async () => new TextDecoder().decode((await reader.read()).value),
      cancel: () => reader.cancel(),
    };
  }

  test("a stream begins with the nodes and tells members, links and conflicts as they happen", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    const stream = await open(eu);
    expect(await stream.next()).toMatch(/^event: nodes\ndata: \{"nodes":\[/);
    const suspected = { ...memberOf(...ownerOf(1), eu.nowMs), state: "suspect" as const };
    for (const listener of eu.memberListeners) listener(suspected, { kind: "member-suspect", by: "eu-1" });
    expect(await stream.next()).toMatch(
      /^event: member\ndata: \{"id":"us-1","region":"us","change":"suspect","by":"eu-1","state":"suspect"/,
    );
    for (const node of [eu, us]) await node.call("PUT", "/v1/kv/b/k", { body: node.replica.node });
    eu.replica.receiveFrom(us.replica);
    expect(await stream.next()).toBe('event: conflict\ndata: {"bucket":"b","key":"k","open":true}\n\n');
    await stream.cancel();
  });

  test("a quiet stream says that it still lives, and one that was left holds nothing back", async () => {
    const node = makeNode();
    const stream = await open(node);
    await stream.next();
    expect([node.replica.listeners, node.memberListeners.size]).toEqual([1, 1]);
    const { timers } = node;
    const reading = stream.next();
    node.advance(15_000);
    expect(await reading).toBe(": still here\n\n");
    await stream.cancel();
    expect([node.replica.listeners, node.memberListeners.size, node.timers]).toEqual([0, 0, timers - 1]);
  });

  test("a slow reader loses the oldest events and is told how many", async () => {
    const node = makeNode();
    const stream = await open(node);
    await stream.next();
    for (let i = 0; i < 300; i++)
      for (const listener of node.memberListeners)
        listener({ ...memberOf(...ownerOf(1), node.nowMs), incarnation: i }, { kind: "refuted" });
    node.advance(15_000);
    const text = await stream.next();
    expect(text).not.toContain("still here"); // it would push out an event
    expect(text).toMatch(/^event: dropped\ndata: \{"events":44\}\n\n/);
    expect(text.match(/event: member/g)?.length).toBe(256);
    for (const listener of node.memberListeners) listener(memberOf(...ownerOf(1), node.nowMs), { kind: "refuted" });
    expect(await stream.next()).toMatch(/^event: member\n/); // and only once
    await stream.cancel();
  });

  test("a HEAD, and a stream that nobody reads, subscribe to nothing", async () => {
    const node = makeNode();
    await node.call("HEAD", "/cluster/events");
    await node.call("GET", "/cluster/events");
    expect(node.replica.listeners).toBe(0);
  });

  test("there are 64 streams at most", async () => {
    const node = makeNode();
    const streams = [];
    for (let i = 0; i < 64; i++) streams.push(await open(node));
    for (const stream of streams) await stream.next();
    const response = await node.call("GET", "/cluster/events");
    expect([response.status, response.headers.get("retry-after"), await slugOf(response)]).toEqual([
      503,
      "1",
      "too-many-streams",
    ]);
    await streams[0]?.cancel();
    await until(() => node.replica.listeners === 63);
    expect((await node.call("GET", "/cluster/events")).status).toBe(200);
  });
});

const ROUTES = [
  "delete /cluster/leave/{id}",
  "delete /cluster/nodes/{id}/drain",
  "delete /cluster/nodes/{id}/maintenance",
  "delete /cluster/tokens/{id}",
  "delete /v1/kv/{bucket}/{key}",
  "delete /v1/operations/{id}",
  "delete /v1/policies/{bucket}",
  "get /cluster/conflicts",
  "get /cluster/conflicts/summary",
  "get /cluster/conflicts/{id}",
  "get /cluster/consensus",
  "get /cluster/events",
  "get /cluster/gossip/keys",
  "get /cluster/gossip/seeds",
  "get /cluster/health",
  "get /cluster/leader",
  "get /cluster/nodes",
  "get /cluster/nodes/{id}",
  "get /cluster/peers",
  "get /cluster/reach",
  "get /cluster/repair",
  "get /cluster/rtt",
  "get /cluster/status",
  "get /cluster/sync/status",
  "get /cluster/tokens",
  "get /health/live",
  "get /health/ready",
  "get /livez",
  "get /metrics",
  "get /openapi.json",
  "get /readyz",
  "get /v1/config",
  "get /v1/conflicts",
  "get /v1/conflicts/summary",
  "get /v1/conflicts/{id}",
  "get /v1/dev/network",
  "get /v1/explain/{bucket}/{key}",
  "get /v1/export",
  "get /v1/kv",
  "get /v1/kv/{bucket}",
  "get /v1/kv/{bucket}/{key}",
  "get /v1/operations/{id}",
  "get /v1/partitions",
  "get /v1/partitions/{id}",
  "get /v1/policies",
  "get /v1/policies/{bucket}",
  "get /v1/policies/{bucket}/history",
  "patch /v1/kv/{bucket}/{key}",
  "post /cluster/conflicts/{id}/resolve",
  "post /cluster/gossip/keys",
  "post /cluster/join",
  "post /cluster/leave",
  "post /cluster/nodes/{id}/decommission",
  "post /cluster/nodes/{id}/drain",
  "post /cluster/nodes/{id}/remove",
  "post /cluster/repair",
  "post /cluster/snapshot",
  "post /cluster/sync",
  "post /cluster/tokens",
  "post /v1/batch",
  "post /v1/conflicts/{id}/resolve",
  "post /v1/import",
  "post /v1/ops/{bucket}/{key}",
  "put /cluster/nodes/{id}/maintenance",
  "put /v1/config/autopilot",
  "put /v1/dev/network",
  "put /v1/kv/{bucket}/{key}",
  "put /v1/policies/{bucket}",
];

describe("the API describes itself", () => {
  test("OpenAPI 3.1 lists every route, and each that it lists is served", async () => {
    const node = makeNode();
    const document = await node.json("GET", "/openapi.json");
    expect(document.openapi).toBe("3.1.0");
    const listed = Object.entries<Json>(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    );
    expect(listed.sort()).toEqual(ROUTES);
    for (const route of listed) {
      const [method = "", path = ""] = route.split(" ");
      const real = path.replaceAll("{bucket}", "b").replaceAll("{key}", "k").replaceAll("{id}", "none");
      const { status, headers } = await node.call(method.toUpperCase(), real);
      const type = status === 404 ? await slugOf(await node.call(method.toUpperCase(), real)) : "";
      expect([route, status === 405, headers.get("allow")]).toEqual([route, false, null]);
      expect(["", "unknown", "not-found", "settled", "no-such-bucket", "no-such-token", "unknown-node"]).toContain(
        type,
      );
    }
  });

  test("every route's parameters and schemas are described", async () => {
    const { paths, components } = await makeNode().json("GET", "/openapi.json");
    expect(components.schemas).toHaveProperty("Op");
    expect(components.schemas).toHaveProperty("Problem");
    const get = paths["/v1/kv/{bucket}/{key}"].get;
    expect(get.parameters.map(({ name }: Json) => name)).toEqual(
      expect.arrayContaining(["bucket", "key", "view", "siblings", "int", "r", "Starling-Session"]),
    );
    expect(Object.keys(paths["/v1/kv/{bucket}/{key}"].patch.requestBody.content)).toEqual([
      "application/vnd.starling.ops+json",
      "application/merge-patch+json",
    ]);
  });
});

test("a round trip is estimated between any two members, and measured from here", async () => {
  const node = makeNode();
  const [here, there] = node.deps.members().map(({ id }) => id);
  const query = `to=${there}`;
  expect(await node.json("GET", `/cluster/rtt?${query}`)).toMatchObject({
    from: here,
    to: there,
    estimatedMs: 42,
    measuredMs: 1.5,
  });
  expect(await node.json("GET", `/cluster/rtt?from=${there}&to=${here}`)).toMatchObject({
    estimatedMs: 42,
    measuredMs: null,
  });
  expect(await node.json("GET", "/cluster/rtt?to=nobody")).toMatchObject({ status: 404 });
  expect(await node.json("GET", "/cluster/rtt")).toMatchObject({ status: 404 });
});

test("the sources of seeds are shown with what they answered", async () => {
  const node = makeNode();
  expect(await node.json("GET", "/cluster/gossip/seeds")).toEqual({ node: "eu-1", items: SEED_SOURCES });
});
