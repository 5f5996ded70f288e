import { describe, expect, test } from "vitest";
import { makeNode, type Node, slugOf } from "./harness.ts";

// Issue 3, "done" 11: each kind of bad input gets a clear problem+json and changes nothing. One test each, numbered; what
// concerns sockets (slow and half-open requests, garbage on other ports) is tested with them.

const OPS = { headers: { "content-type": "application/json" } };
const opsBody = (ops: unknown): RequestInit => ({ ...OPS, body: JSON.stringify({ ops }) });
const ndjson = (body: string): RequestInit => ({ headers: { "content-type": "application/x-ndjson" }, body });

interface Case {
  readonly name: string;
  readonly call: readonly [method: string, path: string, init?: RequestInit];
  readonly gets: readonly [status: number, slug: string];
  /** Answers that a problem must mention. */
  readonly says?: string;
}

const deepJson = (depth: number): string => `${"[".repeat(depth)}1${"]".repeat(depth)}`;
const deepUpdate = (depth: number): unknown => {
  let op: unknown = { op: "assign", value: 1 };
  for (let i = 0; i < depth; i++) op = { op: "update", field: "f", ops: [op] };
  return op;
};
const bigText = "x".repeat(65_537);
const announced = (bytes: string): RequestInit => ({ headers: { "content-length": bytes }, body: "short" });

const CASES: readonly Case[] = [
  { name: "malformed JSON", call: ["POST", "/v1/ops/b/k", { ...OPS, body: "{ops:1}" }], gets: [400, "bad-json"] },
  {
    name: "JSON that is cut off",
    call: ["POST", "/v1/ops/b/k", { ...OPS, body: '{"ops":[' }],
    gets: [400, "bad-json"],
  },
  {
    name: "JSON that is not UTF-8",
    call: ["POST", "/v1/ops/b/k", { ...OPS, body: Uint8Array.of(0x22, 0xff, 0x22) }],
    gets: [400, "bad-json"],
  },
  {
    name: "an empty body where JSON is due",
    call: ["POST", "/v1/ops/b/k", { ...OPS, body: "" }],
    gets: [400, "bad-json"],
  },
  { name: "JSON of another shape", call: ["POST", "/v1/ops/b/k", { ...OPS, body: "[1]" }], gets: [400, "bad-op"] },
  { name: "an unknown op", call: ["POST", "/v1/ops/b/k", opsBody([{ op: "frobnicate" }])], gets: [400, "unknown-op"] },
  {
    name: "an op with a member it does not have",
    call: ["POST", "/v1/ops/b/k", opsBody([{ op: "increment", bye: 3 }])],
    gets: [400, "bad-op"],
    says: "bye",
  },
  { name: "no ops at all", call: ["POST", "/v1/ops/b/k", opsBody([])], gets: [400, "bad-op"] },
  {
    name: "an increment by a fraction",
    call: ["POST", "/v1/ops/b/k", opsBody([{ op: "increment", by: 0.5 }])],
    gets: [400, "bad-op"],
  },
  {
    name: "an increment beyond what JSON numbers carry",
    call: ["POST", "/v1/ops/b/k", { ...OPS, body: '{"ops":[{"op":"increment","by":9007199254740993}]}' }],
    gets: [400, "bad-op"],
    says: "text",
  },
  {
    name: "an increment beyond 2^63",
    call: ["POST", "/v1/ops/b/k", opsBody([{ op: "increment", by: "1".repeat(25) }])],
    gets: [400, "increment-too-large"],
  },
  { name: "a register's op on a counter", call: ["PUT", "/v1/kv/b/counter", { body: "x" }], gets: [409, "wrong-type"] },
  {
    name: "a counter's op on a register",
    call: ["POST", "/v1/ops/b/text", opsBody([{ op: "increment" }])],
    gets: [409, "wrong-type"],
  },
  { name: "a map's op on a set", call: ["POST", "/v1/ops/b/set", opsBody([deepUpdate(1)])], gets: [409, "wrong-type"] },
  {
    name: "a key over the limit",
    call: ["PUT", `/v1/kv/b/${"k".repeat(1_025)}`, { body: "x" }],
    gets: [400, "key-too-large"],
  },
  {
    name: "a key over the limit in a read",
    call: ["GET", `/v1/kv/b/${"%C3%A9".repeat(513)}`],
    gets: [400, "key-too-large"],
  },
  { name: "a value over the limit", call: ["PUT", "/v1/kv/b/k", { body: bigText }], gets: [413, "value-too-large"] },
  {
    name: "a value announced over the limit",
    call: ["PUT", "/v1/kv/b/k", announced("65537")],
    gets: [413, "value-too-large"],
  },
  {
    name: "an announced length that is no number",
    call: ["PUT", "/v1/kv/b/k", announced("12e3")],
    gets: [400, "bad-content-length"],
  },
  {
    name: "a value over the limit inside ops",
    call: ["POST", "/v1/ops/b/k", opsBody([{ op: "assign", value: bigText }])],
    gets: [413, "value-too-large"],
  },
  {
    name: "a body over the limit",
    call: ["POST", "/v1/ops/b/k", opsBody([{ op: "assign", value: bigText.repeat(5) }])],
    gets: [413, "body-too-large"],
    says: "limits.body_bytes",
  },
  {
    name: "a bad percent-encoding",
    call: ["PUT", "/v1/kv/b/100%zz", { body: "x" }],
    gets: [400, "bad-key"],
    says: "%25",
  },
  { name: "a percent-encoding that is cut off", call: ["GET", "/v1/kv/b/100%4"], gets: [400, "bad-key"] },
  {
    name: "percent-encoded bytes that are not UTF-8",
    call: ["PUT", "/v1/kv/b/%ff%fe", { body: "x" }],
    gets: [400, "bad-key"],
  },
  { name: "an overlong UTF-8 encoding", call: ["PUT", "/v1/kv/b/%c0%af", { body: "x" }], gets: [400, "bad-key"] },
  { name: "a bad percent-encoding in a parameter", call: ["GET", "/v1/kv/b?prefix=%zz"], gets: [400, "bad-parameter"] },
  { name: "an empty key", call: ["PUT", "/v1/kv/b?key64=", { body: "x" }], gets: [400, "bad-key"] },
  {
    name: "a key64 that is not base64url",
    call: ["PUT", "/v1/kv/b?key64=a%2Bb%3D", { body: "x" }],
    gets: [400, "bad-key"],
  },
  { name: "a key given twice", call: ["PUT", "/v1/kv/b/k?key64=aw", { body: "x" }], gets: [400, "bad-key"] },
  { name: "a bucket of other characters", call: ["PUT", "/v1/kv/Bucket/k", { body: "x" }], gets: [400, "bad-bucket"] },
  { name: "a bucket of the system", call: ["PUT", "/v1/kv/$system/k", { body: "x" }], gets: [403, "reserved-bucket"] },
  {
    name: "half a surrogate pair as a field",
    call: [
      "POST",
      "/v1/ops/b/m",
      { ...OPS, body: '{"ops":[{"op":"update","field":"\\ud800","ops":[{"op":"enable"}]}]}' },
    ],
    gets: [400, "bad-field"],
  },
  {
    name: "JSON that nests too deep",
    call: ["POST", "/v1/ops/b/k", { ...OPS, body: deepJson(65) }],
    gets: [400, "too-deep"],
  },
  {
    name: "JSON that nests a hundred thousand deep",
    call: ["POST", "/v1/ops/b/k", { ...OPS, body: `{"ops":${deepJson(100_000)}}` }],
    gets: [400, "too-deep"],
  },
  {
    name: "maps that nest too deep",
    call: ["POST", "/v1/ops/b/m", opsBody([deepUpdate(17)])],
    gets: [400, "too-deep"],
  },
  {
    name: "a field's name over the limit",
    call: ["POST", "/v1/ops/b/m", opsBody([{ op: "removeField", field: "f".repeat(1_025) }])],
    gets: [400, "field-too-large"],
  },
  {
    name: "too many ops",
    call: ["POST", "/v1/ops/b/k", opsBody(Array(201).fill({ op: "increment" }))],
    gets: [413, "too-many-ops"],
  },
  {
    name: "too many ops inside maps",
    call: ["POST", "/v1/ops/b/m", opsBody(Array(101).fill({ op: "update", field: "f", ops: [{ op: "increment" }] }))],
    gets: [413, "too-many-ops"],
  },
  {
    name: "null in a set",
    call: ["POST", "/v1/ops/b/s", opsBody([{ op: "add", elements: [null] }])],
    gets: [400, "bad-element"],
  },
  {
    name: "an array in a set",
    call: ["POST", "/v1/ops/b/s", opsBody([{ op: "add", elements: [[1]] }])],
    gets: [400, "bad-element"],
  },
  {
    name: "an integer in a set that loses digits",
    call: ["POST", "/v1/ops/b/s", { ...OPS, body: '{"ops":[{"op":"add","elements":[9007199254740993]}]}' }],
    gets: [400, "bad-element"],
  },
  {
    name: "bytes that are not base64",
    call: ["POST", "/v1/ops/b/k", opsBody([{ op: "assign", $b64: "a*b" }])],
    gets: [400, "bad-base64"],
  },
  {
    name: "base64 that is cut off",
    call: ["POST", "/v1/ops/b/k", opsBody([{ op: "assign", $b64: "abcde" }])],
    gets: [400, "bad-base64"],
  },
  {
    name: "a value and bytes at once",
    call: ["POST", "/v1/ops/b/k", opsBody([{ op: "assign", value: 1, $b64: "aa" }])],
    gets: [400, "bad-op"],
  },
  {
    name: "a content type that smuggles a header",
    call: [
      "POST",
      "/v1/ops/b/k",
      opsBody([{ op: "assign", $b64: "aa", contentType: "text/plain\r\nSet-Cookie: a=b" }]),
    ],
    gets: [400, "bad-content-type"],
  },
  {
    name: "a content type that is none",
    call: ["PUT", "/v1/kv/b/k", { headers: { "content-type": "nonsense" }, body: "x" }],
    gets: [400, "bad-content-type"],
  },
  { name: "a cursor that nobody made", call: ["GET", "/v1/kv/b?cursor=AAAA"], gets: [400, "bad-cursor"] },
  {
    name: "a cursor of conflicts that nobody made",
    call: ["GET", "/v1/conflicts?cursor=%00"],
    gets: [400, "bad-cursor"],
  },
  { name: "a limit of zero", call: ["GET", "/v1/kv/b?limit=0"], gets: [400, "bad-parameter"] },
  { name: "a limit above 1000", call: ["GET", "/v1/kv/b?limit=1001"], gets: [400, "bad-parameter"] },
  { name: "an unknown parameter", call: ["GET", "/v1/kv/b/text?maxStaleness=2s"], gets: [400, "unknown-parameter"] },
  { name: "a parameter given twice", call: ["GET", "/v1/kv/b?limit=1&limit=2"], gets: [400, "bad-parameter"] },
  {
    name: "an If-Match without quotes",
    call: ["PUT", "/v1/kv/b/k", { headers: { "if-match": "abc" }, body: "x" }],
    gets: [400, "bad-etag"],
  },
  {
    name: "an If-None-Match of many tags",
    call: ["GET", "/v1/kv/b/text", { headers: { "if-none-match": Array(65).fill('"a"').join(",") } }],
    gets: [400, "bad-etag"],
  },
  {
    name: "a wrong method on a key",
    call: ["POST", "/v1/kv/b/k", { ...OPS, body: "1" }],
    gets: [405, "method-not-allowed"],
  },
  { name: "a wrong method on a bucket", call: ["DELETE", "/v1/kv/b?prefix=a"], gets: [405, "method-not-allowed"] },
  { name: "a wrong method elsewhere", call: ["DELETE", "/cluster/status"], gets: [405, "method-not-allowed"] },
  { name: "a method that HTTP does not know", call: ["BREW", "/v1/ops/b/k"], gets: [405, "method-not-allowed"] },
  { name: "a path that is none", call: ["GET", "/v1/nothing"], gets: [404, "not-found"] },
  { name: "a path that looks like a key's", call: ["GET", "/v1/kvb/k"], gets: [404, "not-found"] },
  {
    name: "ops without a content type",
    call: ["POST", "/v1/ops/b/k", { headers: { "content-type": "" }, body: "{}" }],
    gets: [415, "unsupported-type"],
  },
  {
    name: "a patch of an unknown type",
    call: ["PATCH", "/v1/kv/b/text", { ...OPS, body: "{}" }],
    gets: [415, "unsupported-type"],
  },
  {
    name: "a merge patch on a counter",
    call: ["PATCH", "/v1/kv/b/counter", { headers: { "content-type": "application/merge-patch+json" }, body: "{}" }],
    gets: [415, "unsupported-type"],
  },
  {
    name: "a merge patch on a map that is no object",
    call: ["PATCH", "/v1/kv/b/map", { headers: { "content-type": "application/merge-patch+json" }, body: "null" }],
    gets: [400, "bad-patch"],
  },
  {
    name: "a form",
    call: ["POST", "/v1/ops/b/k", { headers: { "content-type": "application/x-www-form-urlencoded" }, body: "a=b" }],
    gets: [415, "unsupported-type"],
  },
  { name: "a plain text POST", call: ["POST", "/cluster/repair", { body: "x" }], gets: [415, "unsupported-type"] },
  {
    name: "a context that nobody made",
    call: ["PUT", "/v1/kv/b/k", { headers: { "starling-context": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB" }, body: "x" }],
    gets: [400, "bad-context"],
  },
  {
    name: "a session that nobody made",
    call: ["GET", "/v1/kv/b/text", { headers: { "starling-session": "!" } }],
    gets: [400, "bad-session"],
  },
  { name: "a level that there is not", call: ["PUT", "/v1/kv/b/k?w=many", { body: "x" }], gets: [400, "bad-level"] },
  {
    name: "a level that is not offered",
    call: ["PUT", "/v1/kv/b/k?w=quorum", { body: "x" }],
    gets: [400, "level-not-offered"],
    says: "w=node",
  },
  {
    name: "a linearizable read",
    call: ["GET", "/v1/kv/b/text?r=linearizable"],
    gets: [400, "level-not-offered"],
    says: "semantics",
  },
  {
    name: "a time-out above 30 s",
    call: ["GET", "/v1/kv/b/text?r=session&timeoutMs=30001"],
    gets: [400, "bad-parameter"],
  },
  {
    name: "a reason over 256 characters",
    call: ["DELETE", "/v1/kv/b/text", { headers: { "starling-reason": "r".repeat(257) } }],
    gets: [400, "reason-too-long"],
  },
  {
    name: "a reason that is not UTF-8",
    call: ["DELETE", "/v1/kv/b/text", { headers: { "starling-reason": "\xff" } }],
    gets: [400, "bad-reason"],
  },
  {
    name: "an idempotency key, as long as it would be ignored",
    call: ["DELETE", "/v1/kv/b/text", { headers: { "idempotency-key": "1" } }],
    gets: [400, "idempotency-not-offered"],
  },
  {
    name: "a batch of unknown actions",
    call: ["POST", "/v1/batch", { ...OPS, body: '{"items":[{"action":"steal","bucket":"b","key":"k"}]}' }],
    gets: [400, "bad-item"],
  },
  {
    name: "a batch of too many items",
    call: [
      "POST",
      "/v1/batch",
      { ...OPS, body: JSON.stringify({ items: Array(51).fill({ action: "delete", bucket: "b", key: "text" }) }) },
    ],
    gets: [413, "too-many-items"],
  },
  {
    name: "an import of another type",
    call: ["POST", "/v1/import", { ...OPS, body: "{}" }],
    gets: [415, "unsupported-type"],
  },
  { name: "a conflict id that is none", call: ["GET", "/v1/conflicts/abc"], gets: [400, "bad-conflict-id"] },
  { name: "a conflict id of no record", call: ["GET", `/v1/conflicts/${"A".repeat(32)}`], gets: [404, "unknown"] },
  {
    name: "a resolution that says nothing",
    call: ["POST", `/v1/conflicts/${"A".repeat(32)}/resolve`, { ...OPS, body: "{}" }],
    gets: [400, "bad-resolve"],
  },
  {
    name: "a merge by policy, not built yet",
    call: ["POST", `/v1/conflicts/${"A".repeat(32)}/resolve`, { ...OPS, body: '{"merge":"policy"}' }],
    gets: [400, "bad-resolve"],
  },
  {
    name: "a cut of an unknown region",
    call: ["PUT", "/v1/dev/network", { ...OPS, body: '{"cut":[["eu","mars"]]}' }],
    gets: [400, "unknown-region"],
  },
  { name: "a node that is none", call: ["GET", "/cluster/nodes/nobody"], gets: [404, "not-found"] },
  { name: "a partition that is none", call: ["GET", "/v1/partitions/64"], gets: [404, "not-found"] },
  { name: "an operation that is none", call: ["GET", "/v1/operations/x"], gets: [404, "not-found"] },
];

async function nodeWithRecords(): Promise<Node> {
  const node = makeNode();
  await node.call("PUT", "/v1/kv/b/text", { body: "hello" });
  await node.call("POST", "/v1/ops/b/counter", opsBody([{ op: "increment" }]));
  await node.call("POST", "/v1/ops/b/set", opsBody([{ op: "add", elements: ["a"] }]));
  await node.call("POST", "/v1/ops/b/map", opsBody([deepUpdate(1)]));
  return node;
}

describe("bad input gets a problem and changes nothing", () => {
  test.each(CASES.map((one, i) => [i + 1, one.name, one] as const))("%i. %s", async (_, __, { call, gets, says }) => {
    const node = await nodeWithRecords();
    const entries = node.replica.log.length;
    const [method, path, init] = call;
    const response = await node.call(method, path, init);
    const text = await response.clone().text();
    expect([response.status, await slugOf(response)]).toEqual(gets);
    expect(node.replica.log.length).toBe(entries);
    expect(text).toContain(says ?? "detail");
    expect(node.logged).toEqual([]);
  });

  test("there are at least 30 kinds", () => expect(new Set(CASES.map(({ name }) => name)).size).toBeGreaterThan(60));
});

describe("what is refused is refused before it is held", () => {
  /** A body that counts how much of it was taken. */
  function countedBody(chunkBytes: number): {
    body: ReadableStream<Uint8Array>;
    taken: () => number;
    isCancelled: () => boolean;
  } {
    let taken = 0;
    let isCancelled = false;
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          taken += chunkBytes;
          controller.enqueue(new Uint8Array(chunkBytes).fill(120));
        },
        cancel() {
          isCancelled = true;
        },
      },
      { highWaterMark: 0 },
    );
    return { body, taken: () => taken, isCancelled: () => isCancelled };
  }
  const streamed = (body: ReadableStream, type = "text/plain"): RequestInit =>
    ({ body, duplex: "half", headers: { "content-type": type } }) as RequestInit;

  test("an endless value is dropped at the limit", async () => {
    const node = makeNode();
    const { body, taken, isCancelled } = countedBody(4_096);
    const response = await node.call("PUT", "/v1/kv/b/k", streamed(body));
    expect(await slugOf(response)).toBe("value-too-large");
    expect(taken()).toBeLessThanOrEqual(65_536 + 2 * 4_096);
    expect(isCancelled()).toBe(true);
  });

  test("a value that announces too much is not read at all", async () => {
    const node = makeNode();
    const { body, taken } = countedBody(4_096);
    const init = streamed(body);
    const response = await node.call("PUT", "/v1/kv/b/k", { ...init, headers: { "content-length": "1000000" } });
    expect(await slugOf(response)).toBe("value-too-large");
    expect(taken()).toBe(0);
  });

  test("a line of an import without end is dropped as it comes, and the rest goes on", async () => {
    const node = makeNode();
    const good = '{"bucket":"b","key":"k","value":1}';
    const response = await node.call(
      "POST",
      "/v1/import",
      ndjson(`${good}\n${"x".repeat(200_000)}\n${good.replace('"k"', '"l"')}`),
    );
    expect(await response.json()).toMatchObject({
      written: 2,
      refused: 1,
      errors: [{ line: 2, slug: "line-too-large" }],
    });
  });

  test("a body that breaks off is its sender's failure", async () => {
    const node = makeNode();
    const body = new ReadableStream({ pull: (controller) => controller.error(new Error("reset")) });
    expect(await slugOf(await node.call("PUT", "/v1/kv/b/k", streamed(body)))).toBe("body-incomplete");
  });
});

describe("where a browser could be used against a node", () => {
  const from = (headers: Record<string, string>): RequestInit => ({ headers });

  test("a foreign Host is refused on a loopback listener (DNS rebinding)", async () => {
    const node = makeNode();
    expect(await slugOf(await node.call("GET", "/v1/kv", from({ host: "evil.example" })))).toBe("foreign-host");
    expect(await slugOf(await node.call("GET", "/v1/kv", from({ host: "127.0.0.1.evil.example:7001" })))).toBe(
      "foreign-host",
    );
    for (const host of ["127.0.0.1:7001", "localhost", "[::1]:7001", "LOCALHOST:7001", "127.0.0.2"])
      expect((await node.call("GET", "/v1/kv", from({ host }))).status).toBe(200);
  });

  test("a foreign Origin is refused, an opaque one too", async () => {
    const node = makeNode();
    for (const origin of ["https://evil.example", "null", "http://localhost:8080"])
      expect(
        await slugOf(await node.call("PUT", "/v1/kv/b/k", { ...from({ origin, host: "localhost:7001" }), body: "x" })),
      ).toBe("foreign-origin");
    expect(
      (await node.call("GET", "/v1/kv", from({ origin: "http://localhost:7001", host: "localhost:7001" }))).status,
    ).toBe(200);
  });

  test("off loopback, names are not ours to know", async () => {
    const node = makeNode(0, {
      config: { client: { bind: { host: "0.0.0.0", port: 7001 }, advertise: { host: "db.example", port: 7001 } } },
    });
    expect((await node.call("GET", "/v1/kv", from({ host: "db.example" }))).status).toBe(200);
  });

  test.each([
    "text/html",
    "image/svg+xml",
    "application/xhtml+xml",
    "text/xml",
    "application/pdf",
    "text/javascript",
    "application/x-unheard-of",
  ])("a stored %s is a download, never a page", async (type) => {
    const node = makeNode();
    await node.call("PUT", "/v1/kv/b/page", { headers: { "content-type": type }, body: "<script>alert(1)</script>" });
    const { headers } = await node.call("GET", "/v1/kv/b/page");
    expect(headers.get("content-disposition")).toBe("attachment");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("content-security-policy")).toBe("sandbox");
  });
});

describe("names are just names", () => {
  const odd = [
    "%00",
    "a%00b",
    "__proto__",
    "constructor",
    "%0d%0aSet-Cookie:a",
    "%EF%BF%BF",
    "a%2Fb%2F%2F",
    "%25",
    "%F0%9F%90%A6",
    "*",
    "key64",
  ];
  test.each(odd)("%s is a key like any other", async (key) => {
    const node = makeNode();
    expect((await node.call("PUT", `/v1/kv/b/${key}`, { body: "v" })).status).toBe(204);
    expect(await (await node.call("GET", `/v1/kv/b/${key}`)).text()).toBe("v");
    const listing = await node.json("GET", "/v1/kv/b");
    expect(listing.items.map((item: { key: string }) => item.key)).toEqual([decodeURIComponent(key)]);
  });

  test("__proto__ as field, element and member is data and touches no prototype", async () => {
    const node = makeNode();
    const value = JSON.parse('{"__proto__":{"polluted":true}}');
    await node.call(
      "POST",
      "/v1/ops/b/m",
      opsBody([
        { op: "update", field: "__proto__", ops: [{ op: "assign", value }] },
        { op: "update", field: "constructor", ops: [{ op: "add", elements: ["__proto__"] }] },
      ]),
    );
    expect(await (await node.call("GET", "/v1/kv/b/m")).text()).toBe(
      '{"__proto__":{"__proto__":{"polluted":true}},"constructor":["__proto__"]}',
    );
    const patch = {
      headers: { "content-type": "application/merge-patch+json" },
      body: '{"__proto__":{"__proto__":1}}',
    };
    expect(await (await node.call("PATCH", "/v1/kv/b/m", patch)).text()).toContain('{"__proto__":{"__proto__":1},');
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test("dot segments and other keys that URLs change travel as key64", async () => {
    const node = makeNode();
    for (const key of ["..", "a/../b", ".", "a//b/."]) {
      const path = `/v1/kv/b?key64=${Buffer.from(key).toString("base64url")}`;
      expect((await node.call("PUT", path, { body: key })).status).toBe(204);
      expect(await (await node.call("GET", path)).text()).toBe(key);
    }
  });
});

test("what breaks inside is a 500 that tells only where to look, and is logged", async () => {
  const node = makeNode();
  node.replica.refusal = new Error("secret path /var/lib/x");
  const response = await node.call("PUT", "/v1/kv/b/k", { body: "x" });
  const text = await response.clone().text();
  expect(await slugOf(response)).toBe("internal");
  expect(text).not.toContain("secret");
  expect(node.logged).toMatchObject([
    { level: "error", event: "http.failed", fields: { request: response.headers.get("starling-request-id") } },
  ]);
});

test("405 names the methods that there are", async () => {
  const node = makeNode();
  expect((await node.call("POST", "/v1/kv/b/k", OPS)).headers.get("allow")).toBe("GET, HEAD, PUT, PATCH, DELETE");
  expect((await node.call("PUT", "/v1/kv/b", { body: "x" })).headers.get("allow")).toBe("GET, HEAD");
  expect((await node.call("DELETE", "/cluster/repair")).headers.get("allow")).toBe("POST, GET, HEAD");
});

test("415 on a patch says what is accepted", async () => {
  const node = makeNode();
  await node.call("PUT", "/v1/kv/b/k", { body: "x" });
  const accepted = "application/vnd.starling.ops+json, application/merge-patch+json";
  expect((await node.call("PATCH", "/v1/kv/b/k", { ...OPS, body: "{}" })).headers.get("accept-patch")).toBe(accepted);
});

test("the dev network is not there outside dev mode", async () => {
  const node = makeNode(0, { config: { dev: false } });
  expect(await slugOf(await node.call("GET", "/v1/dev/network"))).toBe("not-found");
  expect(await slugOf(await node.call("PUT", "/v1/dev/network", { ...OPS, body: "{}" }))).toBe("not-found");
});
