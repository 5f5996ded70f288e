import type { Op, Row } from "../../crdt/index.ts";
import { project, type Shown } from "../conflicts/projection.ts";
import { InputError } from "../kernel/assert.ts";
import { utf8 } from "../kernel/bytes.ts";
import { isObject, type JsonObject, member, parseJson } from "./json.ts";
import { deeper } from "./ops.ts";
import { ProblemError } from "./problem.ts";
import { contentFrom, isJsonType, JSON_TYPE } from "./values.ts";

/** The operations that make a record what an RFC 7386 patch wants. On a map each member of the patch is one field (null
 *  removes it, an object goes into a map there); a JSON register is read, patched and assigned; an absent key becomes
 *  a map. Other types: 415. */
export function mergePatchOps(row: Row, patch: unknown, acceptPatch: string): Op[] {
  const shown = project(row);
  if (shown === null || shown.type === "map") {
    if (!isObject(patch))
      throw new InputError("bad-patch", "a merge patch for a map is a JSON object: its members are fields");
    return fieldOps(shown?.fields ?? new Map(), patch, []);
  }
  if (shown.type === "register" && isJsonType(shown.contentType)) {
    const value = merged(parseJson(shown.bytes), patch);
    return [{ path: [], slot: { op: "assign", contentType: shown.contentType, bytes: utf8(JSON.stringify(value)) } }];
  }
  throw new ProblemError(
    "unsupported-type",
    `a merge patch works on maps and JSON registers; this is a ${shown.type}: use its operations`,
    { headers: { "accept-patch": acceptPatch } },
  );
}

function fieldOps(fields: ReadonlyMap<string, Shown>, patch: JsonObject, path: readonly string[]): Op[] {
  return Object.keys(patch).flatMap((field): Op[] => {
    const value = member(patch, field);
    const inside = fields.get(field);
    const at = deeper(path, field);
    if (value === null) return [{ path: at, removeAll: true }];
    if (isObject(value) && inside?.type === "map") return fieldOps(inside.fields, value, at);
    const isJson = inside?.type === "register" && isJsonType(inside.contentType);
    const next = isObject(value) ? merged(isJson ? parseJson(inside.bytes) : null, value) : value;
    return [{ path: at, slot: { op: "assign", ...contentFrom(next, JSON_TYPE) } }];
  });
}

/** RFC 7386, section 2, without ever setting a user's member by assignment: `__proto__` is a name like others. */
function merged(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const members = new Map(isObject(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) members.delete(name);
    else members.set(name, merged(members.get(name), value));
  }
  return Object.fromEntries(members); // defines own members, whatever their names
}
