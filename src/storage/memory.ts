import { assert, type InternalError } from "../kernel/assert.ts";
import { copyBytes } from "../kernel/bytes.ts";
import type { ActorId } from "../kernel/ids.ts";
import { checkCommit, type HighWater, nameOfKey } from "./check-commit.ts";
import { compareRowKeys, compareSlots, compareUtf8 } from "./key-order.ts";
import { LazySorted } from "./lazy-sorted.ts";
import { EMPTY_IMAGE, type MemoryRow, type StoreImage } from "./memory-image.ts";
import { MemoryLog } from "./memory-log.ts";
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
} from "./store.ts";
import { DiskFullError } from "./store.ts";
import { damagedCopy, storeClosed, unknownState } from "./store-errors.ts";
import { Turns } from "./turns.ts";

export { damageLog, damageRow, damageSums, type StoreImage } from "./memory-image.ts";

export interface MemoryStoreOptions {
  readonly image?: StoreImage;
  /** The disk's latency: a commit becomes durable when this resolves, fails when it rejects. */
  readonly beforeDurable?: () => Promise<void>;
}

/** A store in memory, for simulations: no fsync but the one it is told of. */
export function openMemoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  return new MemoryStore(options);
}

/** A place in the indexes: stays while its row changes. */
interface Place extends RowKey {
  readonly slot: number;
  row: MemoryRow;
}

export class MemoryStore implements Store {
  readonly #beforeDurable: () => Promise<void>;
  readonly #places = new Map<string, Place>();
  readonly #byKey = new LazySorted<Place>(compareRowKeys);
  readonly #bySlot = new LazySorted<Place>(compareSlots);
  readonly #inConflict = new LazySorted<Place>(compareRowKeys);
  readonly #log = new MemoryLog();
  readonly #vectors: Map<string, StoreState["vectors"][number]>;
  readonly #floors: Map<string, StoreState["floors"][number]>;
  readonly #acks: Map<string, StoreState["acks"][number]>;
  readonly #sums: Map<number, StoreState["sums"][number]>;
  readonly #lostSums: Set<number>;
  readonly #damaged: Map<string, StoreState["damaged"][number]>;
  readonly #deletions: Map<string, { readonly atMs: number; readonly body: Uint8Array }>;
  readonly #settings: Map<string, string>;
  /** In order of seq. */
  #journal: readonly JournalRecord[];
  #high: HighWater;

  readonly #turns = new Turns();
  #committing = false;
  #failure: InternalError | undefined;
  /** Never: memory is always whole. */
  readonly failed = new Promise<Error>(() => {});
  #closed = false;

  constructor({ image = EMPTY_IMAGE, beforeDurable }: MemoryStoreOptions) {
    this.#beforeDurable = beforeDurable ?? (() => Promise.resolve());
    for (const row of image.rows.values()) this.#putRow(row);
    for (const record of image.log) this.#log.add(record);
    this.#vectors = new Map(image.vectors);
    this.#floors = new Map(image.floors);
    this.#acks = new Map(image.acks);
    this.#sums = new Map(image.sums);
    this.#lostSums = new Set(image.lostSums);
    this.#damaged = new Map(image.damaged);
    this.#deletions = new Map(image.deletions);
    this.#settings = new Map(image.settings);
    this.#journal = image.journal;
    this.#high = { lastPos: image.lastPos, lastJournalSeq: image.lastJournalSeq };
  }

  /** The durable state now; also after `close`, and while a commit is under way (then without it). */
  image(): StoreImage {
    return {
      rows: new Map([...this.#places].map(([name, place]) => [name, place.row])),
      log: [...this.#log.list()],
      vectors: new Map(this.#vectors),
      floors: new Map(this.#floors),
      acks: new Map(this.#acks),
      sums: new Map(this.#sums),
      lostSums: new Set(this.#lostSums),
      damaged: new Map(this.#damaged),
      deletions: new Map(this.#deletions),
      journal: [...this.#journal],
      settings: new Map(this.#settings),
      ...this.#high,
    };
  }

  async load(): Promise<StoreState> {
    this.#throwIfClosed();
    return {
      settings: new Map(this.#settings),
      vectors: [...this.#vectors.values()],
      floors: [...this.#floors.values()],
      acks: [...this.#acks.values()],
      sums: [...this.#sums.values()],
      lostSums: [...this.#lostSums],
      damaged: [...this.#damaged.values()],
      awaiting: this.#log.awaiting(),
      ...this.#high,
    };
  }

  async commit(commit: Commit): Promise<void> {
    this.#throwIfClosed();
    assert(!this.#committing, "one commit at a time");
    if (this.#failure) throw this.#failure;
    const after = checkCommit(commit, this.#high);
    this.#committing = true;
    try {
      await this.#turns.run(async () => {
        this.#log.checkNew(commit.log);
        await this.#beforeDurable();
        this.#apply(commit);
        this.#high = after;
      });
    } catch (error) {
      if (error instanceof DiskFullError) throw error;
      this.#failure = unknownState(error);
      throw this.#failure;
    } finally {
      this.#committing = false;
    }
  }

  #apply(commit: Commit): void {
    for (const row of commit.rows) {
      if (row.body === null) this.#removeRow(row);
      else this.#putRow({ ...row, body: copyBytes(row.body), isSound: true });
    }
    for (const record of commit.log) this.#log.add({ ...record, body: copyBytes(record.body), isSound: true });
    this.#log.cut(commit.cutLog);
    for (const entry of commit.vectors) this.#vectors.set(`${entry.partition} ${entry.actor}`, entry);
    for (const entry of commit.floors) this.#floors.set(`${entry.partition} ${entry.actor}`, entry);
    for (const { peer, partition, vector } of commit.acks)
      setOrDelete(this.#acks, `${partition} ${peer}`, vector && { peer, partition, vector });
    for (const sums of commit.sums) {
      this.#sums.set(sums.partition, sums);
      this.#lostSums.delete(sums.partition);
    }
    for (const { partition, leaf, vector } of commit.damaged)
      setOrDelete(this.#damaged, `${partition} ${leaf}`, vector && { partition, leaf, vector });
    for (const { bucket, key, atMs, body } of commit.deletions)
      setOrDelete(this.#deletions, nameOfKey({ bucket, key }), body && { atMs, body });
    if (commit.journal.length > 0) this.#journal = [...this.#journal, ...commit.journal];
    for (const { name, value } of commit.settings) this.#settings.set(name, value);
    if (commit.forgetBeforeMs) this.#forget(commit.forgetBeforeMs);
  }

  #forget(before: NonNullable<Commit["forgetBeforeMs"]>): void {
    for (const [name, { atMs }] of this.#deletions) if (atMs < before.deletions) this.#deletions.delete(name);
    this.#journal = this.#journal.filter(({ atMs }) => atMs >= before.journal);
  }

  #putRow(row: MemoryRow): void {
    const name = nameOfKey(row);
    const place = this.#places.get(name);
    if (place?.slot !== row.slot) {
      if (place) this.#removeRow(row);
      const { bucket, key, slot } = row;
      const made: Place = { bucket, key, slot, row };
      this.#places.set(name, made);
      this.#byKey.add(made);
      this.#bySlot.add(made);
      if (row.conflict) this.#inConflict.add(made);
      return;
    }
    if (row.conflict && !place.row.conflict) this.#inConflict.add(place);
    if (!row.conflict && place.row.conflict) this.#inConflict.remove(place);
    place.row = row;
  }

  #removeRow(key: RowKey): void {
    const name = nameOfKey(key);
    const place = this.#places.get(name);
    if (!place) return;
    this.#places.delete(name);
    this.#byKey.remove(place);
    this.#bySlot.remove(place);
    if (place.row.conflict) this.#inConflict.remove(place);
  }

  async readRows(keys: readonly RowKey[]): Promise<(RowRead | undefined)[]> {
    this.#throwIfClosed();
    return keys.map((key) => {
      const place = this.#places.get(nameOfKey(key));
      return place && readOf(place);
    });
  }

  async scanKeys({ bucket, prefix, after, limit, maxBytes }: KeyRange): Promise<RowRead[]> {
    this.#throwIfClosed();
    const start = this.#byKey.firstIndex((place) => {
      const order = compareUtf8(place.bucket, bucket);
      if (order !== 0) return order > 0;
      return compareUtf8(place.key, prefix) >= 0 && (after === undefined || compareUtf8(place.key, after) > 0);
    });
    const list = this.#byKey.list();
    const rows: RowRead[] = [];
    let bytes = 0;
    for (let at = start; at < list.length && rows.length < limit; at++) {
      const place = list[at] as Place;
      if (place.bucket !== bucket || !place.key.startsWith(prefix)) break;
      bytes += sizeOf(place.row);
      if (rows.length > 0 && bytes > maxBytes) break;
      rows.push(readOf(place));
    }
    return rows;
  }

  async scanSlots(from: number, to: number): Promise<RowRead[]> {
    this.#throwIfClosed();
    return this.#placesInSlots(from, to).map(readOf);
  }

  #placesInSlots(from: number, to: number): readonly Place[] {
    const start = this.#bySlot.firstIndex(({ slot }) => slot >= from);
    const end = this.#bySlot.firstIndex(({ slot }) => slot >= to);
    return this.#bySlot.list().slice(start, end);
  }

  async buckets(): Promise<{ bucket: string; rows: number }[]> {
    this.#throwIfClosed();
    const rows = new Map<string, number>();
    for (const { bucket } of this.#byKey.list()) rows.set(bucket, (rows.get(bucket) ?? 0) + 1);
    return [...rows].map(([bucket, count]) => ({ bucket, rows: count }));
  }

  async scanConflicts({ bucket, after, limit }: ConflictRange): Promise<RowRead[]> {
    this.#throwIfClosed();
    const start = this.#inConflict.firstIndex(
      (place) =>
        (bucket === undefined || compareUtf8(place.bucket, bucket) >= 0) &&
        (after === undefined || compareRowKeys(place, after) > 0),
    );
    const places = this.#inConflict.list().slice(start, start + limit);
    return places.filter((place) => bucket === undefined || place.bucket === bucket).map(readOf);
  }

  async countConflicts(): Promise<number> {
    this.#throwIfClosed();
    return this.#inConflict.size;
  }

  async readLog(afterPos: number, limit: number, maxBytes: number): Promise<LogRecord[]> {
    this.#throwIfClosed();
    return this.#log.readFrom(afterPos, limit, maxBytes);
  }

  async readLogOf(partition: number, actor: ActorId, fromSeq: number, limit: number, maxBytes: number) {
    this.#throwIfClosed();
    return this.#log.readOf(partition, actor, fromSeq, limit, maxBytes);
  }

  async logSize() {
    this.#throwIfClosed();
    return this.#log.size();
  }

  async readDeletion(key: RowKey): Promise<Uint8Array | undefined> {
    this.#throwIfClosed();
    return this.#deletions.get(nameOfKey(key))?.body;
  }

  async readJournal(filter: { key?: RowKey; beforeSeq?: number; limit: number }): Promise<JournalRecord[]> {
    this.#throwIfClosed();
    const { key, beforeSeq = Number.POSITIVE_INFINITY, limit } = filter;
    const name = key && nameOfKey(key);
    const found = this.#journal.filter((record) => record.seq < beforeSeq && (!name || nameOfKey(record) === name));
    return found.reverse().slice(0, limit);
  }

  /** In the order of the calls with commits, as SQLite's is. */
  async openCopy(from: number, to: number): Promise<StoreCopy> {
    this.#throwIfClosed();
    const rows = await this.#turns.run(async () =>
      this.#placesInSlots(from, to).map((place): StoredRow => {
        const { isSound, ...row } = place.row;
        if (!isSound) throw damagedCopy(row.bucket, row.key);
        return row;
      }),
    );
    return {
      rows: rows.length,
      read: async (offset, maxBytes) => {
        let bytes = 0;
        let end = offset;
        for (; end < rows.length; end++) {
          bytes += sizeOf(rows[end] as StoredRow);
          if (end > offset && bytes > maxBytes) break;
        }
        return rows.slice(offset, end);
      },
      close: async () => undefined,
    };
  }

  async usage(): Promise<{ dataBytes: number; freeBytes: number; totalBytes: number }> {
    let dataBytes = this.#log.bytes;
    for (const { row } of this.#places.values()) dataBytes += row.body.length;
    return { dataBytes, freeBytes: Number.POSITIVE_INFINITY, totalBytes: Number.POSITIVE_INFINITY };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#turns.run(async () => undefined);
  }

  #throwIfClosed(): void {
    if (this.#closed) throw storeClosed();
  }
}

function readOf({ row: { bucket, key, slot, conflict, body, isSound } }: Place): RowRead {
  return { bucket, key, slot, conflict, body: isSound ? body : null };
}

/** What counts towards a read's `maxBytes`: the key's UTF-8 and the body. */
function sizeOf({ key, body }: { readonly key: string; readonly body: Uint8Array }): number {
  return utf8Length(key) + body.length;
}

function utf8Length(text: string): number {
  let length = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    // A surrogate is half of a pair, which is four bytes.
    length += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 2 : 3;
  }
  return length;
}

function setOrDelete<V>(map: Map<string, V>, name: string, value: V | null): void {
  if (value === null) map.delete(name);
  else map.set(name, value);
}
