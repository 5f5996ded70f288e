import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Unavailable } from "../../src/replication/api.ts";
import { exchange, type Json, makeNode, type Node, slugOf, until } from "./harness.ts";

const ndjson = { "content-type": "application/x-ndjson" };
const importLines = (node: Node, lines: readonly unknown[]): Promise<Json> =>
  importText(node, lines.map((line) => JSON.stringify(line)).join("\n"));

async function importText(node: Node, body: string): Promise<Json> {
  return (await node.call("POST", "/v1/import", { headers: ndjson, body })).json();
}

async function exported(node: Node, query = "?bucket=b"): Promise<string[]> {
  const text = await (await node.call("GET", `/v1/export${query}`)).text();
  return text === "" ? [] : text.trimEnd().split("\n");
}

describe("import", () => {
  test("a line of each type becomes a record of that type", async () => {
    const node = makeNode();
    const answer = await importLines(node, [
      { bucket: "b", key: "register", value: { any: ["json", null] } },
      { bucket: "b", key: "text", value: "hello", contentType: "text/plain" },
      { bucket: "b", key: "bytes", value: { $b64: "AP8=", contentType: "image/png" } },
      { bucket: "b", key: "counter", type: "counter", value: -5 },
      { bucket: "b", key: "big", type: "counter", value: "123456789012345678" },
      { bucket: "b", key: "flag", type: "flag", value: true },
      { bucket: "b", key: "set", type: "set", value: ["a", 1, false, { $b64: "AA==" }] },
      {
        bucket: "b",
        key: "map",
        type: "map",
        value: { name: "Zürich", n: { type: "counter", value: 3 }, in: { type: "map", value: { tags: { type: "set", value: ["x"] } } }, o: { type: "a", value: 1, more: 2 } },
      },
    ]);
    expect(answer).toEqual({ written: 8, refused: 0, errors: [] });
    const { items } = await node.json("GET", "/v1/kv/b?values");
    expect(Object.fromEntries(items.map(({ key, type, value }: Json) => [key, [type, value]]))).toEqual({
      big: ["counter", "123456789012345678"],
      bytes: ["register", { $b64: "AP8=", contentType: "image/png" }],
      counter: ["counter", -5],
      flag: ["flag", true],
      map: ["map", { in: { tags: ["x"] }, n: 3, name: "Zürich", o: { type: "a", value: 1, more: 2 } }],
      register: ["register", { any: ["json", null] }],
      set: ["set", ["a", 1, false, { $b64: "AA==" }]],
      text: ["register", "hello"],
    });
  });

  test("a refused line is named with its reason, and the rest goes on", async () => {
    const node = makeNode();
    await node.call("PUT", "/v1/kv/b/text", { body: "x" });
    const lines = [
      '{"bucket":"b","key":"ok","value":1}',
      "not json",
      "",
      '{"bucket":"b","key":"no-value"}',
      '{"bucket":"B!","key":"k","value":1}',
      '{"bucket":"b","key":"k","type":"graph","value":1}',
      '{"bucket":"b","key":"k","value":1,"ttl":5}',
      '{"bucket":"b","key":"text","type":"counter","value":1}',
      '{"bucket":"b","key":"c","type":"counter","value":1.5}',
      '{"bucket":"b","key":"s","type":"set","value":[null]}',
      '{"bucket":"b","key":"f","type":"flag","value":"yes"}',
      '{"bucket":"b","key":"m","type":"map","value":[]}',
      '{"bucket":"b","key":"","value":1}',
      '"just text"',
      `{"bucket":"b","key":"deep","value":${"[".repeat(70)}${"]".repeat(70)}}`,
      '{"bucket":"b","key":"last","value":2}',
    ];
    const { written, refused, errors } = await importText(node, lines.join("\r\n"));
    expect([written, refused]).toEqual([2, 13]);
    expect(errors.map(({ line, slug }: Json) => [line, slug])).toEqual([
      [2, "bad-json"],
      [4, "bad-record"],
      [5, "bad-bucket"],
      [6, "unknown-type"],
      [7, "bad-record"],
      [8, "wrong-type"],
      [9, "bad-integer"],
      [10, "bad-element"],
      [11, "bad-record"],
      [12, "bad-record"],
      [13, "bad-key"],
      [14, "bad-record"],
      [15, "too-deep"],
    ]);
    expect(errors.every(({ detail }: Json) => detail.length > 0)).toBe(true);
  });

  test("of many refused lines the first hundred are named and all are counted", async () => {
    const { written, refused, errors } = await importText(makeNode(), "x\n".repeat(1_000));
    expect([written, refused, errors.length, errors[99].line]).toEqual([0, 1_000, 100, 100]);
  });

  test("the same lines twice give the same values, counters too", async () => {
    const node = makeNode();
    const lines = [
      { bucket: "b", key: "c", type: "counter", value: 5 },
      { bucket: "b", key: "m", type: "map", value: { a: 1 } },
      { bucket: "b", key: "s", type: "set", value: ["x"] },
    ];
    await importLines(node, [...lines, { bucket: "b", key: "m", type: "map", value: { gone: 1 } }, { bucket: "b", key: "s", type: "set", value: ["gone"] }]);
    await importLines(node, lines);
    const { items } = await node.json("GET", "/v1/kv/b?values");
    expect(items.map(({ value }: Json) => value)).toEqual([5, { a: 1 }, ["x"]]);
  });

  test("an import of counters keeps what others counted meanwhile", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    await importLines(eu, [{ bucket: "b", key: "c", type: "counter", value: 5 }]);
    exchange(eu, us);
    await us.json("POST", "/v1/ops/b/c", { ops: [{ op: "increment", by: 100 }] });
    await importLines(eu, [{ bucket: "b", key: "c", type: "counter", value: 7 }]);
    exchange(eu, us);
    expect(await eu.json("GET", "/v1/kv/b/c")).toBe(107);
  });

  test("lines share commits, but a slow disk is not sent everything at once", async () => {
    const node = makeNode();
    const lines = Array.from({ length: 2_000 }, (_, i) => ({ bucket: "b", key: `k${i}`, value: i }));
    expect((await importLines(node, lines)).written).toBe(2_000);
    expect(node.replica.largestBatch).toBeGreaterThan(100);
    expect(node.replica.largestBatch).toBeLessThanOrEqual(256);
  });

  test("pieces cut anywhere, even inside a character, are the same lines", async () => {
    const text = '{"bucket":"b","key":"é","value":"ü"}\n\n{"bucket":"b","key":"z","value":2}\r\n{"bucket":"b","key":"last","value":3}';
    const bytes = new TextEncoder().encode(text);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 12 }), async (cuts) => {
        const node = makeNode();
        const ends = [...cuts.sort((a, b) => a - b), bytes.length];
        const body = new ReadableStream<Uint8Array>({
          start(controller) {
            let from = 0;
            for (const end of ends) {
              controller.enqueue(bytes.slice(from, end));
              from = end;
            }
            controller.close();
          },
        });
        const response = await node.call("POST", "/v1/import", { headers: ndjson, body, duplex: "half" } as RequestInit);
        expect(await response.json()).toEqual({ written: 3, refused: 0, errors: [] });
        expect(await node.json("GET", "/v1/kv/b/é")).toBe("ü");
      }),
      { numRuns: 50 },
    );
  });

  test("memory stays flat: no more is read than the batches in flight hold", async () => {
    const node = makeNode();
    let released: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      released = resolve;
    });
    const { replica } = node;
    const writeAll = replica.writeAll.bind(replica);
    replica.writeAll = async (requests) => {
      await gate;
      return writeAll(requests);
    };
    let sent = 0;
    const line = new TextEncoder().encode('{"bucket":"b","key":"k","value":1}\n');
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          sent += 1;
          if (sent > 5_000) controller.close();
          else controller.enqueue(line);
        },
      },
      { highWaterMark: 0 },
    );
    const importing = node.call("POST", "/v1/import", { headers: ndjson, body, duplex: "half" } as RequestInit);
    let before = -1;
    await until(() => {
      // The reader stands still as soon as it holds what it may.
      const isStill = sent === before;
      before = sent;
      return isStill && sent > 900;
    });
    for (let turns = 0; turns < 1_000; turns++) await Promise.resolve();
    expect(sent).toBeLessThanOrEqual(4 * 256 + 2);
    released();
    expect(((await (await importing).json()) as Json).written).toBe(5_000);
  });

  test("a node that can't write just now is tried again", async () => {
    const node = makeNode();
    node.replica.refusal = new Unavailable("overloaded", "too many writes wait");
    const importing = importLines(node, [{ bucket: "b", key: "k", value: 1 }]);
    await until(() => node.replica.attempts === 1);
    node.advance(100);
    await until(() => node.replica.attempts === 2);
    node.replica.refusal = null;
    node.advance(200);
    expect(await importing).toEqual({ written: 1, refused: 0, errors: [] });
  });

  test("one that can't for long stops the import with 503, which tells what went in before", async () => {
    const node = makeNode();
    node.replica.refusal = new Unavailable("storage-failed", "this node stopped writing");
    const importing = node.call("POST", "/v1/import", { headers: ndjson, body: '{"bucket":"b","key":"k","value":1}' });
    for (let attempt = 1; attempt <= 8; attempt++) {
      await until(() => node.replica.attempts === attempt);
      node.advance(10_000);
    }
    const response = await importing;
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await response.clone().json()).toMatchObject({ written: 0 });
    expect(await slugOf(response)).toBe("import-stopped");
  });
});

describe("export", () => {
  test("all types go out and come in again the same, byte for byte", async () => {
    const node = makeNode();
    await node.call("PUT", "/v1/kv/b/json-with-space", { headers: { "content-type": "application/json" }, body: '{ "a": 1.0,\n"b": 12345678901234567890 }' });
    await node.call("PUT", "/v1/kv/b/html", { headers: { "content-type": "text/html; charset=utf-8" }, body: "<p>é\n</p>" });
    await node.call("PUT", "/v1/kv/b/latin", { headers: { "content-type": "text/plain; charset=latin1" }, body: Uint8Array.of(0xe9) });
    await node.call("PUT", "/v1/kv/b/marked", { headers: { "content-type": "application/json" }, body: '{"$b64":"AA=="}' });
    await node.call("PUT", "/v1/kv/b/broken", { headers: { "content-type": "application/json" }, body: "{" });
    await node.call("PUT", "/v1/kv/b/none", { body: null });
    await node.json("POST", "/v1/ops/b/c", { ops: [{ op: "increment", by: "99999999999999999" }, { op: "decrement", by: 3 }] });
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
    for (const key of ["json-with-space", "html", "latin", "marked", "broken", "none"]) {
      const [one, two] = await Promise.all([node, other].map((at) => at.call("GET", `/v1/kv/b/${key}`)));
      expect(await two?.text()).toBe(await one?.text());
      expect(two?.headers.get("content-type")).toBe(one?.headers.get("content-type"));
    }
  });

  test("any map of JSON values goes out and in again the same", async () => {
    const node = makeNode();
    const other = makeNode(1);
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue({ maxDepth: 3 }), { minKeys: 1, maxKeys: 5 }), async (value) => {
        await node.call("DELETE", "/v1/kv/b/m");
        const ops = Object.entries(value).map(([field, inside]) => ({ op: "update", field, ops: [{ op: "assign", value: inside }] }));
        await node.json("POST", "/v1/ops/b/m", { ops });
        const lines = await exported(node);
        expect((await importText(other, lines.join("\n"))).errors).toEqual([]);
        expect(await exported(other)).toEqual(lines);
        expect(JSON.stringify(await other.json("GET", "/v1/kv/b/m"))).toBe(JSON.stringify(await node.json("GET", "/v1/kv/b/m")));
      }),
      { numRuns: 100 },
    );
  });

  test("values side by side go out in siblings and come in side by side", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    us.nowMs += 1_000;
    for (const node of [eu, us]) {
      await node.call("PUT", "/v1/kv/b/k", { headers: { "content-type": "text/plain" }, body: node.replica.node });
      await node.json("POST", "/v1/ops/b/m", { ops: [{ op: "update", field: "f", ops: [{ op: "assign", value: node.replica.node }] }] });
    }
    exchange(eu, us);
    const lines = await exported(eu);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ key: "k", value: "us-1", siblings: [{ value: "eu-1", contentType: "text/plain" }] });
    expect(JSON.parse(lines[1] ?? "")).toMatchObject({ key: "m", value: { f: "us-1" }, siblings: [{ path: ["f"], value: "eu-1" }] });
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
    await importLines(node, ["a/1", "a/2", "b"].flatMap((key) => [{ bucket: "x", key, value: 1 }, { bucket: "y", key, value: 1 }]));
    expect((await exported(node, "")).length).toBe(6);
    expect((await exported(node, "?bucket=y&prefix=a%2F")).map((line) => JSON.parse(line).key)).toEqual(["a/1", "a/2"]);
    expect(await exported(node, "?bucket=none")).toEqual([]);
  });

  test("pages are read as the client takes them, and no longer once it left", async () => {
    const node = makeNode();
    await importLines(node, Array.from({ length: 1_200 }, (_, i) => ({ bucket: "b", key: `k${i}`, value: i })));
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
    expect(again.results[0].conflict).toMatch(/^[\w-]{32}$/);
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
    const response = await node.call("POST", "/v1/batch", { headers: { "content-type": "application/json" }, body: JSON.stringify({ items }) });
    expect([response.status, response.headers.get("retry-after"), await slugOf(response)]).toEqual([503, "1", "storage-failed"]);
  });
});
