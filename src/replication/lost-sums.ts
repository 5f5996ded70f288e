import type { Layout, VersionVector } from "../../crdt/index.ts";
import { decodeRow, hashKey, leafOf, rowDigest, rowInventory, slotsOf } from "../../crdt/index.ts";
import { equalBytes } from "../kernel/bytes.ts";
import { type Commit, commitOf, DamagedError, DiskFullError, type StoreState } from "../storage/store.ts";
import type { Partition } from "./partitions.ts";
import { partitionsWithoutSums } from "./partitions.ts";
import type { ReplicaOptions } from "./parts.ts";
import { PartitionSums } from "./sums.ts";

/** A mark that found no room on the disk: the next commit must say it, before or with the sums. */
export interface UnsavedMark {
  readonly partition: number;
  readonly leaf: number;
  readonly vector: VersionVector;
}

const LOG_RECORDS = 2_000;
const LOG_BYTES = 4 * 2 ** 20;

type Context = Pick<ReplicaOptions, "config" | "owners" | "world" | "store"> & { readonly layout: Layout };

/** Works out the sums that the disk lost, at a start, from the rows. Sums of rows alone would bless whatever rows the
 *  same disk lost or kept too long, so they are believed only where the log says the same. Else the leaf counts as
 *  damaged, with sums as they may be, until it is compared with a peer (data.md, Sound rows). A node that never had a
 *  peer has nobody to ask, and nobody to whom a wrong row could spread: there the rows stand. Returns the marks that
 *  could not be saved: sums found on a disk without them would be believed. */
export async function restoreSums(
  options: ReplicaOptions,
  layout: Layout,
  partitions: readonly Partition[],
  saved: StoreState,
): Promise<UnsavedMark[]> {
  const context = { ...options, layout };
  const lost = partitionsWithoutSums(saved);
  const unsaved: UnsavedMark[] = [];
  for (const p of partitions) if (lost.has(p.id)) unsaved.push(...(await restore(p, context, saved.lastPos)));
  return unsaved;
}

async function restore(p: Partition, context: Context, lastPos: number): Promise<UnsavedMark[]> {
  const { owners, world, layout } = context;
  const bad = await addRows(p, context);
  const logged = await sumsOfLog(p, context);
  const hasPeers = owners.others.length > 0;
  const isDoubtful = (leaf: number): boolean => bad.has(leaf) || (logged ? !agree(p.sums, logged, leaf) : hasPeers);
  const doubtful = [...Array(2 ** layout.leafBits).keys()].filter(isDoubtful);
  for (const leaf of doubtful) p.damaged.set(leaf, { vector: p.state.vector.copy(), lack: null });
  world.log.warn("storage.sums-lost", {
    partition: p.id,
    records: p.sums.records,
    from: logged ? "rows and log" : "rows",
    leavesToCompare: doubtful.length,
  });
  const isSaved = await save(p, context, doubtful, lastPos);
  return isSaved ? [] : [...p.damaged].map(([leaf, { vector }]) => ({ partition: p.id, leaf, vector }));
}

/** Fills the sums from the rows. Returns the leaves of those that are damaged. */
async function addRows({ id, sums }: Partition, { config, world, store, layout }: Context): Promise<Set<number>> {
  const { salt } = config.cluster;
  const bad = new Set<number>();
  const { from, to } = slotsOf(layout, id);
  for (const { bucket, key, slot, body } of await store.scanSlots(from, to)) {
    const leaf = leafOf(slot, layout);
    if (body === null) {
      bad.add(leaf);
      continue;
    }
    const row = decodeRow(body);
    const keyHash = hashKey(world.sha256, salt, bucket, key);
    const digest = rowDigest(world.sha256, salt, keyHash, row);
    sums.add(leaf, digest, rowInventory(world.sha256, salt, keyHash, row), Number(row.cells.size > 0));
  }
  return bad;
}

/** What the log adds up to; null where it does not hold everything that the vector covers. */
async function sumsOfLog({ id, state }: Partition, { store, layout }: Context): Promise<PartitionSums | null> {
  const sums = new PartitionSums(2 ** layout.leafBits);
  for (const [actor, seq] of state.vector.entries())
    for (let next = 1; next <= seq; ) {
      const records = await store.readLogOf(id, actor, next, LOG_RECORDS, LOG_BYTES).catch((error: unknown) => {
        // Its damage shows where it is needed: here the log is only a witness, and there is another.
        if (error instanceof DamagedError) return [];
        throw error;
      });
      if (records.length === 0) return null;
      for (const { first, last, slot, digestDelta, inventoryDelta, recordDelta } of records) {
        if (first !== next) return null;
        sums.add(leafOf(slot, layout), digestDelta, inventoryDelta, recordDelta);
        next = last + 1;
      }
    }
  return sums;
}

function agree(a: PartitionSums, b: PartitionSums, leaf: number): boolean {
  return (
    equalBytes(a.digestOf(leaf), b.digestOf(leaf)) &&
    equalBytes(a.inventoryOf(leaf), b.inventoryOf(leaf)) &&
    a.recordCounts[leaf] === b.recordCounts[leaf]
  );
}

/** Sums and marks in one transaction: without the marks the next start would believe the sums. False without room. */
async function save(p: Partition, { store }: Context, leaves: readonly number[], lastPos: number): Promise<boolean> {
  const vector = p.state.vector.encode();
  const damaged: Commit["damaged"] = leaves.map((leaf) => ({ partition: p.id, leaf, vector }));
  const sums = [{ partition: p.id, pos: lastPos, body: p.sums.encode() }];
  try {
    await store.commit(commitOf({ sums, damaged }));
    return true;
  } catch (error) {
    if (!(error instanceof DiskFullError)) throw error;
    return false;
  }
}
