import type { Layout, VersionVector } from "../../crdt/index.ts";
import type { Config } from "../config/types.ts";
import type { NodeId } from "../kernel/ids.ts";
import { HEARTBEAT_MS } from "../peer/link.ts";
import type { Store, StoreState } from "../storage/store.ts";
import type { Address, Stream, World } from "../world/world.ts";
import type { PeerSync } from "./api.ts";
import { CatchUp } from "./catch-up.ts";
import { DiskRoom } from "./disk-room.ts";
import type { Owners } from "./owners.ts";
import type { Partition } from "./partitions.ts";
import { Peers } from "./peers.ts";
import type { Published } from "./pipeline.ts";
import { Pipeline } from "./pipeline.ts";
import { Reading } from "./reading.ts";
import { Repair } from "./repair.ts";
import { Retention } from "./retention.ts";
import { Stamping } from "./stamping.ts";
import { Waiting } from "./waiting.ts";

export interface ReplicaOptions {
  readonly config: Config;
  readonly owners: Owners;
  readonly world: World;
  readonly store: Store;
  /** The newest gossiped peer address of a node. */
  readonly gossipedAddress: (node: NodeId) => Address | null;
  /** Of gossip's probes, the share that a node did not answer directly; null when unknown. */
  readonly gossipedLoss: (node: NodeId) => number | null;
  readonly attribute: (stream: Stream, region: string) => void;
  /** Storage failed or a state was impossible: the process must stop (I13). */
  readonly onFailure: (reason: string) => void;
  readonly tuning?: Tuning;
}

/** What all nodes of a cluster must have alike. */
export interface Tuning {
  /** Peers of another one are refused. A disk keeps the one it began with. */
  readonly layout?: Layout;
  /** Of links to peers; five of them in silence break one. */
  readonly heartbeatMs?: number;
}

/** What the parts of a replica tell it. */
export interface PartEvents {
  readonly onCommit: (published: Published) => void;
  readonly onFailure: (reason: string) => void;
  /** A row with a bad checksum was read by a write. */
  readonly onBadRow: (partition: number, leaf: number) => void;
  readonly onDamage: (partition: number, leaf: number, healed: boolean) => void;
  readonly onLink: (peer: NodeId, state: PeerSync["link"], reason: string | undefined) => void;
  readonly startRepair: () => void;
}

export interface Parts {
  readonly pipeline: Pipeline;
  readonly waiting: Waiting;
  readonly repair: Repair;
  readonly catchUp: CatchUp;
  readonly retention: Retention;
  readonly room: DiskRoom;
  readonly reading: Reading;
  readonly peers: Peers;
  readonly stamping: Stamping;
}

/** The parts of a replica, wired: everything that changes data goes through the one pipeline. */
export function makeParts(
  options: ReplicaOptions,
  layout: Layout,
  partitions: readonly Partition[],
  saved: StoreState,
  events: PartEvents,
): Parts {
  const { config, owners, world, store } = options;
  const { limits } = config;
  const { salt } = config.cluster;
  const context = { partitions, sha256: world.sha256, salt, layout, limits, maxDriftMs: config.clock.maxDriftMs };
  const room = new DiskRoom(world, store);
  const stamping = new Stamping(world, config.clock.maxDriftMs);
  const pipeline = new Pipeline({
    ...context,
    nextStamp: (last) => stamping.next(last),
    room,
    node: config.node.id,
    store,
    world,
    saved,
    onCommit: events.onCommit,
    onFailure: events.onFailure,
    onDamage: events.onBadRow,
  });
  const waiting = new Waiting(world, (partition) => pipeline.partition(partition).state.vector);
  const repairOptions = {
    ...context,
    world,
    store,
    pipeline,
    onDamage: events.onDamage,
    reached: async (partition: number, vector: VersionVector, timeoutMs: number) =>
      (await waiting.wait([{ partition, vector }], timeoutMs)).length === 0,
  };
  const repair = new Repair(repairOptions);
  const catchUp = new CatchUp(repairOptions, repair);
  const { historyMs, logMaxBytes } = config.replication;
  const retention = new Retention({ ...repairOptions, historyMs, logMaxBytes, owners }, repair);
  const peers: Peers = new Peers({
    config,
    owners,
    world,
    store,
    partitions,
    layout,
    heartbeatMs: options.tuning?.heartbeatMs ?? HEARTBEAT_MS,
    pipeline,
    repair,
    catchUp,
    addressOf: (node) => options.gossipedAddress(node) ?? owners.find(node)?.peer ?? null,
    directLossOf: options.gossipedLoss,
    attribute: options.attribute,
    onLink: events.onLink,
    onClock: (node, exchange) => stamping.heard(node, exchange),
    startRepair: events.startRepair,
  });
  const reading = new Reading({
    ...context,
    world,
    store,
    pipeline,
    repair,
    owners,
    peers: () => peers.nearestFirst(),
  });
  return { pipeline, room, waiting, repair, catchUp, retention, reading, peers, stamping };
}
