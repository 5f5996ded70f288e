/** One kind of bad input, and the problem that it gets. */
export interface Case {
  readonly name: string;
  readonly call: readonly [method: string, path: string, init?: RequestInit];
  readonly gets: readonly [status: number, slug: string];
  /** What the answer must mention. */
  readonly says?: string;
}

export const OPS = { headers: { "content-type": "application/json" } };
export const opsBody = (ops: unknown): RequestInit => ({ ...OPS, body: JSON.stringify({ ops }) });

export function deepUpdate(depth: number): unknown {
  let op: unknown = { op: "assign", value: 1 };
  for (let i = 0; i < depth; i++) op = { op: "update", field: "f", ops: [op] };
  return op;
}

const deepJson = (depth: number): string => `${"[".repeat(depth)}1${"]".repeat(depth)}`;
const bigText = "x".repeat(65_537);
const announced = (bytes: string): RequestInit => ({ headers: { "content-length": bytes }, body: "short" });

/** What keys, values, operations and elements may not be. */
export const BAD_DATA: readonly Case[] = [
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
    name: "a compressed body",
    call: ["PUT", "/v1/kv/b/k", { headers: { "content-encoding": "gzip" }, body: "x" }],
    gets: [415, "unsupported-encoding"],
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
];
