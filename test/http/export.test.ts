import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { exchange, exported, importLines, importText, type Json, makeNode, type Node } from "./harness.ts";

describe("export", () => {
  test("all types go out and come in again the same, byte for byte", async () => {
    const node = makeNode();
    await node.call("PUT", "/v1/kv/b/json-with-space", {
      headers: { "content-type": "application/json" },
      body: '{ "a": 1.0,\n"b": 12345678901234567890 }',
    });
    await node.call("PUT", "/v1/kv/b/html", {
      headers: { "content-type": "text/html; charset=utf-8" },
      body: "<p>é\n</p>",
    });
    await node.call("PUT", "/v1/kv/b/latin", {
      headers: { "content-type": "text/plain; charset=latin1" },
      body: Uint8Array.of(0xe9),
    });
    await node.call("PUT", "/v1/kv/b/marked", {
      headers: { "content-type": "application/json" },
      body: '{"$b64":"AA=="}',
    });
    await node.call("PUT", "/v1/kv/b/broken", { headers: { "content-type": "application/json" }, body: "{" });
    await node.call("PUT", "/v1/kv/b/none", { body: null });
    await node.json("POST", "/v1/ops/b/c", {
      ops: [
        { op: "increment", by: "99999999999999999" },
        { op: "decrement", by: 3 },
      ],
    });
    await node.json("POST", "/v1/ops/b/zero", { ops: [{ op: "increment" }, { op: "decrement" }] });
    await node.json("POST", "/v1/ops/b/f", { ops: [{ op: "enable" }] });
    await node.json("POST", "/v1/ops/b/s", { ops: [{ op: "add", elements: ["", "é", 0.1, true, { $b64: "" }] }] });
    const field = (name: string, ...ops: unknown[]): unknown => ({ op: "update", field: name, ops });
    await node.json("POST", "/v1/ops/b/m", {
      ops: [
        field("typed-looking", { op: "assign", value: { type: "counter", value: 1 } }),
        field("__proto__", { op: "assign", value: null }),
        field("", { op: "enable" }),
        field("png", { op: "assign", $b64: "iVBO", contentType: "image/png" }),
        field("deep", field("er", { op: "increment", by: 2 }), field("set", { op: "add", elements: ["x"] })),
      ],
    });
    const lines = await exported(node);
    const other = makeNode(1);
    expect(await importText(other, lines.join("\n"))).toEqual({ written: lines.length, refused: 0, errors: [] });
    expect(await exported(other)).toEqual(lines);
    for (const key of ["json-with-space", "html", "latin", "marked", "broken", "none", "c", "zero", "f", "s", "m"]) {
      const [one, two] = await Promise.all([node, other].map((at) => at.call("GET", `/v1/kv/b/${key}?int=string`)));
      expect(await two?.text()).toBe(await one?.text());
      expect(two?.headers.get("content-type")).toBe(one?.headers.get("content-type"));
    }
  });

  test("any map of JSON values goes out and in again the same", async () => {
    const node = makeNode();
    const other = makeNode(1);
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue({ maxDepth: 3 }), { minKeys: 1, maxKeys: 5 }),
        async (value) => {
          await node.call("DELETE", "/v1/kv/b/m");
          const ops = Object.entries(value).map(([field, inside]) => ({
            op: "update",
            field,
            ops: [{ op: "assign", value: inside }],
          }));
          await node.json("POST", "/v1/ops/b/m", { ops });
          const lines = await exported(node);
          expect((await importText(other, lines.join("\n"))).errors).toEqual([]);
          expect(await exported(other)).toEqual(lines);
          expect(JSON.stringify(await other.json("GET", "/v1/kv/b/m"))).toBe(
            JSON.stringify(await node.json("GET", "/v1/kv/b/m")),
          );
        },
      ),
      { numRuns: 100 },
    );
  });

  test("values side by side go out in siblings and come in side by side", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    us.nowMs += 1_000;
    for (const node of [eu, us]) {
      await node.call("PUT", "/v1/kv/b/k", { headers: { "content-type": "text/plain" }, body: node.replica.node });
      await node.json("POST", "/v1/ops/b/m", {
        ops: [{ op: "update", field: "f", ops: [{ op: "assign", value: node.replica.node }] }],
      });
    }
    exchange(eu, us);
    const lines = await exported(eu);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      key: "k",
      value: "us-1",
      siblings: [{ value: "eu-1", contentType: "text/plain" }],
    });
    expect(JSON.parse(lines[1] ?? "")).toMatchObject({
      key: "m",
      value: { f: "us-1" },
      siblings: [{ path: ["f"], value: "eu-1" }],
    });
    const third = makeNode(0);
    expect(await importText(third, lines.join("\n"))).toEqual({ written: 2, refused: 0, errors: [] });
    for (const key of ["k", "m"]) {
      const values = async (node: Node): Promise<string[]> =>
        (await node.json("GET", `/v1/kv/b/${key}?siblings`)).siblings.map(({ value }: Json) => value).sort();
      expect(await values(third)).toEqual(await values(eu));
    }
    expect((await third.json("GET", "/v1/conflicts/summary")).open).toBe(2);
  });

  test("without a bucket all go out; a prefix narrows", async () => {
    const node = makeNode();
    await importLines(
      node,
      ["a/1", "a/2", "b"].flatMap((key) => [
        { bucket: "x", key, value: 1 },
        { bucket: "y", key, value: 1 },
      ]),
    );
    expect((await exported(node, "")).length).toBe(6);
    expect((await exported(node, "?bucket=y&prefix=a%2F")).map((line) => JSON.parse(line).key)).toEqual(["a/1", "a/2"]);
    expect(await exported(node, "?bucket=none")).toEqual([]);
  });

  test("pages are read as the client takes them, and no longer once it left", async () => {
    const node = makeNode();
    await importLines(
      node,
      Array.from({ length: 1_200 }, (_, i) => ({ bucket: "b", key: `k${i}`, value: i })),
    );
    let scans = 0;
    const scan = node.replica.scan.bind(node.replica);
    node.replica.scan = (range) => {
      scans += 1;
      return scan(range);
    };
    const { body } = await node.call("GET", "/v1/export?bucket=b");
    const reader = body?.getReader();
    expect(scans).toBe(0);
    await reader?.read();
    expect(scans).toBe(1);
    await reader?.cancel();
    expect(scans).toBe(1);
    expect((await exported(node)).length).toBe(1_200);
  });

  test("HEAD reads nothing", async () => {
    const node = makeNode();
    node.replica.scan = () => Promise.reject(new Error("nobody asked"));
    expect((await node.call("HEAD", "/v1/export?bucket=b")).status).toBe(200);
  });
});
