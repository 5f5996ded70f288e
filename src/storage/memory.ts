import { InternalError, present } from "../kernel/assert.ts";
import { compareBytes, utf8 } from "../kernel/bytes.ts";
import type {
  Commit,
  ConflictRange,
  JournalRecord,
  KeyRange,
  LogRecord,
  RowKey,
  RowRead,
  Store,
  StoreCopy,
  StoredRow,
  StoreState,
  VectorEntry,
} from "./store.ts";

/** What a memory store has made durable, as a value: opening a store from it and writing there leaves it unchanged. */
export interface StoreImage {
  readonly rows: ReadonlyMap<string, MemoryRow>;
  readonly log: readonly LogRecord[];
  readonly vectors: ReadonlyMap<string, VectorEntry>;
  readonly floors: ReadonlyMap<string, VectorEntry>;
  readonly acks: ReadonlyMap<string, StoreState["acks"][number]>;
  readonly sums: ReadonlyMap<number, StoreState["sums"][number]>;
  readonly damaged: ReadonlyMap<string, StoreState["damaged"][number]>;
  readonly deletions: ReadonlyMap<string, { readonly atMs: number; readonly body: Uint8Array }>;
  readonly journal: readonly JournalRecord[];
  readonly settings: ReadonlyMap<string, string>;
  readonly lastPos: number;
  readonly lastJournalSeq: number;
}

/** `isSound` stands for the checksum. */
export interface MemoryRow extends StoredRow {
  readonly isSound: boolean;
}

export interface MemoryStoreOptions {
  readonly image?: StoreImage;
  /** The disk's latency: a commit becomes durable when this resolves, fails when it rejects. */
  readonly beforeDurable?: () => Promise<void>;
}

type Writable<T> = {
  -readonly [K in keyof T]: T[K] extends ReadonlyMap<infer A, infer B>
    ? Map<A, B>
    : T[K] extends readonly (infer E)[]
      ? E[]
      : T[K];
};

const EMPTY: StoreImage = {
  rows: new Map(),
  log: [],
  vectors: new Map(),
  floors: new Map(),
  acks: new Map(),
  sums: new Map(),
  damaged: new Map(),
  deletions: new Map(),
  journal: [],
  settings: new Map(),
  lastPos: 0,
  lastJournalSeq: 0,
};

function copyImage(image: StoreImage): Writable<StoreImage> {
  return {
    rows: new Map(image.rows),
    log: [...image.log],
    vectors: new Map(image.vectors),
    floors: new Map(image.floors),
    acks: new Map(image.acks),
    sums: new Map(image.sums),
    damaged: new Map(image.damaged),
    deletions: new Map(image.deletions),
    journal: [...image.journal],
    settings: new Map(image.settings),
    lastPos: image.lastPos,
    lastJournalSeq: image.lastJournalSeq,
  };
}

/** A store in memory, for simulations: no fsync but the one it is told of. */
export function openMemoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  return new MemoryStore(options);
}

const idOf = ({ bucket, key }: RowKey): string => `${bucket}\0${key}`;

export class MemoryStore implements Store {
  readonly #data: Writable<StoreImage>;
  readonly #beforeDurable: () => Promise<void>;
  #failed: Error | null = null;
  /** Row keys in byte order per bucket, and rows by slot: made anew when a row came or went. */
  #ordered: Map<string, { key: string; bytes: Uint8Array }[]> | null = null;
  #bySlot: MemoryRow[] | null = null;
  #slotsStale = true;

  constructor({ image, beforeDurable }: MemoryStoreOptions) {
    this.#data = copyImage(image ?? EMPTY);
    this.#beforeDurable = beforeDurable ?? (() => Promise.resolve());
  }

  /** The durable state now. */
  image(): StoreImage {
    return copyImage(this.#data);
  }

  async load(): Promise<StoreState> {
    const d = this.#data;
    return {
      settings: new Map(d.settings),
      vectors: [...d.vectors.values()],
      floors: [...d.floors.values()],
      acks: [...d.acks.values()],
      sums: [...d.sums.values()],
      damaged: [...d.damaged.values()],
      awaiting: d.log.filter((record) => record.awaits),
      lastPos: d.lastPos,
      lastJournalSeq: d.lastJournalSeq,
    };
  }

  async commit(commit: Commit): Promise<void> {
    if (this.#failed) throw this.#failed;
    try {
      await this.#beforeDurable();
    } catch (error) {
      this.#failed = new InternalError(
        `the store is in an unknown state: ${error instanceof Error ? error.message : String(error)}`,
      );
      throw this.#failed;
    }
    this.#applyRows(commit);
    this.#applyLog(commit);
    this.#applyRest(commit);
  }

  #applyRows({ rows }: Commit): void {
    for (const { bucket, key, slot, body, conflict } of rows) {
      const id = idOf({ bucket, key });
      const had = this.#data.rows.has(id);
      if (body === null) this.#data.rows.delete(id);
      else this.#data.rows.set(id, { bucket, key, slot, body, conflict, isSound: true });
      if (had !== (body !== null)) this.#ordered = null;
      this.#slotsStale = true;
    }
  }

  #applyLog({ log, cutLog }: Commit): void {
    const d = this.#data;
    for (const record of log) {
      if (record.pos <= d.lastPos) throw new InternalError("log positions count up and are never reused");
      d.log.push(record);
      d.lastPos = record.pos;
    }
    if (cutLog.length === 0) return;
    const gone = new Set(cutLog);
    d.log = d.log.filter((record) => !gone.has(record.pos));
  }

  #applyRest(commit: Commit): void {
    const d = this.#data;
    for (const entry of commit.vectors) d.vectors.set(`${entry.partition}:${entry.actor}`, entry);
    for (const entry of commit.floors) d.floors.set(`${entry.partition}:${entry.actor}`, entry);
    for (const { peer, partition, vector } of commit.acks)
      setOrDelete(d.acks, `${partition}:${peer}`, vector && { peer, partition, vector });
    for (const sums of commit.sums) d.sums.set(sums.partition, sums);
    for (const { partition, leaf, vector } of commit.damaged)
      setOrDelete(d.damaged, `${partition}:${leaf}`, vector && { partition, leaf, vector });
    for (const { bucket, key, atMs, body } of commit.deletions)
      setOrDelete(d.deletions, idOf({ bucket, key }), body && { atMs, body });
    for (const record of commit.journal) {
      d.journal.push(record);
      d.lastJournalSeq = Math.max(d.lastJournalSeq, record.seq);
    }
    for (const { name, value } of commit.settings) d.settings.set(name, value);
    const forget = commit.forgetBeforeMs;
    if (!forget) return;
    for (const [id, { atMs }] of d.deletions) if (atMs < forget.deletions) d.deletions.delete(id);
    d.journal = d.journal.filter(({ atMs }) => atMs >= forget.journal);
  }

  async readRows(keys: readonly RowKey[]): Promise<(RowRead | undefined)[]> {
    return keys.map((key) => {
      const row = this.#data.rows.get(idOf(key));
      return row && readOf(row);
    });
  }

  async scanKeys({ bucket, prefix, after, limit, maxBytes }: KeyRange): Promise<RowRead[]> {
    const keys = this.#order().get(bucket) ?? [];
    const prefixBytes = utf8(prefix);
    const afterBytes = after === undefined ? null : utf8(after);
    const start = firstIndex(
      keys,
      (k) => compareBytes(k.bytes, prefixBytes) >= 0 && (!afterBytes || compareBytes(k.bytes, afterBytes) > 0),
    );
    const rows: RowRead[] = [];
    let bytes = 0;
    for (let i = start; i < keys.length && rows.length < limit; i++) {
      const { key, bytes: keyBytes } = present(keys[i], "an index below the length");
      if (compareBytes(keyBytes.subarray(0, prefixBytes.length), prefixBytes) !== 0) break;
      const row = present(this.#data.rows.get(idOf({ bucket, key })), "an ordered key has a row");
      bytes += row.body.length;
      if (rows.length > 0 && bytes > maxBytes) break;
      rows.push(readOf(row));
    }
    return rows;
  }

  #order(): Map<string, { key: string; bytes: Uint8Array }[]> {
    if (this.#ordered) return this.#ordered;
    const ordered = new Map<string, { key: string; bytes: Uint8Array }[]>();
    for (const { bucket, key } of this.#data.rows.values()) {
      const keys = ordered.get(bucket) ?? [];
      keys.push({ key, bytes: utf8(key) });
      ordered.set(bucket, keys);
    }
    for (const keys of ordered.values()) keys.sort((a, b) => compareBytes(a.bytes, b.bytes));
    this.#ordered = ordered;
    return ordered;
  }

  #slots(): MemoryRow[] {
    if (!this.#bySlot || this.#slotsStale) {
      this.#bySlot = [...this.#data.rows.values()].sort(
        (a, b) =>
          a.slot - b.slot || compareBytes(utf8(a.bucket), utf8(b.bucket)) || compareBytes(utf8(a.key), utf8(b.key)),
      );
      this.#slotsStale = false;
    }
    return this.#bySlot;
  }

  #inSlots(from: number, to: number): MemoryRow[] {
    const rows = this.#slots();
    return rows.slice(
      firstIndex(rows, (r) => r.slot >= from),
      firstIndex(rows, (r) => r.slot >= to),
    );
  }

  async scanSlots(from: number, to: number): Promise<RowRead[]> {
    return this.#inSlots(from, to).map(readOf);
  }

  async buckets(): Promise<{ bucket: string; rows: number }[]> {
    const ordered = [...this.#order()].map(([bucket, keys]) => ({ bucket, rows: keys.length }));
    return ordered.sort((a, b) => (a.bucket < b.bucket ? -1 : 1));
  }

  async scanConflicts({ bucket, after, limit }: ConflictRange): Promise<RowRead[]> {
    const found: RowRead[] = [];
    for (const { bucket: name } of await this.buckets()) {
      if (bucket !== undefined && name !== bucket) continue;
      for (const { key, bytes } of this.#order().get(name) ?? []) {
        const row = present(this.#data.rows.get(idOf({ bucket: name, key })), "an ordered key has a row");
        const isPast =
          !after || name > after.bucket || (name === after.bucket && compareBytes(bytes, utf8(after.key)) > 0);
        if (row.conflict && isPast) found.push(readOf(row));
        if (found.length >= limit) return found;
      }
    }
    return found;
  }

  async countConflicts(): Promise<number> {
    let count = 0;
    for (const { conflict } of this.#data.rows.values()) if (conflict) count += 1;
    return count;
  }

  async readLog(afterPos: number, limit: number, maxBytes: number): Promise<LogRecord[]> {
    const { log } = this.#data;
    return within(
      log.slice(
        firstIndex(log, (r) => r.pos > afterPos),
        undefined,
      ),
      limit,
      maxBytes,
    );
  }

  async readLogOf(
    partition: number,
    actor: string,
    fromSeq: number,
    limit: number,
    maxBytes: number,
  ): Promise<LogRecord[]> {
    const records = this.#data.log.filter((r) => r.partition === partition && r.actor === actor && r.last >= fromSeq);
    return within(
      records.sort((a, b) => a.first - b.first),
      limit,
      maxBytes,
    );
  }

  async oldestLog(limit: number): Promise<LogRecord[]> {
    return this.#data.log.slice(0, limit);
  }

  async logSize(): Promise<{ records: number; bytes: number; oldestAtMs: number | null }> {
    const { log } = this.#data;
    return {
      records: log.length,
      bytes: log.reduce((sum, r) => sum + r.body.length, 0),
      oldestAtMs: log[0]?.atMs ?? null,
    };
  }

  async readDeletion(key: RowKey): Promise<Uint8Array | undefined> {
    return this.#data.deletions.get(idOf(key))?.body;
  }

  async readJournal({
    key,
    beforeSeq,
    limit,
  }: {
    key?: RowKey;
    beforeSeq?: number;
    limit: number;
  }): Promise<JournalRecord[]> {
    const records = this.#data.journal.filter(
      (r) => (!key || idOf(r) === idOf(key)) && (beforeSeq === undefined || r.seq < beforeSeq),
    );
    return records.sort((a, b) => b.seq - a.seq).slice(0, limit);
  }

  async openCopy(from: number, to: number): Promise<StoreCopy> {
    const rows = this.#inSlots(from, to);
    if (rows.some((row) => !row.isSound)) throw new InternalError("a copy would hold a damaged row");
    return {
      rows: rows.length,
      read: async (offset, maxBytes) => {
        const out: StoredRow[] = [];
        let bytes = 0;
        for (const { isSound: _, ...row } of rows.slice(offset)) {
          bytes += row.body.length;
          if (out.length > 0 && bytes > maxBytes) break;
          out.push(row);
        }
        return out;
      },
      close: async () => {},
    };
  }

  async usage(): Promise<{ dataBytes: number; freeBytes: number; totalBytes: number }> {
    let dataBytes = 0;
    for (const { body } of this.#data.rows.values()) dataBytes += body.length;
    return { dataBytes, freeBytes: Number.POSITIVE_INFINITY, totalBytes: Number.POSITIVE_INFINITY };
  }

  async close(): Promise<void> {}
}

/** The image after a disk lost or garbled one row. */
export function damageRow(image: StoreImage, bucket: string, key: string, how: "flip" | "remove"): StoreImage {
  const damaged = copyImage(image);
  const id = idOf({ bucket, key });
  const row = damaged.rows.get(id);
  if (how === "remove") damaged.rows.delete(id);
  else if (row) damaged.rows.set(id, { ...row, isSound: false });
  return damaged;
}

function readOf({ bucket, key, slot, body, conflict, isSound }: MemoryRow): RowRead {
  return { bucket, key, slot, conflict, body: isSound ? body : null };
}

function setOrDelete<V>(map: Map<string, V>, key: string, value: V | null): void {
  if (value === null) map.delete(key);
  else map.set(key, value);
}

/** The first index at which a condition holds that holds for all later ones as well. */
function firstIndex<T>(items: readonly T[], holds: (item: T) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(items[middle] as T)) high = middle;
    else low = middle + 1;
  }
  return low;
}

function within(records: readonly LogRecord[], limit: number, maxBytes: number): LogRecord[] {
  const out: LogRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    bytes += record.body.length;
    if (out.length > 0 && (out.length >= limit || bytes > maxBytes)) break;
    out.push(record);
  }
  return out;
}
