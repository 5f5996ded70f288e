import type { Dot, Layout, Row, VersionVector } from "../../crdt/index.ts";
import { lastSeq } from "../../crdt/index.ts";
import { isConflict } from "../conflicts/conflict.ts";
import { present } from "../kernel/assert.ts";
import type { ActorId, NodeId, Region } from "../kernel/ids.ts";
import { nodeOfActor } from "../kernel/ids.ts";
import type { PeerDoor } from "../peer/door.ts";
import type { ConflictRange, JournalRecord, KeyRange, RowKey, StoreState } from "../storage/store.ts";
import { StoreFailedError } from "../storage/store.ts";
import type { Timer } from "../world/world.ts";
import { checkRequest } from "./admission.ts";
import type {
  Deletion,
  PartitionSeen,
  PeerSync,
  ReadResult,
  RepairProgress,
  ReplicaApi,
  ReplicaEvent,
  ReplicaStatus,
  WriteRequest,
  WriteResult,
} from "./api.ts";
import { Unavailable } from "./api.ts";
import type { CatchUp } from "./catch-up.ts";
import type { DiskRoom } from "./disk-room.ts";
import type { Accepted } from "./jobs.ts";
import { restoreSums } from "./lost-sums.ts";
import type { Owners } from "./owners.ts";
import type { Partition } from "./partitions.ts";
import { loadPartitions } from "./partitions.ts";
import type { ReplicaOptions } from "./parts.ts";
import { makeParts } from "./parts.ts";
import type { Peers } from "./peers.ts";
import type { Pipeline, Published } from "./pipeline.ts";
import { Readiness } from "./readiness.ts";
import type { Reading } from "./reading.ts";
import type { Repair } from "./repair.ts";
import { RepairRun } from "./repair-run.ts";
import type { Retention } from "./retention.ts";
import type { Stamping } from "./stamping.ts";
import { statusOf } from "./status.ts";
import type { Waiting } from "./waiting.ts";

/** 64 partitions of 1,024 leaves: 65,536 leaves a node (replication.md, path 2). */
export const LAYOUT: Layout = { partitionBits: 6, leafBits: 10 };

const SAVE_INTERVAL_MS = 30_000;
/** After a start with damage: links to peers are up by then, mostly. */
const FIRST_HEAL_MS = 1_000;

/** A node's copy of the data: takes writes, receives what peers bring through one door, and looks after its rows. */
export class Replica implements ReplicaApi {
  readonly node: NodeId;
  readonly region: Region;
  readonly layout: Layout;
  readonly owners: Owners;
  /** What was kept by `remember` before this start. */
  readonly remembered: ReadonlyMap<string, string>;
  readonly #o: ReplicaOptions;
  readonly #partitions: readonly Partition[];
  readonly #pipeline: Pipeline;
  readonly #waiting: Waiting;
  readonly #repair: Repair;
  readonly #reading: Reading;
  readonly #catchUp: CatchUp;
  readonly #retention: Retention;
  readonly #room: DiskRoom;
  readonly #durableHere: ReadonlyMap<Region, number>;
  readonly #readiness: Readiness;
  readonly #peers: Peers;
  readonly #stamping: Stamping;
  readonly #listeners = new Set<(event: ReplicaEvent) => void>();
  #run: RepairRun | null = null;
  #timer: Timer | null = null;
  #stopped = false;

  static async open(options: ReplicaOptions): Promise<Replica> {
    const saved = await options.store.load();
    const layout = options.tuning?.layout ?? LAYOUT;
    const partitions = await loadPartitions(options.store, saved, layout);
    const unsaved = await restoreSums(options, layout, partitions, saved);
    const replica = new Replica(options, partitions, saved);
    for (const { partition, leaf, vector } of unsaved) replica.#pipeline.noteDamage(partition, leaf, vector);
    return replica;
  }

  private constructor(options: ReplicaOptions, partitions: readonly Partition[], saved: StoreState) {
    this.#o = options;
    this.node = options.config.node.id;
    this.region = options.config.node.region;
    this.owners = options.owners;
    this.#partitions = partitions;
    this.remembered = saved.settings;
    this.layout = options.tuning?.layout ?? LAYOUT;
    const parts = makeParts(options, this.layout, partitions, saved, {
      onCommit: (published) => this.#onCommit(published),
      onFailure: (reason) => this.#onFailure(reason),
      onBadRow: (partition, leaf) => this.#onBadRow(partition, leaf),
      onDamage: (partition, leaf, healed) => this.#emit({ kind: "damage", partition, leaf, healed }),
      onLink: (peer, state, reason) => this.#onLink(peer, state, reason),
      startRepair: () => void this.repair(),
    });
    this.#pipeline = parts.pipeline;
    this.#room = parts.room;
    this.#durableHere = new Map([[this.region, 1]]);
    this.#waiting = parts.waiting;
    this.#repair = parts.repair;
    this.#catchUp = parts.catchUp;
    this.#retention = parts.retention;
    this.#reading = parts.reading;
    this.#peers = parts.peers;
    this.#stamping = parts.stamping;
    this.#readiness = new Readiness(options.world, () => parts.peers.outgoing, partitions, this.owners);
    void options.store.failed.then((error) => this.#onStoreFailure(error));
  }

  start(): void {
    this.#readiness.start();
    this.#peers.start();
    const isDamaged = this.#partitions.some(({ damaged }) => damaged.size > 0);
    this.#schedule(isDamaged ? FIRST_HEAL_MS : this.#tendEveryMs());
  }

  /** Takes what the peer port accepts. Other parts of the node may serve traffic of their own there. */
  get door(): PeerDoor {
    return this.#peers.door;
  }

  /** Gossip heard of a node, for the first time or again. */
  seen(node: NodeId): void {
    this.#peers.seen(node);
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#timer?.cancel();
    this.#peers.stop();
    this.#waiting.stop();
    this.#room.stop();
    await this.#catchUp.stop();
    // The last job: whatever came after it would find the store closed.
    const last = async (): Promise<void> => {
      await this.#save();
      this.#pipeline.refuse("this node is shutting down");
    };
    if (!this.#pipeline.failed) await this.#pipeline.alone(last);
  }

  // ---- writing

  actor(): ActorId {
    return this.#pipeline.actor;
  }

  #admit(request: WriteRequest): void {
    this.owners.mustServe();
    checkRequest(request, this.#o.config.limits);
    this.#room.admit(request);
  }

  async write(request: WriteRequest): Promise<WriteResult> {
    this.#admit(request);
    const [result] = await this.#pipeline.write([request]);
    if (result instanceof Error) throw result;
    return this.#resultOf(present(result, "one request has one result"));
  }

  async writeAll(requests: readonly WriteRequest[]): Promise<(WriteResult | Error)[]> {
    const refused = new Map<number, Error>();
    const good = requests.filter((request, i) => {
      try {
        this.#admit(request);
        return true;
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        refused.set(i, error);
        return false;
      }
    });
    const results = (good.length > 0 ? await this.#pipeline.write(good) : []).values();
    return requests.map((_, i) => {
      const result = refused.get(i) ?? present(results.next().value, "each accepted request has a result");
      return result instanceof Error ? result : this.#resultOf(result);
    });
  }

  #resultOf({ working, entry, row, digest, vector }: Accepted): WriteResult {
    const dots: Dot[] = [];
    if (entry) for (let seq = entry.first; seq <= lastSeq(entry); seq++) dots.push({ actor: entry.actor, seq });
    return {
      row,
      keyHash: working.keyHash,
      digest,
      partition: working.partition,
      dots,
      stamp: entry?.stamp ?? null,
      vector,
      durable: this.#durableHere,
    };
  }

  remember(name: string, value: string): Promise<boolean> {
    return this.#pipeline.remember([{ name, value }]);
  }

  // ---- reading

  read(key: RowKey): Promise<ReadResult> {
    return this.#reading.read(key);
  }

  scan(range: KeyRange): ReturnType<ReplicaApi["scan"]> {
    return this.#reading.scan(range);
  }

  buckets(): ReturnType<ReplicaApi["buckets"]> {
    return this.#o.store.buckets();
  }

  deletion(key: RowKey): Promise<Deletion | undefined> {
    return this.#reading.deletion(key);
  }

  conflicts(range: ConflictRange): Promise<(RowKey & ReadResult)[]> {
    return this.#reading.conflicts(range);
  }

  countConflicts(): Promise<number> {
    return this.#o.store.countConflicts();
  }

  findByHash(keyHash: Uint8Array): Promise<(RowKey & ReadResult) | undefined> {
    return this.#reading.findByHash(keyHash);
  }

  journal(filter: { key?: RowKey; beforeSeq?: number; limit: number }): Promise<JournalRecord[]> {
    return this.#o.store.readJournal(filter);
  }

  waitFor(seen: readonly PartitionSeen[], timeoutMs: number): Promise<PartitionSeen[]> {
    return this.#waiting.wait(
      seen.filter(({ partition }) => partition < this.#partitions.length),
      timeoutMs,
    );
  }

  // ---- looking after it

  status(): ReplicaStatus {
    return statusOf({
      partitions: this.#partitions,
      pipeline: this.#pipeline,
      peers: this.#peers,
      readiness: this.#readiness,
      room: this.#room,
      stamping: this.#stamping,
    });
  }

  /** Of a node that is coming: what the owners showed is here. */
  isCaughtUp(): boolean {
    return this.#readiness.isCaughtUp();
  }

  /** Of a node that is going: a mark in what is written here, for `isHandedOver`. */
  written(): VersionVector[] {
    return this.#peers.written();
  }

  /** What was written here, up to that mark or to now, is elsewhere. */
  isHandedOver(upTo?: readonly VersionVector[]): boolean {
    return (upTo !== undefined || this.#pipeline.depth === 0) && this.#peers.isHandedOver(upTo);
  }

  async syncNow(): Promise<PeerSync[]> {
    await Promise.all(this.#peers.outgoing.map((peer) => peer.sync(true)));
    return this.#peers.outgoing.map((peer) => peer.view());
  }

  repair(): RepairProgress {
    if (this.#run?.progress().state === "running") return this.#run.progress();
    this.#run = new RepairRun({
      world: this.#o.world,
      partitions: this.#partitions,
      repair: this.#repair,
      peers: this.#peers.outgoing,
      heal: (partition, leaves) => this.#reading.heal(partition, leaves),
    });
    void this.#run.start();
    return this.#run.progress();
  }

  repairProgress(): RepairProgress | null {
    return this.#run?.progress() ?? null;
  }

  /** Cuts what the log need not keep. Runs by itself as well. */
  cutLog(): Promise<number> {
    return this.#retention.run();
  }

  subscribe(listener: (event: ReplicaEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #emit(event: ReplicaEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #onCommit({ log, rows }: Published): void {
    this.#waiting.check();
    this.#peers.pump();
    if (this.#listeners.size === 0) return;
    for (const { bucket, key, partition, before, row } of rows) {
      const local = log.some((record) => record.partition === partition && nodeOfActor(record.actor) === this.node);
      this.#emit({ kind: "committed", key: { bucket, key }, partition, local });
      if (before.cells.size > 1 || row.cells.size > 1) this.#emitConflict({ bucket, key }, before, row);
    }
  }

  #emitConflict(key: RowKey, before: Row, row: Row): void {
    const was = isConflict(before);
    const is = isConflict(row);
    if (was !== is) this.#emit({ kind: "conflict", key, open: is });
  }

  /** Found by a read or a checkpoint. Told as what it is like: a commit that failed. */
  async #onStoreFailure(failure: Error): Promise<void> {
    const fail = async (): Promise<never> => {
      throw failure;
    };
    await this.#pipeline.alone(fail).catch((error: unknown) => {
      // It failed, or had failed before: that is known where it must be.
      if (!(error instanceof Unavailable)) throw error;
    });
  }

  #onFailure(reason: string): void {
    this.#o.world.log.error("replica.failed", { reason });
    this.#emit({ kind: "failed", reason });
    this.#o.onFailure(reason);
  }

  /** Found while a batch read rows: the mark is set before that batch goes on. */
  #onBadRow(partition: number, leaf: number): void {
    this.#repair.quarantine(partition, leaf);
    this.#o.world.timers.soon(() => void this.#reading.heal(partition, [leaf]));
  }

  #onLink(peer: NodeId, state: PeerSync["link"], reason: string | undefined): void {
    this.#o.world.log[state === "up" ? "info" : "warn"]("peer.link", {
      peer,
      state,
      ...(reason !== undefined && { reason }),
    });
    this.#emit({ kind: "link", peer, state, ...(reason !== undefined && { reason }) });
  }

  #tendEveryMs(): number {
    return Math.min(SAVE_INTERVAL_MS, Math.max(250, this.#o.config.replication.historyMs / 4));
  }

  #schedule(afterMs: number): void {
    this.#timer = this.#o.world.timers.after(afterMs, () => {
      void this.#tend().then(() => {
        if (!this.#stopped) this.#schedule(this.#tendEveryMs());
      });
    });
  }

  async #tend(): Promise<void> {
    try {
      await this.#retention.run();
      for (const { id, damaged } of this.#partitions)
        if (damaged.size > 0) await this.#reading.heal(id, [...damaged.keys()]);
      if (this.#partitions.some(({ sums }) => sums.changedSinceSave > 0))
        await this.#pipeline.alone(() => this.#save());
    } catch (error) {
      // A stopping node closes its store under this; a failure of storage is reported where it happened.
      if (!this.#stopped && !(error instanceof Unavailable || error instanceof StoreFailedError)) throw error;
    }
  }

  /** Sums with the log position that they include, and the peers' acknowledgements: a start need not work them out. */
  async #save(): Promise<void> {
    const acks = this.#partitions.flatMap(({ id, acks: held }) =>
      [...held].map(([peer, vector]) => ({ peer, partition: id, vector: vector.encode() })),
    );
    // With every mark of damage: sums that were worked out anew must never be found without them.
    const damaged = this.#partitions.flatMap(({ id, damaged: leaves }) =>
      [...leaves].map(([leaf, { vector }]) => ({ partition: id, leaf, vector: vector.encode() })),
    );
    await this.#pipeline.saveSums(this.#partitions, { acks, damaged });
  }
}
