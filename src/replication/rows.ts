import type { Row } from "../../crdt/index.ts";
import { decodeRow, EMPTY_ROW } from "../../crdt/index.ts";
import type { RowKey, Store } from "../storage/store.ts";
import type { WorkingRow } from "./batch.ts";
import type { Place } from "./places.ts";
import { rowId } from "./places.ts";
import { Publishing } from "./publishing.ts";
import { type CachedRow, RowCache } from "./row-cache.ts";

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
