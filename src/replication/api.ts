import type { Cell, Digest, Dot, Layout, Op, Row, Stamp, VersionVector } from "../../crdt/index.ts";
import type { ActorId, NodeId, Region } from "../kernel/ids.ts";
import type { ConflictRange, JournalRecord, KeyRange, RowKey } from "../storage/store.ts";
import type { Owners } from "./owners.ts";
import type { GrayReason } from "./peer/pulse.ts";

export { StoreFailedError } from "../storage/store.ts";
export type { GrayReason } from "./peer/pulse.ts";

/** What a replica offers to the HTTP API and to whoever else stands before it. Every method that takes user input
 *  rejects with InputError (slug + what to do) and has then changed nothing; with `Unavailable` when it can't now; with
 *  `StoreFailedError` when it never will again: the node is about to stop. */
export interface ReplicaApi {
  readonly node: NodeId;
  readonly region: Region;
  readonly layout: Layout;
  readonly owners: Owners;
  /** The run that writes now. */
  actor(): ActorId;

  /** Plans, applies and commits one write; resolves when it is durable here (I1). A request that changes nothing
   *  (removing what is absent) commits nothing and has no dots. */
  write(request: WriteRequest): Promise<WriteResult>;
  /** As `write` for each, all that are accepted in one transaction; a refused one does not hold back the others. */
  writeAll(requests: readonly WriteRequest[]): Promise<(WriteResult | Error)[]>;

  /** The row as of the last commit. A damaged row is healed from a peer first; rejects with Unavailable if nobody can. */
  read(key: RowKey): Promise<ReadResult>;
  /** Rows in key order, those without live dots left out. `next` is the key to go on after, null at the end. */
  scan(range: KeyRange): Promise<{ rows: (RowKey & ReadResult)[]; next: string | null }>;
  buckets(): Promise<{ bucket: string; rows: number }[]>;
  /** Who deleted an absent key last, as far as this node remembers. */
  deletion(key: RowKey): Promise<Deletion | undefined>;

  /** Resolves with [] as soon as this node has all of it, else after `timeoutMs` with what is missing. */
  waitFor(seen: readonly PartitionSeen[], timeoutMs: number): Promise<PartitionSeen[]>;

  conflicts(range: ConflictRange): Promise<(RowKey & ReadResult)[]>;
  countConflicts(): Promise<number>;
  /** The row whose key has this hash (the id of a conflict begins with it). */
  findByHash(keyHash: Uint8Array): Promise<(RowKey & ReadResult) | undefined>;
  journal(filter: { key?: RowKey; beforeSeq?: number; limit: number }): Promise<JournalRecord[]>;

  status(): ReplicaStatus;
  /** Levels vectors with every reachable peer now and compares sums; resolves when that round is done. */
  syncNow(): Promise<PeerSync[]>;
  /** Starts a scrub and a Merkle comparison with all owners; one at a time (a second call gets the running one). */
  repair(): RepairProgress;
  repairProgress(): RepairProgress | null;

  /** Calls on every event until the returned function is called. */
  subscribe(listener: (event: ReplicaEvent) => void): () => void;
}

/** This node can't do it now though the request is right: 503 with Retry-After. */
export class Unavailable extends Error {
  override name = "Unavailable";
  readonly slug: string;
  constructor(slug: string, message: string) {
    super(message);
    this.slug = slug;
  }
}

export interface WriteRequest extends RowKey {
  readonly ops: readonly Op[];
  /** "blind": replaces what this node shows. Dots: exactly those the client saw. A vector: whatever of the row it covers
   *  (for rows with more dots than a context can list). */
  readonly seen: "blind" | { readonly dots: readonly Dot[] } | { readonly vector: VersionVector };
  readonly author: string;
  readonly reason?: string;
  /** It settles a conflict: taken also when the disk has room for little more. */
  readonly settles?: boolean;
  /** Runs against the row inside the transaction, before anything is planned; throws InputError to refuse (If-Match). */
  readonly guard?: (row: Row) => void;
}

export interface WriteResult {
  /** The row after the write. */
  readonly row: Row;
  readonly keyHash: Uint8Array;
  /** The row's digest. */
  readonly digest: Digest;
  readonly partition: number;
  /** The dots that the entry took (also a pure removal takes one); empty when nothing changed. */
  readonly dots: readonly Dot[];
  readonly stamp: Stamp | null;
  /** What a session that made this write has seen: this partition's vector after the commit. */
  readonly vector: VersionVector;
  /** Owners that have it durably by now, per region. */
  readonly durable: ReadonlyMap<Region, number>;
}

export interface ReadResult {
  /** Empty when the key is absent. */
  readonly row: Row;
  readonly keyHash: Uint8Array;
  /** The row's digest, where it is known. */
  readonly digest: Digest | undefined;
  readonly partition: number;
  /** Covers everything in the row; nothing that the reader could not have seen (taken before the read). */
  readonly contextVector: VersionVector;
  /** At least everything that the reader saw (taken after the read): for session tokens. */
  readonly sessionVector: VersionVector;
}

export interface Deletion {
  readonly author: string;
  readonly node: NodeId;
  readonly atMs: number;
  readonly reason?: string;
}

export interface PartitionSeen {
  readonly partition: number;
  readonly vector: VersionVector;
}

export interface ReplicaStatus {
  readonly actor: ActorId;
  /** Live records, and the digest over all partitions: equal on all owners = converged. Hex, 32 digits. */
  readonly records: number;
  readonly digest: string;
  readonly partitions: readonly PartitionStatus[];
  readonly peers: readonly PeerSync[];
  /** Caught up with what its peers showed at its start. */
  readonly ready: boolean;
  readonly readyWarning?: string;
  /** Set when storage failed and the node stopped writing. */
  readonly failed?: string;
  readonly queueDepth: number;
  readonly earlyEntries: number;
  /** `full`: reads only. Free bytes as last asked, null before. */
  readonly disk: { readonly level: RoomLevel; readonly freeBytes: number | null };
  readonly clock: ClockStatus;
}

/** This node's wall clock beside those of its peers. */
export interface ClockStatus {
  /** Certainly further than `clock.max_drift` from the median: what is written here is marked. */
  readonly suspect: boolean;
  /** Clocks that are known, this node's included. */
  readonly clocks: number;
  /** Ours less the median; null while fewer than three are known. */
  readonly offsetMs: number | null;
  readonly uncertaintyMs: number | null;
}

/** How much room the disk has left. `low`: no imports. `scarce`: only what removes or settles. `full`: reads only. */
export type RoomLevel = "ample" | "low" | "scarce" | "full";

export interface PartitionStatus {
  readonly partition: number;
  readonly records: number;
  readonly digest: string;
  readonly vector: VersionVector;
  readonly floor: VersionVector;
  readonly damagedLeaves: number;
}

export interface PeerSync {
  readonly node: NodeId;
  readonly region: Region;
  /** "refused": the peer (or we) turned the link down, see `reason`. */
  readonly link: "up" | "connecting" | "refused" | "down";
  readonly reason?: string;
  readonly address: string | null;
  /** Wall ms of the last completed anti-entropy round with it. */
  readonly lastSyncMs: number | null;
  /** At that time: partitions whose vectors differed, and whose sums differed with equal vectors. */
  readonly differences: number;
  readonly sumDifferences: number;
  /** Entries that this peer has not acknowledged, as far as known. */
  readonly lagEntries: number;
  /** Entries that it showed and we don't have. */
  readonly behindEntries: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly rttMs: number | null;
  /** How overdue its heartbeat is (φ accrual), null before the first; and why it is not asked first. */
  readonly phi: number | null;
  readonly gray: readonly GrayReason[];
}

export interface RepairProgress {
  readonly id: string;
  readonly state: "running" | "done" | "failed";
  readonly startedMs: number;
  readonly finishedMs: number | null;
  readonly partitionsDone: number;
  readonly partitionsTotal: number;
  readonly damagedLeaves: number;
  readonly healedLeaves: number;
  readonly repairedRows: number;
  readonly problems: readonly string[];
}

export type ReplicaEvent =
  | { readonly kind: "committed"; readonly key: RowKey; readonly partition: number; readonly local: boolean }
  | { readonly kind: "conflict"; readonly key: RowKey; readonly open: boolean }
  | { readonly kind: "link"; readonly peer: NodeId; readonly state: PeerSync["link"]; readonly reason?: string }
  | { readonly kind: "damage"; readonly partition: number; readonly leaf: number; readonly healed: boolean }
  | { readonly kind: "failed"; readonly reason: string };

export type { JournalBody, JournalValue } from "./journal.ts";
export type { Cell };
