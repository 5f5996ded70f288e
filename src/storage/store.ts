import type { ActorId, NodeId } from "../kernel/ids.ts";

export { DamagedError, StoreFailedError } from "./store-errors.ts";

/** What a node keeps on disk, as tables of opaque bodies (what is in them: crdt/). One writer commits, one transaction
 *  at a time; reads see the last commit. Any implementation must pass `store.test-kit.ts`. */
export interface Store {
  /** What a start needs in memory. Read once, before the first commit; scans no rows and only flagged log records. */
  load(): Promise<StoreState>;

  /** Applies all of it in one transaction and resolves when that is durable (fsync included). Never called while an
   *  earlier call is pending. Rejects with DiskFullError when there is no room for it, and nothing has changed; otherwise
   *  when the state of the file is unknown: the process must stop (data.md, SQLite). */
  commit(commit: Commit): Promise<void>;

  /** The rows at these keys, in their order. */
  readRows(keys: readonly RowKey[]): Promise<(RowRead | undefined)[]>;
  /** Rows of a bucket in key order (by UTF-8 bytes), after `after` (exclusive), as far as `limit` and `maxBytes` go (at least one). */
  scanKeys(range: KeyRange): Promise<RowRead[]>;
  /** Rows whose slot lies in [from, to), by slot, then bucket and key: a leaf, a partition. */
  scanSlots(from: number, to: number): Promise<RowRead[]>;
  /** Every bucket that has rows, in order, with how many. May count: not for hot paths. */
  buckets(): Promise<{ bucket: string; rows: number }[]>;
  /** Rows with a conflict mark, in (bucket, key) order, after `after` (exclusive). */
  scanConflicts(range: ConflictRange): Promise<RowRead[]>;
  countConflicts(): Promise<number>;

  /** Log records with pos > afterPos in order of pos. At least one if there is one, else as far as the bounds go. */
  readLog(afterPos: number, limit: number, maxBytes: number): Promise<LogRecord[]>;
  /** Records of one actor in one partition whose `last` >= fromSeq, in order. Same bounds. */
  readLogOf(partition: number, actor: ActorId, fromSeq: number, limit: number, maxBytes: number): Promise<LogRecord[]>;
  /** `oldestAtMs`: of the record with the lowest pos. */
  logSize(): Promise<{ records: number; bytes: number; oldestAtMs: number | null }>;

  readDeletion(key: RowKey): Promise<Uint8Array | undefined>;
  /** Journal records, newest first; of one key or of all; with seq < beforeSeq. */
  readJournal(filter: { key?: RowKey; beforeSeq?: number; limit: number }): Promise<JournalRecord[]>;

  /** A consistent copy of the rows in slots [from, to) as of the last commit before this call; later commits don't
   *  show in it. Rejects with "damaged" in the message when a row's checksum is bad. */
  openCopy(from: number, to: number): Promise<StoreCopy>;

  /** Resolves when something else than a commit finds that the file can't be trusted (a read that its structure does not
   *  allow, a checkpoint): the process must stop, as after a failed commit. Later commits and reads are refused. */
  readonly failed: Promise<Error>;

  /** Bytes used by the data, and free on its disk (Infinity when unknown). */
  usage(): Promise<{ dataBytes: number; freeBytes: number; totalBytes: number }>;
  /** Waits for a pending commit, then releases everything. Idempotent. */
  close(): Promise<void>;
}

export interface StoreCopy {
  /** Rows number offset … of the copy, in slot order, about `maxBytes` of them (at least one while there are any). */
  read(offset: number, maxBytes: number): Promise<StoredRow[]>;
  readonly rows: number;
  close(): Promise<void>;
}

export interface RowKey {
  readonly bucket: string;
  readonly key: string;
}

export interface StoredRow extends RowKey {
  /** The top 32 bits of the key's hash: partition bits, then leaf bits, then more. Unsigned. */
  readonly slot: number;
  readonly body: Uint8Array;
  /** Set when the row is a conflict (data.md, Conflicts): the mark that the conflict index is over. */
  readonly conflict: boolean;
}
/** A row as found: `body` is null when its checksum (over bucket, key, slot and body) does not hold. */
export type RowRead = Omit<StoredRow, "body"> & { readonly body: Uint8Array | null };

export interface KeyRange {
  readonly bucket: string;
  readonly prefix: string;
  readonly after?: string;
  readonly limit: number;
  readonly maxBytes: number;
}

export interface ConflictRange {
  readonly bucket?: string;
  readonly after?: RowKey;
  readonly limit: number;
}

export interface LogRecord {
  /** Position in this node's log: counts up over all partitions, never reused. Given by the caller. */
  readonly pos: number;
  readonly partition: number;
  readonly actor: ActorId;
  readonly first: number;
  readonly last: number;
  readonly body: Uint8Array;
  /** When it was applied here, wall ms. */
  readonly atMs: number;
  readonly slot: number;
  /** What it changed in its leaf's sums, so that a start can replay what the saved sums lack. 16 bytes each. */
  readonly digestDelta: Uint8Array;
  readonly inventoryDelta: Uint8Array;
  /** +1, 0 or -1: change of the partition's number of rows with live dots. */
  readonly recordDelta: number;
  /** It removed a dot that the vector did not cover: `load` hands such records out again (those not yet cut). */
  readonly awaits: boolean;
}

export interface JournalRecord extends RowKey {
  readonly seq: number;
  readonly atMs: number;
  readonly body: Uint8Array;
}

/** One transaction. Order of application: rows, log, everything else; each list may be empty. */
export interface Commit {
  /** `body: null` deletes. */
  readonly rows: readonly (RowKey & {
    readonly slot: number;
    readonly body: Uint8Array | null;
    readonly conflict: boolean;
  })[];
  readonly log: readonly LogRecord[];
  /** Removes log records with these positions. */
  readonly cutLog: readonly number[];
  /** The new seq of an actor in a partition's vector. */
  readonly vectors: readonly VectorEntry[];
  readonly floors: readonly VectorEntry[];
  /** A peer's acknowledged vector; null forgets it. */
  readonly acks: readonly { readonly peer: NodeId; readonly partition: number; readonly vector: Uint8Array | null }[];
  /** A partition's sums up to and including log position `pos`. */
  readonly sums: readonly { readonly partition: number; readonly pos: number; readonly body: Uint8Array }[];
  /** A damaged leaf with the vector at its last damage; null = healed. */
  readonly damaged: readonly {
    readonly partition: number;
    readonly leaf: number;
    readonly vector: Uint8Array | null;
  }[];
  readonly deletions: readonly (RowKey & { readonly atMs: number; readonly body: Uint8Array | null })[];
  readonly journal: readonly JournalRecord[];
  readonly settings: readonly { readonly name: string; readonly value: string }[];
  /** Forget deletions and journal records older than this. */
  readonly forgetBeforeMs?: { readonly deletions: number; readonly journal: number };
}

export interface VectorEntry {
  readonly partition: number;
  readonly actor: ActorId;
  readonly seq: number;
}

export interface StoreState {
  readonly settings: ReadonlyMap<string, string>;
  readonly vectors: readonly VectorEntry[];
  readonly floors: readonly VectorEntry[];
  readonly acks: readonly { readonly peer: NodeId; readonly partition: number; readonly vector: Uint8Array }[];
  readonly sums: readonly { readonly partition: number; readonly pos: number; readonly body: Uint8Array }[];
  /** Partitions whose saved sums don't hold their checksum: derived state, which a start works out anew. */
  readonly lostSums: readonly number[];
  readonly damaged: readonly { readonly partition: number; readonly leaf: number; readonly vector: Uint8Array }[];
  readonly awaiting: readonly LogRecord[];
  /** The highest log position and journal seq ever used, 0 at first (also when those records were cut since). */
  readonly lastPos: number;
  readonly lastJournalSeq: number;
}

const NOTHING: Commit = {
  rows: [],
  log: [],
  cutLog: [],
  vectors: [],
  floors: [],
  acks: [],
  sums: [],
  damaged: [],
  deletions: [],
  journal: [],
  settings: [],
};

/** The disk has no room for a commit: nothing of it was written, and the store goes on. */
export class DiskFullError extends Error {
  override name = "DiskFullError";
  constructor(cause?: unknown) {
    super("the disk is full: nothing was written", { cause });
  }
}

/** A commit of just these parts. */
export function commitOf(parts: Partial<Commit>): Commit {
  return { ...NOTHING, ...parts };
}
