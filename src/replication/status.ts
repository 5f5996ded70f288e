import { toHex } from "../kernel/bytes.ts";
import type { ReplicaStatus } from "./api.ts";
import type { DiskRoom } from "./disk-room.ts";
import type { Partition } from "./partitions.ts";
import { digestOfAll, type Peers } from "./peers.ts";
import type { Pipeline } from "./pipeline.ts";
import type { Readiness } from "./readiness.ts";
import type { Stamping } from "./stamping.ts";

export interface StatusSources {
  readonly partitions: readonly Partition[];
  readonly pipeline: Pipeline;
  readonly peers: Peers;
  readonly readiness: Readiness;
  readonly room: DiskRoom;
  readonly stamping: Stamping;
}

/** What a replica says of itself. */
export function statusOf(sources: StatusSources): ReplicaStatus {
  const { pipeline, peers, readiness, room, stamping } = sources;
  const partitions = sources.partitions.map(({ id, state, sums, damaged }) => ({
    partition: id,
    records: sums.records,
    digest: toHex(sums.total()),
    vector: state.vector,
    floor: state.floor,
    damagedLeaves: damaged.size,
  }));
  const { ready, warning } = readiness.check();
  const { failed } = pipeline;
  return {
    actor: pipeline.actor,
    records: partitions.reduce((sum, { records }) => sum + records, 0),
    digest: toHex(digestOfAll(sources.partitions)),
    partitions,
    peers: peers.outgoing.map((peer) => peer.view()),
    ready: ready && !failed,
    ...(warning !== undefined && { readyWarning: warning }),
    ...(failed !== null && { failed }),
    queueDepth: pipeline.depth,
    earlyEntries: sources.partitions.reduce((sum, { state }) => sum + state.early.length, 0),
    disk: { level: room.level, freeBytes: room.freeBytes },
    clock: stamping.status(),
  };
}
