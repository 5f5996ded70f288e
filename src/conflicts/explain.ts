import type { Cell, Row, SlotType } from "../../crdt/index.ts";
import { register, slotTypeOf } from "../../crdt/index.ts";
import { present } from "../kernel/assert.ts";
import { fieldsOf, latest, placeOf } from "./projection.ts";

/** One live dot of a row, and whether `lww` shows what it holds. */
export interface ExplainedCell {
  readonly cell: Cell;
  readonly type: SlotType;
  readonly isShown: boolean;
  /** Why: it is the only one of its place; it is the latest there, or says the same; its type is that of the latest; or
   *  a later value, one by a clock that could be trusted, or one of another type, shows instead. */
  readonly why: "only" | "latest" | "merged" | "older" | "clock-suspect" | "other-type";
}

/** All live dots of a row, place by place, in order of their paths. */
export function explainRow(row: Row): ExplainedCell[] {
  const cells = [...row.cells.values()];
  return cells.length === 0 ? [] : explainAt(cells, 0, true);
}

function explainAt(cells: readonly Cell[], depth: number, isVisible: boolean): ExplainedCell[] {
  const { slots } = placeOf(cells, depth);
  const winner = latest(cells);
  const shownType = winner.path.length > depth ? "map" : slotTypeOf(winner.content);
  return [...slots].flatMap(([type, inside]) => {
    const shows = isVisible && type === shownType;
    if (type === "map") return fieldsOf(inside, depth).flatMap(([, below]) => explainAt(below, depth + 1, shows));
    if (type !== shownType) return inside.map((cell) => ({ cell, type, isShown: false, why: "other-type" as const }));
    return explainSlot(type, inside, shows);
  });
}

function explainSlot(type: SlotType, cells: readonly Cell[], isVisible: boolean): ExplainedCell[] {
  if (cells.length === 1) return cells.map((cell) => ({ cell, type, isShown: isVisible, why: "only" }));
  if (type !== "register") return cells.map((cell) => ({ cell, type, isShown: isVisible, why: "merged" }));
  const winner = latest(cells);
  const shown = present(
    register.show(cells).find((sibling) => sibling.cells.includes(winner)),
    "the latest cell is one of its slot",
  );
  const whyNot = (cell: Cell): "clock-suspect" | "older" =>
    cell.stamp.suspect && !winner.stamp.suspect ? "clock-suspect" : "older";
  return cells.map((cell) => {
    const isLatest = shown.cells.includes(cell);
    return { cell, type, isShown: isVisible && isLatest, why: isLatest ? "latest" : whyNot(cell) };
  });
}
