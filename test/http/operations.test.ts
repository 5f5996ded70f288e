import { describe, expect, test } from "vitest";
import { exchange, type Json, makeNode, type Node, slugOf } from "./harness.ts";

const json = (data: unknown): RequestInit => ({
  headers: { "content-type": "application/json" },
  body: JSON.stringify(data),
});
const ops = (...list: unknown[]): RequestInit => json({ ops: list });
const text = async (node: Node, path: string): Promise<string> => (await node.call("GET", path)).text();
const header = (response: Response, name: string): string => response.headers.get(name) ?? "";

describe("contexts", () => {
  test("a write with a context replaces what its reader saw and nothing else", async () => {
    const node = makeNode();
    const seen = header(await node.call("PUT", "/v1/kv/b/k", { body: "first" }), "starling-context");
    await node.call("PUT", "/v1/kv/b/k", { body: "second" });
    const response = await node.call("PUT", "/v1/kv/b/k", { headers: { "starling-context": seen }, body: "third" });
    expect(response.status).toBe(204);
    expect(header(response, "starling-conflict")).toMatch(/^c[\w-]{32}$/);
    const { siblings } = await node.json("GET", "/v1/kv/b/k?siblings");
    expect(siblings.map(({ value }: { value: string }) => value).sort()).toEqual(["second", "third"]);
  });

  test("a blind write replaces all that this node shows", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    await eu.call("PUT", "/v1/kv/b/k", { body: "a" });
    await us.call("PUT", "/v1/kv/b/k", { body: "b" });
    exchange(eu, us);
    const response = await eu.call("PUT", "/v1/kv/b/k", { body: "c" });
    expect(response.headers.has("starling-conflict")).toBe(false);
  });

  test("the context of an absent key saw nothing", async () => {
    const node = makeNode();
    const context = header(await node.call("GET", "/v1/kv/b/k"), "starling-context");
    await node.call("PUT", "/v1/kv/b/k", { body: "other" });
    const response = await node.call("PUT", "/v1/kv/b/k", { headers: { "starling-context": context }, body: "mine" });
    expect(response.headers.has("starling-conflict")).toBe(true);
  });

  test("a context works on the other node too", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    const context = header(await eu.call("PUT", "/v1/kv/b/k", { body: "a" }), "starling-context");
    exchange(eu, us);
    const response = await us.call("PUT", "/v1/kv/b/k", { headers: { "starling-context": context }, body: "b" });
    expect(response.headers.has("starling-conflict")).toBe(false);
  });

  test("a write that names a context for a delete leaves what it had not seen", async () => {
    const node = makeNode();
    const seen = header(await node.call("PUT", "/v1/kv/b/k", { body: "a" }), "starling-context");
    await node.call("PUT", "/v1/kv/b/k", { body: "b" });
    expect((await node.call("DELETE", "/v1/kv/b/k", { headers: { "starling-context": seen } })).status).toBe(204);
    expect(await text(node, "/v1/kv/b/k")).toBe("b");
  });

  test("a row with more dots than a token lists gets a context that covers exactly them", async () => {
    const [eu, us] = [makeNode(0, { limits: { rowBytes: 2 ** 22 } }), makeNode(1, { limits: { rowBytes: 2 ** 22 } })];
    // Dots with gaps, so that no runs form: every other element is removed again.
    const elements = Array.from({ length: 1_000 }, (_, i) => `e${i}`);
    await eu.call("POST", "/v1/ops/b/s", ops({ op: "add", elements }));
    await eu.call("POST", "/v1/ops/b/s", ops({ op: "remove", elements: elements.filter((_, i) => i % 2) }));
    const context = header(await eu.call("GET", "/v1/kv/b/s"), "starling-context");
    expect(context.length).toBeGreaterThan(0);
    expect(context.length).toBeLessThan(200); // 500 dots with gaps would take a thousand bytes
    await eu.call("POST", "/v1/ops/b/s", ops({ op: "add", elements: ["unseen"] }));
    await us.call("POST", "/v1/ops/b/s", ops({ op: "add", elements: ["from us"] }));
    exchange(eu, us);
    const response = await us.call("DELETE", "/v1/kv/b/s", { headers: { "starling-context": context } });
    expect(response.status).toBe(204);
    expect(await us.json("GET", "/v1/kv/b/s")).toEqual(["from us", "unseen"]);
  });
});

describe("operations", () => {
  test("counters count, reset, and answer the new value", async () => {
    const node = makeNode();
    const post = (...list: unknown[]): Promise<Response> => node.call("POST", "/v1/ops/b/c", ops(...list));
    expect(await (await post({ op: "increment" })).text()).toBe("1");
    expect(await (await post({ op: "increment", by: 41 })).text()).toBe("42");
    expect(await (await post({ op: "decrement", by: "50" })).text()).toBe("-8");
    expect(await (await post({ op: "reset" })).text()).toBe("0");
    const response = await node.call("GET", "/v1/kv/b/c");
    expect([header(response, "starling-type"), header(response, "content-type")]).toEqual([
      "counter",
      "application/json",
    ]);
  });

  test("a counter beyond 2^53 is text when asked, else 406; a write that makes it answers text", async () => {
    const node = makeNode();
    const big = "9007199254740993";
    expect(await (await node.call("POST", "/v1/ops/b/c", ops({ op: "increment", by: big }))).text()).toBe(`"${big}"`);
    expect(await slugOf(await node.call("GET", "/v1/kv/b/c"))).toBe("integer-too-large");
    expect(await text(node, "/v1/kv/b/c?int=string")).toBe(`"${big}"`);
    await node.call("POST", "/v1/ops/b/c", ops({ op: "decrement", by: 2 }));
    expect(await text(node, "/v1/kv/b/c?int=string")).toBe("9007199254740991");
    await node.call("POST", "/v1/ops/b/m", ops({ op: "update", field: "n", ops: [{ op: "increment", by: big }] }));
    expect((await node.call("GET", "/v1/kv/b/m")).status).toBe(406);
    expect(await text(node, "/v1/kv/b/m?int=string")).toBe(`{"n":"${big}"}`);
  });

  test("flags are true or absent", async () => {
    const node = makeNode();
    expect(await (await node.call("POST", "/v1/ops/b/f", ops({ op: "enable" }))).text()).toBe("true");
    const off = await node.call("POST", "/v1/ops/b/f", ops({ op: "disable" }));
    expect([off.status, await off.text()]).toEqual([204, ""]);
    expect((await node.call("GET", "/v1/kv/b/f")).status).toBe(404);
  });

  test("sets hold text, numbers, booleans and bytes, in one order everywhere", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    await eu.call("POST", "/v1/ops/b/s", ops({ op: "add", elements: ["b", 10, true, { $b64: "AP8=" }, -0] }));
    await us.call("POST", "/v1/ops/b/s", ops({ op: "add", elements: ["a", 2, 0, { $b64: "AP8" }] }));
    exchange(eu, us);
    expect(await eu.json("GET", "/v1/kv/b/s")).toEqual(["a", "b", 0, 10, 2, true, { $b64: "AP8=" }]);
    expect(await text(us, "/v1/kv/b/s")).toBe(await text(eu, "/v1/kv/b/s"));
    const rest = await eu.call("POST", "/v1/ops/b/s", ops({ op: "remove", elements: ["a", "b", 0, 10, 2] }));
    expect(await rest.json()).toEqual([true, { $b64: "AP8=" }]);
    expect((await eu.call("POST", "/v1/ops/b/s", ops({ op: "clear" }))).status).toBe(204);
  });

  test("maps nest, and show registers as JSON, text or bytes", async () => {
    const node = makeNode();
    const response = await node.call(
      "POST",
      "/v1/ops/b/m",
      ops(
        { op: "update", field: "json", ops: [{ op: "assign", value: { a: [1, null] } }] },
        { op: "update", field: "text", ops: [{ op: "assign", value: "é", contentType: "text/plain; charset=utf-8" }] },
        { op: "update", field: "bytes", ops: [{ op: "assign", $b64: "AP8=", contentType: "image/png" }] },
        { op: "update", field: "cart", ops: [{ op: "update", field: "n", ops: [{ op: "increment", by: 2 }] }] },
      ),
    );
    expect(await response.json()).toEqual({
      bytes: { $b64: "AP8=", contentType: "image/png" },
      cart: { n: 2 },
      json: { a: [1, null] },
      text: "é",
    });
    const after = await node.call(
      "POST",
      "/v1/ops/b/m",
      ops({ op: "removeField", field: "bytes" }, { op: "removeField", field: "cart" }),
    );
    expect(Object.keys((await after.json()) as Json)).toEqual(["json", "text"]);
  });

  test("PATCH with ops does what POST /v1/ops does", async () => {
    const node = makeNode();
    const headers = { "content-type": "application/vnd.starling.ops+json" };
    const patched = await node.call("PATCH", "/v1/kv/b/c", { headers, body: '{"ops":[{"op":"increment"}]}' });
    expect([patched.status, await patched.text()]).toEqual([200, "1"]);
  });

  test("all ops of a request are one entry", async () => {
    const node = makeNode();
    await node.call(
      "POST",
      "/v1/ops/b/m",
      ops(...["a", "b", "c"].map((field) => ({ op: "update", field, ops: [{ op: "enable" }] }))),
    );
    expect(node.replica.log.length).toBe(1);
    expect(node.replica.log[0]?.adds.length).toBe(3);
  });

  test("too many siblings are refused, and a blind write settles them", async () => {
    const node = makeNode();
    const context = header(await node.call("GET", "/v1/kv/b/k"), "starling-context");
    const write = (body: string): Promise<Response> =>
      node.call("PUT", "/v1/kv/b/k", { headers: { "starling-context": context }, body });
    for (const body of ["a", "b", "c", "d"]) expect((await write(body)).status).toBe(204);
    expect(await slugOf(await write("e"))).toBe("too-many-siblings");
    expect((await node.call("PUT", "/v1/kv/b/k", { body: "settled" })).status).toBe(204);
  });
});

describe("merge patch (RFC 7386)", () => {
  const patch = (node: Node, key: string, data: unknown): Promise<Response> =>
    node.call("PATCH", `/v1/kv/b/${key}`, {
      headers: { "content-type": "application/merge-patch+json" },
      body: JSON.stringify(data),
    });

  test("on an absent key and on a map, each member is a field", async () => {
    const node = makeNode();
    expect(await (await patch(node, "m", { a: 1, b: { x: 1 } })).json()).toEqual({ a: 1, b: { x: 1 } });
    expect((await node.call("GET", "/v1/kv/b/m")).headers.get("starling-type")).toBe("map");
    expect(await (await patch(node, "m", { a: null, b: { y: 2, x: null }, c: [3] })).json()).toEqual({
      b: { y: 2 },
      c: [3],
    });
  });

  test("two nodes that patch different fields at once keep both", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    await patch(eu, "m", { a: 1, b: 1 });
    exchange(eu, us);
    await patch(eu, "m", { a: 2 });
    await patch(us, "m", { b: 2 });
    exchange(eu, us);
    expect(await us.json("GET", "/v1/kv/b/m")).toEqual({ a: 2, b: 2 });
  });

  // The examples of the RFC's appendix that end in an object.
  test.each([
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: "b", c: null }, { a: "b" }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])("%j patched with %j is %j in a JSON register", async (before, change, after) => {
    const node = makeNode();
    await node.call("PUT", "/v1/kv/b/k", json(before));
    expect(await (await patch(node, "k", change)).json()).toEqual(after);
    expect((await node.call("GET", "/v1/kv/b/k")).headers.get("starling-type")).toBe("register");
  });

  test("two patches at once on one node both hold", async () => {
    const node = makeNode();
    await node.call("PUT", "/v1/kv/b/k", json({}));
    await Promise.all(Array.from({ length: 5 }, (_, i) => patch(node, "k", { [`f${i}`]: i })));
    expect(await node.json("GET", "/v1/kv/b/k")).toEqual({ f0: 0, f1: 1, f2: 2, f3: 3, f4: 4 });
  });
});
