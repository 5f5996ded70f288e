import { describe, expect, test } from "vitest";
import { type Json, makeNode, slugOf } from "./harness.ts";
import { AP, agreed, join, refused, tokenOf } from "./life.ts";

const SALT = "07".repeat(16);

describe("a node that joins", () => {
  test("is told what it keeps, once its token was found good", async () => {
    const node = makeNode();
    const token = await tokenOf(node);
    const response = await join(node, { token, cluster: "test", node: AP }, { "starling-reason": "more room" });
    expect([response.status, response.headers.get("cache-control")]).toEqual([201, "no-store"]);
    expect(await response.json()).toEqual({
      cluster: { id: "c-1", name: "test", salt: SALT },
      partitionBits: 6,
      leafBits: node.replica.layout.leafBits,
      version: 3,
      seeds: ["127.0.0.1:7002", "127.0.0.1:7002"],
    });
    expect(node.plane.state?.members.get("ap-1")).toMatchObject({
      state: "joining",
      region: "ap",
      zone: "",
      weight: 100,
      addresses: { client: null, gossip: "10.0.0.3:7002", peer: null },
      protocol: { min: 1, max: 1 },
    });
    expect(await node.json("GET", "/cluster/nodes/ap-1")).toMatchObject({
      memberState: "joining",
      afterDrain: null,
      joinedAt: new Date(node.nowMs).toISOString(),
      owner: false,
    });
    expect((await node.json("GET", "/cluster/nodes/eu-1")).joinedAt).toBeNull();
    expect(node.replica.owners.others.map(({ id }) => id)).toEqual(["us-1"]);
  });

  test("is told of the living only", async () => {
    const node = makeNode();
    node.gossip.set("us-1", "suspect");
    const answer = await (await join(node, { token: await tokenOf(node), node: AP })).json();
    expect(answer).toMatchObject({ seeds: ["127.0.0.1:7002"] });
  });

  test("may ask again when the answer was lost, and gets the same; nobody else does", async () => {
    const node = makeNode();
    const token = await tokenOf(node);
    const asked = { token, node: AP };
    const first: Json = await (await join(node, asked)).json();
    const { version } = await node.json("GET", "/v1/config");
    const again = await join(node, asked);
    expect([again.status, again.headers.get("cache-control")]).toEqual([200, "no-store"]);
    expect(await again.json()).toEqual(first);
    expect((await node.json("GET", "/v1/config")).version).toBe(version);
    expect((await join(node, asked, { "if-match": '"1"' })).status).toBe(412);
    expect(node.logged).toMatchObject([{ event: "join.answered-again", fields: { member: "ap-1" } }]);
    const other = async (change: Json): Promise<[number, string]> =>
      refused(node, "POST", "/cluster/join", { token, node: { ...AP, ...change } });
    expect(await other({ id: "ap-2" })).toEqual([403, "token-used"]);
    expect(await other({ region: "eu" })).toEqual([403, "token-used"]);
    expect(await other({ addresses: { gossip: "10.0.0.4:7002" } })).toEqual([403, "token-used"]);
    const wrong = `${token.slice(0, -1)}${token.endsWith("A") ? "B" : "A"}`;
    expect(await refused(node, "POST", "/cluster/join", { ...asked, token: wrong })).toEqual([403, "bad-token"]);
  });

  test("gets no second answer once it began, nor after its token expired or was revoked", async () => {
    const started = makeNode();
    const token = await tokenOf(started);
    await join(started, { token, node: AP });
    await agreed(started, { kind: "activate", member: "ap-1" });
    expect(await refused(started, "POST", "/cluster/join", { token, node: AP })).toEqual([403, "token-used"]);

    const late = makeNode();
    const short = await tokenOf(late, { ttlMs: 60_000 });
    await join(late, { token: short, node: AP });
    late.advance(60_000);
    expect(await refused(late, "POST", "/cluster/join", { token: short, node: AP })).toEqual([403, "token-expired"]);

    const revoked = makeNode();
    const lost = await tokenOf(revoked);
    await join(revoked, { token: lost, node: AP });
    await revoked.call("DELETE", `/cluster/tokens/${lost.split(".")[0]}`);
    expect(await refused(revoked, "POST", "/cluster/join", { token: lost, node: AP })).toEqual([403, "bad-token"]);
  });

  test("with a token of many uses: another node under its name is refused, and a token nobody joined with is no proof", async () => {
    const node = makeNode();
    const token = await tokenOf(node, { uses: 5 });
    await join(node, { token, node: AP });
    expect((await join(node, { token, node: AP })).status).toBe(200);
    const twin = { ...AP, addresses: { gossip: "10.0.0.9:7002" } };
    expect(await refused(node, "POST", "/cluster/join", { token, node: twin })).toEqual([409, "node-exists"]);
    const unused = await tokenOf(node);
    expect(await refused(node, "POST", "/cluster/join", { token: unused, node: AP })).toEqual([409, "node-exists"]);
  });

  test("takes the place of a dead member, never of one that lives or that nobody had time to hear of", async () => {
    const node = makeNode();
    const asked = { token: await tokenOf(node), node: AP, replace: "us-1" };
    expect(await refused(node, "POST", "/cluster/join", asked)).toEqual([409, "node-lives"]);
    node.advance(120_000);
    node.plane.heard.set("us-1", node.nowMs - 59_999);
    expect(await refused(node, "POST", "/cluster/join", asked)).toEqual([409, "node-lives"]);
    node.plane.heard.set("us-1", node.nowMs - 60_000);
    expect((await join(node, asked)).status).toBe(201);
    expect([...(node.plane.state?.members.keys() ?? [])]).toEqual(["eu-1", "ap-1"]);
    const nobody = { ...asked, token: await tokenOf(node), node: { ...AP, id: "ap-2", addresses: {} }, replace: "no" };
    expect(await refused(node, "POST", "/cluster/join", nobody)).toEqual([404, "unknown-node"]);
  });

  test("is refused, and told nothing, for each reason that there is", async () => {
    const node = makeNode();
    const token = await tokenOf(node, { region: "ap" });
    const expiring = await tokenOf(node, { ttlMs: 1_000 });
    await agreed(node, {
      kind: "update-member",
      member: "us-1",
      instance: "1".repeat(32),
      zone: "",
      addresses: { client: null, gossip: "10.0.0.2:7002", peer: null },
      protocol: { min: 1, max: 1 },
      weight: 100,
    });
    node.advance(1_000);
    const cases: [Json, number, string][] = [
      [{ token: `none.${"A".repeat(43)}`, node: AP }, 403, "bad-token"],
      [{ token: expiring, node: AP }, 403, "token-expired"],
      [{ token, node: { ...AP, region: "eu" } }, 403, "token-region"],
      [{ token, cluster: "other", node: AP }, 409, "wrong-cluster"],
      [{ token, node: { ...AP, id: "eu-1" } }, 409, "node-exists"],
      [{ token, node: { ...AP, addresses: { gossip: "10.0.0.2:7002" } } }, 409, "address-taken"],
      [{ token, node: { ...AP, addresses: { gossip: "10.0.0.2" } } }, 400, "bad-address"],
      [{ token, node: { ...AP, addresses: { peer: "h:0" } } }, 400, "bad-address"],
      [{ token, node: { ...AP, id: "A B" } }, 400, "bad-join"],
      [{ token, node: { ...AP, weight: 0 } }, 400, "bad-join"],
      [{ token, node: { ...AP, color: "red" } }, 400, "bad-join"],
      [{ token, node: AP, replace: "A B" }, 400, "bad-join"],
      [{ token, node: AP, cluster: "" }, 400, "bad-join"],
      [{ token: token.split(".")[0], node: AP }, 400, "bad-join"],
      [{ node: AP }, 400, "bad-join"],
      [{ token }, 400, "bad-join"],
      [[token], 400, "bad-join"],
      [{ token, node: { ...AP, zone: "z".repeat(4_096) } }, 413, "body-too-large"],
    ];
    for (const [data, status, slug] of cases) {
      const before = node.plane.hash;
      const response = await join(node, data);
      const text = await response.clone().text();
      expect([slug, response.status, await slugOf(response)]).toEqual([slug, status, slug]);
      expect(text).not.toContain(SALT);
      expect(text).not.toContain(token.split(".")[1]);
      expect(node.plane.hash).toBe(before);
    }
    await agreed(node, { kind: "remove", member: "us-1", cluster: "test" });
    expect(await refused(node, "POST", "/cluster/join", { token, node: { ...AP, id: "us-1" } })).toEqual([
      409,
      "node-removed",
    ]);
  });

  test("through a node that doesn't lead, or without a leader", async () => {
    const node = makeNode();
    const token = await tokenOf(node);
    node.plane.lead("us-1");
    const moved = await join(node, { token, node: AP }, { "starling-forward": "no" });
    expect([moved.status, moved.headers.get("location")]).toEqual([307, "http://127.0.0.1:7011/cluster/join"]);
    node.plane.lead(null);
    expect(await refused(node, "POST", "/cluster/join", { token, node: AP })).toEqual([503, "no-leader"]);
    node.plane.lead("us-1");
    node.plane.mode = "unknown";
    expect(await refused(node, "POST", "/cluster/join", { token, node: AP })).toEqual([504, "outcome-unknown"]);
    expect(node.plane.state?.members.has("ap-1")).toBe(false);
  });
});
