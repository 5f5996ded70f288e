import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Unavailable } from "../../src/replication/api.ts";
import { exchange, importLines, importText, type Json, makeNode, slugOf, until } from "./harness.ts";

const ndjson = { "content-type": "application/x-ndjson" };

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
        value: {
          name: "Zürich",
          n: { type: "counter", value: 3 },
          in: { type: "map", value: { tags: { type: "set", value: ["x"] } } },
          o: { type: "a", value: 1, more: 2 },
        },
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
    await importLines(node, [
      ...lines,
      { bucket: "b", key: "m", type: "map", value: { gone: 1 } },
      { bucket: "b", key: "s", type: "set", value: ["gone"] },
    ]);
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
    const text =
      '{"bucket":"b","key":"é","value":"ü"}\n\n{"bucket":"b","key":"z","value":2}\r\n{"bucket":"b","key":"last","value":3}';
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
        const response = await node.call("POST", "/v1/import", {
          headers: ndjson,
          body,
          duplex: "half",
        } as RequestInit);
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
      return isStill && sent > 600;
    });
    for (let turns = 0; turns < 1_000; turns++) await Promise.resolve();
    expect(sent).toBeLessThanOrEqual(3 * 256 + 2);
    released();
    expect(((await (await importing).json()) as Json).written).toBe(5_000);
  });

  test("a node that can't write just now is tried again", async () => {
    const node = makeNode();
    node.replica.refusal = new Unavailable("overloaded", "too many writes wait");
    const importing = importLines(node, [{ bucket: "b", key: "k", value: 1 }]);
    await until(() => node.timers === 1);
    node.advance(100);
    await until(() => node.timers === 1);
    node.replica.refusal = null;
    node.advance(200);
    expect(await importing).toEqual({ written: 1, refused: 0, errors: [] });
  });

  test("one that can't for long stops the import with 503, which tells what went in before", async () => {
    const node = makeNode();
    node.replica.refusal = new Unavailable("storage-failed", "this node stopped writing");
    const importing = node.call("POST", "/v1/import", { headers: ndjson, body: '{"bucket":"b","key":"k","value":1}' });
    for (let attempt = 1; attempt <= 7; attempt++) {
      await until(() => node.timers === 1);
      node.advance(10_000);
    }
    const response = await importing;
    expect(node.replica.attempts).toBe(8);
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await response.clone().json()).toMatchObject({ written: 0 });
    expect(await slugOf(response)).toBe("import-stopped");
  });
});
