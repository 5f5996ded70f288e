import type { Row } from "../../crdt/index.ts";
import { decodeRow, EMPTY_ROW } from "../../crdt/index.ts";
import { LruMap } from "../kernel/bounded-map.ts";
import type { RowKey, Store } from "../storage/store.ts";
import type { RowDigests, WorkingRow } from "./batch.ts";
import type { Place } from "./places.ts";
import { rowId } from "./places.ts";

/** New rows of a commit this large come from an import or a catch-up, and few of them are read soon: they would push out
 *  what is in use, and the collector would carry them along. */
const BULK_ROWS = 128;

/** Rows as of the last commit: from memory, else from the store. */
export class CommittedRows {
  readonly cache: RowCache;
  readonly #store: Store;
  readonly #placeOf: (key: RowKey) => Place;
  readonly #publishing = new Publishing();
  /** Rows that are being read. One goes into the cache only if no commit touched it meanwhile. */
  readonly #reading = new Map<string, symbol>();

  constructor(store: Store, cacheBytes: number, placeOf: (key: RowKey) => Place) {
    this.#store = store;
    this.cache = new RowCache(cacheBytes);
    this.#placeOf = placeOf;
  }

  cached(id: string): CachedRow | undefined {
    return this.cache.get(id);
  }

  /** Null when its checksum is bad. */
  async read(key: RowKey): Promise<Row | null> {
    const id = rowId(key);
    const cached = this.cache.get(id);
    if (cached) return cached.row;
    const token = this.#reading.get(id) ?? Symbol(id);
    this.#reading.set(id, token);
    const [read] = await this.#store.readRows([key]);
    await this.#publishing.settled(id);
    if (read && read.body === null) {
      this.#reading.delete(id);
      return null;
    }
    const row = read?.body ? decodeRow(read.body) : EMPTY_ROW;
    if (this.#reading.get(id) === token) {
      this.#reading.delete(id);
      if (read?.body) this.cache.put(id, { row, bytes: read.body.length, place: this.#placeOf(key) });
    }
    return row;
  }

  /** Resolves when no commit is under way that changes this row. */
  settled(key: RowKey): Promise<void> {
    return this.#publishing.settled(rowId(key));
  }

  /** A commit begins that changes these rows. */
  begin(changed: readonly WorkingRow[]): void {
    this.#publishing.begin(changed.map(({ id }) => id));
  }

  /** It is durable, and its vectors are published. */
  publish(changed: readonly WorkingRow[]): void {
    const isBulk = changed.length >= BULK_ROWS;
    for (const working of changed) {
      const { id } = working;
      this.#reading.delete(id);
      if (isBulk && working.beforeBytes === 0) this.cache.delete(id);
      else this.cache.putCommitted(id, working);
    }
    this.#publishing.end();
  }

  /** It failed. */
  abandon(): void {
    this.#publishing.end();
  }
}

/** A row as of the last commit, with what else it would take four hashes to find out again. */
export interface CachedRow {
  readonly row: Row;
  /** Its stored size. */
  readonly bytes: number;
  readonly place: Place;
  /** Known once it was written here. */
  readonly digests?: RowDigests;
}

/** What a row takes in memory is taken for three times its stored bytes, and this for its Maps, hashes and place. */
const ROW_OVERHEAD_BYTES = 1_024;

/** Rows in memory, bounded in bytes: the least recently used are forgotten. */
class RowCache {
  readonly #rows: LruMap<string, CachedRow>;

  constructor(maxBytes: number) {
    this.#rows = new LruMap(maxBytes);
  }

  get(id: string): CachedRow | undefined {
    return this.#rows.get(id);
  }

  put(id: string, cached: CachedRow): void {
    this.#rows.set(id, cached, cached.bytes * 3 + ROW_OVERHEAD_BYTES);
  }

  delete(id: string): void {
    this.#rows.delete(id);
  }

  /** What a batch made of a row, once it is durable. An empty row is not stored, so there is nothing to hold. */
  putCommitted(id: string, working: WorkingRow): void {
    if (!working.encoded) {
      this.#rows.delete(id);
      return;
    }
    const { bucket, key, keyHash, slot, partition, leaf, row, digest, inventory } = working;
    const place = { bucket, key, keyHash, slot, partition, leaf };
    this.put(id, { row, bytes: working.encoded.length, place, digests: { digest, inventory } });
  }

  clear(): void {
    this.#rows.clear();
  }
}

/** The rows of the commit that is under way. A store shows them a little before it says that they are durable, and the
 *  vectors that belong to them are published only then: a reader in between would get a session token that does not
 *  cover what it was shown. */
class Publishing {
  #current: { readonly rows: ReadonlySet<string>; readonly done: Promise<void>; readonly end: () => void } | null =
    null;

  begin(rows: Iterable<string>): void {
    let end: () => void = () => {};
    const done = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#current = { rows: new Set(rows), done, end };
  }

  /** After the vectors were published, or when the commit failed. */
  end(): void {
    this.#current?.end();
    this.#current = null;
  }

  /** Resolves when no commit is under way that changes this row. */
  async settled(row: string): Promise<void> {
    if (this.#current?.rows.has(row)) await this.#current.done;
  }
}
