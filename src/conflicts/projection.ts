import type { Cell, ElementValue, Row, Sibling, SlotType } from "../../crdt/index.ts";
import { compareHlc, counter, decodeElement, set, slotTypeOf } from "../../crdt/index.ts";
import { assert, present } from "../kernel/assert.ts";
import { compareText } from "../kernel/bytes.ts";

/** What a row shows under policy `lww`: a function of the row alone (data.md, Projection). */
export type Shown =
  | { readonly type: "register"; readonly contentType: string; readonly bytes: Uint8Array; readonly cell: Cell }
  | { readonly type: "counter"; readonly value: bigint }
  | { readonly type: "flag"; readonly value: true }
  | { readonly type: "set"; readonly elements: readonly ElementValue[] }
  | { readonly type: "map"; readonly fields: ReadonlyMap<string, Shown> };

/** Last writer wins: a stamp of a node whose clock was off loses; then the later HLC; then the greater dot. */
export function laterCell(a: Cell, b: Cell): Cell {
  const difference =
    Number(b.stamp.suspect) - Number(a.stamp.suspect) ||
    compareHlc(a.stamp.hlc, b.stamp.hlc) ||
    compareText(a.dot.actor, b.dot.actor) ||
    a.dot.seq - b.dot.seq;
  return difference >= 0 ? a : b;
}

export function latest(cells: readonly Cell[]): Cell {
  return cells.reduce(laterCell);
}

/** Null for a row without live dots: the key is absent. */
export function project(row: Row): Shown | null {
  const cells = [...row.cells.values()];
  return cells.length === 0 ? null : projectAt(cells, 0);
}

/** One place of a row, all its cells and how many fields lead to it. */
export interface Place {
  readonly depth: number;
  /** Its cells by type. More than one type is a clash. */
  readonly slots: ReadonlyMap<SlotType | "map", readonly Cell[]>;
}

export function placeOf(cells: readonly Cell[], depth: number): Place {
  const slots = new Map<SlotType | "map", Cell[]>();
  for (const cell of cells) {
    const type = cell.path.length > depth ? "map" : slotTypeOf(cell.content);
    const slot = slots.get(type);
    if (slot) slot.push(cell);
    else slots.set(type, [cell]);
  }
  return { depth, slots };
}

/** The cells below a map place, by field, in code-unit order of the fields. */
export function fieldsOf(cells: readonly Cell[], depth: number): [string, Cell[]][] {
  const fields = new Map<string, Cell[]>();
  for (const cell of cells) {
    const name = present(cell.path[depth], "a map's cells have a field");
    const field = fields.get(name);
    if (field) field.push(cell);
    else fields.set(name, [cell]);
  }
  return [...fields].sort(([a], [b]) => compareText(a, b));
}

/** Where types clash, the type of the latest cell shows. */
function projectAt(cells: readonly Cell[], depth: number): Shown {
  const { slots } = placeOf(cells, depth);
  const winner = latest(cells);
  const type = winner.path.length > depth ? "map" : slotTypeOf(winner.content);
  return projectSlot(type, present(slots.get(type), "the winner's slot"), depth);
}

function projectSlot(type: SlotType | "map", cells: readonly Cell[], depth: number): Shown {
  switch (type) {
    case "register": {
      const cell = latest(cells);
      assert(cell.content.kind === "register", "a register slot holds registers only");
      return { type, contentType: cell.content.contentType, bytes: cell.content.bytes, cell };
    }
    case "counter":
      return { type, value: counter.show(cells) };
    case "flag":
      return { type, value: true };
    case "set":
      return { type, elements: set.show(cells).map(decodeElement) };
    case "map":
      return {
        type,
        fields: new Map(fieldsOf(cells, depth).map(([name, inside]) => [name, projectAt(inside, depth + 1)])),
      };
  }
}

export type { Sibling };
