import { InputError } from "../src/kernel/assert.ts";
import { compareText, Reader, Writer } from "../src/kernel/bytes.ts";
import type { ActorId } from "../src/kernel/ids.ts";
import { parseActorId } from "../src/kernel/ids.ts";
import { readContent, writeContent } from "./content.ts";
import { compareDots, dotKey, readDots, writeDots } from "./dot.ts";
import { readPath, writePath } from "./entry.ts";
import type { Stamp } from "./hlc.ts";
import { readStamp, writeStamp } from "./hlc.ts";
import type { Cell, OpenRow, Row } from "./row.ts";
import { putCell } from "./row.ts";

// A row is written once for each replica and key: actors and stamps stand in tables, cells are sorted by dot, so that
// equal rows have equal bytes. Tables are in order of first use by the sorted cells: nothing is left to choose.
const VERSION = 1;

export function encodeRow(row: Row): Uint8Array {
  const out = new Writer();
  const cells = inOrder([...row.cells.values()]);
  const actors: ActorId[] = [];
  for (const { dot } of cells) if (dot.actor !== actors.at(-1)) actors.push(dot.actor);
  const stamps = stampTable(cells);
  out.u8(VERSION).uint(actors.length);
  for (const actor of actors) out.text(actor);
  out.uint(stamps.list.length);
  for (const stamp of stamps.list) writeStamp(out, stamp);
  out.uint(cells.length);
  for (const { dot, stamp, path, content } of cells) {
    out.uint(actors.indexOf(dot.actor)).uint(dot.seq);
    out.uint(stamps.indexes?.get(stamp) ?? 0);
    writePath(out, path);
    writeContent(out, content);
  }
  writeDots(out, [...row.stubs.values()]);
  return out.finish();
}

/** A row that one entry wrote, or several in turn, has its cells in order. */
function inOrder(cells: Cell[]): Cell[] {
  for (let i = 1; i < cells.length; i++)
    if (compareDots((cells[i - 1] as Cell).dot, (cells[i] as Cell).dot) > 0)
      return cells.sort((a, b) => compareDots(a.dot, b.dot));
  return cells;
}

/** The different stamps in order of first use, and where each object stands among them; null when all are one object.
 *  The cells of one entry share theirs: most rows have one, and nothing to compare. */
function stampTable(cells: readonly Cell[]): { list: readonly Stamp[]; indexes: ReadonlyMap<Stamp, number> | null } {
  const first = cells[0]?.stamp;
  if (first && cells.every(({ stamp }) => stamp === first)) return { list: [first], indexes: null };
  const stamps = new DistinctStamps();
  const indexes = new Map<Stamp, number>();
  for (const { stamp } of cells) if (!indexes.has(stamp)) indexes.set(stamp, stamps.indexOf(stamp));
  return { list: stamps.list, indexes };
}

/** By their times, which few different stamps share: a row may have thousands. */
class DistinctStamps {
  readonly list: Stamp[] = [];
  readonly #byTime = new Map<number, number[]>();

  /** Where an equal one stands; the new last place when there is none. */
  indexOf(stamp: Stamp): number {
    const { ms, counter } = stamp.hlc;
    // Beyond 2^53 some times share a number, which only makes more to compare.
    const time = ms * 65_536 + counter;
    const sameTime = this.#byTime.get(time);
    const known = sameTime?.find((at) => sameStamp(this.list[at] as Stamp, stamp));
    if (known !== undefined) return known;
    const index = this.list.push(stamp) - 1;
    if (sameTime) sameTime.push(index);
    else this.#byTime.set(time, [index]);
    return index;
  }
}

function sameStamp(a: Stamp, b: Stamp): boolean {
  return (
    a.hlc.ms === b.hlc.ms &&
    a.hlc.counter === b.hlc.counter &&
    a.suspect === b.suspect &&
    a.author === b.author &&
    a.reason === b.reason
  );
}

/** Is one of them listed twice? */
function hasTwins(stamps: readonly Stamp[]): boolean {
  const distinct = new DistinctStamps();
  return stamps.some((stamp, i) => distinct.indexOf(stamp) !== i);
}

/** Throws InputError on anything but what `encodeRow` makes, and on more than `maxStubs` stubs. */
export function decodeRow(bytes: Uint8Array, maxStubs?: number): Row {
  const input = new Reader(bytes);
  if (input.u8() !== VERSION) throw new InputError("bad-encoding", "unknown version of a row");
  const actors = readActors(input);
  const stamps: Stamp[] = [];
  for (let left = input.count(5); left > 0; left--) stamps.push(readStamp(input));
  const row: OpenRow = { cells: new Map(), stubs: new Map() };
  readCells(input, actors, stamps, row);
  for (const dot of readDots(input, maxStubs)) row.stubs.set(dotKey(dot), dot);
  input.end();
  for (const key of row.stubs.keys())
    if (row.cells.has(key)) throw new InputError("bad-encoding", "a dot is both live and removed");
  return row;
}

function readActors(input: Reader): ActorId[] {
  const actors: ActorId[] = [];
  for (let left = input.count(2); left > 0; left--) {
    const actor = parseActorId(input.text());
    if (compareText(actors.at(-1) ?? "", actor) >= 0)
      throw new InputError("bad-encoding", "a row's actors are not in order");
    actors.push(actor);
  }
  return actors;
}

function readCells(input: Reader, actors: readonly ActorId[], stamps: readonly Stamp[], row: OpenRow): void {
  let last: Cell | undefined;
  let usedActors = 0;
  let usedStamps = 0;
  for (let left = input.count(5); left > 0; left--) {
    const actorIndex = input.uint();
    const seq = input.uint();
    const stampIndex = input.uint();
    const actor = actors[actorIndex];
    const stamp = stamps[stampIndex];
    if (actor === undefined || stamp === undefined || actorIndex > usedActors || stampIndex > usedStamps || seq < 1)
      throw new InputError("bad-encoding", "a cell names what its row doesn't list");
    usedActors = Math.max(usedActors, actorIndex + 1);
    usedStamps = Math.max(usedStamps, stampIndex + 1);
    const cell: Cell = { dot: { actor, seq }, path: readPath(input), content: readContent(input), stamp };
    if (last && compareDots(last.dot, cell.dot) >= 0)
      throw new InputError("bad-encoding", "a row's cells are not in order");
    putCell(row, cell);
    last = cell;
  }
  if (usedActors !== actors.length || usedStamps !== stamps.length || hasTwins(stamps))
    throw new InputError("bad-encoding", "a row lists what no cell names");
}
