// The naive truth about one key: entries are kept for ever, and what is live is worked out from all of them each time.

import type { Cell, DotKey, Op } from "../../../crdt/index.ts";
import { slotTypeOf, slotTypeOfOp, startsWith } from "../../../crdt/index.ts";
import { toHex } from "../../../src/kernel/bytes.ts";
import type { Written } from "./disk-state.ts";

/** The cells that some of these entries added and none of them removed. */
export function liveCells(entries: Iterable<Written>): Map<DotKey, Cell> {
  const live = new Map<DotKey, Cell>();
  const removed: ReadonlySet<DotKey>[] = [];
  for (const { cells, removes } of entries) {
    for (const [dot, cell] of cells) live.set(dot, cell);
    removed.push(removes);
  }
  for (const dots of removed) for (const dot of dots) live.delete(dot);
  return live;
}

/** What a write names: by the page on semantics, worked out without the code under test. `null`: anything that was seen
 *  may be named (requests of several operations follow each other). */
export function removesOf(
  ops: readonly Op[],
  here: ReadonlyMap<DotKey, Cell>,
  saw: ReadonlySet<DotKey> | null,
  actor: string,
): Set<DotKey> | null {
  const [op, ...more] = ops;
  if (!op || more.length > 0) return null;
  const seen = [...here].filter(([dot]) => saw === null || saw.has(dot));
  const named = (isNamed: (cell: Cell) => boolean): Set<DotKey> =>
    new Set(seen.filter(([, cell]) => isNamed(cell)).map(([dot]) => dot));
  const isWhole = op.path.length === 0;
  if ("removeAll" in op) {
    // A context also names what its reader saw and this node has not.
    return isWhole && saw !== null ? new Set(saw) : named((cell) => startsWith(cell.path, op.path));
  }
  const { slot } = op;
  if (slot.op === "assign" && isWhole) return saw !== null ? new Set(saw) : named(() => true);
  const inSlot = (cell: Cell): boolean =>
    cell.path.length === op.path.length &&
    startsWith(cell.path, op.path) &&
    slotTypeOf(cell.content) === slotTypeOfOp(slot);
  switch (slot.op) {
    case "assign":
    case "enable":
    case "disable":
    case "clear":
      return named(inSlot);
    case "add":
    case "remove": {
      const elements = new Set(slot.elements.map(toHex));
      return named(
        (cell) => inSlot(cell) && cell.content.kind === "element" && elements.has(toHex(cell.content.element)),
      );
    }
    case "increment": {
      // The run's own sums go on, whatever the context says.
      const own = [...here].filter(
        ([, cell]) => inSlot(cell) && cell.content.kind === "counter" && cell.dot.actor === actor,
      );
      return new Set(own.map(([dot]) => dot));
    }
    case "reset":
      return named((cell) => inSlot(cell) && cell.content.kind === "reset");
  }
}

/** Would this request change nothing? */
export function changesNothing(
  ops: readonly Op[],
  here: ReadonlyMap<DotKey, Cell>,
  saw: ReadonlySet<DotKey> | null,
): boolean {
  return ops.every((op) => {
    if ("removeAll" in op || ["remove", "disable", "clear"].includes(op.slot.op))
      return removesOf([op], here, saw, "")?.size === 0;
    if (op.slot.op !== "reset") return false;
    const { path } = op;
    return ![...here].some(
      ([dot, cell]) =>
        (saw === null || saw.has(dot)) &&
        cell.path.length === path.length &&
        startsWith(cell.path, path) &&
        slotTypeOf(cell.content) === "counter",
    );
  });
}

/** Places where different values of a register, or different types, stand side by side: the dots that take part. */
export function conflictDots(cells: ReadonlyMap<DotKey, Cell>): Set<DotKey> {
  const found = new Set<DotKey>();
  if (cells.size < 2) return found;
  const places = new Map<string, [DotKey, Cell][]>();
  for (const [dot, cell] of cells)
    for (let depth = 0; depth <= cell.path.length; depth++) {
      const at = JSON.stringify(cell.path.slice(0, depth));
      places.set(at, [...(places.get(at) ?? []), [dot, cell]]);
    }
  for (const [at, inside] of places) {
    const depth = (JSON.parse(at) as string[]).length;
    const typeOf = (cell: Cell): string => (cell.path.length > depth ? "map" : slotTypeOf(cell.content));
    const types = new Set(inside.map(([, cell]) => typeOf(cell)));
    const registers = inside.filter(([, cell]) => typeOf(cell) === "register");
    const values = new Set(registers.map(([, { content }]) => registerText(content)));
    if (types.size > 1) for (const [dot] of inside) found.add(dot);
    else if (values.size > 1) for (const [dot] of registers) found.add(dot);
  }
  return found;
}

export function registerText(content: Cell["content"]): string {
  return content.kind === "register" ? `${content.contentType}:${toHex(content.bytes)}` : "";
}

export function sameSet<T>(a: ReadonlySet<T>, b: ReadonlySet<T>): boolean {
  if (a.size !== b.size) return false;
  for (const item of a) if (!b.has(item)) return false;
  return true;
}

/** What the first has and the second has not. */
export function without<T>(a: Iterable<T>, b: { has(item: T): boolean }): T[] {
  return [...a].filter((item) => !b.has(item));
}
