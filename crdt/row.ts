import type { Content } from "./content.ts";
import type { Dot, DotKey } from "./dot.ts";
import { dotKey } from "./dot.ts";
import type { Stamp } from "./hlc.ts";

/** One live value: its dot, where in the row it stands, what it is and who wrote it. */
export interface Cell {
  readonly dot: Dot;
  /** The fields of (nested) maps that lead to its slot; empty at the root. */
  readonly path: readonly string[];
  readonly content: Content;
  readonly stamp: Stamp;
}

/** What is stored at one key: a dot store (Almeida et al. 2018) of live values, and the dots that were removed before
 *  they came. A key without either has no row: there are no tombstones (data.md, Rows). */
export interface Row {
  readonly cells: ReadonlyMap<DotKey, Cell>;
  readonly stubs: ReadonlyMap<DotKey, Dot>;
}

/** A row while a rule changes it. */
export interface OpenRow {
  readonly cells: Map<DotKey, Cell>;
  readonly stubs: Map<DotKey, Dot>;
}

export const EMPTY_ROW: Row = { cells: new Map(), stubs: new Map() };

export function openRow(row: Row): OpenRow {
  return { cells: copyMap(row.cells), stubs: copyMap(row.stubs) };
}

/** Most of what is copied for a write is empty, and to iterate over nothing takes longer than to make the map. */
export function copyMap<K, V>(map: ReadonlyMap<K, V>): Map<K, V> {
  return map.size === 0 ? new Map() : new Map(map);
}

export function isEmptyRow(row: Row): boolean {
  return row.cells.size === 0 && row.stubs.size === 0;
}

export function putCell(row: OpenRow, cell: Cell): void {
  row.cells.set(dotKey(cell.dot), cell);
}
