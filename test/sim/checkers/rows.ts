import type { Cell, DotKey, Row } from "../../../crdt/index.ts";
import { decodeRow, dotKey } from "../../../crdt/index.ts";
import { equalBytes } from "../../../src/kernel/bytes.ts";
import type { DiskState, Written } from "./disk-state.ts";
import { seqOf } from "./disk-state.ts";
import type { Violations } from "./history.ts";
import { sameSet, without } from "./naive.ts";

/** A row on a disk, and what there is to judge it by. */
export interface HeldRow {
  readonly node: string;
  /** bucket/key */
  readonly id: string;
  readonly row: Row;
  /** The writes of this key that this disk has applied, and all that there are anywhere. */
  readonly applied: ReadonlySet<Written>;
  readonly all: readonly Written[];
  /** What they make live. */
  readonly expected: ReadonlyMap<DotKey, Cell>;
}

/** Rows that were found to be what was expected: most are seen on several disks. */
const known = new WeakMap<Row, WeakSet<ReadonlyMap<DotKey, Cell>>>();

/** A row must hold exactly what the writes applied there added and none of them removed; each dot with the value that it
 *  was written with; and a stub for exactly those removed dots that are still to come. */
export function checkRow(held: HeldRow, disk: DiskState, violations: Violations): void {
  const { node, id, row, applied, expected } = held;
  if (!known.get(row)?.has(expected)) checkCells(held, violations);
  if (row.stubs.size === 0 && hasAllRemoved(disk, applied)) return;
  const awaited = new Set<DotKey>();
  for (const { entry, partition } of applied)
    for (const dot of entry.removes) if (seqOf(disk.vectors, partition, dot.actor) < dot.seq) awaited.add(dotKey(dot));
  if (!sameSet(awaited, new Set(row.stubs.keys())))
    violations.add("stubs are exact", `${id} at ${node}: ${[...row.stubs.keys()]} instead of ${[...awaited]}`);
}

/** Per set of writes (of one key, and so of one partition): actor → the highest seq that one of them removed. */
const highestRemoved = new WeakMap<ReadonlySet<Written>, ReadonlyMap<string, number>>();

/** Covers a disk's vector all that these writes removed? Asked for each row of each commit: by actors, not by dots. */
function hasAllRemoved({ vectors }: DiskState, applied: ReadonlySet<Written>): boolean {
  const [any] = applied;
  if (!any) return true;
  let highest = highestRemoved.get(applied);
  if (!highest) {
    highest = highestOf(applied);
    highestRemoved.set(applied, highest);
  }
  for (const [actor, seq] of highest) if (seqOf(vectors, any.partition, actor) < seq) return false;
  return true;
}

function highestOf(applied: ReadonlySet<Written>): Map<string, number> {
  const highest = new Map<string, number>();
  for (const { entry } of applied)
    for (const { actor, seq } of entry.removes) highest.set(actor, Math.max(seq, highest.get(actor) ?? 0));
  return highest;
}

function checkCells({ node, id, row, applied, all, expected }: HeldRow, violations: Violations): void {
  const { count } = violations;
  for (const dot of without(expected.keys(), row.cells))
    violations.add("rows are exact", `${id} at ${node} lost ${nameOf(dot, all)}`);
  for (const dot of without(row.cells.keys(), expected))
    violations.add("rows are exact", `${id} at ${node} holds ${nameOf(dot, all)}, ${why(dot, applied)}`);
  for (const [dot, cell] of row.cells) {
    const wanted = expected.get(dot);
    if (wanted && !sameCell(wanted, cell))
      violations.add("one dot, one value", `${nameOf(dot, all)} of ${id} at ${node} is not what was written`);
  }
  if (violations.count > count) return;
  const found = known.get(row) ?? new WeakSet();
  known.set(row, found.add(expected));
}

function why(dot: DotKey, applied: ReadonlySet<Written>): string {
  const removers = [...applied].filter(({ removes }) => removes.has(dot)).map(({ name }) => name);
  return removers.length > 0 ? `which ${removers} removed` : "which no entry applied there added";
}

function nameOf(dot: DotKey, all: readonly Written[]): string {
  return `${dot} (${all.find(({ cells }) => cells.has(dot))?.entry.stamp.reason ?? "nobody's"})`;
}

function sameCell(a: Cell, b: Cell): boolean {
  const [x, y] = [a.content, b.content];
  if (a.path.length !== b.path.length || !a.path.every((field, i) => field === b.path[i])) return false;
  if (x.kind === "register" && y.kind === "register")
    return x.contentType === y.contentType && equalBytes(x.bytes, y.bytes);
  if (x.kind === "element" && y.kind === "element") return equalBytes(x.element, y.element);
  if (x.kind === "counter" && y.kind === "counter")
    return x.base === y.base && sameSums(x, y) && sameSums(x.cancelled, y.cancelled);
  if (x.kind === "reset" && y.kind === "reset")
    return (
      x.seen.length === y.seen.length &&
      x.seen.every((sums, i) => {
        const other = y.seen[i];
        return other?.actor === sums.actor && other.base === sums.base && sameSums(sums, other);
      })
    );
  return x.kind === y.kind;
}

function sameSums(a: { plus: bigint; minus: bigint }, b: { plus: bigint; minus: bigint }): boolean {
  return a.plus === b.plus && a.minus === b.minus;
}

/** Equal bytes are one row: each is seen on every disk, and again at each start. */
export class DecodedRows {
  readonly #rows = new Map<string, Row>();

  of(body: Uint8Array): Row {
    const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("latin1");
    let row = this.#rows.get(text);
    if (!row) {
      row = decodeRow(body);
      this.#rows.set(text, row);
    }
    return row;
  }
}
