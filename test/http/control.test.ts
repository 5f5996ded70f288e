import { describe, expect, test } from "vitest";
import { type Json, makeNode, type Node, slugOf } from "./harness.ts";

const body = (data: unknown, headers: Record<string, string> = {}): RequestInit => ({
  headers: { "content-type": "application/json", ...headers },
  body: JSON.stringify(data),
});
const SIBLINGS = { show: "siblings" };
const AUTOPILOT = { on: false, deadAfterMs: 60_000, stabiliseMs: 10_000, votersMax: 3 };

async function versionOf(node: Node): Promise<number> {
  return (await node.json("GET", "/v1/config")).version;
}

describe("what this node knows of the group", () => {
  test("the leader, and 404 without one", async () => {
    const node = makeNode();
    expect(await node.json("GET", "/cluster/leader")).toEqual({
      leader: "eu-1",
      term: 3,
      region: "eu",
      client: "127.0.0.1:7001",
      self: true,
    });
    node.plane.lead("us-1");
    expect(await node.json("GET", "/cluster/leader")).toMatchObject({ leader: "us-1", term: 4, self: false });
    node.plane.lead(null);
    const none = await node.call("GET", "/cluster/leader");
    expect([none.status, await slugOf(none)]).toEqual([404, "leader-unknown"]);
    expect((await node.json("GET", "/cluster/status")).quorum).toEqual({ voters: 1, needed: 1, reached: false });
  });

  test("Raft's state, with lag, links, figures and what autopilot advises", async () => {
    const view = await makeNode().json("GET", "/cluster/consensus");
    expect(view).toMatchObject({
      role: "leader",
      term: 3,
      voters: ["eu-1"],
      indexes: { applied: 1, first: 1, snapshot: 0 },
      links: [{ node: "us-1", isUp: true, rttMs: 80 }],
      figures: { terms: 4, proposalMs: { p50Ms: 3, p99Ms: 5 } },
      autopilot: { on: true, advice: "the voters are as they should be" },
      config: { version: 1 },
    });
  });

  test("a snapshot is taken when asked", async () => {
    const node = makeNode();
    expect(await node.json("POST", "/cluster/snapshot")).toMatchObject({ node: "eu-1", index: 1, isNew: true });
    expect(await node.json("POST", "/cluster/snapshot")).toMatchObject({ isNew: false });
    expect((await node.json("GET", "/cluster/status")).stats.snapshotIndex).toBe(1);
  });
});

describe("policies", () => {
  test("are set, read, listed and taken back; the history says who and why", async () => {
    const node = makeNode();
    const before = await node.call("GET", "/v1/policies/carts");
    expect(before.headers.get("etag")).toBe('"0"');
    expect(await before.json()).toMatchObject({ policy: { show: "lww" }, isDefault: true, version: 0 });
    const put = await node.call("PUT", "/v1/policies/carts", body(SIBLINGS, { "starling-reason": "to see them" }));
    expect([put.status, put.headers.get("etag")]).toEqual([200, '"2"']);
    expect(await put.json()).toEqual({ bucket: "carts", version: 2, policy: SIBLINGS });
    expect(await node.json("GET", "/v1/policies/carts")).toMatchObject({
      policy: SIBLINGS,
      version: 2,
      isDefault: false,
      by: "anonymous",
      reason: "to see them",
      at: expect.stringMatching(/Z$/),
    });
    expect(await node.json("GET", "/v1/policies")).toMatchObject({
      default: { show: "lww" },
      policies: [{ bucket: "carts", policy: SIBLINGS }],
    });
    expect((await node.call("DELETE", "/v1/policies/carts")).status).toBe(204);
    expect((await node.json("GET", "/v1/policies")).policies).toEqual([]);
    const { history } = await node.json("GET", "/v1/policies/carts/history");
    expect(history).toMatchObject([
      { version: 3, policy: null },
      { version: 2, policy: SIBLINGS, reason: "to see them" },
    ]);
    const again = await node.call("DELETE", "/v1/policies/carts");
    expect([again.status, await slugOf(again)]).toEqual([404, "no-such-bucket"]);
  });

  test("change only from the version that If-Match names", async () => {
    const node = makeNode();
    const put = (tag: string, policy: unknown): Promise<Response> =>
      node.call("PUT", "/v1/policies/carts", body(policy, { "if-match": tag }));
    expect((await put('"0"', SIBLINGS)).status).toBe(200);
    const late = await put('"0"', { show: "fww" });
    expect([late.status, await slugOf(late)]).toEqual([412, "version-mismatch"]);
    expect((await put('"2"', { show: "fww" })).status).toBe(200);
    for (const bad of ["*", 'W/"3"', '"3", "4"', '"three"', "3"])
      expect([bad, await slugOf(await put(bad, SIBLINGS))]).toEqual([bad, "bad-etag"]);
    const none = body(SIBLINGS, { "if-none-match": "*" });
    expect(await slugOf(await node.call("PUT", "/v1/policies/carts", none))).toBe("bad-etag");
    expect((await node.json("GET", "/v1/policies/carts")).policy).toEqual({ show: "fww" });
  });

  test("that are unchanged are not sent again", async () => {
    const node = makeNode();
    const get = (path: string, tag: string): Promise<Response> =>
      node.call("GET", path, { headers: { "if-none-match": tag } });
    await node.call("PUT", "/v1/policies/carts", body(SIBLINGS));
    for (const path of ["/v1/policies/carts", "/v1/config"]) {
      expect((await get(path, '"2"')).status).toBe(304);
      expect((await get(path, '"1"')).status).toBe(200);
    }
  });
});

describe("the configuration", () => {
  test("is shown with its version and hash, and without a hash of any secret", async () => {
    const node = makeNode();
    const { secret } = await node.json("POST", "/cluster/tokens", {});
    const response = await node.call("GET", "/v1/config");
    expect(response.headers.get("etag")).toBe('"2"');
    const text = await response.text();
    const view: Json = JSON.parse(text);
    expect(view).toMatchObject({ version: 2, hash: node.plane.hash, consistent: false });
    expect(view.config).toMatchObject({ cluster: { id: "c-1" }, members: { "eu-1": { role: "voter" } } });
    const token = [...(node.plane.state?.joinTokens.values() ?? [])][0];
    expect(text).toContain(token?.token);
    expect(text).not.toContain(token?.hash);
    expect(text).not.toContain(secret.split(".")[1]);
    expect(text).not.toContain(node.plane.state?.cluster.saltProof);
  });

  test("is read through the leader with ?consistent, which needs one; without it any node answers", async () => {
    const node = makeNode();
    expect(await node.json("GET", "/v1/config?consistent")).toMatchObject({ version: 1, consistent: true });
    node.plane.lead(null);
    const refused = await node.call("GET", "/v1/config?consistent");
    expect([refused.status, refused.headers.get("retry-after"), await slugOf(refused)]).toEqual([
      503,
      "2",
      "no-leader",
    ]);
    expect((await node.call("GET", "/v1/config")).status).toBe(200);
  });

  test("autopilot's settings are changed as a whole", async () => {
    const node = makeNode();
    expect(await node.json("PUT", "/v1/config/autopilot", AUTOPILOT)).toEqual({ version: 2, autopilot: AUTOPILOT });
    expect((await node.json("GET", "/v1/config")).config.autopilot).toEqual(AUTOPILOT);
  });

  test("maintenance is switched on and off, for members only", async () => {
    const node = makeNode();
    const path = "/cluster/nodes/us-1/maintenance";
    expect(await node.json("PUT", path)).toMatchObject({ node: "us-1", state: "maintenance", version: 2 });
    expect(await node.json("GET", "/cluster/nodes/us-1")).toMatchObject({ memberState: "maintenance" });
    expect(await node.json("PUT", path)).toMatchObject({ version: 2 });
    expect(await node.json("DELETE", path)).toMatchObject({ state: "active", version: 4 });
    const nobody = await node.call("PUT", "/cluster/nodes/nobody/maintenance");
    expect([nobody.status, await slugOf(nobody)]).toEqual([404, "unknown-node"]);
  });
});

describe("join tokens", () => {
  test("show their secret once; the cluster keeps its hash", async () => {
    const node = makeNode();
    const response = await node.call("POST", "/cluster/tokens", body({ uses: 3, region: "us", ttlMs: 60_000 }));
    expect([response.status, response.headers.get("cache-control")]).toEqual([201, "no-store"]);
    const made: Json = await response.json();
    expect(made).toMatchObject({ uses: 3, region: "us", expiresAt: new Date(node.nowMs + 60_000).toISOString() });
    const [id, key] = made.secret.split(".");
    expect([id, key.length]).toEqual([made.token, 43]);
    const kept = node.plane.state?.joinTokens.get(made.token);
    expect(kept?.hash).toBe(Buffer.from(node.world.sha256(Buffer.from(made.secret))).toString("hex"));
    const other = await node.json("POST", "/cluster/tokens", {});
    expect(other.secret).not.toBe(made.secret);
    const { tokens } = await node.json("GET", "/cluster/tokens");
    expect(JSON.stringify(tokens)).not.toContain(kept?.hash);
    expect(tokens.find(({ token }: Json) => token === id)).toMatchObject({
      state: "open",
      usesLeft: 3,
      by: "anonymous",
    });
    node.advance(60_000);
    const later = await node.json("GET", "/cluster/tokens");
    expect(later.tokens.find(({ token }: Json) => token === id).state).toBe("expired");
    expect((await node.call("DELETE", `/cluster/tokens/${id}`)).status).toBe(204);
    const again = await node.call("DELETE", `/cluster/tokens/${id}`);
    expect([again.status, await slugOf(again)]).toEqual([404, "no-such-token"]);
  });
});

describe("a write", () => {
  const put = (node: Node, headers: Record<string, string> = {}): Promise<Response> =>
    node.call("PUT", "/v1/policies/carts?timeoutMs=500", body(SIBLINGS, headers));

  test("without a leader is refused with when to come back", async () => {
    const node = makeNode();
    node.plane.lead(null);
    const response = await put(node);
    expect([response.status, response.headers.get("retry-after"), await slugOf(response)]).toEqual([
      503,
      "2",
      "no-leader",
    ]);
    expect(await versionOf(node)).toBe(1);
  });

  test("that nobody can tell of is 504, and says so", async () => {
    const node = makeNode();
    node.plane.mode = "unknown";
    const response = await put(node);
    expect(await response.clone().text()).toContain("it may have been made, may yet be, or never");
    expect([response.status, await slugOf(response)]).toEqual([504, "outcome-unknown"]);
  });

  test("with Starling-Forward: no goes to the leader's address, or nowhere", async () => {
    const node = makeNode();
    const no = { "starling-forward": "no" };
    expect((await put(node, no)).status).toBe(200);
    node.plane.lead("us-1");
    const moved = await put(node, no);
    expect([moved.status, moved.headers.get("location")]).toEqual([
      307,
      "http://127.0.0.1:7011/v1/policies/carts?timeoutMs=500",
    ]);
    const asked = await node.call("GET", "/v1/config?consistent", { headers: no });
    expect(asked.headers.get("location")).toBe("http://127.0.0.1:7011/v1/config?consistent");
    expect((await put(node)).status).toBe(200);
    node.plane.lead("ap-1");
    expect(await slugOf(await put(node, no))).toBe("no-leader");
    node.plane.lead(null);
    expect((await put(node, no)).status).toBe(503);
    expect(await slugOf(await put(node, { "starling-forward": "maybe" }))).toBe("bad-forward");
  });
});

describe("bad input changes nothing", () => {
  test.each<[string, string, string, unknown, number, string]>([
    ["a policy that there isn't", "PUT", "/v1/policies/b", { show: "newest" }, 400, "bad-policy"],
    ["a policy with more than it has", "PUT", "/v1/policies/b", { show: "lww", regions: ["eu"] }, 400, "bad-policy"],
    ["a policy without its regions", "PUT", "/v1/policies/b", { show: "region-order" }, 400, "bad-policy"],
    ["a policy that is a list", "PUT", "/v1/policies/b", [], 400, "bad-policy"],
    ["a bucket that can't be", "PUT", "/v1/policies/A%20b", SIBLINGS, 400, "bad-bucket"],
    ["a bucket that can't be, read", "GET", "/v1/policies/A", undefined, 400, "bad-bucket"],
    ["autopilot with a member too few", "PUT", "/v1/config/autopilot", { on: true }, 400, "bad-autopilot"],
    ["autopilot with four voters", "PUT", "/v1/config/autopilot", { ...AUTOPILOT, votersMax: 4 }, 400, "bad-autopilot"],
    ["autopilot with a text", "PUT", "/v1/config/autopilot", { ...AUTOPILOT, on: "yes" }, 400, "bad-autopilot"],
    ["a token of no uses", "POST", "/cluster/tokens", { uses: 0 }, 400, "bad-token-request"],
    ["a token of too long a life", "POST", "/cluster/tokens", { ttlMs: 1e12 }, 400, "bad-token-request"],
    ["a token with an unknown field", "POST", "/cluster/tokens", { use: 1 }, 400, "bad-token-request"],
    ["a token id that can't be", "DELETE", "/cluster/tokens/%2F", undefined, 400, "bad-token-id"],
    ["a node id that can't be", "PUT", "/cluster/nodes/A_B/maintenance", undefined, 400, "bad-node-id"],
    ["a large body", "PUT", "/v1/policies/b", { show: "x".repeat(5_000) }, 413, "body-too-large"],
    ["an unknown parameter", "PUT", "/v1/policies/b?force", SIBLINGS, 400, "unknown-parameter"],
    ["a time-out of nothing", "PUT", "/v1/policies/b?timeoutMs=0", SIBLINGS, 400, "bad-parameter"],
    ["since without watch", "GET", "/v1/config?since=1", undefined, 400, "unknown-parameter"],
    ["a version that is none", "GET", "/v1/config?watch&since=-1", undefined, 400, "bad-parameter"],
    ["a snapshot with a parameter", "POST", "/cluster/snapshot?now", undefined, 400, "unknown-parameter"],
  ])("%s", async (_name, method, path, data, status, slug) => {
    const node = makeNode();
    const before = node.plane.hash;
    const response = await node.call(method, path, data === undefined ? {} : body(data));
    expect([response.status, await slugOf(response)]).toEqual([status, slug]);
    expect(node.plane.hash).toBe(before);
    expect(node.logged).toEqual([]);
  });

  test("a body of another type, broken JSON, a long reason, one with control characters", async () => {
    const node = makeNode();
    const put = async (init: RequestInit): Promise<string> => slugOf(await node.call("PUT", "/v1/policies/b", init));
    expect(await put({ body: "show=lww", headers: { "content-type": "text/plain" } })).toBe("unsupported-type");
    expect(await put({ ...body(0), body: "{" })).toBe("bad-json");
    expect(await put(body(SIBLINGS, { "starling-reason": "r".repeat(257) }))).toBe("reason-too-long");
    expect(await put(body(SIBLINGS, { "starling-reason": "a\tb" }))).toBe("bad-command");
    expect(await put({ ...body(SIBLINGS), headers: { "content-type": "application/json", "if-match": "x" } })).toBe(
      "bad-etag",
    );
    expect(await versionOf(node)).toBe(1);
  });
});
