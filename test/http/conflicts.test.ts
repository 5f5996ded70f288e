import { describe, expect, test } from "vitest";
import { parseNodeId, parseRegion } from "../../src/kernel/ids.ts";
import { exchange, type Json, makeNode, type Node, slugOf } from "./harness.ts";

const json = (data: unknown): RequestInit => ({
  headers: { "content-type": "application/json" },
  body: JSON.stringify(data),
});
const idOf = (response: Response): string => response.headers.get("starling-conflict") ?? "";

/** Two nodes that wrote `key` at once; the one in `us` later. */
async function twoWriters(
  key = "k",
  values: readonly [unknown, unknown] = ["a", "b"],
): Promise<{ eu: Node; us: Node; id: string }> {
  const [eu, us] = [makeNode(0), makeNode(1)];
  us.nowMs += 1_000;
  await eu.call("PUT", `/v1/kv/b/${key}`, json(values[0]));
  await us.call("PUT", `/v1/kv/b/${key}`, json(values[1]));
  exchange(eu, us);
  return { eu, us, id: idOf(await eu.call("GET", `/v1/kv/b/${key}`)) };
}

function thirdNode(): Node {
  return makeNode(0, {
    config: { node: { id: parseNodeId("ap-1"), region: parseRegion("ap"), zone: "", dataDir: "" } },
  });
}

async function dotOf(node: Node, id: string, value: unknown): Promise<string> {
  const { places } = await node.json("GET", `/v1/conflicts/${id}`);
  return places[0].siblings.find((sibling: Json) => sibling.value === value).dots[0].dot;
}

describe("conflicts", () => {
  test("a conflict has the same id on both nodes, with both values and their writers", async () => {
    const { eu, us, id } = await twoWriters();
    for (const node of [eu, us]) {
      const { conflicts } = await node.json("GET", "/v1/conflicts");
      expect(conflicts).toMatchObject([{ id, bucket: "b", key: "k", state: "shown-by-policy", shown: "b" }]);
      expect(conflicts[0].places[0].siblings).toMatchObject([
        { value: "a", dots: [{ region: "eu", author: "anonymous" }] },
        { value: "b", dots: [{ region: "us", author: "anonymous" }] },
      ]);
      expect(await node.json("GET", "/cluster/conflicts")).toEqual(await node.json("GET", "/v1/conflicts"));
    }
  });

  test("choosing a dot anywhere settles it everywhere", async () => {
    const { eu, us, id } = await twoWriters();
    const choose = await dotOf(us, id, "a");
    const answer = await us.json("POST", `/v1/conflicts/${id}/resolve`, { choose, reason: "older is right" });
    expect(answer).toMatchObject({ settled: true, shown: "a", conflict: null });
    exchange(eu, us);
    for (const node of [eu, us]) {
      expect(await node.json("GET", "/v1/kv/b/k")).toBe("a");
      expect((await node.json("GET", "/v1/conflicts")).conflicts).toEqual([]);
      expect(await slugOf(await node.call("GET", `/v1/conflicts/${id}`))).toBe("settled");
      expect(await slugOf(await node.call("POST", `/v1/conflicts/${id}/resolve`, json({ choose })))).toBe("settled");
    }
    const record = await eu.json("GET", "/v1/kv/b/k?view=record");
    expect(record.siblings[0].dots[0].reason).toBe("older is right");
  });

  test("a value of one's own settles it", async () => {
    const { us, id } = await twoWriters();
    await us.json("POST", `/v1/conflicts/${id}/resolve`, { value: { both: ["a", "b"] } });
    expect(await us.json("GET", "/v1/kv/b/k")).toEqual({ both: ["a", "b"] });
  });

  test("bytes settle it too", async () => {
    const { us, id } = await twoWriters();
    await us.json("POST", `/cluster/conflicts/${id}/resolve`, { value: { $b64: "AP8=", contentType: "image/png" } });
    expect((await us.call("GET", "/v1/kv/b/k")).headers.get("content-type")).toBe("image/png");
  });

  test("a dry run shows the result and changes nothing", async () => {
    const { us, id } = await twoWriters();
    const choose = await dotOf(us, id, "a");
    const entries = us.replica.log.length;
    const answer = await us.json("POST", `/v1/conflicts/${id}/resolve?dryRun`, { choose });
    expect(answer).toEqual({ bucket: "b", key: "k", dryRun: true, settled: true, shown: "a" });
    expect(us.replica.log.length).toBe(entries);
    expect(idOf(await us.call("GET", "/v1/kv/b/k"))).toBe(id);
  });

  test("an outdated id settles nothing and names the current one", async () => {
    const { eu, us, id } = await twoWriters();
    const choose = await dotOf(us, id, "a");
    // A third value comes in that the operator had not seen.
    const third = thirdNode();
    await third.call("PUT", "/v1/kv/b/k", json("c"));
    us.replica.receiveFrom(third.replica);
    const response = await us.call("POST", `/v1/conflicts/${id}/resolve`, json({ choose }));
    const problem: Json = await response.clone().json();
    expect(await slugOf(response)).toBe("conflict-changed");
    expect(await slugOf(await us.call("POST", `/v1/conflicts/${id}/resolve?dryRun`, json({ choose })))).toBe(
      "conflict-changed",
    );
    expect(problem.current).toBe(idOf(await us.call("GET", "/v1/kv/b/k")));
    const now = await us.json("GET", `/v1/conflicts/${id}`);
    expect(now).toMatchObject({ id: problem.current, outdated: id });
    expect(now.places[0].siblings.length).toBe(3);
    expect(eu.replica.log.length).toBe(2);
  });

  test("a value that comes in between looking and settling is not settled unseen", async () => {
    const { us, id } = await twoWriters();
    const choose = await dotOf(us, id, "a");
    const third = thirdNode();
    await third.call("PUT", "/v1/kv/b/k", json("c"));
    const find = us.replica.findByHash.bind(us.replica);
    us.replica.findByHash = async (keyHash) => {
      const found = await find(keyHash);
      us.replica.receiveFrom(third.replica);
      return found;
    };
    const response = await us.call("POST", `/v1/conflicts/${id}/resolve`, json({ choose }));
    expect(await slugOf(response)).toBe("conflict-changed");
    expect((await us.json("GET", "/v1/kv/b/k?siblings")).siblings.length).toBe(3);
  });

  test("of two operators at one node the second learns that it is settled", async () => {
    const { us, id } = await twoWriters();
    const choose = await dotOf(us, id, "a");
    const settle = (): Promise<Response> => us.call("POST", `/v1/conflicts/${id}/resolve`, json({ choose }));
    const [first, second] = await Promise.all([settle(), settle()]);
    expect([first.status, await slugOf(second)]).toEqual([200, "settled"]);
  });

  test("two operators who choose differently at once make a new conflict; nothing is lost", async () => {
    const { eu, us, id } = await twoWriters();
    await eu.json("POST", `/v1/conflicts/${id}/resolve`, { choose: await dotOf(eu, id, "a") });
    await us.json("POST", `/v1/conflicts/${id}/resolve`, { choose: await dotOf(us, id, "b") });
    exchange(eu, us);
    const { siblings } = await eu.json("GET", "/v1/kv/b/k?siblings");
    expect(siblings.map(({ value }: Json) => value)).toEqual(["a", "b"]);
    expect(idOf(await eu.call("GET", "/v1/kv/b/k"))).not.toBe(id);
  });

  test("a dot that is no sibling is refused", async () => {
    const { us, id } = await twoWriters();
    expect(
      await slugOf(await us.call("POST", `/v1/conflicts/${id}/resolve`, json({ choose: "us-1@0.00000000:99" }))),
    ).toBe("unknown-dot");
    expect(await slugOf(await us.call("POST", `/v1/conflicts/${id}/resolve`, json({ choose: "nonsense" })))).toBe(
      "bad-dot",
    );
  });

  test("a clash of types is settled by choosing one", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    await eu.call("PUT", "/v1/kv/b/k", json("text"));
    await us.json("POST", "/v1/ops/b/k", { ops: [{ op: "increment", by: 7 }] });
    exchange(eu, us);
    const id = idOf(await eu.call("GET", "/v1/kv/b/k"));
    const { places } = await eu.json("GET", `/v1/conflicts/${id}`);
    expect(places).toMatchObject([{ kind: "clash", types: ["counter", "register"] }]);
    const counter = places[0].siblings.find((sibling: Json) => sibling.type === "counter");
    await eu.json("POST", `/v1/conflicts/${id}/resolve`, { choose: counter.dots[0].dot });
    exchange(eu, us);
    expect(await us.json("GET", "/v1/kv/b/k")).toBe(7);
  });

  test("several fields in conflict are chosen together", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    const set = (field: string, value: unknown): unknown => ({ op: "update", field, ops: [{ op: "assign", value }] });
    await eu.json("POST", "/v1/ops/b/m", { ops: [set("x", 1), set("y", 1)] });
    await us.json("POST", "/v1/ops/b/m", { ops: [set("x", 2), set("y", 2)] });
    exchange(eu, us);
    const id = idOf(await eu.call("GET", "/v1/kv/b/m"));
    const { places } = await eu.json("GET", `/v1/conflicts/${id}`);
    const dot = (place: number, value: number): string =>
      places[place].siblings.find((sibling: Json) => sibling.value === value).dots[0].dot;
    expect(await slugOf(await eu.call("POST", `/v1/conflicts/${id}/resolve`, json({ value: 3 })))).toBe(
      "ambiguous-value",
    );
    const answer = await eu.json("POST", `/v1/conflicts/${id}/resolve`, { choose: [dot(0, 1), dot(1, 2)] });
    expect(answer).toMatchObject({ settled: true, shown: { x: 1, y: 2 } });
  });

  test("the list is paged, narrowed by bucket, and summed up", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    for (const bucket of ["a", "b"])
      for (let i = 0; i < 5; i++)
        for (const node of [eu, us]) await node.call("PUT", `/v1/kv/${bucket}/k${i}`, json(node.replica.node));
    exchange(eu, us);
    const keys: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await eu.json("GET", `/v1/conflicts?limit=3${cursor === undefined ? "" : `&cursor=${cursor}`}`);
      keys.push(...page.conflicts.map(({ bucket, key }: Json) => `${bucket}/${key}`));
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect(keys).toEqual(["a", "b"].flatMap((bucket) => [0, 1, 2, 3, 4].map((i) => `${bucket}/k${i}`)));
    expect((await eu.json("GET", "/v1/conflicts?bucket=a")).conflicts.length).toBe(5);
    expect(await eu.json("GET", "/v1/conflicts/summary")).toEqual({
      open: 10,
      byBucket: { a: 5, b: 5 },
      complete: true,
    });
  });
});

describe("explain", () => {
  test("it shows every live dot with its writer, what shows and why, and the journal", async () => {
    const { eu, id } = await twoWriters();
    const explained = await eu.json("GET", "/v1/explain/b/k");
    expect(explained).toMatchObject({
      bucket: "b",
      key: "k",
      node: "eu-1",
      type: "register",
      shown: "b",
      conflict: id,
    });
    expect(explained.policy.name).toBe("lww");
    const dots = explained.dots.map(({ region, value, shown, why }: Json) => ({ region, value, shown, why }));
    expect(dots).toContainEqual({ region: "eu", value: "a", shown: false, why: "older" });
    expect(dots).toContainEqual({ region: "us", value: "b", shown: true, why: "latest" });
    expect(explained.journal).toMatchObject([{ event: "opened", id }]);
  });

  test("after settling, the journal keeps the loser", async () => {
    const { eu, id } = await twoWriters();
    await eu.json("POST", `/v1/conflicts/${id}/resolve`, { choose: await dotOf(eu, id, "b"), reason: "newer" });
    const { journal, dots } = await eu.json("GET", "/v1/explain/b/k");
    expect(journal[0]).toMatchObject({
      event: "settled",
      before: id,
      id: null,
      by: { author: "anonymous", reason: "newer" },
    });
    expect(journal[0].lost.map(({ value }: Json) => value).sort()).toEqual(["a", "b"]);
    expect(dots).toMatchObject([{ value: "b", shown: true, why: "only" }]);
  });

  test("a deleted key is explained by its deletion, an unknown one by nothing", async () => {
    const { eu } = await twoWriters();
    await eu.call("DELETE", "/v1/kv/b/k");
    expect((await eu.json("GET", "/v1/explain/b/k")).deletion).toMatchObject({ node: "eu-1", region: "eu" });
    expect(await eu.json("GET", "/v1/explain/b/none")).toMatchObject({
      shown: null,
      dots: [],
      deletion: null,
      journal: [],
    });
  });

  test("where types clash, each dot says whether its type shows", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    await eu.json("POST", "/v1/ops/b/k", { ops: [{ op: "increment" }] });
    us.nowMs += 1_000;
    await us.call("PUT", "/v1/kv/b/k", json("later"));
    exchange(eu, us);
    const { dots } = await eu.json("GET", "/v1/explain/b/k");
    expect(dots.map(({ type, shown, why }: Json) => [type, shown, why]).sort()).toEqual([
      ["counter", false, "other-type"],
      ["register", true, "only"],
    ]);
  });

  test("cells of maps are explained place by place, a clash by its types", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    us.nowMs += 1_000;
    await eu.json("POST", "/v1/ops/b/m", {
      ops: [{ op: "update", field: "f", ops: [{ op: "add", elements: ["x", "y"] }] }],
    });
    await us.call("PUT", "/v1/kv/b/m", json(1));
    exchange(eu, us);
    const { dots, types } = await eu.json("GET", "/v1/explain/b/m");
    expect(types).toEqual(["map", "register"]);
    expect(dots.filter(({ path }: Json) => path).map(({ value, shown, why }: Json) => [value, shown, why])).toEqual([
      ["x", false, "merged"],
      ["y", false, "merged"],
    ]);
  });
});
