import type { Entry, Hlc, Stamp, VersionVector } from "../../crdt/index.ts";
import { decodeRow, EMPTY_ROW, HLC_ZERO, leafOf } from "../../crdt/index.ts";
import { InputError, present } from "../kernel/assert.ts";
import type { ActorId, NodeId } from "../kernel/ids.ts";
import type { Commit, LogRecord, RowKey, Store, StoreState } from "../storage/store.ts";
import { commitOf, DiskFullError } from "../storage/store.ts";
import type { World } from "../world/world.ts";
import type { WriteRequest } from "./api.ts";
import { Unavailable } from "./api.ts";
import type { BatchContext, WorkingRow } from "./batch.ts";
import { Batch } from "./batch.ts";
import { type DiskRoom, diskFull } from "./disk-room.ts";
import { JobLoop } from "./job-loop.ts";
import type { Accepted, BatchJob, Job, Received } from "./jobs.ts";
import { LogTail } from "./log-tail.ts";
import type { Partition } from "./partitions.ts";
import type { Place } from "./places.ts";
import { Places, rowId } from "./places.ts";
import { CommittedRows } from "./rows.ts";
import { RunActor } from "./run-actor.ts";

export interface PipelineOptions extends BatchContext {
  readonly node: NodeId;
  readonly store: Store;
  readonly world: World;
  readonly saved: StoreState;
  readonly room: DiskRoom;
  readonly nextStamp: (last: Hlc) => Pick<Stamp, "hlc" | "suspect">;
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

const SUMS_SAVE_CHANGES = 20_000;
/** The one writer of a node: takes jobs in order (JobLoop), reads the rows they touch, applies them, commits everything in
 *  one transaction and only then shows it to anyone (I1, I7). */
export class Pipeline {
  readonly #options: PipelineOptions;
  readonly rows: CommittedRows;
  readonly tail: LogTail;
  #hlc: Hlc = HLC_ZERO;
  readonly #actor: RunActor;
  #journalSeq: number;
  #queuedWrites = 0;
  readonly #loop: JobLoop;
  readonly #places: Places;
  readonly #unsavedDamage: Commit["damaged"][number][] = [];

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#places = new Places(options);
    this.rows = new CommittedRows(options.store, options.limits.cacheBytes, (key) => this.place(key));
    this.tail = new LogTail(16 * 2 ** 20, options.saved.lastPos);
    this.#actor = new RunActor(options.world, options.node, options.saved.settings);
    this.#journalSeq = options.saved.lastJournalSeq;
    this.#loop = new JobLoop({
      begin: (under) => this.#begin(under),
      plan: (batch, jobs) => this.#plan(batch, jobs),
      commit: (batch) => this.commit(batch, this.#actor.toSave()),
      soon: (call) => options.world.timers.soon(call),
      onFailure: (reason) => {
        this.rows.abandon();
        options.onFailure(reason);
      },
    });
  }

  get failed(): string | null {
    return this.#loop.failed;
  }

  get depth(): number {
    return this.#loop.depth;
  }

  /** The author of this run's dots. */
  get actor(): ActorId {
    return this.#actor.id;
  }

  /** Null before the first write of this run. */
  get currentActor(): ActorId | null {
    return this.#actor.current;
  }

  /** The next write takes a new actor: a peer knew more of the present one than we do (replication.md, path 1). */
  renewActor(): void {
    this.#actor.renew();
  }

  write(requests: readonly WriteRequest[]): Promise<(Accepted | Error)[]> {
    if (this.#queuedWrites + requests.length > this.#options.limits.queuedWrites)
      throw new Unavailable("overloaded", "too many writes wait for this node's disk; try again shortly");
    this.#queuedWrites += requests.length;
    return new Promise((resolve) => {
      const done = (results: (Accepted | Error)[]): void => {
        this.#queuedWrites -= requests.length;
        resolve(results);
      };
      this.#loop.push({ kind: "write", requests, done });
    });
  }

  /** The door for entries of peers. */
  receive(entries: readonly Entry[]): Promise<Received> {
    return new Promise((resolve, reject) => {
      this.admitEntries();
      const done = (result: Received | Error): void => (result instanceof Error ? reject(result) : resolve(result));
      this.#loop.push({ kind: "entries", entries, done });
    });
  }

  /** Throws Unavailable while the disk has no room for what peers bring. */
  admitEntries(): void {
    this.#options.room.admitEntries();
  }

  /** Runs between two transactions: what it reads belongs to exactly the vectors it sees. */
  alone<T>(run: () => Promise<T>): Promise<T> {
    return new Promise((resolve, failed) => {
      this.#loop.push({ kind: "alone", run: async () => resolve(await run()), failed });
    });
  }

  /** Takes no more jobs, those that wait included. */
  refuse(reason: string): void {
    this.rows.abandon();
    this.#loop.refuse(reason);
  }

  async #plan(batch: Batch, jobs: readonly BatchJob[]): Promise<(() => void)[]> {
    await this.readInto(batch, this.#keysOf(batch, jobs));
    return jobs.map((job) => (job.kind === "write" ? this.#write(batch, job) : this.#receive(batch, job)));
  }

  #keysOf(batch: Batch, jobs: readonly BatchJob[]): RowKey[] {
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
    for (const partition of touched) keys.push(...batch.stateNow(partition).early);
    return keys;
  }

  #write(batch: Batch, job: Job & { kind: "write" }): () => void {
    const results = job.requests.map((request): Accepted | Error => {
      try {
        const id = rowId(request);
        const entry = batch.write(id, request, this.actor, (last) => this.#stamp(last, request));
        const working = batch.rowOf(id);
        const { vector } = batch.stateNow(working.partition);
        return { working, entry, row: working.row, digest: working.digest, vector };
      } catch (error) {
        if (error instanceof InputError || error instanceof Unavailable) return error;
        throw error;
      }
    });
    return () => job.done(results);
  }

  #stamp(last: Hlc, { author, reason }: WriteRequest): Stamp {
    const { hlc, suspect } = this.#options.nextStamp(last);
    return reason === undefined ? { hlc, author, suspect } : { hlc, author, suspect, reason };
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
    return this.#begin(null);
  }

  /** An empty batch, on top of `under` whose commit is under way. */
  #begin(under: Batch | null): Batch {
    const { lastPos, hlc } = under ?? { lastPos: this.tail.lastPos, hlc: this.#hlc };
    return new Batch(this.#options, this.#options.world.clock.wallMs(), { lastPos, hlc, under });
  }

  /** Reads rows into a batch: as the one below it left them, else from the cache, else from the store. A damaged row counts as empty, and its leaf is reported. */
  async readInto(batch: Batch, keys: readonly RowKey[]): Promise<void> {
    const missing = new Map<string, RowKey>();
    for (const key of keys) {
      const id = rowId(key);
      if (batch.rows.has(id) || batch.takeOver(id)) continue;
      const cached = this.rows.cached(id);
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
    const unsaved = this.#unsavedDamage.splice(0);
    const damaged = [...unsaved, ...(more.damaged ?? [])];
    this.rows.begin(changed);
    if (!nothing || damaged.length > 0 || Object.keys(more).length > 0)
      await store.commit(commitOf({ ...parts, ...more, damaged })).catch((error: unknown) => {
        if (error instanceof DiskFullError) this.#noRoom(unsaved);
        throw error;
      });
    this.#hlc = batch.hlc;
    for (const [id, state] of batch.states) this.partition(id).state = state;
    for (const record of parts.log) {
      const leaf = leafOf(record.slot, this.#options.layout);
      const { sums } = this.partition(record.partition);
      sums.add(leaf, record.digestDelta, record.inventoryDelta, record.recordDelta);
    }
    this.tail.append(parts.log);
    this.rows.publish(changed);
    if (!nothing) this.#options.onCommit({ log: parts.log, rows: changed, partitions: [...batch.states.keys()] });
    const due = partitions.filter(({ sums }) => sums.changedSinceSave > SUMS_SAVE_CHANGES);
    if (due.length > 0) await this.saveSums(due, {});
  }

  /** Small facts for the next start. False without room. */
  remember(settings: Commit["settings"]): Promise<boolean> {
    return this.alone(() => this.#whereRoom(() => this.#options.store.commit(commitOf({ settings }))));
  }

  /** Sums can be worked out again: without room for them they wait. */
  async saveSums(partitions: readonly Partition[], more: Partial<Commit>): Promise<void> {
    await this.#whereRoom(() => this.#options.store.commit(commitOf({ sums: this.sumsToSave(partitions), ...more })));
  }

  /** Commits rows that came otherwise than by entries, whose sums are changed in memory by then: `undo` takes that back
   *  when there is no room. Throws Unavailable then. */
  async adopt(batch: Batch, more: Partial<Commit>, undo: () => void): Promise<void> {
    if (await this.#whereRoom(() => this.commit(batch, more))) return;
    undo();
    throw diskFull("full");
  }

  /** Cuts the log. False without room: a floor that is known in memory alone only makes a peer ask for a copy. */
  cut(cut: Pick<Commit, "cutLog" | "floors" | "sums" | "forgetBeforeMs">): Promise<boolean> {
    return this.#whereRoom(() => this.commit(this.newBatch(), cut));
  }

  /** False when there was no room, and nothing was written. */
  async #whereRoom(commit: () => Promise<void>): Promise<boolean> {
    try {
      await commit();
      return true;
    } catch (error) {
      if (!(error instanceof DiskFullError)) throw error;
      this.#options.room.noteFull();
      return false;
    }
  }

  /** Nothing was written: what the next commit must say again. */
  #noRoom(unsaved: Commit["damaged"]): void {
    this.rows.abandon();
    this.#unsavedDamage.unshift(...unsaved);
    this.#actor.notSaved();
    this.#options.room.noteFull();
  }

  /** A leaf was marked damaged in memory; the next commit says so on disk, before rows that were built on it. */
  noteDamage(partition: number, leaf: number, vector: VersionVector): void {
    this.#unsavedDamage.push({ partition, leaf, vector: vector.encode() });
  }

  /** Says on disk now what was found to be damaged; without room, with the next commit. Inside a job that runs alone. */
  async saveDamage(): Promise<void> {
    await this.#whereRoom(() => this.commit(this.newBatch(), {}));
  }

  /** The saved form of these partitions' sums, as of the last commit. */
  sumsToSave(partitions: readonly Partition[]): Commit["sums"] {
    return partitions.map(({ id, sums }) => {
      sums.changedSinceSave = 0;
      sums.savedPos = this.tail.lastPos;
      return { partition: id, pos: this.tail.lastPos, body: sums.encode() };
    });
  }
}
