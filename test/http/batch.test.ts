import { describe, expect, test } from "vitest";
import { Unavailable } from "../../src/replication/api.ts";
import { type Json, makeNode, type Node, slugOf, until } from "./harness.ts";

describe("batch", () => {
  const batch = (node: Node, items: unknown[]): Promise<Json> => node.json("POST", "/v1/batch", { items });

  test("puts, ops, deletes and gets in one request, with a result each", async () => {
    const node = makeNode();
    const { results } = await batch(node, [
      { action: "put", bucket: "b", key: "r", value: { a: 1 } },
      { action: "ops", bucket: "b", key: "c", ops: [{ op: "increment", by: 2 }] },
      { action: "delete", bucket: "b", key: "none" },
      { action: "get", bucket: "b", key: "r" },
      { action: "get", bucket: "b", key: "none" },
      { action: "put", bucket: "b", key: "png", value: { $b64: "AP8=" }, contentType: "image/png" },
    ]);
    expect(results.map(({ status }: Json) => status)).toEqual([204, 200, 204, 200, 404, 204]);
    expect(results[1]).toMatchObject({ type: "counter", value: 2, durable: "eu=1, us=0" });
    expect(results[3]).toMatchObject({ type: "register", value: { a: 1 }, contentType: "application/json" });
    expect(results[3].etag).toBe((await node.call("GET", "/v1/kv/b/r")).headers.get("etag"));
    expect(results[4].problem.type).toBe("unknown");
    expect((await node.call("GET", "/v1/kv/b/png")).headers.get("content-type")).toBe("image/png");
  });

  test("a refused item holds nothing back", async () => {
    const node = makeNode();
    await node.call("PUT", "/v1/kv/b/text", { body: "x" });
    const { results } = await batch(node, [
      { action: "ops", bucket: "b", key: "text", ops: [{ op: "increment" }] },
      { action: "put", bucket: "B", key: "k", value: 1 },
      { action: "put", bucket: "b", key: "text", value: 1, ifMatch: '"nope"' },
      { action: "put", bucket: "b", key: "text", value: 1, context: "forged" },
      { action: "get", bucket: "b", key: "" },
      { action: "put", bucket: "b", key: "k", value: 1, ifNoneMatch: "*", reason: "first" },
    ]);
    expect(results.map((result: Json) => result.problem?.type ?? result.status)).toEqual([
      "wrong-type",
      "bad-bucket",
      "precondition-failed",
      "bad-context",
      "bad-key",
      204,
    ]);
  });

  test("items carry contexts as requests do", async () => {
    const node = makeNode();
    const { results } = await batch(node, [{ action: "put", bucket: "b", key: "k", value: 1 }]);
    await node.call("PUT", "/v1/kv/b/k", { body: "2" });
    const again = await batch(node, [{ action: "put", bucket: "b", key: "k", value: 3, context: results[0].context }]);
    expect(again.results[0].conflict).toMatch(/^c[\w-]{32}$/);
  });

  test("the answer's session covers what the batch wrote and read", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    const response = await eu.call("POST", "/v1/batch", {
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ items: [{ action: "put", bucket: "b", key: "k", value: 1 }] }),
    });
    const session = response.headers.get("starling-session") ?? "";
    const reading = us.call("GET", "/v1/kv/b/k?timeoutMs=5", { headers: { "starling-session": session } });
    await until(() => us.replica.waiting > 0);
    us.advance(5);
    expect(await slugOf(await reading)).toBe("session-not-met");
  });

  test("a storage that fails refuses the whole batch", async () => {
    const node = makeNode();
    node.replica.refusal = new Unavailable("storage-failed", "this node stopped writing");
    const items = [{ action: "put", bucket: "b", key: "k", value: 1 }];
    const response = await node.call("POST", "/v1/batch", {
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ items }),
    });
    expect([response.status, response.headers.get("retry-after"), await slugOf(response)]).toEqual([
      503,
      "1",
      "storage-failed",
    ]);
  });
});
