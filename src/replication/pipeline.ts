import type { Digest, Entry, Hlc, Row, Stamp, VersionVector } from "../../crdt/index.ts";
import { decodeRow, EMPTY_ROW, HLC_ZERO, leafOf, tickHlc } from "../../crdt/index.ts";
import { InputError, present } from "../kernel/assert.ts";
import type { ActorId, NodeId } from "../kernel/ids.ts";
import { makeActorId } from "../kernel/ids.ts";
import type { Commit, LogRecord, RowKey, Store, StoreState } from "../storage/store.ts";
import { commitOf } from "../storage/store.ts";
import type { World } from "../world/world.ts";
import type { WriteRequest } from "./api.ts";
import { Unavailable } from "./api.ts";
import type { BatchContext, WorkingRow } from "./batch.ts";
import { Batch } from "./batch.ts";
import { LogTail } from "./log-tail.ts";
import type { Partition } from "./partitions.ts";
import type { Place } from "./places.ts";
import { Places, rowId } from "./places.ts";
import { Publishing } from "./publishing.ts";
import { type CachedRow, RowCache } from "./row-cache.ts";

export interface PipelineOptions extends BatchContext {
  readonly node: NodeId;
  readonly store: Store;
  readonly world: World;
  readonly saved: StoreState;
  /** After each commit, with what became visible. */
  readonly onCommit: (published: Published) => void;
  readonly onFailure: (reason: string) => void;
  /** A row with a bad checksum was read. Marks its leaf as damaged, at once in memory. */
  readonly onDamage: (partition: number, leaf: number) => void;
}

export interface Published {
  readonly log: readonly LogRecord[];
  readonly rows: readonly WorkingRow[];
  /** Positions up to here are entries of this commit. */
  readonly partitions: readonly number[];
}

export type Accepted = {
  readonly working: WorkingRow;
  readonly entry: Entry | null;
  readonly row: Row;
  readonly digest: Digest;
  readonly vector: VersionVector;
};

type Job =
  | { kind: "write"; requests: readonly WriteRequest[]; done: (results: (Accepted | Error)[]) => void }
  | { kind: "entries"; entries: readonly Entry[]; done: (result: Received | Error) => void }
  | { kind: "alone"; run: () => Promise<void>; failed: (error: Error) => void };

/** What became of pushed entries: gaps to ask for, by partition and actor, from the first missing seq. */
export interface Received {
  readonly gaps: readonly { partition: number; actor: ActorId; from: number }[];
}

// A batch this large commits in some ms at full speed; larger ones make each write wait longer, smaller ones pay the
// fsync more often (architecture.md, Storage: ~200 keep commits at 4 ms; entries here are several rows' work).
const BATCH_ITEMS = 400;
const SUMS_SAVE_CHANGES = 20_000;
/** New rows of a commit this large come from an import or a catch-up, and few of them are read soon: they would push out
 *  what is in use, and the collector would carry them along. */
const BULK_ROWS = 128;

/** The one writer of a node: takes jobs in order, forms batches while a commit runs, reads the rows they touch, applies
 *  them, commits everything in one transaction and only then shows it to anyone (I1, I7). */
export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #jobs: Job[] = [];
  readonly cache: RowCache;
  readonly tail: LogTail;
  #running = false;
  #failed: string | null = null;
  #hlc: Hlc = HLC_ZERO;
  #actor: ActorId | null = null;
  #savedActor: ActorId | null = null;
  #actorStart: number;
  #journalSeq: number;
  /** Counts commits: a row read at one number may go into the cache only if no later commit touched it. */
  #reading = new Map<string, symbol>();
  #queuedWrites = 0;
  readonly publishing = new Publishing();
  readonly #places: Places;
  readonly #unsavedDamage: Commit["damaged"][number][] = [];

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#places = new Places(options);
    this.cache = new RowCache(options.limits.cacheBytes);
    this.tail = new LogTail(16 * 2 ** 20, options.saved.lastPos);
    this.#actorStart = Number(options.saved.settings.get("actorStart") ?? 0);
    this.#journalSeq = options.saved.lastJournalSeq;
  }

  get failed(): string | null {
    return this.#failed;
  }

  get depth(): number {
    return this.#jobs.length;
  }

  /** The author of this run's dots: made at its first write, its start above any persisted one (data.md, Actors). */
  get actor(): ActorId {
    if (!this.#actor) {
      const { world, node } = this.#options;
      this.#actorStart = Math.max(this.#actorStart + 1, world.clock.wallMs());
      this.#actor = makeActorId(node, this.#actorStart, world.rng.u32());
    }
    return this.#actor;
  }

  /** Null before the first write of this run. */
  get currentActor(): ActorId | null {
    return this.#actor;
  }

  /** The next write takes a new actor: a peer knew more of the present one than we do (replication.md, path 1). */
  renewActor(): void {
    this.#actor = null;
  }

  write(requests: readonly WriteRequest[]): Promise<(Accepted | Error)[]> {
    if (this.#queuedWrites + requests.length > this.#options.limits.queuedWrites)
      throw new Unavailable("overloaded", "too many writes wait for this node's disk; try again shortly");
    this.#queuedWrites += requests.length;
    return new Promise((done) => {
      this.#push({ kind: "write", requests, done });
    });
  }

  /** The door for entries of peers. */
  receive(entries: readonly Entry[]): Promise<Received> {
    return new Promise((resolve, reject) => {
      const done = (result: Received | Error): void => (result instanceof Error ? reject(result) : resolve(result));
      this.#push({ kind: "entries", entries, done });
    });
  }

  /** Runs between two transactions: what it reads belongs to exactly the vectors it sees. */
  alone<T>(run: () => Promise<T>): Promise<T> {
    return new Promise((resolve, failed) => {
      this.#push({ kind: "alone", run: async () => resolve(await run()), failed });
    });
  }

  #push(job: Job): void {
    if (this.#failed) {
      this.#reject(job, new Unavailable("storage-failed", `this node stopped writing: ${this.#failed}`));
      return;
    }
    this.#jobs.push(job);
    if (this.#running) return;
    this.#running = true;
    // Writes that arrive in the same turn of the loop share one commit.
    this.#options.world.timers.soon(() => void this.#run());
  }

  async #run(): Promise<void> {
    try {
      while (this.#jobs.length > 0) await this.#next();
    } catch (error) {
      // A failed commit, or an impossible state: nothing may be written after it (I13).
      this.#fail(error instanceof Error ? error.message : String(error));
    } finally {
      this.#running = false;
    }
  }

  #fail(reason: string): void {
    this.refuse(reason);
    this.#options.onFailure(reason);
  }

  /** Takes no more jobs, those that wait included. */
  refuse(reason: string): void {
    this.#failed = reason;
    this.publishing.end();
    for (const job of this.#jobs.splice(0)) this.#reject(job, new Unavailable("storage-failed", reason));
  }

  #reject(job: Job, error: Error): void {
    if (job.kind === "write") {
      this.#queuedWrites -= job.requests.length;
      job.done(job.requests.map(() => error));
    } else if (job.kind === "entries") job.done(error);
    else job.failed(error);
  }

  async #next(): Promise<void> {
    const [first] = this.#jobs;
    if (first?.kind === "alone") {
      this.#jobs.shift();
      try {
        await first.run();
      } catch (error) {
        const known = error instanceof InputError || error instanceof Unavailable;
        first.failed(known ? error : new Unavailable("storage-failed", "this node's storage failed"));
        if (!known) throw error;
      }
      return;
    }
    await this.#runBatch(this.#takeBatch());
  }

  #takeBatch(): Exclude<Job, { kind: "alone" }>[] {
    const jobs: Exclude<Job, { kind: "alone" }>[] = [];
    for (let items = 0; items < BATCH_ITEMS; ) {
      const job = this.#jobs[0];
      if (!job || job.kind === "alone") break;
      this.#jobs.shift();
      jobs.push(job);
      items += job.kind === "write" ? job.requests.length : job.entries.length;
    }
    return jobs;
  }

  async #runBatch(jobs: readonly Exclude<Job, { kind: "alone" }>[]): Promise<void> {
    const { world } = this.#options;
    const batch = new Batch(this.#options, world.clock.wallMs(), this.tail.lastPos, this.#hlc);
    try {
      await this.readInto(batch, this.#keysOf(jobs));
      const answers = jobs.map((job) => (job.kind === "write" ? this.#write(batch, job) : this.#receive(batch, job)));
      await this.commit(batch, this.#startToSave());
      for (const answer of answers) answer();
    } catch (error) {
      for (const job of jobs) this.#reject(job, new Unavailable("storage-failed", "the write could not be committed"));
      throw error;
    }
  }

  /** The start of this run's actor, once, with the first commit that may hold its dots. */
  #startToSave(): Partial<Commit> {
    if (this.#actor === this.#savedActor) return {};
    this.#savedActor = this.#actor;
    return { settings: [{ name: "actorStart", value: String(this.#actorStart) }] };
  }

  #keysOf(jobs: readonly Exclude<Job, { kind: "alone" }>[]): RowKey[] {
    const keys: RowKey[] = [];
    const touched = new Set<number>();
    for (const job of jobs) {
      if (job.kind === "write") keys.push(...job.requests);
      else
        for (const entry of job.entries) {
          keys.push(entry);
          touched.add(this.place(entry).partition);
        }
    }
    // Entries that were held for a gap may become ready by these.
    for (const partition of touched) keys.push(...this.partition(partition).state.early);
    return keys;
  }

  #write(batch: Batch, job: Job & { kind: "write" }): () => void {
    const results = job.requests.map((request): Accepted | Error => {
      try {
        const id = rowId(request);
        const entry = batch.write(id, request, this.actor, (last) => this.#stamp(last, request));
        const working = batch.rowOf(id);
        const vector = batch.states.get(working.partition)?.vector ?? this.partition(working.partition).state.vector;
        return { working, entry, row: working.row, digest: working.digest, vector };
      } catch (error) {
        if (error instanceof InputError || error instanceof Unavailable) return error;
        throw error;
      }
    });
    return () => {
      this.#queuedWrites -= job.requests.length;
      job.done(results);
    };
  }

  #stamp(last: Hlc, { author, reason }: WriteRequest): Stamp {
    const hlc = tickHlc(last, this.#options.world.clock.wallMs());
    return { hlc, author, suspect: false, ...(reason !== undefined && { reason }) };
  }

  #receive(batch: Batch, job: Job & { kind: "entries" }): () => void {
    const gaps: Received["gaps"][number][] = [];
    for (const entry of job.entries) {
      const { partition } = this.place(entry);
      const outcome = batch.receive(entry, rowId, partition);
      if (outcome !== "held" && outcome !== "dropped") continue;
      const from = batch.state(partition).vector.seq(entry.actor) + 1;
      if (!gaps.some((gap) => gap.partition === partition && gap.actor === entry.actor))
        gaps.push({ partition, actor: entry.actor, from });
    }
    return () => job.done({ gaps });
  }

  // ---- shared with repair and catch-up, which run alone

  place(key: RowKey): Place {
    return this.#places.of(key);
  }

  partition(id: number): Partition {
    return present(this.#options.partitions[id], "a partition of the layout");
  }

  newBatch(): Batch {
    return new Batch(this.#options, this.#options.world.clock.wallMs(), this.tail.lastPos, this.#hlc);
  }

  /** Reads rows (the cache first) into a batch. A damaged row counts as empty, and its leaf is reported. */
  async readInto(batch: Batch, keys: readonly RowKey[]): Promise<void> {
    const missing = new Map<string, RowKey>();
    for (const key of keys) {
      const id = rowId(key);
      if (batch.rows.has(id)) continue;
      const cached = this.cache.get(id);
      if (cached) batch.addRow(id, cached.place, cached.row, cached.bytes, cached.digests);
      else missing.set(id, key);
    }
    if (missing.size === 0) return;
    const wanted = [...missing];
    const found = await this.#options.store.readRows(wanted.map(([, key]) => key));
    wanted.forEach(([id, key], i) => {
      const read = found[i];
      const place = this.place(key);
      if (read && read.body === null) this.#options.onDamage(place.partition, place.leaf);
      batch.addRow(id, place, read?.body ? decodeRow(read.body) : EMPTY_ROW, read?.body?.length ?? 0);
    });
  }

  /** Commits a batch with `more`, then publishes it. Runs inside a job only. */
  async commit(batch: Batch, more: Partial<Commit>): Promise<void> {
    const { store, partitions } = this.#options;
    const parts = batch.commit(() => ++this.#journalSeq);
    const changed = batch.changedRows();
    const nothing = parts.log.length === 0 && parts.rows.length === 0 && parts.vectors.length === 0;
    const damaged = [...this.#unsavedDamage.splice(0), ...(more.damaged ?? [])];
    this.publishing.begin(changed.map(rowId));
    if (!nothing || damaged.length > 0 || Object.keys(more).length > 0)
      await store.commit(commitOf({ ...parts, ...more, damaged }));
    this.#hlc = batch.hlc;
    for (const [id, state] of batch.states) this.partition(id).state = state;
    for (const record of parts.log) {
      const leaf = leafOf(record.slot, this.#options.layout);
      const { sums } = this.partition(record.partition);
      sums.add(leaf, record.digestDelta, record.inventoryDelta, record.recordDelta);
    }
    this.tail.append(parts.log);
    const isBulk = changed.length >= BULK_ROWS;
    for (const working of changed) this.#remember(working, isBulk);
    this.publishing.end();
    if (!nothing) this.#options.onCommit({ log: parts.log, rows: changed, partitions: [...batch.states.keys()] });
    const due = partitions.filter(({ sums }) => sums.changedSinceSave > SUMS_SAVE_CHANGES);
    if (due.length > 0) await store.commit(commitOf({ sums: this.sumsToSave(due) }));
  }

  /** A leaf was marked damaged in memory; the next commit says so on disk, before rows that were built on it. */
  noteDamage(partition: number, leaf: number, vector: VersionVector): void {
    this.#unsavedDamage.push({ partition, leaf, vector: vector.encode() });
  }

  /** The saved form of these partitions' sums, as of the last commit. */
  sumsToSave(partitions: readonly Partition[]): Commit["sums"] {
    return partitions.map(({ id, sums }) => {
      sums.changedSinceSave = 0;
      sums.savedPos = this.tail.lastPos;
      return { partition: id, pos: this.tail.lastPos, body: sums.encode() };
    });
  }

  #remember(working: WorkingRow, isBulk: boolean): void {
    const id = rowId(working);
    this.#reading.delete(id);
    if (isBulk && working.beforeBytes === 0) this.cache.delete(id);
    else this.cache.putCommitted(id, working);
  }

  /** A row that is in memory, as of the last commit. */
  cached(key: RowKey): CachedRow | undefined {
    return this.cache.get(rowId(key));
  }

  /** One row as of the last commit; null when its checksum is bad. */
  async read(key: RowKey): Promise<Row | null> {
    const id = rowId(key);
    const cached = this.cache.get(id);
    if (cached) return cached.row;
    const token = this.#reading.get(id) ?? Symbol(id);
    this.#reading.set(id, token);
    const [read] = await this.#options.store.readRows([key]);
    await this.publishing.settled(id);
    if (read && read.body === null) {
      this.#reading.delete(id);
      return null;
    }
    const row = read?.body ? decodeRow(read.body) : EMPTY_ROW;
    if (this.#reading.get(id) === token) {
      this.#reading.delete(id);
      if (read?.body) this.cache.put(id, { row, bytes: read.body.length, place: this.place(key) });
    }
    return row;
  }
}
