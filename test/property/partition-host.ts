// One partition on one disk: log, rows, sums and damage around the rules of crdt/partition.ts, each method one
// transaction (I7). What a store does in SQLite, in a few Maps. Keys are `k0`, `k1`, …; a leaf is a key's parity.

import type { Dot, Entry, OpenRow, PartitionState, Row, TravellingRow } from "../../crdt/index.ts";
import {
  addDigest,
  admitEntry,
  adoptRow,
  adoptVector,
  applyEntry,
  copyHeals,
  copyPartition,
  digestDelta,
  dotKey,
  EMPTY_ROW,
  emptyPartition,
  foldStubs,
  holdEarly,
  includes,
  isEmptyRow,
  lastSeq,
  mayCut,
  mayDrop,
  mayHeal,
  openRow,
  readSum,
  repairRow,
  rowDigest,
  rowInventory,
  takeReady,
  VersionVector,
  wantsCopy,
} from "../../crdt/index.ts";
import type { Holdings, Verdict } from "../../crdt/partition.ts";
import { closeActor, holdings } from "../../crdt/partition.ts";
import { fnv1a } from "../../src/kernel/hashing.ts";
import type { ActorId } from "../../src/kernel/ids.ts";

export const LEAVES: readonly number[] = [0, 1];
export const leafOfKey = (key: string): number => Number(key.slice(1)) % LEAVES.length;

export interface Copy {
  readonly vector: VersionVector;
  readonly floor: VersionVector;
  readonly rows: ReadonlyMap<string, Row>;
}

/** Four lanes of FNV: as good as SHA-256 where nobody attacks, and much cheaper. */
export function quickHash(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(32);
  const view = new DataView(out.buffer);
  for (let lane = 0; lane < 4; lane++) {
    let hash = fnv1a(bytes, Math.imul(lane + 1, 0x9e3779b1));
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
    view.setUint32(4 * lane, hash ^ (hash >>> 12));
  }
  return out;
}

const SALT = new Uint8Array(0);
const keyHash = (key: string): Uint8Array => Uint8Array.of(Number(key.slice(1)));
type DigestOf = typeof rowDigest;

function sumOf(rows: Iterable<readonly [string, Row]>, leaf: number, of: DigestOf): string {
  const sum = new Uint32Array(4);
  for (const [key, row] of rows) if (leafOfKey(key) === leaf) addDigest(sum, 0, of(quickHash, SALT, keyHash(key), row));
  return readSum(sum, 0).join();
}

export class PartitionHost {
  state: PartitionState = emptyPartition();
  log: Entry[] = [];
  rows: Map<string, Row> = new Map();
  /** leaf → sum of what peers see; kept by difference. */
  digests: Uint32Array = new Uint32Array(4 * LEAVES.length);
  /** leaf → sum of all it holds, stubs too: for its own check. */
  inventories: Uint32Array = new Uint32Array(4 * LEAVES.length);
  /** leaf → my vector when the damage was last found. */
  damaged: Map<number, VersionVector> = new Map();
  /** owner → the vector that it last acknowledged. */
  acks: Map<number, VersionVector> = new Map();
  /** Changes with everything: views of it know when they are old. */
  version = 0;

  /** What is on disk: without what waits in memory. */
  clone(): PartitionHost {
    const copy = new PartitionHost();
    copy.state = { ...copyPartition(this.state), early: [] };
    copy.log = [...this.log];
    copy.rows = new Map(this.rows);
    copy.digests = this.digests.slice();
    copy.inventories = this.inventories.slice();
    copy.damaged = new Map([...this.damaged].map(([leaf, at]) => [leaf, at.copy()]));
    copy.acks = new Map(this.acks);
    return copy;
  }

  row(key: string): Row {
    return this.rows.get(key) ?? EMPTY_ROW;
  }

  digest(leaf: number): string {
    return readSum(this.digests, 4 * leaf).join();
  }

  /** The one door to a row: keeps the leaf's sums by difference, folds stubs, drops an empty row. */
  #change(key: string, change: (row: OpenRow) => void): void {
    this.version += 1;
    const before = this.row(key);
    const row = openRow(before);
    change(row);
    foldStubs(this.state, row);
    const at = 4 * leafOfKey(key);
    for (const [sums, of] of [
      [this.digests, rowDigest],
      [this.inventories, rowInventory],
    ] as const) {
      const [was, is] = [of(quickHash, SALT, keyHash(key), before), of(quickHash, SALT, keyHash(key), row)];
      addDigest(sums, at, digestDelta(was, is));
    }
    if (isEmptyRow(row)) this.rows.delete(key);
    else this.rows.set(key, row);
  }

  #foldAll(): void {
    for (const [key, row] of this.rows) if (row.stubs.size > 0) this.#change(key, () => {});
  }

  // ---- the log

  receive(entry: Entry): void {
    this.version += 1;
    const admitted = admitEntry(this.state, entry);
    if (admitted === "next") this.#apply(entry);
    if (admitted === "early") holdEarly(this.state, entry);
    this.drain();
  }

  #apply(entry: Entry): void {
    this.#change(entry.key, (row) => applyEntry(this.state, row, entry));
    this.log.push(entry);
  }

  /** Applies what no longer waits. A closed actor's vector may have risen to its end: that folds stubs of any row. */
  drain(): void {
    for (let next = takeReady(this.state); next; next = takeReady(this.state)) this.#apply(next);
    if (this.state.closed.size > 0) this.#foldAll();
  }

  /** What a peer at `vector` lacks, in order, as far as my log reaches. */
  entriesAbove(vector: VersionVector): Entry[] {
    const { floor } = this.state;
    return this.log.filter((e) => !includes(vector, e) && vector.seq(e.actor) >= floor.seq(e.actor));
  }

  #acksOf(ids: readonly number[]): VersionVector[] {
    return ids.map((id) => this.acks.get(id) ?? new VersionVector());
  }

  mayCut(entry: Entry, self: number, owners: readonly number[]): boolean {
    return mayCut(this.state, entry, this.#acksOf(owners.filter((id) => id !== self)));
  }

  mayDrop(owners: readonly number[]): boolean {
    return mayDrop(this.state, this.#acksOf(owners));
  }

  /** From its old end: at most `count` entries; what is held back holds back its actor's later ones. Beside sound rows
   *  only: whoever is behind the floor will need them. */
  cutLog(self: number, owners: readonly number[], count: number): void {
    if (!this.isSound()) return;
    this.version += 1;
    const held = new Set<ActorId>();
    let left = count;
    this.log = this.log.filter((entry) => {
      if (left === 0 || held.has(entry.actor) || !this.mayCut(entry, self, owners)) return held.add(entry.actor);
      left -= 1;
      const { floor } = this.state;
      if (!includes(floor, entry)) floor.rise(entry.actor, lastSeq(entry));
      return false;
    });
  }

  /** As a backup without its log is restored: rows at a vector that the log no longer reaches back from. */
  forgetLog(): void {
    this.version += 1;
    this.log = [];
    this.state = { ...this.state, floor: this.state.vector.copy(), awaited: new Map() };
  }

  // ---- rows that travel

  #removedAbove(vector: VersionVector): (dot: Dot) => boolean {
    const gone = new Set(this.log.filter((e) => !includes(vector, e)).flatMap((e) => e.removes.map(dotKey)));
    return (dot) => gone.has(dotKey(dot));
  }

  repair(key: string, theirs: TravellingRow): void {
    if (this.damaged.has(leafOfKey(key))) return; // healed as a whole only
    this.#change(key, (row) => repairRow(this.state, row, theirs, this.#removedAbove(theirs.vector)));
  }

  copy(): Copy | null {
    if (!this.isSound()) return null;
    return { vector: this.state.vector.copy(), floor: this.state.floor.copy(), rows: new Map(this.rows) };
  }

  adopt({ vector, floor, rows }: Copy): void {
    if (!wantsCopy(this.state, floor)) return;
    const heals = [...this.damaged].filter(([, at]) => copyHeals(this.state, at, vector)).map(([leaf]) => leaf);
    this.#adoptRows([...LEAVES], rows, vector);
    this.version += 1;
    adoptVector(this.state, vector);
    this.#foldAll();
    for (const leaf of heals) this.#healed(leaf);
    this.drain();
  }

  #adoptRows(leaves: readonly number[], rows: ReadonlyMap<string, Row>, vector: VersionVector): void {
    const removedAbove = this.#removedAbove(vector);
    for (const key of new Set([...this.rows.keys(), ...rows.keys()]))
      if (leaves.includes(leafOfKey(key)))
        this.#change(key, (row) =>
          adoptRow(this.state, row, { row: rows.get(key) ?? EMPTY_ROW, vector }, removedAbove),
        );
  }

  // ---- damage

  isSound(): boolean {
    return LEAVES.every((leaf) => this.soundLeaf(leaf));
  }

  soundLeaf(leaf: number): boolean {
    return (
      !this.damaged.has(leaf) && sumOf(this.rows, leaf, rowInventory) === readSum(this.inventories, 4 * leaf).join()
    );
  }

  /** A row vanishes without a trace: the sums don't know. */
  loseRow(key: string): void {
    this.version += 1;
    this.rows.delete(key);
  }

  quarantine(leaf: number): void {
    this.version += 1;
    this.damaged.set(leaf, this.state.vector.copy()); // anew if it is damaged anew
  }

  scrub(): void {
    for (const leaf of LEAVES) if (!this.damaged.has(leaf) && !this.soundLeaf(leaf)) this.quarantine(leaf);
  }

  /** A catch-up of one leaf: what `vector` covers and the sound leaf lacks goes. */
  healLeaf(leaf: number, rows: ReadonlyMap<string, Row>, vector: VersionVector): void {
    const at = this.damaged.get(leaf);
    if (!at || !mayHeal(this.state, at, vector)) return;
    this.#adoptRows([leaf], rows, vector);
    this.#healed(leaf);
  }

  #healed(leaf: number): void {
    this.version += 1;
    this.damaged.delete(leaf);
    for (const [sums, of] of [
      [this.digests, rowDigest],
      [this.inventories, rowInventory],
    ] as const) {
      sums.fill(0, 4 * leaf, 4 * leaf + 4);
      for (const [key, row] of this.rows)
        if (leafOfKey(key) === leaf) addDigest(sums, 4 * leaf, of(quickHash, SALT, keyHash(key), row));
    }
  }

  // ---- closing an actor

  holdings(actor: ActorId): Holdings {
    return holdings(this.state, actor);
  }

  close(actor: ActorId, verdict: Verdict): void {
    this.version += 1;
    closeActor(this.state, actor, verdict);
    this.drain();
  }
}
