import type { Layout } from "../../crdt/index.ts";
import { hashKey, leafOf, partitionOf, slotOf } from "../../crdt/index.ts";
import { LruMap } from "../kernel/bounded-map.ts";
import type { Sha256 } from "../kernel/hashing.ts";
import type { RowKey } from "../storage/store.ts";

/** Where a key lives. */
export interface Place extends RowKey {
  readonly keyHash: Uint8Array;
  readonly slot: number;
  readonly partition: number;
  readonly leaf: number;
}

/** A row's place in maps: buckets hold no NUL, so this is one to one. */
export function rowId({ bucket, key }: RowKey): string {
  return `${bucket}\0${key}`;
}

/** More than two batches touch: a batch asks three times for the place of an entry, and each answer is a hash. */
const REMEMBERED = 1_024;

export class Places {
  readonly #o: { readonly sha256: Sha256; readonly salt: Uint8Array; readonly layout: Layout };
  readonly #known = new LruMap<string, Place>(REMEMBERED);

  constructor(options: { readonly sha256: Sha256; readonly salt: Uint8Array; readonly layout: Layout }) {
    this.#o = options;
  }

  of(key: RowKey): Place {
    const id = rowId(key);
    let place = this.#known.get(id);
    if (!place) {
      place = this.#placeOf(key);
      this.#known.set(id, place, 1);
    }
    return place;
  }

  #placeOf({ bucket, key }: RowKey): Place {
    const { sha256, salt, layout } = this.#o;
    const keyHash = hashKey(sha256, salt, bucket, key);
    const slot = slotOf(keyHash);
    return { bucket, key, keyHash, slot, partition: partitionOf(slot, layout), leaf: leafOf(slot, layout) };
  }
}
