import { createHash } from "node:crypto";
import { MAX_DEPTH, type Row, writeDots } from "../../crdt/index.ts";
import type { Call } from "../../src/http/call.ts";
import { parseTags } from "../../src/http/etag.ts";
import { parseJson } from "../../src/http/json.ts";
import { linesOf } from "../../src/http/lines.ts";
import { mergePatchOps } from "../../src/http/merge-patch.ts";
import { recordFrom } from "../../src/http/records.ts";
import { checkKey, targetOf } from "../../src/http/target.ts";
import { Tokens } from "../../src/http/tokens.ts";
import { concatBytes, equalBytes, isWellFormed, toBase64Url, utf8, Writer } from "../../src/kernel/bytes.ts";
import { makeMac } from "../../src/kernel/mac.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import { row, vector } from "../property/arbitraries.ts";
import { mutateBytes, pick } from "./mutate.ts";
import { claim, MILLION_DOTS_MS, type Target, unlessRefused } from "./target.ts";
import { samples } from "./targets-crdt.ts";
import { mutated, toJsonText, treeOf } from "./tree.ts";

const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash("sha256").update(bytes).digest());
const SALT = new Uint8Array(16).fill(7);
const tokens = new Tokens({ sha256, salt: SALT, clusterId: "c-1" });
const KEY = { bucket: "b", key: "k" };
const PURPOSES = ["context", "session", "cursor"] as const;
const SCOPES = { context: "b\0k", session: "", cursor: "kv b" };
const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

function tokenSeeds(): string[] {
  const vectors = samples(vector, 20);
  return [
    ...samples(row, 30).flatMap((one) => tokens.context(KEY, one) ?? []),
    ...vectors.flatMap((one, i) => tokens.session([{ partition: i, vector: one }]) ?? []),
    tokens.cursor("kv b", []),
    tokens.cursor("kv b", ["b", "some/key"]),
  ];
}

/** What somebody who knows the salt could send: the MAC is right, the body is noise. */
function resealed(rng: Rng): Uint8Array {
  const purpose = pick(rng, PURPOSES);
  const signed = mutateBytes(rng, bodies());
  const mac = makeMac(sha256, sha256(new Writer().raw(SALT).raw(utf8("tokens")).finish()));
  const made = mac((message) => message.text(purpose).text("c-1").text(SCOPES[purpose]).raw(signed));
  return utf8(toBase64Url(concatBytes([signed, made])));
}

let signedBodies: Uint8Array[] | undefined;
function bodies(): Uint8Array[] {
  signedBodies ??= tokenSeeds().map((token) => {
    const bytes = Buffer.from(token, "base64url");
    return new Uint8Array(bytes.subarray(0, bytes.length - 16));
  });
  return signedBodies;
}

function parseToken(input: Uint8Array): boolean {
  const text = latin1(input);
  const context = unlessRefused(() => tokens.openContext(KEY, text));
  const session = unlessRefused(() => tokens.openSession(text));
  const cursor = unlessRefused(() => tokens.openCursor("kv b", text));
  const opened = [context, session, cursor].filter((one) => one !== undefined);
  claim(opened.length <= 1, "is good for more than one purpose");
  if (context && "dots" in context) {
    const out = new Writer();
    writeDots(out, context.dots);
    claim(latin1(Buffer.from(text, "base64url")).includes(latin1(out.finish())), "names other dots than it says");
  }
  if (cursor) claim(tokens.cursor("kv b", cursor) === text, "is another cursor than its parts make");
  return opened.length === 1;
}

const RECORDS: readonly unknown[] = [
  { bucket: "b", key: "k", value: { a: [1, "x", null] } },
  { bucket: "b", key: "k", type: "register", value: "text", contentType: "text/plain" },
  { bucket: "b", key: "k", value: { $b64: "AAECAw==" }, contentType: "image/png" },
  { bucket: "b", key: "k", type: "counter", value: "90071992547409930", conflict: "c1" },
  { bucket: "b", key: "k", type: "flag", value: true },
  { bucket: "b", key: "k", type: "set", value: ["a", 1, true, { $b64: "AA==" }] },
  {
    bucket: "b",
    key: "k",
    type: "map",
    value: { a: 1, in: { type: "map", value: { c: { type: "counter", value: -3 }, s: { type: "set", value: [] } } } },
    siblings: [{ path: ["a"], value: 2 }],
  },
];
const RECORD_TREES = RECORDS.map(treeOf);

function parseRecord(input: Uint8Array): boolean {
  const record = unlessRefused(() => recordFrom(parseJson(input)));
  if (!record) return false;
  claim(/^[a-z0-9._-]{1,64}$/.test(record.bucket), "has a bucket that has no name");
  for (const { path } of [...record.ops, ...record.siblings.flat()]) claim(path.length <= MAX_DEPTH, "is too deep");
  return true;
}

const PATCHES: readonly unknown[] = [
  { a: 1, b: null, c: { d: "x", e: null } },
  { title: "Hello!", author: { familyName: null }, tags: ["example"] },
  [],
];
const PATCH_TREES = PATCHES.map(treeOf);

const STAMP = { hlc: { ms: 1, counter: 0 }, author: "a", suspect: false };
function rowOf(cells: { path: string[]; json: string }[]): Row {
  const made = cells.map(({ path, json }, i) => {
    const dot = { actor: "a@1.00000000" as never, seq: i + 1 };
    const content = { kind: "register" as const, contentType: "application/json", bytes: utf8(json) };
    return [`${dot.actor}:${dot.seq}` as never, { dot, path, content, stamp: STAMP }] as const;
  });
  return { cells: new Map(made), stubs: new Map() };
}
const ROWS: readonly Row[] = [
  rowOf([]),
  rowOf([{ path: [], json: '{"a":{"b":[1]},"__proto__":1}' }]),
  rowOf([
    { path: ["a"], json: "1" },
    { path: ["c", "d"], json: '{"x":{"y":1}}' },
  ]),
];

function parsePatch(input: Uint8Array): boolean {
  const patch = unlessRefused(() => ({ value: parseJson(input) }));
  if (!patch) return false;
  let accepted = false;
  for (const one of ROWS) {
    const ops = unlessRefused(() => mergePatchOps(one, patch.value, ""));
    for (const { path } of ops ?? []) claim(path.length <= MAX_DEPTH, "makes paths that are too deep");
    accepted ||= ops !== undefined;
  }
  claim(Object.getOwnPropertyNames(Object.prototype).length === PROTOTYPE_NAMES, "changes all objects");
  return accepted;
}
const PROTOTYPE_NAMES = Object.getOwnPropertyNames(Object.prototype).length;

const MAX_LINE = 40;

/** The lines as one reads them with all bytes at hand. */
function plainLines(input: Uint8Array): (Uint8Array | null)[] {
  const found: (Uint8Array | null)[] = [];
  let from = 0;
  for (let at = 0; at <= input.length; at++) {
    if (at < input.length && input[at] !== 10) continue;
    const line = input.subarray(from, at);
    const bytes = line.at(-1) === 13 ? line.subarray(0, -1) : line;
    if (line.length > MAX_LINE) found.push(null);
    else if (bytes.length > 0) found.push(bytes);
    from = at + 1;
  }
  return found;
}

async function parseLines(input: Uint8Array): Promise<boolean> {
  const step = 1 + ((input[0] ?? 0) % 50);
  let from = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (from >= input.length) controller.close();
      else controller.enqueue(input.subarray(from, from + step));
      from += step;
    },
  });
  const found: (Uint8Array | null)[] = [];
  for await (const lines of linesOf(body, MAX_LINE)) found.push(...lines.map(({ bytes }) => bytes?.slice() ?? null));
  const wanted = plainLines(input);
  const isSame = (line: Uint8Array | null, i: number): boolean => {
    const other = wanted[i] ?? null;
    return line === null || other === null ? line === other : equalBytes(line, other);
  };
  claim(found.length === wanted.length && found.every(isSame), "is cut into other lines");
  return found.length > 0 && !found.includes(null);
}

const URLS = [
  "/b/k?view=record&limit=5",
  "/b/a%2Fb/c%20d?key=",
  "/b?key64=YWJj",
  "/b/%F0%9F%90%A6?prefix=a+b&x=%00",
  "/",
];

function parseUrl(input: Uint8Array): boolean {
  const [path = "", search = ""] = latin1(input).split("?", 2);
  const call = { path: `/v1/kv${path}`, search } as Call;
  const target = unlessRefused(() => {
    const found = targetOf(call, "/v1/kv");
    if (found.key !== null) checkKey(found.key, 1024);
    return found;
  });
  if (!target) return false;
  claim(target.key === null || (isWellFormed(target.key) && utf8(target.key).length <= 1024), "has a bad key");
  return true;
}

const TAGS = ['"abc"', 'W/"abc", "def-record"', "*", '"",""'];
const NDJSON = ['{"a":1}\n{"b":2}\r\n\n', "x".repeat(41), "\n\r\n", `${"y".repeat(40)}\n{"last":true}`];

export const PIECE_TARGETS: readonly Target[] = [
  {
    name: "http-token",
    seeds: () => tokenSeeds().map(utf8),
    structured: resealed,
    parse: parseToken,
    inputMs: MILLION_DOTS_MS,
  },
  {
    name: "http-record-line",
    seeds: () => RECORDS.map((one) => utf8(JSON.stringify(one))),
    structured: (rng) => utf8(toJsonText(mutated(rng, RECORD_TREES))),
    parse: parseRecord,
  },
  {
    name: "http-merge-patch",
    seeds: () => PATCHES.map((one) => utf8(JSON.stringify(one))),
    structured: (rng) => utf8(toJsonText(mutated(rng, PATCH_TREES))),
    parse: parsePatch,
  },
  { name: "http-lines", seeds: () => NDJSON.map(utf8), parse: parseLines, isAsync: true },
  { name: "http-url", seeds: () => URLS.map(utf8), parse: parseUrl },
  {
    name: "http-etag",
    seeds: () => TAGS.map(utf8),
    parse: (input) => unlessRefused(() => ({ tags: parseTags(latin1(input)) })) !== undefined,
  },
];
