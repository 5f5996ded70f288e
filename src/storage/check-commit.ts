import { assert } from "../kernel/assert.ts";
import { isWellFormed } from "../kernel/bytes.ts";
import type { Commit } from "./store.ts";

export const DELTA_BYTES = 16;

/** The highest log position and journal seq ever used. */
export interface HighWater {
  readonly lastPos: number;
  readonly lastJournalSeq: number;
}

/** The store's half of the contract of `commit`, checked before anything is written: throws InternalError. Returns the
 *  high-water marks after it. */
export function checkCommit(commit: Commit, before: HighWater): HighWater {
  for (const row of commit.rows) {
    checkKey(row);
    assert(isU32(row.slot), () => `slot ${row.slot} is not an unsigned 32-bit integer`);
  }
  let lastPos = before.lastPos;
  for (const record of commit.log) {
    assert(isCount(record.pos) && record.pos > lastPos, () => `log position ${record.pos} comes after ${lastPos}`);
    assert(isCount(record.first) && isCount(record.last), "a log record's seqs are safe integers");
    assert(record.first <= record.last, () => `log record ${record.pos} ends before it begins`);
    assert(isU32(record.slot) && isCount(record.partition), () => `log record ${record.pos} has an impossible place`);
    assert(Number.isFinite(record.atMs), () => `log record ${record.pos} has no time`);
    assert(
      record.digestDelta.length === DELTA_BYTES && record.inventoryDelta.length === DELTA_BYTES,
      () => `log record ${record.pos}: deltas are ${DELTA_BYTES} bytes`,
    );
    assert(Math.abs(record.recordDelta) <= 1, () => `log record ${record.pos} changes one record at most`);
    lastPos = record.pos;
  }
  for (const { partition, seq } of [...commit.vectors, ...commit.floors])
    assert(isCount(partition) && isCount(seq), "a vector's partition and seq are non-negative safe integers");
  for (const deletion of commit.deletions) checkKey(deletion);
  let lastJournalSeq = before.lastJournalSeq;
  for (const record of commit.journal) {
    checkKey(record);
    assert(
      isCount(record.seq) && record.seq > lastJournalSeq,
      () => `journal seq ${record.seq} comes after ${lastJournalSeq}`,
    );
    lastJournalSeq = record.seq;
  }
  return { lastPos, lastJournalSeq };
}

// Two keys that differ only in a lone surrogate would be one key as UTF-8.
function checkKey({ bucket, key }: { readonly bucket: string; readonly key: string }): void {
  assert(isWellFormed(key) && isWellFormed(bucket) && !bucket.includes("\0"), "keys and buckets are Unicode text");
}

function isU32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** The last of the items with the same name, in order of first mention: what remains of a list applied in order. */
export function lastOfEach<T>(items: readonly T[], nameOf: (item: T) => string): readonly T[] {
  if (items.length < 2) return items;
  const last = new Map<string, T>();
  for (const item of items) last.set(nameOf(item), item);
  return last.size === items.length ? items : [...last.values()];
}

/** One string per (bucket, key): no bucket contains NUL. */
export function nameOfKey({ bucket, key }: { readonly bucket: string; readonly key: string }): string {
  return `${bucket}\0${key}`;
}
