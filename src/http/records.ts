import type { Op, SlotOp } from "../../crdt/index.ts";
import { encodeElement, MAX_ADDS } from "../../crdt/index.ts";
import type { Conflict } from "../conflicts/conflict.ts";
import type { Shown } from "../conflicts/projection.ts";
import { InputError } from "../kernel/assert.ts";
import type { RowKey } from "../storage/store.ts";
import type { Facts } from "./facts.ts";
import { isObject, type JsonObject, member, RawJson, toJson, type View } from "./json.ts";
import { deeper } from "./ops.ts";
import { checkBucket } from "./target.ts";
import { type Content, contentFrom, elementFrom, elementView, exactValue, integerFrom } from "./values.ts";

// The lines of import and export (api.md):
//   {"bucket","key","type"?,"value","contentType"?,"siblings"?,"conflict"?}
// `type` is register by default. A counter's value is a number (beyond 2^53 as text), a flag's true or false, a set's an
// array, a map's an object of fields: each a register, unless it is {"type","value","contentType"?}. Concurrent values
// of registers stand in `siblings` as {"path"?,"value","contentType"?}; an import writes them side by side again.
// `conflict` marks a record for readers; an import passes over it. After an import the record reads as its line says.

const LINE_MEMBERS = new Set(["bucket", "key", "type", "value", "contentType", "siblings", "conflict"]);
const TYPES = ["register", "counter", "flag", "set", "map"] as const;
type TypeName = (typeof TYPES)[number];

export interface ImportedRecord extends RowKey {
  readonly ops: readonly Op[];
  /** Further values that stand beside what `ops` writes: written as by someone who had seen nothing. */
  readonly siblings: readonly (readonly Op[])[];
}

/** Throws InputError. Sizes are for admission. */
export function recordFrom(line: unknown): ImportedRecord {
  if (!isObject(line)) throw new InputError("bad-record", 'a line is an object: {"bucket", "key", "type", "value"}');
  for (const name of Object.keys(line))
    if (!LINE_MEMBERS.has(name))
      throw new InputError("bad-record", `a record has no member ${JSON.stringify(name.slice(0, 80))}`);
  const bucket = member(line, "bucket");
  const key = member(line, "key");
  if (typeof bucket !== "string" || typeof key !== "string")
    throw new InputError("bad-record", "a record names its bucket and key as text");
  const ops: Op[] = [];
  writeTyped(line, [], ops);
  return { bucket: checkBucket(bucket), key, ops, siblings: siblingsFrom(member(line, "siblings")) };
}

function typeOf(line: JsonObject): TypeName {
  const type = member(line, "type") ?? "register";
  const known = TYPES.find((name) => name === type);
  if (!known) throw new InputError("unknown-type", `type must be one of ${TYPES.join(", ")}`);
  return known;
}

function writeTyped(line: JsonObject, path: readonly string[], ops: Op[]): void {
  const type = typeOf(line);
  const value = member(line, "value");
  if (value === undefined) throw new InputError("bad-record", "a record has a value");
  switch (type) {
    case "register":
      ops.push({ path, slot: assign(contentFrom(value, contentTypeOf(line))) });
      return;
    case "counter":
      ops.push({ path, slot: { op: "reset" } });
      ops.push({ path, slot: { op: "increment", by: integerFrom(value, "a counter's value") } });
      return;
    case "flag":
      if (typeof value !== "boolean") throw new InputError("bad-record", "a flag's value is true or false");
      ops.push({ path, slot: { op: value ? "enable" : "disable" } });
      return;
    case "set":
      writeSet(value, path, ops);
      return;
    case "map":
      writeMap(value, path, ops);
      return;
  }
}

function assign({ contentType, bytes }: Content): SlotOp {
  return { op: "assign", contentType, bytes };
}

function contentTypeOf(line: JsonObject): string | undefined {
  const contentType = member(line, "contentType");
  if (contentType === undefined || typeof contentType === "string") return contentType;
  throw new InputError("bad-content-type", "contentType must be text");
}

function writeSet(value: unknown, path: readonly string[], ops: Op[]): void {
  if (!Array.isArray(value) || value.length > MAX_ADDS)
    throw new InputError("bad-record", `a set's value is an array of at most ${MAX_ADDS} elements`);
  ops.push({ path, slot: { op: "clear" } });
  if (value.length === 0) return;
  ops.push({ path, slot: { op: "add", elements: value.map((element) => encodeElement(elementFrom(element))) } });
}

function writeMap(value: unknown, path: readonly string[], ops: Op[]): void {
  if (!isObject(value)) throw new InputError("bad-record", "a map's value is an object of fields");
  if (path.length === 0) ops.push({ path, removeAll: true });
  for (const field of Object.keys(value)) {
    const inside = member(value, field);
    const at = deeper(path, field);
    if (isTyped(inside)) writeTyped(inside, at, ops);
    else ops.push({ path: at, slot: assign(contentFrom(inside)) });
  }
}

/** `{"type","value"}` and nothing but them and a content type: else it is an object to be stored. */
function isTyped(value: unknown): value is JsonObject {
  if (!isObject(value) || !Object.hasOwn(value, "value") || typeof member(value, "type") !== "string") return false;
  return Object.keys(value).every((name) => name === "type" || name === "value" || name === "contentType");
}

function siblingsFrom(list: unknown): Op[][] {
  if (list === undefined) return [];
  if (!Array.isArray(list)) throw new InputError("bad-record", "siblings is an array");
  return list.map((sibling: unknown) => {
    const path = isObject(sibling) ? (member(sibling, "path") ?? []) : null;
    if (!isObject(sibling) || !isPath(path) || !Object.hasOwn(sibling, "value"))
      throw new InputError("bad-record", 'a sibling is {"path"?, "value", "contentType"?}');
    path.reduce<readonly string[]>((above, field) => deeper(above, field), []);
    return [{ path, slot: assign(contentFrom(member(sibling, "value"), contentTypeOf(sibling))) }];
  });
}

function isPath(path: unknown): path is readonly string[] {
  return Array.isArray(path) && path.every((field) => typeof field === "string");
}

// ---- out

/** One line, without its end. */
export function recordLine({ bucket, key }: RowKey, facts: Facts): string {
  const siblings = facts.conflicts.flatMap(siblingViews);
  return toJson({
    bucket,
    key,
    ...typedView(facts.shown),
    siblings: siblings.length > 0 ? siblings : undefined,
    conflict: facts.conflict ?? undefined,
  });
}

function typedView(shown: Shown): { type: TypeName; value: View; contentType?: string } {
  switch (shown.type) {
    case "register":
      return { type: "register", ...exactValue(shown) };
    case "counter":
      return { type: "counter", value: shown.value };
    case "flag":
      return { type: "flag", value: true };
    case "set":
      return { type: "set", value: shown.elements.map(elementView) };
    case "map":
      return { type: "map", value: new Map([...shown.fields].map(([field, inside]) => [field, fieldView(inside)])) };
  }
}

/** A register that JSON says whole stands bare, unless it would be taken for a typed field. */
function fieldView(shown: Shown): View {
  if (shown.type !== "register") return typedView(shown);
  const exact = exactValue(shown);
  const isBare = exact.contentType === undefined && !looksTyped(exact.value);
  return isBare ? exact.value : { type: "register", ...exact };
}

function looksTyped(value: View): boolean {
  return value instanceof RawJson && value.text.startsWith("{") && isTyped(JSON.parse(value.text));
}

/** The values that don't show. A clash of types can't be written side by side by a client: only its mark is exported. */
function siblingViews({ kind, path, siblings, shown }: Conflict): View[] {
  if (kind === "clash") return [];
  return siblings
    .filter(({ cells }) => !cells.includes(shown))
    .map((sibling) => ({ path: path.length > 0 ? path : undefined, ...exactValue(sibling) }));
}
