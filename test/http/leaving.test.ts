import { describe, expect, test } from "vitest";
import type { GroupView } from "../../src/control/group.ts";
import { parseNodeId } from "../../src/kernel/ids.ts";
import { type Json, makeNode, type Node, testConfig } from "./harness.ts";
import { AP, agreed, body, join, makeSpare, refused, tokenOf } from "./life.ts";

describe("a member that hands over", () => {
  test.each([
    ["drain", "leave", "drain"],
    ["decommission", "remove", "decommission"],
  ])("%s: progress under its operation, seen from any node, until it is gone", async (path, afterDrain, kind) => {
    const node = await makeSpare();
    const begun = await node.call("POST", `/cluster/nodes/us-1/${path}`);
    expect([begun.status, begun.headers.get("location")]).toEqual([202, "/v1/operations/drain-us-1"]);
    const running = { id: "drain-us-1", kind, state: "running", node: "us-1", progress: { lagEntries: null } };
    expect(await begun.json()).toMatchObject({ ...running, version: 3 });
    expect(await node.json("GET", "/v1/operations/drain-us-1")).toMatchObject(running);
    expect(await node.json("GET", "/cluster/nodes/us-1")).toMatchObject({
      memberState: "draining",
      afterDrain,
      departure: { lagEntries: null },
    });
    expect((await node.json("GET", "/cluster/nodes/eu-1")).departure).toBeUndefined();
    expect((await node.json("POST", `/cluster/nodes/us-1/${path}`)).version).toBe(3);
    await agreed(node, { kind: "leave", member: "us-1", cluster: "test" });
    expect(await node.json("GET", "/v1/operations/drain-us-1")).toMatchObject({
      kind,
      state: "done",
      finished: new Date(node.nowMs).toISOString(),
      progress: { lagEntries: 0 },
    });
  });

  test("tells itself how much it has still to hand over", async () => {
    const node = await makeSpare();
    node.replica.lagEntries = 12;
    await node.call("POST", "/cluster/nodes/eu-1/drain");
    expect(await node.json("GET", "/v1/operations/drain-eu-1")).toMatchObject({ progress: { lagEntries: 12 } });
    expect(await node.json("GET", "/cluster/nodes/eu-1")).toMatchObject({ departure: { lagEntries: 12 } });
  });

  test("stays when that is cancelled, by either name", async () => {
    const node = await makeSpare();
    for (const path of ["/cluster/nodes/us-1/drain", "/v1/operations/drain-us-1"]) {
      await node.call("POST", "/cluster/nodes/us-1/decommission");
      expect(await node.json("DELETE", path)).toMatchObject({ node: "us-1", state: "active" });
      expect(node.plane.state?.members.get("us-1")).toMatchObject({ state: "active", afterDrain: null });
      expect(await refused(node, "GET", "/v1/operations/drain-us-1")).toEqual([404, "not-found"]);
    }
    expect(await refused(node, "DELETE", "/cluster/nodes/us-1/drain")).toEqual([409, "wrong-state"]);
    expect(await refused(node, "DELETE", "/v1/operations/drain-us-1")).toEqual([404, "not-found"]);
    await node.call("POST", "/cluster/repair");
    expect(await refused(node, "DELETE", "/v1/operations/repair-1")).toEqual([409, "not-cancellable"]);
  });

  test("that was removed by force meanwhile has failed to, and says by whom", async () => {
    const node = await makeSpare();
    await node.call("POST", "/cluster/nodes/us-1/drain");
    await agreed(node, { kind: "remove", member: "us-1", cluster: "test" });
    expect(await node.json("GET", "/v1/operations/drain-us-1")).toMatchObject({
      state: "failed",
      problems: ["us-1 was removed by test before it had handed over"],
    });
    expect(await refused(node, "DELETE", "/v1/operations/drain-us-1")).toEqual([409, "not-cancellable"]);
  });

  test("is kept back with every obstacle; a dry run tells them and changes nothing", async () => {
    const node = makeNode();
    node.plane.group = deafGroup(node);
    const path = "/cluster/nodes/us-1/drain";
    const slugs = ["too-few-copies", "would-lose-quorum"];
    for (const [data, kept] of [
      [undefined, slugs],
      [{ cluster: "test" }, slugs],
    ] as const) {
      const response = await node.call("POST", path, data ? body(data) : {});
      const problem: Json = await response.json();
      expect([response.status, problem.type]).toEqual([409, "too-few-copies"]);
      expect(problem.obstacles.map(({ slug }: Json) => slug)).toEqual(kept);
      for (const { message } of problem.obstacles) expect(problem.detail).toContain(message);
    }
    const dry = await node.json("POST", `${path}?dryRun`);
    expect(dry).toMatchObject({ node: "us-1", dryRun: true, possible: false });
    expect(dry.outcome).toContain("leave the cluster");
    expect(dry.obstacles.map(({ slug }: Json) => slug)).toEqual(slugs);
    // Elsewhere nobody knows who answers, and the state alone is judged, when the command is applied.
    node.plane.lead("us-1");
    const there: Json = await (await node.call("POST", path)).json();
    expect([there.type, there.obstacles.length]).toEqual(["too-few-copies", 1]);
    expect(node.plane.state?.members.get("us-1")?.state).toBe("active");
  });

  test("is kept back by the leader, who alone knows that too few others answer", async () => {
    const node = await makeSpare();
    node.plane.group = deafGroup(node);
    expect(await refused(node, "POST", "/cluster/nodes/us-1/drain")).toEqual([409, "would-lose-quorum"]);
    expect(await refused(node, "POST", "/cluster/nodes/us-1/remove?evenAlive", { cluster: "test" })).toEqual([
      409,
      "would-lose-quorum",
    ]);
  });

  test("that owns nothing yet can't: a dry run says what the command would", async () => {
    const node = await makeSpare();
    await join(node, { token: await tokenOf(node), node: AP });
    const path = "/cluster/nodes/ap-1/drain";
    expect(await node.json("POST", `${path}?dryRun`)).toMatchObject({
      possible: false,
      obstacles: [{ slug: "wrong-state", message: expect.stringContaining("let it leave") }],
    });
    expect(await refused(node, "POST", path)).toEqual([409, "wrong-state"]);
  });

  test("could go: the dry run says so, and it goes on undisturbed once it has begun", async () => {
    const node = await makeSpare();
    const before = node.plane.hash;
    expect(await node.json("POST", "/cluster/nodes/us-1/decommission?dryRun=true")).toMatchObject({
      possible: true,
      obstacles: [],
      outcome: expect.stringContaining("be removed"),
    });
    expect(node.plane.hash).toBe(before);
    await node.call("POST", "/cluster/nodes/us-1/drain");
    node.plane.group = deafGroup(node);
    expect((await node.call("POST", "/cluster/nodes/us-1/decommission")).status).toBe(202);
    expect(node.plane.state?.members.get("us-1")?.afterDrain).toBe("remove");
  });

  test.each<[string, string, string, unknown, number, string]>([
    ["an unknown node", "POST", "/cluster/nodes/nobody/drain", undefined, 404, "unknown-node"],
    ["an unknown node, tried dry", "POST", "/cluster/nodes/nobody/drain?dryRun", undefined, 404, "unknown-node"],
    ["an unknown node, cancelled", "DELETE", "/cluster/nodes/nobody/drain", undefined, 404, "unknown-node"],
    ["an id that can't be", "POST", "/cluster/nodes/A_B/drain", undefined, 400, "bad-node-id"],
    ["another cluster", "POST", "/cluster/nodes/us-1/drain", { cluster: "other" }, 409, "wrong-cluster"],
    ["another cluster still", "POST", "/cluster/nodes/us-1/decommission", { cluster: "other" }, 409, "wrong-cluster"],
    ["an unknown field", "POST", "/cluster/nodes/us-1/drain", { force: true }, 400, "bad-drain"],
    ["a list", "POST", "/cluster/nodes/us-1/drain", [], 400, "bad-drain"],
    ["an unknown parameter", "POST", "/cluster/nodes/us-1/drain?force", undefined, 400, "unknown-parameter"],
    ["a dry run that is neither", "POST", "/cluster/nodes/us-1/drain?dryRun=maybe", undefined, 400, "bad-parameter"],
    ["leave without a cluster", "POST", "/cluster/leave", { node: "us-1" }, 400, "bad-leave"],
    ["leave without a node", "POST", "/cluster/leave", { cluster: "test" }, 400, "bad-leave"],
    ["leave of another cluster", "POST", "/cluster/leave", { node: "us-1", cluster: "other" }, 409, "wrong-cluster"],
    ["leave of nobody", "POST", "/cluster/leave", { node: "nobody", cluster: "test" }, 404, "unknown-node"],
    ["leave of what can't be", "POST", "/cluster/leave", { node: "A B", cluster: "test" }, 400, "bad-leave"],
    ["leave without a body", "POST", "/cluster/leave", undefined, 415, "unsupported-type"],
    ["removal without a body", "POST", "/cluster/nodes/us-1/remove", undefined, 415, "unsupported-type"],
    ["removal without a cluster", "POST", "/cluster/nodes/us-1/remove", {}, 400, "bad-removal"],
    ["removal without a cluster, by name", "DELETE", "/cluster/leave/us-1", undefined, 400, "bad-removal"],
    ["removal from another cluster", "DELETE", "/cluster/leave/us-1?cluster=other", undefined, 409, "wrong-cluster"],
    ["removal of nobody", "DELETE", "/cluster/leave/nobody?cluster=test", undefined, 404, "unknown-node"],
    ["removal of nobody, dry", "DELETE", "/cluster/leave/nobody?cluster=test&dryRun", undefined, 404, "unknown-node"],
    ["removal of what can't be", "POST", "/cluster/nodes/A_B/remove", { cluster: "test" }, 400, "bad-node-id"],
    [
      "removal with a strange parameter",
      "POST",
      "/cluster/nodes/us-1/remove?cluster=test",
      {},
      400,
      "unknown-parameter",
    ],
  ])("%s is refused, and nothing changes", async (_name, method, path, data, status, slug) => {
    expect(await refused(await makeSpare(), method, path, data)).toEqual([status, slug]);
  });

  test("only from the version that If-Match names, and with a reason that is kept", async () => {
    const node = await makeSpare();
    const drain = (tag: string): Promise<Response> =>
      node.call("POST", "/cluster/nodes/us-1/drain", {
        headers: { "if-match": tag, "starling-reason": "old disk", "starling-forward": "yes" },
      });
    expect((await drain('"1"')).status).toBe(412);
    expect((await drain('"2"')).status).toBe(202);
    const changes = node.plane.feed.since(2);
    expect(JSON.stringify(changes)).toContain("old disk");
    node.plane.lead("us-1");
    const moved = await node.call("DELETE", "/cluster/nodes/us-1/drain", { headers: { "starling-forward": "no" } });
    expect(moved.headers.get("location")).toBe("http://127.0.0.1:7011/cluster/nodes/us-1/drain");
  });
});

describe("a member that leaves", () => {
  test("hands over first, unless it owns nothing yet", async () => {
    const node = await makeSpare();
    const leave = await node.call("POST", "/cluster/leave", body({ node: "us-1", cluster: "test" }));
    expect([leave.status, leave.headers.get("location")]).toEqual([202, "/v1/operations/drain-us-1"]);
    expect(node.plane.state?.members.get("us-1")).toMatchObject({ state: "draining", afterDrain: "leave" });
    await join(node, { token: await tokenOf(node), node: AP });
    expect(await node.json("POST", "/cluster/leave", { node: "ap-1", cluster: "test" })).toMatchObject({
      node: "ap-1",
      state: "left",
    });
    expect(node.plane.state?.removed.ids.get("ap-1")).toMatchObject({ how: "left" });
  });

  test("is kept back where copies would be missing", async () => {
    const node = makeNode();
    const asked = { node: "us-1", cluster: "test" };
    expect(await refused(node, "POST", "/cluster/leave", asked)).toEqual([409, "too-few-copies"]);
    const problem = await node.json("POST", "/cluster/leave", asked);
    expect(problem.obstacles).toMatchObject([{ slug: "too-few-copies" }]);
  });
});

describe("a member that is removed by force", () => {
  test("is named with what may be lost with it, by either path", async () => {
    for (const [method, path, data] of [
      ["POST", "/cluster/nodes/us-1/remove", { cluster: "test" }],
      ["DELETE", "/cluster/leave/us-1?cluster=test", undefined],
    ] as const) {
      const node = makeNode();
      node.gossip.set("us-1", "dead");
      node.plane.heard.set("us-1", node.nowMs - 5_000);
      node.replica.behindEntries = 3;
      const answer = await node.json(method, path, data);
      const lastHeardAt = new Date(node.nowMs - 5_000).toISOString();
      expect(answer).toMatchObject({ removed: "us-1", version: 2, mayBeLost: { lastHeardAt, entriesKnownMissing: 3 } });
      expect(answer.mayBeLost.sentence).toContain("knows of 3 entries that us-1 has and it lacks");
      expect(answer.mayBeLost.sentence).toContain(`last heard of us-1 at ${lastHeardAt}`);
      expect([...(node.plane.state?.members.keys() ?? [])]).toEqual(["eu-1"]);
    }
  });

  test("is not while it lives, unless that is said; a dry run shows all and does nothing", async () => {
    const node = makeNode();
    const path = "/cluster/nodes/us-1/remove";
    for (const state of ["alive", "suspect"] as const) {
      node.gossip.set("us-1", state);
      expect(await refused(node, "POST", path, { cluster: "test" })).toEqual([409, "node-lives"]);
    }
    const before = node.plane.hash;
    const dry = await node.json("POST", `${path}?dryRun`, { cluster: "test" });
    expect(dry).toMatchObject({
      possible: false,
      obstacles: [{ slug: "node-lives" }],
      mayBeLost: { lastHeardAt: null, entriesKnownMissing: 0 },
    });
    expect(await node.json("POST", `${path}?dryRun&evenAlive`, { cluster: "test" })).toMatchObject({ possible: true });
    expect(node.plane.hash).toBe(before);
    expect(await node.json("POST", `${path}?evenAlive`, { cluster: "test" })).toMatchObject({ removed: "us-1" });
  });

  test("is not when it is the last voter; what is known of one that never was here is nothing", async () => {
    const node = makeNode();
    const last = { cluster: "test" };
    const refusal = await node.json("POST", "/cluster/nodes/eu-1/remove?evenAlive", last);
    expect(refusal.obstacles).toMatchObject([{ slug: "last-voter" }]);
    await join(node, { token: await tokenOf(node), node: AP });
    const answer = await node.json("POST", "/cluster/nodes/ap-1/remove", last);
    expect(answer).toMatchObject({ removed: "ap-1", mayBeLost: { lastHeardAt: null, entriesKnownMissing: null } });
    expect(answer.mayBeLost.sentence).toContain("never heard of ap-1");
  });
});

describe("whether clients should be sent here", () => {
  test.each([
    ["in maintenance", { kind: "maintenance", member: "eu-1", on: true }, "eu-1 is in maintenance"],
    ["draining", { kind: "drain", member: "eu-1" }, "eu-1 hands over and goes"],
  ])("not while %s; its data answers all the same", async (_state, wish, warning) => {
    const node = await makeSpare();
    expect((await node.call("GET", "/readyz")).status).toBe(200);
    await agreed(node, wish);
    for (const path of ["/health/ready", "/readyz?for=read"]) {
      const response = await node.call("GET", path);
      expect(response.status).toBe(503);
      expect(await response.json()).toMatchObject({ ready: false, warning: `${warning}: send requests to others` });
    }
    expect((await node.call("PUT", "/v1/kv/b/k", { body: "x" })).status).toBe(204);
    expect((await node.call("GET", "/cluster/health")).status).toBe(200);
  });

  test("not while it joins, nor when it is no member", async () => {
    const node = makeNode(0, { config: { node: { ...testConfig().node, id: parseNodeId("ap-1") } } });
    const warning = async (): Promise<string> => (await node.json("GET", "/readyz")).warning;
    expect(await warning()).toBe("ap-1 is no member of test: send requests to others");
    await join(node, { token: await tokenOf(node), node: AP });
    expect(await warning()).toBe("ap-1 joins and owns nothing yet: send requests to others");
    await agreed(node, { kind: "activate", member: "ap-1" });
    expect((await node.call("GET", "/readyz")).status).toBe(200);
  });
});

test("health without a leader is degraded, not unavailable: data goes on", async () => {
  const node = makeNode();
  const check = async (): Promise<Json> =>
    (await node.json("GET", "/cluster/health")).checks.find(({ name }: Json) => name === "consensus");
  expect(await check()).toEqual({ name: "consensus", ok: true, detail: "eu-1 leads in term 3" });
  node.plane.lead(null);
  expect(await check()).toMatchObject({ ok: false, detail: expect.stringContaining("no leader is known") });
  expect(await node.json("GET", "/cluster/status")).toMatchObject({ state: "degraded" });
  expect((await node.call("GET", "/readyz")).status).toBe(200);
});

/** The leader hears of us-1 alone, and of nobody else who votes. */
function deafGroup(node: Node): GroupView {
  const voters = [...(node.plane.state?.members.keys() ?? [])];
  return {
    self: "us-1",
    leaderSinceMs: 0,
    configuration: {
      incoming: new Set(voters),
      outgoing: new Set(),
      learners: new Set(),
      learnersNext: new Set(),
      autoLeave: true,
    },
    committed: 1,
    followers: new Map(),
  };
}
