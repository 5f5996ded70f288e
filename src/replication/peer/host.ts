import type { VersionVector } from "../../../crdt/index.ts";
import type { SyncHost } from "../../../gossip/antientropy/session.ts";
import type { NodeId } from "../../kernel/ids.ts";
import type { Hello, Traffic } from "../../peer/frames.ts";
import type { ClockExchange, Link } from "../../peer/link.ts";
import type { LogRecord, Store } from "../../storage/store.ts";
import type { Address, World } from "../../world/world.ts";
import type { PeerSync } from "../api.ts";
import type { Received } from "../jobs.ts";
import type { LogTail } from "../log-tail.ts";
import type { Partition } from "../partitions.ts";

/** A peer to fetch rows and copies from. */
export interface BulkSource {
  readonly node: NodeId;
  /** The link for large transfers, opened when it is first needed. Rejects with LinkError. */
  bulk(): Promise<Link>;
}

/** What a link to a peer needs of the replica. */
export interface PeerHost {
  readonly world: World;
  readonly node: NodeId;
  readonly store: Store;
  readonly tail: LogTail;
  readonly partitions: readonly Partition[];
  readonly syncIntervalMs: number;
  readonly heartbeatMs: number;
  partition(id: number): Partition;
  hello(traffic: Traffic): Hello;
  /** The newest gossiped address, else the configured one. */
  addressOf(node: NodeId): Address | null;
  linkChanged(node: NodeId, state: PeerSync["link"], reason: string | undefined): void;
  /** A peer told its time. */
  /** Of gossip's probes, the share that it did not answer directly; null when unknown. */
  directLossOf(node: NodeId): number | null;
  clockHeard(node: NodeId, exchange: ClockExchange): void;
  /** Notes that a peer has all that this vector covers. */
  acknowledge(node: NodeId, partition: number, vector: VersionVector): void;
  /** Of this node's own entries. */
  unacknowledged(node: NodeId): number;
  /** The one door for entries. Rejects with InputError on what is no entry of this cluster's. */
  takeEntries(bodies: readonly Uint8Array[]): Promise<Received>;
  syncHost(): SyncHost;
  catchUp(peer: BulkSource, partition: number): Promise<void>;
  compareLeaves(peer: BulkSource, partition: number, leaves: readonly number[]): Promise<void>;
  /** Is this record an entry of this node's own (of any run)? Those are what it pushes. */
  isOwn(record: LogRecord): boolean;
}
