import type { Cell, DotKey, Op, Row, Sibling, SlotType } from "../../crdt/index.ts";
import { compareDots, dotKey, parseDotKey, register, writeDots } from "../../crdt/index.ts";
import { InputError } from "../kernel/assert.ts";
import { fromBase64Url, toBase64Url, Writer } from "../kernel/bytes.ts";
import type { Sha256 } from "../kernel/hashing.ts";
import { fieldsOf, latest, placeOf } from "./projection.ts";

/** One place of a row where concurrent writes stand side by side. */
export interface Conflict {
  readonly path: readonly string[];
  /** "siblings": different values of a register. "clash": more than one type. */
  readonly kind: "siblings" | "clash";
  readonly types: readonly (SlotType | "map")[];
  readonly siblings: readonly Sibling[];
  /** Every cell that takes part. */
  readonly cells: readonly Cell[];
  /** The cell that shows under `lww`. */
  readonly shown: Cell;
}

/** All conflicts of a row, in order of their paths. A fact of the row: equal on every node with equal rows. */
export function conflictsOf(row: Row): Conflict[] {
  return row.cells.size < 2 || isPlainMap(row) ? [] : conflictsAt([...row.cells.values()], []);
}

/** One cell for each of its fields and nothing else: the most common map, and never in conflict. */
function isPlainMap({ cells }: Row): boolean {
  const fields = new Set<string>();
  for (const { path } of cells.values()) {
    const [field] = path;
    if (path.length !== 1 || field === undefined || fields.has(field)) return false;
    fields.add(field);
  }
  return true;
}

function conflictsAt(cells: readonly Cell[], path: readonly string[]): Conflict[] {
  const { slots } = placeOf(cells, path.length);
  const found: Conflict[] = [];
  const registers = slots.get("register");
  const siblings = registers ? register.show(registers) : [];
  if (slots.size > 1 || siblings.length > 1)
    found.push({
      path,
      kind: slots.size > 1 ? "clash" : "siblings",
      types: [...slots.keys()].sort(),
      siblings,
      cells: slots.size > 1 ? cells : (registers ?? []),
      shown: latest(slots.size > 1 ? cells : (registers ?? [])),
    });
  for (const [field, inside] of fieldsOf(slots.get("map") ?? [], path.length))
    found.push(...conflictsAt(inside, [...path, field]));
  return found;
}

export function isConflict(row: Row): boolean {
  return conflictsOf(row).length > 0;
}

/** Base64url may begin with a dash, which command lines take for an option. */
const ID_PREFIX = "c";

/** The key's hash (16 bytes) and a hash of the sibling dots (8): equal wherever the same siblings are seen, and an id
 *  whose siblings have changed still finds the key (data.md, Conflicts). */
export function conflictId(sha256: Sha256, keyHash: Uint8Array, conflicts: readonly Conflict[]): string {
  const dots = new Map<DotKey, Cell["dot"]>();
  for (const { cells } of conflicts) for (const { dot } of cells) dots.set(dotKey(dot), dot);
  const out = new Writer();
  writeDots(out, [...dots.values()]);
  return ID_PREFIX + toBase64Url(new Writer().raw(keyHash).raw(sha256(out.finish()).slice(0, 8)).finish());
}

/** The key's hash in an id. Throws InputError `bad-conflict-id`. */
export function keyHashOfConflict(id: string): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = id.startsWith(ID_PREFIX) ? fromBase64Url(id.slice(ID_PREFIX.length)) : new Uint8Array(0);
  } catch {
    bytes = new Uint8Array(0);
  }
  if (bytes.length !== 24)
    throw new InputError(
      "bad-conflict-id",
      "a conflict id is c and 32 characters of base64url, as GET /v1/conflicts lists them",
    );
  return bytes.slice(0, 16);
}

export type Choice =
  | { readonly choose: readonly string[] }
  | { readonly value: { contentType: string; bytes: Uint8Array } };

/** The ordinary write that settles a conflict: it removes exactly the siblings it saw, and writes the chosen one anew,
 *  so that two operators who choose differently at once make a new conflict instead of losing both. A chosen counter,
 *  set, map or flag in a clash of types stays as it is; its rivals go. */
export function settle(conflicts: readonly Conflict[], choice: Choice): { ops: Op[]; dots: Cell["dot"][] } {
  if ("value" in choice) {
    const [only] = conflicts;
    if (!only || conflicts.length > 1)
      throw new InputError(
        "ambiguous-value",
        "several fields of this record are in conflict: choose a dot for each instead of one value",
      );
    return settlePlace(only, { op: "assign", ...choice.value }, () => true);
  }
  const parts = choice.choose.map((text) => {
    const key = dotKey(parseDotKey(text));
    const conflict = conflicts.find(({ cells }) => cells.some(({ dot }) => dotKey(dot) === key));
    const chosen = conflict?.cells.find(({ dot }) => dotKey(dot) === key);
    if (!conflict || !chosen) throw new InputError("unknown-dot", `${text} is no sibling of this conflict`);
    if (chosen.path.length === conflict.path.length && chosen.content.kind === "register") {
      const { contentType, bytes } = chosen.content;
      return settlePlace(conflict, { op: "assign", contentType, bytes }, () => true);
    }
    return settlePlace(conflict, null, (cell) => !sameSlot(conflict, cell, chosen));
  });
  return { ops: parts.flatMap(({ ops }) => ops), dots: parts.flatMap(({ dots }) => dots).sort(compareDots) };
}

function sameSlot(conflict: Conflict, a: Cell, b: Cell): boolean {
  const { slots } = placeOf(conflict.cells, conflict.path.length);
  return [...slots.values()].some((slot) => slot.includes(a) && slot.includes(b));
}

type Assign = { op: "assign"; contentType: string; bytes: Uint8Array };

function settlePlace(
  { path, cells }: Conflict,
  assign: Assign | null,
  goes: (cell: Cell) => boolean,
): ReturnType<typeof settle> {
  const ops: Op[] = [{ path, removeAll: true }];
  if (assign) ops.push({ path, slot: assign });
  return { ops, dots: cells.filter(goes).map(({ dot }) => dot) };
}
