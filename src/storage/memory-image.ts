import { nameOfKey } from "./check-commit.ts";
import type { JournalRecord, LogRecord, StoredRow, StoreState, VectorEntry } from "./store.ts";

/** What a memory store has made durable, as a value: opening a store from it and writing there leaves it unchanged. */
export interface StoreImage {
  readonly rows: ReadonlyMap<string, MemoryRow>;
  readonly log: readonly MemoryLogRecord[];
  readonly vectors: ReadonlyMap<string, VectorEntry>;
  readonly floors: ReadonlyMap<string, VectorEntry>;
  readonly acks: ReadonlyMap<string, StoreState["acks"][number]>;
  readonly sums: ReadonlyMap<number, StoreState["sums"][number]>;
  /** Partitions whose saved sums the disk garbled. */
  readonly lostSums: ReadonlySet<number>;
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
export interface MemoryLogRecord extends LogRecord {
  readonly isSound: boolean;
}

export const EMPTY_IMAGE: StoreImage = {
  rows: new Map(),
  log: [],
  vectors: new Map(),
  floors: new Map(),
  acks: new Map(),
  sums: new Map(),
  lostSums: new Set(),
  damaged: new Map(),
  deletions: new Map(),
  journal: [],
  settings: new Map(),
  lastPos: 0,
  lastJournalSeq: 0,
};

/** The image after a disk lost or garbled one row. */
export function damageRow(image: StoreImage, bucket: string, key: string, how: "flip" | "remove"): StoreImage {
  const rows = new Map(image.rows);
  const name = nameOfKey({ bucket, key });
  const row = rows.get(name);
  if (how === "remove") rows.delete(name);
  else if (row) rows.set(name, { ...row, isSound: false });
  return { ...image, rows };
}

/** The image after a disk garbled one log record. */
export function damageLog(image: StoreImage, pos: number): StoreImage {
  return { ...image, log: image.log.map((record) => (record.pos === pos ? { ...record, isSound: false } : record)) };
}

/** The image after a disk garbled what was saved of a partition's sums. */
export function damageSums(image: StoreImage, partition: number): StoreImage {
  const sums = new Map(image.sums);
  if (!sums.delete(partition)) return image;
  return { ...image, sums, lostSums: new Set([...image.lostSums, partition]) };
}
