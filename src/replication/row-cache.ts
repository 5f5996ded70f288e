import type { Row } from "../../crdt/index.ts";
import { LruMap } from "../kernel/bounded-map.ts";
import type { RowDigests, WorkingRow } from "./batch.ts";
import type { Place } from "./places.ts";

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
export class RowCache {
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
