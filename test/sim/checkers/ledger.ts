import type { Cell, DotKey, Layout, Row } from "../../../crdt/index.ts";
import { addedCells, decodeEntry, dotKey, EMPTY_ROW, lastSeq, leafOf, VersionVector } from "../../../crdt/index.ts";
import { equalBytes } from "../../../src/kernel/bytes.ts";
import { nodeOfActor } from "../../../src/kernel/ids.ts";
import { LAYOUT } from "../../../src/replication/replica.ts";
import type { StoreImage } from "../../../src/storage/memory.ts";
import type { Commit, LogRecord, VectorEntry } from "../../../src/storage/store.ts";
import type { DiskObserver } from "../cluster.ts";
import { AppliedSets, bitOf } from "./applied.ts";
import type { DiskState, RowState, Written } from "./disk-state.ts";
import { isCovered, newDisk, seqOf, setSeq, vectorsOf } from "./disk-state.ts";
import type { KeyId, Violations } from "./history.ts";
import { keyId } from "./history.ts";
import { journalGap } from "./journal.ts";
import { without } from "./naive.ts";
import { checkRow, DecodedRows } from "./rows.ts";

/** All that ever became durable on any disk: every entry once, with what its node knew when it was made; and per disk
 *  which entries it has applied. Follows the invariants I1, I2, I5–I8 commit by commit: after each, rows must be exactly
 *  what the entries applied there make of them. */
export class Ledger implements DiskObserver {
  readonly written = new Map<string, Written>();
  readonly byTag = new Map<string, Written[]>();
  readonly byKey = new Map<KeyId, Written[]>();
  readonly #violations: Violations;
  readonly #nowMs: () => number;
  readonly #layout: Layout;
  readonly #rows = new DecodedRows();
  readonly #sets = new AppliedSets((id) => this.byKey.get(id) ?? []);
  readonly #disks = new Map<string, DiskState>();
  /** What a disk was put back to, until it is opened. */
  readonly #restored = new Set<string>();
  onCommitting: (node: string) => void = () => {};

  constructor(violations: Violations, nowMs: () => number, layout: Layout = LAYOUT) {
    this.#violations = violations;
    this.#layout = layout;
    this.#nowMs = nowMs;
  }

  disk(node: string): DiskState {
    let disk = this.#disks.get(node);
    if (!disk) {
      disk = newDisk();
      for (const write of this.written.values()) disk.missing.add(write);
      this.#disks.set(node, disk);
    }
    return disk;
  }

  get nodes(): string[] {
    return [...this.#disks.keys()];
  }

  // ---- what disks tell

  committing(node: string): void {
    this.disk(node).isCommitting = true;
    this.onCommitting(node);
  }

  committed(node: string, commit: Commit): void {
    const disk = this.disk(node);
    disk.isCommitting = false;
    const changed = new Set<KeyId>();
    const risen = new Map<string, VectorEntry>();
    for (const record of commit.log) {
      const write = this.#applyRecord(node, disk, record);
      const id = keyId(write.key);
      // A write of the same transaction may have seen what no reader ever will.
      if (commit.log.length > 1) this.#noteState(disk, id, null);
      changed.add(id);
      risen.set(`${record.partition} ${record.actor}`, { ...record, seq: record.last });
    }
    const copied = this.#raise(node, disk, commit, risen);
    for (const { partition, actor, seq } of commit.floors) setSeq(disk.floors, partition, actor, seq);
    for (const row of commit.rows) {
      const id = keyId(row);
      changed.add(id);
      const after = row.body === null ? EMPTY_ROW : this.#rows.of(row.body);
      this.#checkJournal(node, disk, id, after, commit);
      if (row.body === null) disk.rows.delete(id);
      else disk.rows.set(id, after);
    }
    for (const id of this.#noteDamage(node, disk, commit.damaged)) changed.add(id);
    for (const { partition } of commit.sums) disk.doubted.delete(partition);
    if (copied.size > 0)
      for (const [id, [write]] of this.byKey) if (write && copied.has(write.partition)) changed.add(id);
    for (const id of changed) this.#checkRow(node, disk, id);
    this.#checkCut(node, disk, commit);
    this.#checkAcks(node, disk, commit);
    for (const { seq } of commit.journal) disk.journalSeqs.add(seq);
  }

  /** A process starts with an image: the last one, perhaps with a commit that nobody was told of; or an old one that
   *  `restored` announced. */
  opened(node: string, image: StoreImage): void {
    this.#synchronize(node, image, this.#restored.delete(node));
  }

  /** A disk is about to be put back. What it alone had is lost from now on, and excused; nothing else is. */
  restored(node: string, before: StoreImage, after: StoreImage): void {
    // It may have been put back before, and never been opened since.
    this.#synchronize(node, before, this.#restored.has(node));
    const covered = this.#coveredAnywhere();
    const disk = this.disk(node);
    disk.vectors = vectorsOf(after.vectors);
    for (const write of disk.applied) if (!isCovered(disk.vectors, write)) this.#noteUndone(disk, write);
    const still = this.#coveredAnywhere();
    for (const write of covered) if (!still.has(write)) write.lost = true;
    this.#restored.add(node);
  }

  #coveredAnywhere(): Set<Written> {
    const covered = new Set<Written>();
    for (const write of this.written.values())
      for (const { vectors } of this.#disks.values()) if (isCovered(vectors, write)) covered.add(write);
    return covered;
  }

  #synchronize(node: string, from: StoreImage, isOld: boolean): void {
    const disk = this.disk(node);
    disk.isCommitting = false;
    const vectors = vectorsOf(from.vectors);
    for (const record of from.log) if (record.pos > disk.lastPos && !isOld) this.#applyRecord(node, disk, record);
    if (!isOld)
      for (const [partition, seqs] of disk.vectors)
        for (const [actor, seq] of seqs)
          if (seqOf(vectors, partition, actor) < seq)
            this.#violations.add("durable", `${node} forgot entries of ${actor} in partition ${partition}: ${seq}`);
    disk.vectors = vectors;
    disk.floors = vectorsOf(from.floors);
    disk.applied.clear();
    disk.appliedBits.clear();
    for (const write of this.written.values()) if (isCovered(vectors, write)) this.#noteApplied(node, disk, write);
    disk.lastPos = from.lastPos;
    disk.positions.clear();
    for (const record of from.log) disk.positions.set(record.pos, this.#note(node, disk, record));
    disk.journalSeqs = new Set(from.journal.map(({ seq }) => seq));
    disk.rows.clear();
    disk.damaged.clear();
    disk.doubted.clear();
    disk.marked.clear();
    for (const partition of from.lostSums) disk.doubted.add(partition);
    for (const row of from.rows.values()) {
      disk.rows.set(keyId(row), this.#rows.of(row.body));
      if (!row.isSound) disk.damaged.add(keyId(row));
    }
    for (const { partition, leaf } of from.damaged.values()) {
      disk.marked.add(`${partition} ${leaf}`);
      for (const id of this.#keysIn(partition, leaf)) disk.damaged.add(id);
    }
    for (const id of this.byKey.keys()) this.#checkRow(node, disk, id);
  }

  // ---- entries

  #applyRecord(node: string, disk: DiskState, record: LogRecord): Written {
    const { partition, actor, first, last, pos } = record;
    const write = this.#note(node, disk, record);
    const have = seqOf(disk.vectors, partition, actor);
    if (first !== have + 1)
      this.#violations.add("contiguous", `${node} applied ${write.name}, though its vector said ${have}`);
    setSeq(disk.vectors, partition, actor, last);
    this.#noteApplied(node, disk, write);
    disk.positions.set(pos, write);
    disk.lastPos = pos;
    return write;
  }

  #noteApplied(node: string, disk: DiskState, write: Written): void {
    const id = keyId(write.key);
    disk.applied.add(write);
    disk.appliedBits.set(id, (disk.appliedBits.get(id) ?? 0n) | bitOf(write));
    disk.missing.delete(write);
    write.everAt.add(node);
  }

  #noteUndone(disk: DiskState, write: Written): void {
    const id = keyId(write.key);
    disk.applied.delete(write);
    disk.appliedBits.set(id, (disk.appliedBits.get(id) ?? 0n) & ~bitOf(write));
  }

  /** The entry of a log record: the known one, or a new one. */
  #note(node: string, disk: DiskState, record: LogRecord): Written {
    const name = `${record.partition}/${record.actor}:${record.first}`;
    const known = this.written.get(name);
    if (known) {
      if (!equalBytes(known.body, record.body))
        this.#violations.add("one dot, one value", `${name} at ${node} is another entry than before`);
      return known;
    }
    const entry = decodeEntry(record.body);
    const author = nodeOfActor(record.actor);
    if (author !== node)
      this.#violations.add("durable before visible", `${node} has ${name}, which was never durable at ${author}`);
    if (lastSeq(entry) !== record.last || entry.first !== record.first)
      this.#violations.add("one dot, one value", `the log of ${node} files ${name} under other dots`);
    const { bucket, key } = entry;
    const id = keyId(entry);
    const siblings = this.byKey.get(id) ?? [];
    const write: Written = {
      name,
      index: siblings.length,
      partition: record.partition,
      leaf: leafOf(record.slot, this.#layout),
      key: { bucket, key },
      entry,
      body: record.body,
      cells: new Map(addedCells(entry).map((cell) => [dotKey(cell.dot), cell])),
      removes: new Set(entry.removes.map(dotKey)),
      node: author,
      atMs: this.#nowMs(),
      here: this.#appliedAt(disk, id),
      afterBits: (disk.appliedBits.get(id) ?? 0n) | bitOf({ index: siblings.length }),
      everAt: new Set(),
      lost: false,
    };
    this.written.set(name, write);
    siblings.push(write);
    this.byKey.set(id, siblings);
    for (const other of this.#disks.values()) other.missing.add(write);
    const tag = entry.stamp.reason ?? "";
    this.byTag.set(tag, [...(this.byTag.get(tag) ?? []), write]);
    return write;
  }

  // ---- vectors

  /** Returns the partitions that a copy was adopted in: vectors may rise past the log only with their floors. */
  #raise(node: string, disk: DiskState, commit: Commit, risen: ReadonlyMap<string, VectorEntry>): Set<number> {
    const copied = new Set<number>();
    const told = (): Set<string> => new Set(commit.vectors.map(({ partition, actor }) => `${partition} ${actor}`));
    for (const name of risen.size === 0 ? [] : without(risen.keys(), told()))
      this.#violations.add("one transaction", `${node} logged an entry of ${name} and did not raise its vector`);
    for (const { partition, actor, seq } of commit.vectors) {
      const have = seqOf(disk.vectors, partition, actor);
      if (seq < have)
        this.#violations.add("monotone", `${node} lowered partition ${partition} of ${actor} from ${have} to ${seq}`);
      if (seq <= have) continue;
      const floor = commit.floors.find((entry) => entry.partition === partition && entry.actor === actor);
      if (floor?.seq !== seq)
        this.#violations.add(
          "contiguous",
          `${node} raised partition ${partition} of ${actor} from ${have} to ${seq} without the entries`,
        );
      setSeq(disk.vectors, partition, actor, seq);
      copied.add(partition);
    }
    if (copied.size === 0) return copied;
    for (const write of this.written.values())
      if (copied.has(write.partition) && isCovered(disk.vectors, write)) this.#noteApplied(node, disk, write);
    return copied;
  }

  /** What a node counts as acknowledged by a peer, that peer must have had: logs are cut by it. */
  #checkAcks(node: string, disk: DiskState, { acks }: Commit): void {
    for (const { peer, partition, vector } of acks) {
      const at = `${peer} ${partition}`;
      const known = disk.acks.get(at);
      if (vector === null || vector.length <= 1 || (known && equalBytes(known, vector))) continue;
      disk.acks.set(at, vector);
      const acknowledged = VersionVector.decode(vector);
      for (const write of this.#disks.get(peer)?.missing ?? this.written.values())
        if (write.partition === partition && acknowledged.seq(write.entry.actor) >= lastSeq(write.entry))
          this.#violations.add("acknowledgements are true", `${node} thinks that ${peer} has ${write.name}`);
    }
  }

  /** I6: an entry is cut only when another owner has held it, and no stub needs it. */
  #checkCut(node: string, disk: DiskState, { cutLog }: Commit): void {
    for (const pos of cutLog) {
      const write = disk.positions.get(pos);
      if (!write) continue;
      disk.positions.delete(pos);
      if (write.everAt.size < 2 && this.#disks.size > 1)
        this.#violations.add("log cut too early", `${write.name} at ${node}: no other owner ever had it`);
      for (const dot of write.entry.removes)
        if (seqOf(disk.vectors, write.partition, dot.actor) < dot.seq)
          this.#violations.add("log cut too early", `${write.name} at ${node}: ${dotKey(dot)} is still to come`);
      if (seqOf(disk.floors, write.partition, write.entry.actor) < lastSeq(write.entry))
        this.#violations.add("log cut too early", `${write.name} at ${node}: above the floor`);
    }
  }

  // ---- rows

  /** A leaf may be called damaged only where a row is, or where the sums that would say so are lost. Returns the keys that are healed: they must be exact again. */
  #noteDamage(node: string, disk: DiskState, damaged: Commit["damaged"]): KeyId[] {
    const healed: KeyId[] = [];
    for (const { partition, leaf, vector } of damaged) {
      const ids = this.#keysIn(partition, leaf);
      const name = `${partition} ${leaf}`;
      const known = disk.doubted.has(partition) || disk.marked.has(name) || ids.some((id) => disk.damaged.has(id));
      if (vector === null) disk.marked.delete(name);
      else disk.marked.add(name);
      if (vector === null) healed.push(...ids.filter((id) => disk.damaged.delete(id)));
      else for (const id of ids) disk.damaged.add(id);
      if (vector !== null && !known)
        this.#violations.add("damage is real", `${node} says that leaf ${leaf} of partition ${partition} is damaged`);
    }
    return healed;
  }

  /** The keys of a key's leaf, itself included: what damages one of them damages all. */
  keysBeside(id: KeyId): KeyId[] {
    const write = this.byKey.get(id)?.[0];
    return write ? this.#keysIn(write.partition, write.leaf) : [id];
  }

  #keysIn(partition: number, leaf: number): KeyId[] {
    return [...this.byKey]
      .filter(([, [write]]) => write?.partition === partition && write.leaf === leaf)
      .map(([id]) => id);
  }

  #checkRow(node: string, disk: DiskState, id: KeyId): void {
    if (disk.damaged.has(id)) {
      this.#noteState(disk, id, null);
      return;
    }
    const row = disk.rows.get(id) ?? EMPTY_ROW;
    const applied = this.#noteState(disk, id, row.cells);
    const expected = this.liveOf(applied);
    checkRow({ node, id, row, applied, all: this.byKey.get(id) ?? [], expected }, disk, this.#violations);
  }

  /** Remembers what is live now: as the row says, or as it must be. */
  #noteState(disk: DiskState, id: KeyId, held: RowState["live"] | null): ReadonlySet<Written> {
    const applied = this.#appliedAt(disk, id);
    const state = { fromMs: this.#nowMs(), live: held ?? this.liveOf(applied), applied };
    const states = disk.states.get(id);
    if (states) states.push(state);
    else disk.states.set(id, [state]);
    return applied;
  }

  /** The writes of a key that a disk has applied. */
  #appliedAt(disk: DiskState, id: KeyId): ReadonlySet<Written> {
    return this.#sets.of(id, disk.appliedBits.get(id) ?? 0n);
  }

  /** A write, and what its node had applied before it. */
  liveAfter({ key, afterBits }: Written): ReadonlyMap<DotKey, Cell> {
    return this.liveOf(this.#sets.of(keyId(key), afterBits));
  }

  liveOf(applied: ReadonlySet<Written>): ReadonlyMap<DotKey, Cell> {
    return this.#sets.liveOf(applied);
  }

  #checkJournal(node: string, disk: DiskState, id: KeyId, after: Row, commit: Commit): void {
    if (disk.damaged.has(id)) return; // what it can't read, it can't record
    const before = disk.rows.get(id) ?? EMPTY_ROW;
    const records = commit.journal.filter((record) => keyId(record) === id);
    const gap = journalGap(before.cells, after.cells, records);
    if (gap.length > 0)
      this.#violations.add("journal is complete", `${id} at ${node}: ${gap} lost a conflict unrecorded`);
  }

  // ---- asked by checkers

  /** What was on a disk at some moment between two times. */
  statesOf(node: string, id: KeyId, fromMs: number, toMs: number): RowState[] {
    const states = this.disk(node).states.get(id) ?? [];
    const before = states.findLast((state) => state.fromMs <= fromMs) ?? NOTHING;
    return [before, ...states.filter((state) => state.fromMs > fromMs && state.fromMs <= toMs)];
  }

  /** The writes of a key that a vector of its partition covers. */
  covered(id: KeyId, vector: VersionVector): Written[] {
    return (this.byKey.get(id) ?? []).filter(({ entry }) => vector.seq(entry.actor) >= lastSeq(entry));
  }

  /** Lost writes that came after another lost one of the same run. Who was sent one of these, and not the one before, waits
   *  for that: until somebody closes the run's actor (data.md), which takes a control plane. */
  orphans(): number {
    const lost = [...this.written.values()].filter((write) => write.lost);
    return lost.length - new Set(lost.map(({ partition, entry }) => `${partition} ${entry.actor}`)).size;
  }

  hasApplied(node: string, write: Written): boolean {
    return this.disk(node).applied.has(write);
  }
}

const NOTHING: RowState = { fromMs: 0, live: new Map(), applied: new Set() };
