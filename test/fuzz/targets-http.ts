import { makeApp } from "../../src/http/app.ts";
import { concatBytes, utf8 } from "../../src/kernel/bytes.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import { makeRealWorld } from "../../src/world/real.ts";
import { type Json, makeNode, type Node, slugOf } from "../http/harness.ts";
import { pick } from "./mutate.ts";
import { claim, type Target } from "./target.ts";
import { mutated, type Tree, toJsonText, treeOf } from "./tree.ts";

// An input is a request as one would type it: a line with method and path, headers, an empty line, the body.

const OPS = "application/vnd.starling.ops+json";
const MERGE = "application/merge-patch+json";
const JSON_TYPE = "application/json";
const HUGE = "170141183460469231731687303715884105727";

function ask(line: string, headers: Readonly<Record<string, string>>, body: string | Uint8Array = ""): Uint8Array {
  const head = [line, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`), "", ""].join("\n");
  return concatBytes([Buffer.from(head, "latin1"), typeof body === "string" ? utf8(body) : body]);
}

const OP_LISTS: readonly unknown[] = [
  { ops: [{ op: "increment", by: 3 }, { op: "decrement", by: HUGE }, { op: "reset" }] },
  {
    ops: [
      { op: "increment", by: HUGE },
      { op: "increment", by: HUGE },
      { op: "increment", by: HUGE },
    ],
  },
  { ops: [{ op: "assign", value: { $b64: "AAEC" }, contentType: "image/png" }] },
  {
    ops: [
      { op: "add", elements: ["a", 1, true, { $b64: "AA==" }] },
      { op: "remove", elements: ["a"] },
    ],
  },
  { ops: [{ op: "enable" }, { op: "disable" }, { op: "clear" }] },
  {
    ops: [
      { op: "update", field: "in", ops: [{ op: "update", field: "__proto__", ops: [{ op: "increment" }] }] },
      { op: "removeField", field: "out" },
    ],
  },
];
const PATCHES: readonly unknown[] = [
  { a: 1, b: { c: null } },
  { __proto: { x: [1, 2] }, "": null },
];
const BATCHES: readonly unknown[] = [
  {
    items: [
      { action: "put", bucket: "b", key: "k1", value: { a: 1 }, reason: "why" },
      { action: "ops", bucket: "b", key: "k2", ops: [{ op: "increment", by: 2 }] },
      { action: "delete", bucket: "b", key: "k1", ifMatch: "*" },
      { action: "get", bucket: "b", key: "k2" },
    ],
  },
  { items: [{ action: "put", bucket: "b", key: "k", value: "x", contentType: "text/plain", context: "AQEB" }] },
];
const LINES: readonly unknown[] = [
  { bucket: "b", key: "k1", value: { a: [1, null] } },
  { bucket: "b", key: "k2", type: "counter", value: "-90071992547409930" },
  { bucket: "b", key: "k3", type: "set", value: ["a", 1, true, { $b64: "AA==" }] },
  { bucket: "b", key: "k4", type: "map", value: { a: 1, c: { type: "counter", value: 2 } }, siblings: [] },
  { bucket: "b", key: "k5", value: 1, siblings: [{ value: 2 }, { value: { $b64: "AA==" }, contentType: "a/b" }] },
  { bucket: "b", key: "k6", type: "flag", value: true },
];

/** Keys, so that requests meet records of each type. */
const KEYS = ["k", "k1", "k2", "k3", "k4", "k5", "a%2Fb", "%F0%9F%90%A6", "%00", "k?key64="];
const keyOf = (rng: Rng): string => (rng.below(4) === 0 ? pick(rng, KEYS) : `n${rng.below(40)}`);
const QUERIES = [
  "",
  "?w=node&timeoutMs=5",
  "?view=record",
  "?siblings=true&int=text",
  "?r=session&timeoutMs=1",
  "?limit=1&prefix=k&values=true",
  "?cursor=AAAA",
  "?key64=aw",
];
const TAG = '"0123456789abcdef0123456789abcdef"';
const HEADERS: readonly (readonly [string, readonly string[]])[] = [
  ["if-match", ["*", TAG, `W/${TAG}, "x-record"`, "abc"]],
  ["if-none-match", ["*", TAG]],
  ["starling-context", ["AQEBAA", "@context"]],
  ["starling-session", ["AQEBAA", "@session"]],
  ["starling-reason", ["because", "\xff", "%F0%9F"]],
  ["content-type", [JSON_TYPE, OPS, MERGE, "text/plain; charset=latin1", "a/b;;;", "x"]],
  ["content-encoding", ["gzip", "identity"]],
  ["content-length", ["0", "12", "99999999999999999999", "-1"]],
  ["accept", ["application/json", "*/*;q=0", "text/event-stream"]],
  ["origin", ["http://localhost", "null", "//"]],
];

function headersOf(rng: Rng, base: Readonly<Record<string, string>>): Record<string, string> {
  const headers: Record<string, string> = { ...base };
  while (rng.below(4) === 0) {
    const [name, values] = pick(rng, HEADERS);
    headers[name] = pick(rng, values);
  }
  return headers;
}

/** A target whose lines are of these methods and families, with bodies of these trees. */
function http(name: string, lines: readonly string[], type: string, bodies: readonly unknown[]): Target {
  const texts = bodies.map((body) => JSON.stringify(body));
  const trees = bodies.map(treeOf);
  const bodyOf = (rng: Rng): string => (trees.length === 0 ? "" : toJsonText(changed(rng, trees)));
  return {
    name,
    isAsync: true,
    inputsInTest: 2_000,
    seeds: () => [
      ...lines.flatMap((line) =>
        KEYS.slice(0, 3).map((key) => ask(line.replace("KEY", key), { "content-type": type })),
      ),
      ...texts.map((text) => ask((lines[0] ?? "").replace("KEY", "k"), { "content-type": type }, text)),
    ],
    structured: (rng) => {
      const line = pick(rng, lines).replace("KEY", keyOf(rng)) + (rng.below(3) === 0 ? pick(rng, QUERIES) : "");
      return ask(line, headersOf(rng, type === "" ? {} : { "content-type": type }), bodyOf(rng));
    },
    parse: parseRequest,
    reset: () => {
      current = null;
    },
  };
}

/** Now and then unchanged, so that later ones meet records. */
function changed(rng: Rng, trees: readonly Tree[]): Tree {
  return rng.below(4) === 0 ? pick(rng, trees) : mutated(rng, trees);
}

/** A node is used for as many requests: a fresh one has no records, an old one slows down. */
const REQUESTS_PER_NODE = 200;
let current: { node: Node; app: ReturnType<typeof makeApp>; left: number; session: string; context: string } | null =
  null;

async function nodeForNext(): Promise<NonNullable<typeof current>> {
  if (current && current.left > 0) {
    current.left -= 1;
    return current;
  }
  const before = current;
  current = null;
  if (before) await checkExport(before.node);
  const node = makeNode();
  const headers = { "content-type": "application/x-ndjson" };
  await node.call("POST", "/v1/import", { headers, body: LINES.map((line) => JSON.stringify(line)).join("\n") });
  const seen = (await node.call("GET", "/v1/kv/b/k1")).headers;
  const context = seen.get("starling-context") ?? "";
  current = {
    node,
    app: makeApp(node.deps),
    left: REQUESTS_PER_NODE,
    session: seen.get("starling-session") ?? "",
    context,
  };
  return current;
}

/** Whatever got in comes out as lines that another node takes. */
async function checkExport(node: Node): Promise<void> {
  const response = await node.call("GET", "/v1/export");
  claim(response.status === 200, "is there, and then export fails");
  const text = await response.text();
  // A value within its limit is longer as a line of JSON.
  const roomy = makeNode(0, { limits: { lineBytes: 2 ** 24 } });
  const headers = { "content-type": "application/x-ndjson" };
  const answer: Json = await (await roomy.call("POST", "/v1/import", { headers, body: text })).json();
  claim(answer.refused === 0, `is exported as a line that import refuses: ${JSON.stringify(answer.errors)}`);
}

function requestFrom(input: Uint8Array, tokens: { session: string; context: string }): Request | null {
  const text = Buffer.from(input).toString("latin1");
  const end = text.indexOf("\n\n");
  const [line = "", ...headerLines] = (end < 0 ? text : text.slice(0, end)).split("\n");
  const [method = "", path = "/"] = line.split(" ", 2);
  const hasBody = method !== "GET" && method !== "HEAD" && end >= 0;
  try {
    const headers = new Headers();
    for (const one of headerLines) {
      const colon = one.indexOf(":");
      const value = one.slice(colon + 1).trim();
      headers.set(one.slice(0, colon), value.replace("@session", tokens.session).replace("@context", tokens.context));
    }
    const body = hasBody ? input.slice(end + 2) : null;
    return new Request(`http://localhost/${path.replace(/^\//, "")}`, { method, headers, body });
  } catch {
    return null; // no HTTP server would hand it on
  }
}

async function parseRequest(input: Uint8Array): Promise<boolean> {
  const { node, app, ...tokens } = await nodeForNext();
  const request = requestFrom(input, tokens);
  if (!request) return false;
  const response = await answered(node, app.fetch(request));
  const errors = node.logged.filter(({ level }) => level === "error");
  claim(errors.length === 0, `makes the node log an error: ${JSON.stringify(errors[0]?.fields)}`);
  claim(response.status !== 500, "gets a 500");
  if (response.headers.get("content-type")?.startsWith("text/event-stream") === true) {
    await response.body?.cancel();
    return true;
  }
  if (response.status < 400 || request.method === "HEAD") {
    await response.arrayBuffer();
    return response.status < 400;
  }
  await slugOf(response);
  return false;
}

const { timers } = makeRealWorld({ log: makeNode().world.log });

/** The answer; the node's time passes when nothing else can bring it about. */
async function answered(node: Node, answer: Promise<Response>): Promise<Response> {
  let done = false;
  const end = (): void => {
    done = true;
  };
  answer.then(end, end);
  for (let turns = 0; turns < 200 && !done; turns++) {
    await Promise.resolve();
    if (turns % 50 === 49) await new Promise<void>((resolve) => timers.soon(resolve));
  }
  for (let minutes = 0; minutes < 60 && !done; minutes++) {
    node.advance(60_000);
    await new Promise<void>((resolve) => timers.soon(resolve));
  }
  claim(done, "is not answered within an hour");
  return answer;
}

export const HTTP_TARGETS: readonly Target[] = [
  http("http-put", ["PUT /v1/kv/b/KEY", "DELETE /v1/kv/b/KEY"], "application/json", [1, { a: 1 }]),
  http("http-patch-ops", ["PATCH /v1/kv/b/KEY", "POST /v1/ops/b/KEY"], OPS, OP_LISTS),
  http("http-ops", ["POST /v1/ops/b/KEY"], JSON_TYPE, OP_LISTS),
  http("http-patch-merge", ["PATCH /v1/kv/b/KEY"], MERGE, PATCHES),
  http("http-batch", ["POST /v1/batch"], JSON_TYPE, BATCHES),
  http("http-import", ["POST /v1/import"], "application/x-ndjson", LINES),
  http(
    "http-read",
    [
      "GET /v1/kv/b/KEY",
      "HEAD /v1/kv/b/KEY",
      "GET /v1/kv/b",
      "GET /v1/kv",
      "GET /v1/export",
      "GET /v1/explain/b/KEY",
      "GET /v1/conflicts",
      "GET /v1/partitions/5",
      "GET /cluster/nodes/eu-1",
      "OPTIONS /v1/kv/b/KEY",
      "TRACE /",
    ],
    "",
    [],
  ),
  http(
    "http-operate",
    [`POST /v1/conflicts/c${"A".repeat(32)}/resolve`, "PUT /v1/dev/network", "POST /cluster/repair"],
    JSON_TYPE,
    [
      { value: { a: 1 }, contentType: JSON_TYPE },
      { keep: "d", reason: "why" },
      { cut: [["eu", "us"]], delayMs: { "eu|us": 10 }, lossPercent: 5 },
    ],
  ),
];
