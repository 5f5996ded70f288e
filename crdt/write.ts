import { assertNever, InputError } from "../src/kernel/assert.ts";
import type { ActorId } from "../src/kernel/ids.ts";
import type { Content, SlotType } from "./content.ts";
import { slotTypeOf } from "./content.ts";
import type { Plan, SeenCell, SlotView } from "./contract.ts";
import type { CounterOp } from "./counter.ts";
import { counter } from "./counter.ts";
import type { Dot } from "./dot.ts";
import { compareDots, dotKey } from "./dot.ts";
import type { Add } from "./entry.ts";
import type { FlagOp } from "./flag.ts";
import { flag } from "./flag.ts";
import type { AssignOp } from "./register.ts";
import { register } from "./register.ts";
import type { Row } from "./row.ts";
import type { SetOp } from "./set.ts";
import { set } from "./set.ts";

export type SlotOp = AssignOp | CounterOp | FlagOp | SetOp;

/** One operation of a request. `path` leads through map fields to a slot; empty means the key itself. */
export type Op =
  | { readonly path: readonly string[]; readonly slot: SlotOp }
  /** Removes what was seen at this field and below; with an empty path the whole key. */
  | { readonly path: readonly string[]; readonly removeAll: true };

/** What the writer saw: everything that is live here, or exactly these dots. */
export type Seen = "blind" | readonly Dot[];

interface Draft extends SeenCell {
  readonly path: readonly string[];
}

/** Turns a request into the dots it adds (numbered later, in order) and removes. Operations of one request follow each
 *  other: a later one sees what an earlier one drafted. Pure. Throws InputError `wrong-type`, changing nothing. */
export function planWrite(row: Row, ops: readonly Op[], seen: Seen, actor: ActorId): { adds: Add[]; removes: Dot[] } {
  const known = seen === "blind" ? null : new Set(seen.map(dotKey));
  const saw = (cell: Draft): boolean => known === null || cell.dot === null || known.has(dotKey(cell.dot));
  let drafts: Draft[] = [...row.cells.values()];
  const removed: Dot[] = [];
  const remove = (gone: readonly SeenCell[]): void => {
    if (gone.length === 0) return;
    for (const cell of gone) if (cell.dot) removed.push(cell.dot);
    if (gone.length === drafts.length) {
      drafts = []; // most writes replace all there is
      return;
    }
    const set = new Set(gone);
    drafts = drafts.filter((cell) => !set.has(cell));
  };
  for (const op of ops) {
    if ("removeAll" in op) {
      remove(drafts.filter((cell) => startsWith(cell.path, op.path) && saw(cell)));
      if (op.path.length === 0 && known) removed.push(...(seen as readonly Dot[]));
      continue;
    }
    checkType(drafts, op);
    const slotType = slotTypeOfOp(op.slot);
    const replacesRow = op.slot.op === "assign" && op.path.length === 0;
    const slot = drafts.filter((cell) => samePath(cell.path, op.path) && slotTypeOf(cell.content) === slotType);
    const plan = planSlot(op.slot, { live: slot, seen: slot.filter(saw), actor });
    remove(replacesRow ? drafts.filter(saw) : plan.removes);
    if (replacesRow && known) removed.push(...(seen as readonly Dot[]));
    for (const content of plan.adds) drafts.push({ path: op.path, dot: null, content });
  }
  const adds = drafts.filter((cell) => cell.dot === null).map(({ path, content }) => ({ path, content }));
  return { adds, removes: distinctDots(removed) };
}

function planSlot(op: SlotOp, slot: SlotView): Plan {
  switch (op.op) {
    case "assign":
      return register.plan(op, slot);
    case "increment":
    case "reset":
      return counter.plan(op, slot);
    case "enable":
    case "disable":
      return flag.plan(op, slot);
    case "add":
    case "remove":
    case "clear":
      return set.plan(op, slot);
    default:
      return assertNever(op);
  }
}

export function slotTypeOfOp(op: SlotOp): SlotType {
  switch (op.op) {
    case "assign":
      return "register";
    case "increment":
    case "reset":
      return "counter";
    case "enable":
    case "disable":
      return "flag";
    default:
      return "set";
  }
}

function distinctDots(dots: readonly Dot[]): Dot[] {
  if (dots.length < 2) return [...dots];
  return [...new Map(dots.map((dot) => [dotKey(dot), dot])).values()].sort(compareDots);
}

export function samePath(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && startsWith(a, b);
}

export function startsWith(path: readonly string[], prefix: readonly string[]): boolean {
  return sharesFields(path, prefix, prefix.length);
}

/** Are the first `depth` fields there in the one path, and those of the other? */
function sharesFields(path: readonly string[], other: readonly string[], depth: number): boolean {
  if (path.length < depth) return false;
  for (let i = 0; i < depth; i++) if (path[i] !== other[i]) return false;
  return true;
}

/** The types that live at a path: a slot's types, and "map" where cells lie below it. More than one is a type clash. */
export function typesAt(
  cells: Iterable<{ path: readonly string[]; content: Content }>,
  path: readonly string[],
): Set<SlotType | "map"> {
  const types = new Set<SlotType | "map">();
  for (const cell of cells) if (startsWith(cell.path, path)) types.add(typeAt(cell, path.length));
  return types;
}

function typeAt({ path, content }: { path: readonly string[]; content: Content }, depth: number): SlotType | "map" {
  return path.length > depth ? "map" : slotTypeOf(content);
}

/** Does something lie at the first `depth` fields of the path, but nothing of the wanted type? */
function clashes(cells: readonly Draft[], path: readonly string[], depth: number, wanted: SlotType | "map"): boolean {
  let found = false;
  for (const cell of cells) {
    if (!sharesFields(cell.path, path, depth)) continue;
    if (typeAt(cell, depth) === wanted) return false;
    found = true;
  }
  return found;
}

/** Refuses an operation on a key or field that is of another type here. Only admission asks: a merge never refuses. */
function checkType(cells: readonly Draft[], op: { readonly path: readonly string[]; readonly slot: SlotOp }): void {
  if (cells.length === 0) return;
  for (let depth = 0; depth <= op.path.length; depth++) {
    const wanted = depth < op.path.length ? "map" : slotTypeOfOp(op.slot);
    if (!clashes(cells, op.path, depth, wanted)) continue;
    const types = typesAt(cells, op.path.slice(0, depth));
    const where = depth === 0 ? "the key" : `field ${JSON.stringify(op.path.slice(0, depth).join("/"))}`;
    throw new InputError(
      "wrong-type",
      `${where} holds a ${[...types].join(" and a ")}, not a ${wanted}: use that type's operations, or delete it first`,
    );
  }
}
