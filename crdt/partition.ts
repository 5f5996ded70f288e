import { assert } from "../src/kernel/assert.ts";
import type { ActorId } from "../src/kernel/ids.ts";
import { compareContent } from "./content.ts";
import type { Dot, DotKey } from "./dot.ts";
import { dotKey } from "./dot.ts";
import type { Entry } from "./entry.ts";
import { addedCells, lastSeq } from "./entry.ts";
import type { Cell, OpenRow, Row } from "./row.ts";
import { copyMap } from "./row.ts";
import { CLOSED, VersionVector } from "./version-vector.ts";

// The rules of data.md for one partition, over rows that the caller has read and writes back in the same transaction.
// The executable model is the specification; test/property compares the two on random schedules.

/** What a partition knows besides its rows. */
export interface PartitionState {
  readonly vector: VersionVector;
  /** Up to here the log was cut. */
  readonly floor: VersionVector;
  /** Dots that entries of my log removed and that my vector doesn't cover yet. They guard against a lost stub (model,
   *  finding 11) and hold the log's cut back. */
  readonly awaited: Map<DotKey, Dot>;
  /** Entries that wait for a gap: in memory only, never acknowledged, at most MAX_EARLY. */
  readonly early: Entry[];
  /** Verdicts on actors whose run is over for good. */
  readonly closed: Map<ActorId, Verdict>;
}

export interface Verdict {
  readonly upTo: number;
  readonly later: readonly Entry[];
}

/** More: a longer reordering is absorbed; fewer: less memory, more is asked for again. */
export const MAX_EARLY = 1024;
/** One that removes more doesn't wait but is asked for again: a few bytes can name 65,536 dots, and those take memory. */
export const MAX_EARLY_REMOVES = 256;

export function emptyPartition(): PartitionState {
  return { vector: new VersionVector(), floor: new VersionVector(), awaited: new Map(), early: [], closed: new Map() };
}

export function copyPartition(p: PartitionState): PartitionState {
  return {
    vector: p.vector.copy(),
    floor: p.floor.copy(),
    awaited: copyMap(p.awaited),
    early: [...p.early],
    closed: copyMap(p.closed),
  };
}

export function includes(vector: VersionVector, entry: Entry): boolean {
  return vector.seq(entry.actor) >= lastSeq(entry);
}

// ---- entries

/** What to do with an entry that arrived. "early" ones wait (`holdEarly`) and their gap is asked for. */
export function admitEntry(p: PartitionState, entry: Entry): "known" | "next" | "early" {
  if (includes(p.vector, entry)) return "known";
  return entry.first === p.vector.seq(entry.actor) + 1 ? "next" : "early";
}

/** False when there is no room: the entry is dropped here and will be asked for again. */
export function holdEarly(p: PartitionState, entry: Entry): boolean {
  if (p.early.some((held) => held.actor === entry.actor && held.first === entry.first)) return true;
  if (p.early.length >= MAX_EARLY) return false;
  if (entry.removes.length > MAX_EARLY_REMOVES) return false;
  p.early.push(entry);
  return true;
}

/** An entry that no longer waits: a held one whose gap is filled, or what the verdict on a closed actor left. */
export function takeReady(p: PartitionState): Entry | null {
  for (const [actor, { upTo, later }] of p.closed) {
    const have = p.vector.seq(actor);
    if (have < upTo || have === CLOSED) continue;
    const next = later.find((entry) => !includes(p.vector, entry));
    if (next) return next;
    p.vector.rise(actor, CLOSED);
  }
  dropHeld(p, (entry) => includes(p.vector, entry));
  const next = p.early.find((entry) => entry.first === p.vector.seq(entry.actor) + 1);
  if (next) dropHeld(p, (entry) => entry === next);
  return next ?? null;
}

function dropHeld(p: PartitionState, isGone: (entry: Entry) => boolean): void {
  const kept = p.early.filter((entry) => !isGone(entry));
  p.early.splice(0, p.early.length, ...kept);
}

/** Applies an entry that is next (or past a gap that nobody can fill, of a closed actor). `row` is the row at its key. */
export function applyEntry(p: PartitionState, row: OpenRow, entry: Entry): void {
  const last = lastSeq(entry);
  assert(p.vector.seq(entry.actor) < entry.first, "an entry is applied once");
  p.vector.rise(entry.actor, last);
  for (const dot of entry.removes) {
    row.cells.delete(dotKey(dot));
    // Known or not, the dot's entry is still to come and must not make it live again (model, finding 1).
    if (!p.vector.covers(dot)) {
      row.stubs.set(dotKey(dot), dot);
      p.awaited.set(dotKey(dot), dot);
    }
  }
  for (const cell of addedCells(entry)) {
    const key = dotKey(cell.dot);
    if (!isAwaited(p, row, key)) takeCell(row, key, cell);
  }
  if (p.awaited.size > 0)
    for (let seq = entry.first; seq <= last; seq++) p.awaited.delete(dotKey({ actor: entry.actor, seq }));
  foldStubs(p, row);
}

function isAwaited(p: PartitionState, row: Row, key: DotKey): boolean {
  return row.stubs.has(key) || p.awaited.has(key);
}

/** A dot that ever arrives with two values joins to the greater one (I2; the caller raises the alarm). */
function takeCell(row: OpenRow, key: DotKey, cell: Cell): void {
  const held = row.cells.get(key);
  if (!held || compareContent(held.content, cell.content) < 0) row.cells.set(key, cell);
}

/** A stub stays until the vector covers its dot. */
export function foldStubs(p: PartitionState, row: OpenRow): void {
  for (const [key, dot] of row.stubs) if (p.vector.covers(dot)) row.stubs.delete(key);
}

// ---- the log's cut

/** May this entry be cut? Not while no other owner has acknowledged it (where there is another), nor while a dot it
 *  removed is still to come (I6). The caller checks that the partition's rows are sound. */
export function mayCut(p: PartitionState, entry: Entry, othersAcks: readonly VersionVector[]): boolean {
  const acknowledged = othersAcks.length === 0 || othersAcks.some((ack) => includes(ack, entry));
  return acknowledged && entry.removes.every((dot) => p.vector.covers(dot));
}

/** A guest or removed owner drops the partition when each owner's vector covers its own. */
export function mayDrop(p: PartitionState, ownersAcks: readonly VersionVector[]): boolean {
  return ownersAcks.every((ack) => ack.reaches(p.vector));
}

// ---- rows that travel

/** A row read by a peer at its vector V, in one transaction. */
export interface TravellingRow {
  readonly row: Row;
  readonly vector: VersionVector;
}

/** Does an entry of my log that V doesn't cover remove this dot? */
export type RemovedAbove = (dot: Dot) => boolean;

/** Cells of a peer's row to take. Covered by my vector but absent here: removed here, or lost here. It was lost if V
 *  reaches my log's floor and no entry of mine above V removes it. Above my vector: only a copy brings those. */
export function judgeRow(p: PartitionState, mine: Row, theirs: TravellingRow, removedAbove: RemovedAbove): Cell[] {
  const reachesFloor = theirs.vector.reaches(p.floor);
  return [...theirs.row.cells.values()].filter((cell) => {
    const key = dotKey(cell.dot);
    if (mine.cells.has(key)) return false;
    if (p.vector.covers(cell.dot)) return reachesFloor && !removedAbove(cell.dot);
    return !isAwaited(p, mine, key);
  });
}

/** Repair gives back what was lost and nothing else: it never removes, raises no vector, and brings no new dot. */
export function repairRow(p: PartitionState, row: OpenRow, theirs: TravellingRow, removedAbove: RemovedAbove): number {
  const lost = judgeRow(p, row, theirs, removedAbove).filter((cell) => p.vector.covers(cell.dot));
  for (const cell of lost) row.cells.set(dotKey(cell.dot), cell);
  return lost.length;
}

/** One row of a copy at V, or of a leaf that heals: what V covers and the copy lacks goes, so does what its stubs name;
 *  the rest is judged as in a repair, new dots included; its stubs stay. */
export function adoptRow(p: PartitionState, row: OpenRow, theirs: TravellingRow, removedAbove: RemovedAbove): void {
  const take = judgeRow(p, row, theirs, removedAbove);
  for (const [key, cell] of row.cells)
    if (theirs.row.stubs.has(key) || (theirs.vector.covers(cell.dot) && !theirs.row.cells.has(key)))
      row.cells.delete(key);
  for (const cell of take) row.cells.set(dotKey(cell.dot), cell);
  for (const [key, dot] of theirs.row.stubs) row.stubs.set(key, dot);
}

// ---- catch-up and healing

/** A copy that comes when my vector reaches its floor already is thrown away: the log reaches by now. */
export function wantsCopy(p: PartitionState, floorOfCopy: VersionVector): boolean {
  return !p.vector.reaches(floorOfCopy);
}

/** After every row of the copy (and every row here that it lacks) was adopted. The floor rises only where V was ahead
 *  of me; elsewhere my own log still reaches back. Fold each row's stubs afterwards. */
export function adoptVector(p: PartitionState, vector: VersionVector): void {
  for (const [actor, seq] of vector.entries())
    if (seq > p.vector.seq(actor)) {
      p.vector.rise(actor, seq);
      p.floor.rise(actor, seq);
    }
  for (const [key, dot] of p.awaited) if (p.vector.covers(dot)) p.awaited.delete(key);
  // What waited and came with the copy waits for nothing: no entry need ever come again to find that out.
  dropHeld(p, (held) => includes(p.vector, held));
}

/** May a leaf that was damaged when my vector was `damagedAt` heal from a sound one at V, by adopting each row? V must
 *  lie between the damage (and my floor) and me: a quarantined row forgot its stubs and removals (model, finding 5). */
export function mayHeal(p: PartitionState, damagedAt: VersionVector, vector: VersionVector): boolean {
  return vector.reaches(damagedAt) && vector.reaches(p.floor) && p.vector.reaches(vector);
}

/** Does adopting a copy at V heal a leaf that was damaged at `damagedAt`? Asked before the vector rises. */
export function copyHeals(p: PartitionState, damagedAt: VersionVector, vector: VersionVector): boolean {
  return vector.reaches(damagedAt) && vector.reaches(p.floor);
}

// ---- closing an actor

export interface Holdings {
  readonly have: number;
  readonly waiting: readonly Entry[];
}

/** What I hold of an actor whose run is over: how far my vector goes, and the entries that wait for a gap. */
export function holdings(p: PartitionState, actor: ActorId): Holdings {
  const have = p.vector.seq(actor);
  const waiting = [...p.early, ...(p.closed.get(actor)?.later ?? [])];
  return { have, waiting: waiting.filter((entry) => entry.actor === actor && lastSeq(entry) > have) };
}

/** The verdict of the pool, the same for every member: what is held is applied in order past the gaps. */
export function poolVerdict(all: readonly Holdings[]): Verdict {
  const upTo = Math.max(0, ...all.map(({ have }) => have));
  const later: Entry[] = [];
  for (const entry of all.flatMap(({ waiting }) => waiting)) {
    const overlaps = later.some((held) => held.first <= lastSeq(entry) && entry.first <= lastSeq(held));
    if (lastSeq(entry) > upTo && !overlaps) later.push(entry);
  }
  return { upTo, later: later.sort((a, b) => a.first - b.first) };
}

/** Then `takeReady` until it gives nothing. */
export function closeActor(p: PartitionState, actor: ActorId, verdict: Verdict): void {
  p.closed.set(actor, verdict);
}

// ---- reading

/** "The join of that many owners": a dot shows if it is live in an answer and no other answer knows it as gone. Absence
 *  counts only from a vector that the one who has the dot doesn't reach: else the row was lost there. */
export function joinAnswers(answers: readonly TravellingRow[]): Map<DotKey, Cell> {
  const shown = new Map(answers.flatMap(({ row }) => [...row.cells]));
  for (const [key, cell] of shown) {
    const holders = answers.filter(({ row }) => row.cells.has(key));
    const isGone = answers.some(
      ({ row, vector }) =>
        !row.cells.has(key) &&
        (row.stubs.has(key) || (vector.covers(cell.dot) && !holders.some((holder) => holder.vector.reaches(vector)))),
    );
    if (isGone) shown.delete(key);
  }
  return shown;
}
