import type { Digest, Entry, Row, VersionVector } from "../../crdt/index.ts";
import type { ActorId } from "../kernel/ids.ts";
import type { WriteRequest } from "./api.ts";
import type { WorkingRow } from "./batch.ts";

/** What became of a write. */
export type Accepted = {
  readonly working: WorkingRow;
  readonly entry: Entry | null;
  readonly row: Row;
  readonly digest: Digest;
  readonly vector: VersionVector;
};

/** What became of pushed entries: gaps to ask for, by partition and actor, from the first missing seq. */
export interface Received {
  readonly gaps: readonly { partition: number; actor: ActorId; from: number }[];
}

/** What the pipeline does, one after the other. */
export type Job =
  | { kind: "write"; requests: readonly WriteRequest[]; done: (results: (Accepted | Error)[]) => void }
  | { kind: "entries"; entries: readonly Entry[]; done: (result: Received | Error) => void }
  | { kind: "alone"; run: () => Promise<void>; failed: (error: Error) => void };

/** What shares a transaction with others. */
export type BatchJob = Exclude<Job, { kind: "alone" }>;

// A batch this large commits in some ms at full speed; larger ones make each write wait longer, smaller ones pay the
// fsync more often (architecture.md, Storage: ~200 keep commits at 4 ms; entries here are several rows' work).
const BATCH_ITEMS = 400;

/** Dots that are removed count like an item: what applies them must give the loop back in time. */
const REMOVES_PER_ITEM = 256;

function itemsOf(job: BatchJob): number {
  if (job.kind === "write") return job.requests.length;
  let items = job.entries.length;
  for (const { removes } of job.entries) items += Math.floor(removes.length / REMOVES_PER_ITEM);
  return items;
}

/** Takes jobs of the next transaction, which holds `taken` already, off the queue: all up to one that runs alone, and the
 *  one that fills the batch. */
export function takeBatch(queue: Job[], taken: readonly BatchJob[] = []): BatchJob[] {
  const jobs: BatchJob[] = [];
  for (let items = taken.reduce((sum, job) => sum + itemsOf(job), 0); items < BATCH_ITEMS; ) {
    const job = queue[0];
    if (!job || job.kind === "alone") break;
    queue.shift();
    jobs.push(job);
    items += itemsOf(job);
  }
  return jobs;
}
