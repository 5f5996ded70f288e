import type { Cell, DotKey, Entry, Row } from "../../../crdt/index.ts";
import { lastSeq } from "../../../crdt/index.ts";
import type { StoreImage } from "../../../src/storage/memory.ts";
import type { RowKey } from "../../../src/storage/store.ts";
import type { KeyId } from "./history.ts";

/** A write that was durable somewhere. */
export interface Written {
  readonly name: string;
  /** Among the writes of its key. */
  readonly index: number;
  readonly partition: number;
  /** Of its key within the partition. */
  readonly leaf: number;
  readonly key: RowKey;
  readonly entry: Entry;
  readonly body: Uint8Array;
  /** What it adds and removes. */
  readonly cells: ReadonlyMap<DotKey, Cell>;
  readonly removes: ReadonlySet<DotKey>;
  /** The node that made it, and when it was seen durable there. */
  readonly node: string;
  readonly atMs: number;
  /** Writes of the same key that its node had applied before it. */
  readonly here: ReadonlySet<Written>;
  /** The same, and this one, by their indexes. */
  readonly afterBits: bigint;
  /** Nodes that ever had it durable. */
  readonly everAt: Set<string>;
  /** No disk has it since a disk went back: it, and what it removed, may be gone or not. */
  lost: boolean;
}

/** A key's row on a disk, from some moment on. */
export interface RowState {
  readonly fromMs: number;
  readonly live: ReadonlyMap<DotKey, Cell>;
  /** The writes of this key that were applied by then. */
  readonly applied: ReadonlySet<Written>;
}

/** partition → actor → seq */
export type Vectors = Map<number, Map<string, number>>;

/** A disk as the naive truth sees it. */
export interface DiskState {
  vectors: Vectors;
  floors: Vectors;
  readonly applied: Set<Written>;
  /** The same per key, a bit per write by its index: names a set of writes without listing it. */
  readonly appliedBits: Map<KeyId, bigint>;
  /** Writes that it never had. */
  readonly missing: Set<Written>;
  readonly rows: Map<KeyId, Row>;
  /** Keys in damaged leaves, known to the node or not: until they are healed, only what it answers is judged. */
  readonly damaged: Set<KeyId>;
  /** Leaves that it calls damaged ("partition leaf"): it may do so again. */
  readonly marked: Set<string>;
  /** Partitions whose saved sums it lost: their leaves may be called damaged until they are saved again. */
  readonly doubted: Set<number>;
  /** Log position → what stands there. */
  readonly positions: Map<number, Written>;
  lastPos: number;
  journalSeqs: Set<number>;
  /** peer and partition → the vector that it was last said to have. */
  readonly acks: Map<string, Uint8Array>;
  isCommitting: boolean;
  readonly states: Map<KeyId, RowState[]>;
}

export function newDisk(): DiskState {
  return {
    vectors: new Map(),
    floors: new Map(),
    applied: new Set(),
    appliedBits: new Map(),
    missing: new Set(),
    rows: new Map(),
    damaged: new Set(),
    marked: new Set(),
    doubted: new Set(),
    positions: new Map(),
    lastPos: 0,
    journalSeqs: new Set(),
    acks: new Map(),
    isCommitting: false,
    states: new Map(),
  };
}

export function seqOf(vectors: Vectors, partition: number, actor: string): number {
  return vectors.get(partition)?.get(actor) ?? 0;
}

export function setSeq(vectors: Vectors, partition: number, actor: string, seq: number): void {
  const seqs = vectors.get(partition);
  if (seqs) seqs.set(actor, seq);
  else vectors.set(partition, new Map([[actor, seq]]));
}

export function vectorsOf(entries: StoreImage["vectors"]): Vectors {
  const vectors: Vectors = new Map();
  for (const { partition, actor, seq } of entries.values()) setSeq(vectors, partition, actor, seq);
  return vectors;
}

export function isCovered(vectors: Vectors, { partition, entry }: Written): boolean {
  return seqOf(vectors, partition, entry.actor) >= lastSeq(entry);
}
