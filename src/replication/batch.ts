import type { Digest, Dot, Entry, Hlc, Layout, OpenRow, PartitionState, Row, Stamp } from "../../crdt/index.ts";
import {
  admitEntry,
  applyEntry,
  compareHlc,
  copyPartition,
  digestDelta,
  encodeEntry,
  encodeRow,
  holdEarly,
  isEmptyRow,
  lastSeq,
  MAX_REMOVES,
  observeHlc,
  openRow,
  planWrite,
  rowDigest,
  rowInventory,
  takeReady,
} from "../../crdt/index.ts";
import type { Limits } from "../config/types.ts";
import { isConflict } from "../conflicts/conflict.ts";
import { present } from "../kernel/assert.ts";
import type { Sha256 } from "../kernel/hashing.ts";
import type { ActorId } from "../kernel/ids.ts";
import type { Commit, LogRecord, RowKey } from "../storage/store.ts";
import { checkGrowth, checkRowSize } from "./admission.ts";
import type { WriteRequest } from "./api.ts";
import { Unavailable } from "./api.ts";
import { journalRecord } from "./journal.ts";
import type { Partition } from "./partitions.ts";
import type { Place } from "./places.ts";

/** What a row's sums count of it. The same object twice when it has no stubs. */
export interface RowDigests {
  readonly digest: Digest;
  readonly inventory: Digest;
}

/** A row that a batch works on. */
export interface WorkingRow extends Place {
  /** Its rowId. */
  readonly id: string;
  readonly before: Row;
  readonly beforeBytes: number;
  row: Row;
  digest: Digest;
  inventory: Digest;
  encoded: Uint8Array | null;
}

export interface BatchContext {
  readonly partitions: readonly Partition[];
  readonly sha256: Sha256;
  readonly salt: Uint8Array;
  readonly layout: Layout;
  readonly limits: Limits;
  readonly maxDriftMs: number;
}

/** Where a batch goes on. */
export interface BatchStart {
  readonly lastPos: number;
  readonly hlc: Hlc;
  /** What it is planned on top of: a batch whose commit is under way. It may be committed only after that one. */
  readonly under: Batch | null;
}

/** The changes of one transaction while it forms: rows, vectors and log entries, on copies. Nothing is visible until
 *  the pipeline has committed it and publishes. */
export class Batch {
  readonly states = new Map<number, PartitionState>();
  readonly rows = new Map<string, WorkingRow>();
  readonly log: LogRecord[] = [];
  readonly #context: BatchContext;
  readonly #wallMs: number;
  #pos: number;
  hlc: Hlc;
  #under: Batch | null;

  constructor(context: BatchContext, wallMs: number, start: BatchStart) {
    this.#context = context;
    this.#wallMs = wallMs;
    this.#pos = start.lastPos;
    this.hlc = start.hlc;
    this.#under = start.under;
  }

  /** The log position of its last entry. */
  get lastPos(): number {
    return this.#pos;
  }

  /** The batch below is published: what it left is what everybody sees, and it need not be held any more. */
  standAlone(): void {
    this.#under = null;
  }

  /** Takes a row as the batch below left it. False when that has none of this id. */
  takeOver(id: string): boolean {
    const left = this.#under?.rows.get(id);
    if (!left) return false;
    const bytes = left.row === left.before ? left.beforeBytes : (left.encoded?.length ?? 0);
    this.addRow(id, left, left.row, bytes, left);
    return true;
  }

  /** A row as read; `bytes` is its stored size. `known`: what an earlier batch found of this very row. */
  addRow(id: string, place: Place, row: Row, bytes: number, known?: RowDigests): void {
    const { digest, inventory } = known ?? this.#digestsOf(place.keyHash, row);
    const { bucket, key, keyHash, slot, partition, leaf } = place;
    // One literal: a spread of `place` made this the hottest line of an import.
    this.rows.set(id, {
      id,
      bucket,
      key,
      keyHash,
      slot,
      partition,
      leaf,
      before: row,
      beforeBytes: bytes,
      row,
      digest,
      inventory,
      encoded: null,
    });
  }

  #digestsOf(keyHash: Uint8Array, row: Row): RowDigests {
    const { sha256, salt } = this.#context;
    const digest = rowDigest(sha256, salt, keyHash, row);
    return { digest, inventory: row.stubs.size === 0 ? digest : rowInventory(sha256, salt, keyHash, row) };
  }

  rowOf(id: string): WorkingRow {
    return present(this.rows.get(id), "a batch has read every row that it touches");
  }

  /** The partition's state to change in this batch. */
  state(partition: number): PartitionState {
    let state = this.states.get(partition);
    if (!state) {
      state = copyPartition(this.#stateBefore(partition));
      this.states.set(partition, state);
    }
    return state;
  }

  /** The partition's state as this batch leaves it so far. Not to be changed. */
  stateNow(partition: number): PartitionState {
    return this.states.get(partition) ?? this.#stateBefore(partition);
  }

  #stateBefore(partition: number): PartitionState {
    return (
      this.#under?.states.get(partition) ??
      present(this.#context.partitions[partition], "a partition of the layout").state
    );
  }

  /** One local write. Returns its entry, or null when it changes nothing. Throws before anything has changed. */
  write(id: string, request: WriteRequest, actor: ActorId, stampOf: (last: Hlc) => Stamp): Entry | null {
    const working = this.rowOf(id);
    const { partitions, maxDriftMs } = this.#context;
    if (partitions[working.partition]?.damaged.has(working.leaf))
      throw new Unavailable("damaged", "this record's storage is damaged and being healed from a peer; try again");
    request.guard?.(working.row);
    const plan = planWrite(working.row, request.ops, seenDots(working.row, request), actor);
    if (plan.adds.length === 0 && plan.removes.length === 0) return null;
    let floor = this.hlc;
    for (const { stamp } of working.row.cells.values())
      if (compareHlc(stamp.hlc, floor) > 0) floor = observeHlc(floor, stamp.hlc, this.#wallMs, maxDriftMs);
    const state = this.state(working.partition);
    const stamp = stampOf(floor);
    const { bucket, key } = working;
    const entry: Entry = { actor, first: state.vector.seq(actor) + 1, bucket, key, ...plan, stamp };
    this.#check(working, entry, request);
    this.hlc = stamp.hlc;
    return this.#applyInParts(working, entry);
  }

  /** An entry removes at most MAX_REMOVES dots: a larger removal is several entries of one transaction. Returns the last,
   *  which adds what is added. */
  #applyInParts(working: WorkingRow, entry: Entry): Entry {
    let rest = entry;
    while (rest.removes.length > MAX_REMOVES) {
      this.#apply(working, { ...rest, adds: [], removes: rest.removes.slice(0, MAX_REMOVES) });
      rest = { ...rest, first: rest.first + 1, removes: rest.removes.slice(MAX_REMOVES) };
    }
    this.#apply(working, rest);
    return rest;
  }

  /** Refuses what would grow above the bounds: only where it comes near them, tried on a copy of all that changes. */
  #check(working: WorkingRow, entry: Entry, request: WriteRequest): void {
    const { limits } = this.#context;
    const added = entry.adds.reduce((sum, add) => sum + roughSize(add.content), 0);
    if (working.row.cells.size < limits.siblings && working.beforeBytes + added <= limits.rowBytes) return;
    const open = openRow(working.row);
    applyEntry(copyPartition(this.state(working.partition)), open, entry);
    checkGrowth(working.row, open, request.ops, limits);
    checkRowSize(working.beforeBytes, encodeRow(open).length, limits);
  }

  /** One entry from a peer: applied, known already, or held until its gap is filled. */
  receive(entry: Entry, idOf: (key: RowKey) => string, partition: number): "applied" | "known" | "held" | "dropped" {
    const state = this.state(partition);
    const verdict = admitEntry(state, entry);
    if (verdict === "known") return "known";
    if (verdict === "early") return holdEarly(state, entry) ? "held" : "dropped";
    this.#apply(this.rowOf(idOf(entry)), entry);
    for (let next = takeReady(state); next; next = takeReady(state)) this.#apply(this.rowOf(idOf(next)), next);
    return "applied";
  }

  #apply(working: WorkingRow, entry: Entry): void {
    const state = this.state(working.partition);
    const awaits = entry.removes.some((dot) => !state.vector.covers(dot) && dot.actor !== entry.actor);
    const row = openRow(working.row);
    applyEntry(state, row, entry);
    const records = Number(row.cells.size > 0) - Number(working.row.cells.size > 0);
    const { digestChange, inventoryChange } = this.changeRow(working, row);
    this.log.push({
      pos: ++this.#pos,
      partition: working.partition,
      actor: entry.actor,
      first: entry.first,
      last: lastSeq(entry),
      body: encodeEntry(entry),
      atMs: this.#wallMs,
      slot: working.slot,
      digestDelta: digestChange,
      inventoryDelta: inventoryChange,
      recordDelta: records,
      awaits,
    });
  }

  /** Puts a row in the place of the one before and returns what that does to its leaf's sums. */
  changeRow(working: WorkingRow, row: OpenRow): { digestChange: Digest; inventoryChange: Digest } {
    const { digest, inventory } = this.#digestsOf(working.keyHash, row);
    const digestChange = digestDelta(working.digest, digest);
    const same = working.inventory === working.digest && inventory === digest;
    const inventoryChange = same ? digestChange : digestDelta(working.inventory, inventory);
    working.row = row;
    working.digest = digest;
    working.inventory = inventory;
    return { digestChange, inventoryChange };
  }

  changedRows(): WorkingRow[] {
    return [...this.rows.values()].filter((working) => working.row !== working.before);
  }

  /** The rows, log entries, vectors, journal and memory of deletions to commit in one transaction (I7). */
  commit(nextJournalSeq: () => number): Pick<Commit, "rows" | "log" | "vectors" | "journal" | "deletions"> {
    const rows: Commit["rows"][number][] = [];
    const journal: Commit["journal"][number][] = [];
    const deletions: Commit["deletions"][number][] = [];
    const { sha256 } = this.#context;
    for (const working of this.changedRows()) {
      const { bucket, key, slot, row, before } = working;
      const conflict = isConflict(row);
      working.encoded = isEmptyRow(row) ? null : encodeRow(row);
      rows.push({ bucket, key, slot, body: working.encoded, conflict });
      const record = journalRecord(sha256, working, conflict);
      if (record) journal.push({ bucket, key, seq: nextJournalSeq(), atMs: this.#wallMs, body: record });
      if (row.cells.size === 0 && before.cells.size > 0)
        deletions.push({ bucket, key, atMs: this.#wallMs, body: this.#deletionOf(working) });
    }
    return { rows, log: this.log, vectors: this.#vectors(), journal, deletions };
  }

  #deletionOf(working: WorkingRow): Uint8Array {
    const record = this.log.findLast((r) => r.slot === working.slot);
    return record?.body ?? new Uint8Array(0);
  }

  #vectors(): Commit["vectors"] {
    const vectors: Commit["vectors"][number][] = [];
    for (const [partition, { vector }] of this.states) {
      const { vector: before } = this.#stateBefore(partition);
      for (const { actor, to } of vector.missingFrom(before)) vectors.push({ partition, actor, seq: to });
    }
    return vectors;
  }
}

function seenDots(row: Row, { seen }: WriteRequest): "blind" | Dot[] {
  if (seen === "blind") return "blind";
  if ("dots" in seen) return [...seen.dots];
  return [...row.cells.values()].map(({ dot }) => dot).filter((dot) => seen.vector.covers(dot));
}

function roughSize(content: Entry["adds"][number]["content"]): number {
  if (content.kind === "register") return content.bytes.length + content.contentType.length + 64;
  return content.kind === "element" ? content.element.length + 64 : 256;
}
