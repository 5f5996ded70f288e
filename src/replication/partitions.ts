import type { Digest, Dot, Layout, PartitionState } from "../../crdt/index.ts";
import { decodeEntry, dotKey, emptyPartition, leafOf, VersionVector } from "../../crdt/index.ts";
import { present } from "../kernel/assert.ts";
import type { NodeId } from "../kernel/ids.ts";
import type { LogRecord, Store, StoreState } from "../storage/store.ts";
import { PartitionSums } from "./sums.ts";

/** A partition as this node holds it, as of the last durable commit (I1: nothing later is shown to anyone). */
export interface Partition {
  readonly id: number;
  state: PartitionState;
  readonly sums: PartitionSums;
  /** By leaf. */
  readonly damaged: Map<number, Damage>;
  /** What each other owner has acknowledged. */
  readonly acks: Map<NodeId, VersionVector>;
}

/** What is known of a damaged leaf (data.md, Sound rows). */
export interface Damage {
  /** My vector at the last damage, or later. */
  readonly vector: VersionVector;
  /** By how much its rows fell short of its inventory then. Entries change both alike: a different lack is new damage.
   *  Null until its rows were counted in this run. */
  readonly lack: Digest | null;
}

/** Builds the partitions from what the store kept: saved sums, and the tail of the log that they lack. */
export async function loadPartitions(store: Store, saved: StoreState, layout: Layout): Promise<Partition[]> {
  const leaves = 2 ** layout.leafBits;
  const partitions: Partition[] = Array.from({ length: 2 ** layout.partitionBits }, (_, id) => ({
    id,
    state: emptyPartition(),
    sums: new PartitionSums(leaves),
    damaged: new Map(),
    acks: new Map(),
  }));
  const at = (id: number): Partition => present(partitions[id], "a stored partition is one of the layout");
  for (const { partition, actor, seq } of saved.vectors) at(partition).state.vector.rise(actor, seq);
  for (const { partition, actor, seq } of saved.floors) at(partition).state.floor.rise(actor, seq);
  for (const { partition, peer, vector } of saved.acks) at(partition).acks.set(peer, VersionVector.decode(vector));
  for (const { partition, leaf, vector } of saved.damaged)
    at(partition).damaged.set(leaf, { vector: VersionVector.decode(vector), lack: null });
  for (const record of saved.awaiting) noteAwaited(at(record.partition).state, record);
  // What worked out anew is later needs none of the log's tail.
  for (const id of partitionsWithoutSums(saved)) at(id).sums.savedPos = saved.lastPos;
  for (const { partition, pos, body } of saved.sums) {
    const sums = PartitionSums.decode(body, leaves);
    sums.savedPos = pos;
    partitions[partition] = { ...at(partition), sums };
  }
  await replaySums(store, partitions, layout);
  return partitions;
}

/** Partitions whose sums the disk lost: their record is damaged, or it is gone though the log that would replace it was
 *  cut (a cut saves the sums with the floor). See lost-sums.ts. */
export function partitionsWithoutSums({ sums, lostSums, floors }: StoreState): Set<number> {
  const lost = new Set([...lostSums, ...floors.map(({ partition }) => partition)]);
  for (const { partition } of sums) lost.delete(partition);
  return lost;
}

function noteAwaited(state: PartitionState, record: LogRecord): void {
  const waits = (dot: Dot): boolean => !state.vector.covers(dot);
  for (const dot of decodeEntry(record.body).removes.filter(waits)) state.awaited.set(dotKey(dot), dot);
}

const REPLAY_RECORDS = 2_000;
const REPLAY_BYTES = 4 * 2 ** 20;

async function replaySums(store: Store, partitions: readonly Partition[], layout: Layout): Promise<void> {
  let pos = Math.min(...partitions.map(({ sums }) => sums.savedPos));
  for (;;) {
    const records = await store.readLog(pos, REPLAY_RECORDS, REPLAY_BYTES);
    for (const record of records) {
      const { sums } = present(partitions[record.partition], "a log record's partition is one of the layout");
      if (record.pos > sums.savedPos)
        sums.add(leafOf(record.slot, layout), record.digestDelta, record.inventoryDelta, record.recordDelta);
    }
    const last = records.at(-1);
    if (!last) return;
    pos = last.pos;
  }
}
