import fc from "fast-check";
import { expect, test } from "vitest";
import { makeNode, type Node } from "./harness.ts";

// Every parser of this API faces a socket: whatever is sent, the answer is a client's error or a success, never a 500.

const PATHS = [
  "/v1/kv",
  "/v1/ops",
  "/v1/explain",
  "/v1/conflicts",
  "/v1/batch",
  "/v1/import",
  "/v1/export",
  "/v1/partitions",
  "/cluster/nodes",
  "/v1/dev/network",
  "/nothing",
];
const TYPES = [
  "application/json",
  "application/x-ndjson",
  "application/vnd.starling.ops+json",
  "application/merge-patch+json",
  "image/png",
  "",
];
const NAMES = [
  "view",
  "siblings",
  "int",
  "key64",
  "r",
  "w",
  "timeoutMs",
  "prefix",
  "limit",
  "cursor",
  "values",
  "bucket",
  "dryRun",
  "for",
];
const HEADERS = [
  "starling-context",
  "starling-session",
  "starling-reason",
  "if-match",
  "if-none-match",
  "content-encoding",
  "content-length",
];
const METHODS = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"];
const OPS = [
  "assign",
  "increment",
  "decrement",
  "reset",
  "enable",
  "disable",
  "add",
  "remove",
  "clear",
  "update",
  "removeField",
  "nonsense",
];

const segment = fc.oneof(
  fc.constantFrom("b", "k", "%", "%00", "%zz", "%ff", "__proto__", "$sys", ".", "resolve", ""),
  fc.string({ maxLength: 8 }).map(encodeURI),
);
const parameter = fc.tuple(
  fc.constantFrom(...NAMES),
  fc.oneof(
    fc.constantFrom("", "1", "-1", "session", "quorum", "AAAA", "%f"),
    fc.string({ maxLength: 6 }).map(encodeURIComponent),
  ),
);
const header = fc.tuple(
  fc.constantFrom(...HEADERS),
  fc.oneof(fc.constantFrom("*", '"a"', "AQEB", "12", "gzip"), fc.stringMatching(/^[!-~]{1,40}$/)),
);
const value = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constant({ $b64: "AA==" }),
  fc.record({ type: fc.constantFrom("counter", "map", "x"), value: fc.jsonValue({ maxDepth: 2 }) }),
);
const op: fc.Arbitrary<object> = fc.letrec((tie) => ({
  op: fc.record(
    {
      op: fc.constantFrom(...OPS),
      by: fc.oneof(fc.integer(), fc.double(), fc.string()),
      value,
      field: fc.string(),
      elements: fc.array(value, { maxLength: 3 }),
      ops: fc.array(tie("op"), { maxLength: 2 }),
    },
    { requiredKeys: ["op"] },
  ),
})).op as fc.Arbitrary<object>;
const item = fc.record(
  {
    action: fc.constantFrom("put", "ops", "delete", "get", "x"),
    bucket: fc.constantFrom("b", "B"),
    key: fc.string({ maxLength: 4 }),
    value,
    ops: fc.array(op, { maxLength: 2 }),
    context: fc.string(),
  },
  { requiredKeys: ["action", "bucket", "key"] },
);
const line = fc.record(
  {
    bucket: fc.constantFrom("b", "$b"),
    key: fc.string({ maxLength: 4 }),
    type: fc.constantFrom("register", "counter", "flag", "set", "map", "x"),
    value,
    siblings: fc.jsonValue({ maxDepth: 2 }),
  },
  { requiredKeys: ["bucket", "key", "value"] },
);
const body = fc.oneof(
  fc.record({ ops: fc.array(op, { maxLength: 3 }) }).map((data) => JSON.stringify(data)),
  fc.record({ items: fc.array(item, { maxLength: 3 }) }).map((data) => JSON.stringify(data)),
  fc.array(line, { maxLength: 4 }).map((lines) => lines.map((one) => JSON.stringify(one)).join("\n")),
  fc.jsonValue().map((data) => JSON.stringify(data)),
  fc.uint8Array({ maxLength: 60, size: "max" }),
);
const JSON_TYPE = "application/json";
/** Mostly what there is, so that the parsers behind it are reached. */
const target = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      ["GET", "/v1/kv/b/k", ""],
      ["PUT", "/v1/kv/b/k", "image/png"],
      ["PATCH", "/v1/kv/b/k", "application/vnd.starling.ops+json"],
      ["PATCH", "/v1/kv/b/k", "application/merge-patch+json"],
      ["DELETE", "/v1/kv/b/k", ""],
      ["GET", "/v1/kv/b", ""],
      ["POST", "/v1/ops/b/k", JSON_TYPE],
      ["POST", "/v1/batch", JSON_TYPE],
      ["POST", "/v1/import", "application/x-ndjson"],
      ["GET", "/v1/export", ""],
      ["GET", "/v1/explain/b/k", ""],
      ["GET", "/v1/conflicts", ""],
      ["PUT", "/v1/dev/network", JSON_TYPE],
    ),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        fc.constantFrom(...METHODS),
        fc.constantFrom(...PATHS),
        fc.array(segment, { maxLength: 3 }),
        fc.constantFrom(...TYPES),
      )
      .map(([method, family, rest, type]) => [method, [family, ...rest].join("/"), type]),
  },
);
const request = fc.record({
  target,
  query: fc.oneof(
    { weight: 3, arbitrary: fc.constant<[string, string][]>([]) },
    { weight: 1, arbitrary: fc.array(parameter, { maxLength: 2 }) },
  ),
  headers: fc.oneof(
    { weight: 3, arbitrary: fc.constant<[string, string][]>([]) },
    { weight: 1, arbitrary: fc.array(header, { maxLength: 2 }) },
  ),
  body,
});

/** Answers with what was sent, where the answer is not one that a client could have asked for. */
async function ask(node: Node, asked: typeof request extends fc.Arbitrary<infer T> ? T : never): Promise<unknown> {
  const search = asked.query.map((pair) => pair.join("=")).join("&");
  const [method = "GET", path = "/", type = ""] = asked.target;
  const init: RequestInit = { headers: { ...Object.fromEntries(asked.headers), "content-type": type } };
  if (method !== "GET" && method !== "HEAD") init.body = asked.body as string;
  const response = await node.call(method, `${path}${search === "" ? "" : `?${search}`}`, init);
  await response.body?.cancel();
  return response.status === 500 ? asked : null;
}

test("nothing that is sent gets a 500", async () => {
  const node = makeNode();
  await fc.assert(
    fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 6 }), async (requests) => {
      for (const asked of requests) expect(await ask(node, asked)).toBeNull();
      expect(node.logged).toEqual([]);
    }),
    { numRuns: 400 },
  );
});
