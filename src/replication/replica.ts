import type { Layout, Row } from "../../crdt/index.ts";
import { decodeEntry, decodeRow, hashKey, slotOf, VersionVector } from "../../crdt/index.ts";
import type { Config } from "../config/types.ts";
import { isConflict } from "../conflicts/conflict.ts";
import { present } from "../kernel/assert.ts";
import { equalBytes, toHex } from "../kernel/bytes.ts";
import type { ActorId, NodeId, Region } from "../kernel/ids.ts";
import { nodeOfActor } from "../kernel/ids.ts";
import type { ConflictRange, JournalRecord, KeyRange, RowKey, RowRead, Store } from "../storage/store.ts";
import { commitOf } from "../storage/store.ts";
import type { Address, Stream, Timer, World } from "../world/world.ts";
import { checkKey, checkRequest } from "./admission.ts";
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
import { CatchUp } from "./catch-up.ts";
import type { Partition } from "./partitions.ts";
import { loadPartitions } from "./partitions.ts";
import { digestOfAll, Peers } from "./peers.ts";
import type { Accepted, Published } from "./pipeline.ts";
import { Pipeline } from "./pipeline.ts";
import { Readiness } from "./readiness.ts";
import { Repair } from "./repair.ts";
import { RepairRun } from "./repair-run.ts";
import { Retention } from "./retention.ts";
import { Waiting } from "./waiting.ts";

export interface ReplicaOptions {
  readonly config: Config;
  readonly world: World;
  readonly store: Store;
  /** The newest gossiped peer address of a node. */
  readonly gossipedAddress: (node: NodeId) => Address | null;
  readonly attribute: (stream: Stream, region: string) => void;
  /** Storage failed or a state was impossible: the process must stop (I13). */
  readonly onFailure: (reason: string) => void;
}

/** 64 partitions of 1,024 leaves: 65,536 leaves a node (replication.md, path 2). */
export const LAYOUT: Layout = { partitionBits: 6, leafBits: 10 };

const SAVE_INTERVAL_MS = 30_000;
const HEAL_TIMEOUT_MS = 3_000;
const HEAL_RETRY_MS = 100;
const SCAN_BYTES = 2 ** 20;

/** A node's copy of the data: takes writes, receives what peers bring through one door, and looks after its rows. */
export class Replica implements ReplicaApi {
  readonly node: NodeId;
  readonly region: Region;
  readonly layout = LAYOUT;
  readonly #o: ReplicaOptions;
  readonly #partitions: readonly Partition[];
  readonly #pipeline: Pipeline;
  readonly #waiting: Waiting;
  readonly #repair: Repair;
  readonly #catchUp: CatchUp;
  readonly #retention: Retention;
  readonly #readiness: Readiness;
  readonly #peers: Peers;
  readonly #listeners = new Set<(event: ReplicaEvent) => void>();
  #run: RepairRun | null = null;
  #timer: Timer | null = null;
  #stopped = false;

  static async open(options: ReplicaOptions): Promise<Replica> {
    const saved = await options.store.load();
    const partitions = await loadPartitions(options.store, saved, LAYOUT);
    return new Replica(options, partitions, saved);
  }

  private constructor(
    options: ReplicaOptions,
    partitions: readonly Partition[],
    saved: Awaited<ReturnType<Store["load"]>>,
  ) {
    const { config, world, store } = options;
    this.#o = options;
    this.node = config.node.id;
    this.region = config.node.region;
    this.#partitions = partitions;
    const { salt, owners } = config.cluster;
    const context = {
      partitions,
      sha256: world.sha256,
      salt,
      layout: LAYOUT,
      limits: config.limits,
      maxDriftMs: config.clock.maxDriftMs,
    };
    this.#pipeline = new Pipeline({
      ...context,
      node: this.node,
      store,
      world,
      saved,
      onCommit: (published) => this.#onCommit(published),
      onFailure: (reason) => this.#onFailure(reason),
      onDamage: (partition, leaf) => this.#onBadRow(partition, leaf),
    });
    this.#waiting = new Waiting(world, (partition) => this.#partition(partition).state.vector);
    const repairOptions = {
      ...context,
      world,
      store,
      pipeline: this.#pipeline,
      onDamage: (partition: number, leaf: number, healed: boolean) =>
        this.#emit({ kind: "damage", partition, leaf, healed }),
      reached: async (partition: number, vector: VersionVector, timeoutMs: number) =>
        (await this.#waiting.wait([{ partition, vector }], timeoutMs)).length === 0,
    };
    this.#repair = new Repair(repairOptions);
    this.#catchUp = new CatchUp(repairOptions, this.#repair);
    const others = owners.map(({ id }) => id).filter((id) => id !== this.node);
    const { historyMs, logMaxBytes } = config.replication;
    this.#retention = new Retention({ ...repairOptions, historyMs, logMaxBytes, others }, this.#repair);
    this.#peers = new Peers({
      config,
      world,
      store,
      partitions,
      partitionBits: LAYOUT.partitionBits,
      pipeline: this.#pipeline,
      repair: this.#repair,
      catchUp: this.#catchUp,
      addressOf: (node) => options.gossipedAddress(node) ?? owners.find(({ id }) => id === node)?.peer ?? null,
      attribute: options.attribute,
      onLink: (peer, state, reason) => this.#onLink(peer, state, reason),
      startRepair: () => void this.repair(),
    });
    this.#readiness = new Readiness(world, this.#peers.outgoing, partitions);
  }

  start(): void {
    this.#readiness.start();
    this.#peers.start();
    this.#schedule();
  }

  /** A link from a peer, as the peer port accepted it. */
  accept(stream: Stream): void {
    this.#peers.incoming.accept(stream);
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
    await this.#catchUp.stop();
    if (!this.#pipeline.failed) await this.#pipeline.alone(() => this.#save());
  }

  // ---- writing

  actor(): ActorId {
    return this.#pipeline.actor;
  }

  async write(request: WriteRequest): Promise<WriteResult> {
    checkRequest(request, this.#o.config.limits);
    const [result] = await this.#pipeline.write([request]);
    if (result instanceof Error) throw result;
    return this.#resultOf(present(result, "one request has one result"));
  }

  async writeAll(requests: readonly WriteRequest[]): Promise<(WriteResult | Error)[]> {
    const refused = new Map<number, Error>();
    const good = requests.filter((request, i) => {
      try {
        checkRequest(request, this.#o.config.limits);
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

  #resultOf({ working, entry, row, vector }: Accepted): WriteResult {
    const dots = entry
      ? Array.from({ length: Math.max(1, entry.adds.length) }, (_, i) => ({ actor: entry.actor, seq: entry.first + i }))
      : [];
    return {
      row,
      keyHash: working.keyHash,
      partition: working.partition,
      dots,
      stamp: entry?.stamp ?? null,
      vector,
      durable: new Map([[this.region, 1]]),
    };
  }

  // ---- reading

  async read(key: RowKey): Promise<ReadResult> {
    checkKey(key.bucket, key.key, this.#o.config.limits);
    const { partition, keyHash, leaf } = this.#pipeline.place(key);
    const contextVector = this.#partition(partition).state.vector;
    let row = await this.#pipeline.read(key);
    if (row === null) {
      await this.#healForRead(partition, leaf);
      row = await this.#pipeline.read(key);
    }
    if (row === null)
      throw new Unavailable(
        "damaged",
        "this record's storage is damaged and no peer could heal it yet; try another node",
      );
    return { row, keyHash, partition, contextVector, sessionVector: this.#partition(partition).state.vector };
  }

  /** A bad checksum damages the whole leaf; it heals from a peer at once (data.md, SQLite). */
  async #healForRead(partition: number, leaf: number): Promise<void> {
    if (!this.#partition(partition).damaged.has(leaf)) this.#repair.quarantine(partition, leaf);
    const { timers, clock } = this.#o.world;
    const untilMs = clock.monotonicMs() + HEAL_TIMEOUT_MS;
    // Peers may be connecting just now, or be ahead of us by entries that are under way: ask again for a while.
    while (this.#partition(partition).damaged.has(leaf) && clock.monotonicMs() < untilMs) {
      await this.heal(partition, [leaf]);
      if (this.#partition(partition).damaged.has(leaf))
        await new Promise<void>((resolve) => timers.after(HEAL_RETRY_MS, resolve));
    }
  }

  /** Asks peer after peer until these leaves are sound again. Never rejects. */
  async heal(partition: number, leaves: readonly number[]): Promise<void> {
    for (const peer of this.#peers.outgoing) {
      const left = leaves.filter((leaf) => this.#partition(partition).damaged.has(leaf));
      if (left.length === 0) return;
      await this.#repair.compareLeaves(peer, partition, left).catch((error: unknown) => {
        this.#o.world.log.warn("repair.peer-failed", {
          peer: peer.node,
          partition,
          reason: error instanceof Error ? error.message : String(error),
        });
      });
    }
  }

  async scan(range: KeyRange): Promise<{ rows: (RowKey & ReadResult)[]; next: string | null }> {
    const rows: (RowKey & ReadResult)[] = [];
    let after = range.after;
    while (rows.length < range.limit) {
      const limit = range.limit - rows.length;
      const reads = await this.#o.store.scanKeys({
        ...range,
        ...(after !== undefined && { after }),
        limit,
        maxBytes: Math.min(range.maxBytes, SCAN_BYTES),
      });
      const last = reads.at(-1);
      if (!last) return { rows, next: null };
      after = last.key;
      for (const read of reads) {
        const found = await this.#resolve(read);
        if (found.row.cells.size > 0) rows.push(found);
      }
    }
    return { rows, next: after ?? null };
  }

  async #resolve(read: RowRead): Promise<RowKey & ReadResult> {
    const { bucket, key } = read;
    if (read.body === null) return { bucket, key, ...(await this.read({ bucket, key })) };
    const { partition, keyHash } = this.#pipeline.place(read);
    const vector = this.#partition(partition).state.vector;
    return {
      bucket,
      key,
      row: decodeRow(read.body),
      keyHash,
      partition,
      contextVector: new VersionVector(),
      sessionVector: vector,
    };
  }

  buckets(): Promise<{ bucket: string; rows: number }[]> {
    return this.#o.store.buckets();
  }

  async deletion(key: RowKey): Promise<Deletion | undefined> {
    const body = await this.#o.store.readDeletion(key);
    if (!body || body.length === 0) return undefined;
    const { stamp, actor } = decodeEntry(body);
    const { author, reason, hlc } = stamp;
    return { author, node: nodeOfActor(actor), atMs: hlc.ms, ...(reason !== undefined && { reason }) };
  }

  waitFor(seen: readonly PartitionSeen[], timeoutMs: number): Promise<PartitionSeen[]> {
    return this.#waiting.wait(
      seen.filter(({ partition }) => partition < this.#partitions.length),
      timeoutMs,
    );
  }

  // ---- conflicts

  async conflicts(range: ConflictRange): Promise<(RowKey & ReadResult)[]> {
    return Promise.all((await this.#o.store.scanConflicts(range)).map((read) => this.#resolve(read)));
  }

  countConflicts(): Promise<number> {
    return this.#o.store.countConflicts();
  }

  async findByHash(keyHash: Uint8Array): Promise<(RowKey & ReadResult) | undefined> {
    const slot = slotOf(keyHash);
    const { salt } = this.#o.config.cluster;
    const read = (await this.#o.store.scanSlots(slot, slot + 1)).find(({ bucket, key }) =>
      equalBytes(hashKey(this.#o.world.sha256, salt, bucket, key), keyHash),
    );
    return read ? this.#resolve(read) : undefined;
  }

  journal(filter: { key?: RowKey; beforeSeq?: number; limit: number }): Promise<JournalRecord[]> {
    return this.#o.store.readJournal(filter);
  }

  // ---- looking after it

  status(): ReplicaStatus {
    const partitions = this.#partitions.map(({ id, state, sums, damaged }) => ({
      partition: id,
      records: sums.records,
      digest: toHex(sums.total()),
      vector: state.vector,
      floor: state.floor,
      damagedLeaves: damaged.size,
    }));
    const { ready, warning } = this.#readiness.check();
    const failed = this.#pipeline.failed;
    return {
      actor: this.#pipeline.actor,
      records: partitions.reduce((sum, { records }) => sum + records, 0),
      digest: toHex(digestOfAll(this.#partitions)),
      partitions,
      peers: this.#peers.outgoing.map((peer) => peer.view()),
      ready: ready && !failed,
      ...(warning !== undefined && { readyWarning: warning }),
      ...(failed !== null && { failed }),
      queueDepth: this.#pipeline.depth,
      earlyEntries: this.#partitions.reduce((sum, { state }) => sum + state.early.length, 0),
    };
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
      heal: (partition, leaves) => this.heal(partition, leaves),
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

  #partition(id: number): Partition {
    return present(this.#partitions[id], "a partition of the layout");
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

  #onFailure(reason: string): void {
    this.#o.world.log.error("replica.failed", { reason });
    this.#emit({ kind: "failed", reason });
    this.#o.onFailure(reason);
  }

  /** Found while a batch read rows: the mark is set before that batch goes on. */
  #onBadRow(partition: number, leaf: number): void {
    this.#repair.quarantine(partition, leaf);
    this.#o.world.timers.soon(() => void this.heal(partition, [leaf]));
  }

  #onLink(peer: NodeId, state: PeerSync["link"], reason: string | undefined): void {
    this.#o.world.log[state === "up" ? "info" : "warn"]("peer.link", {
      peer,
      state,
      ...(reason !== undefined && { reason }),
    });
    this.#emit({ kind: "link", peer, state, ...(reason !== undefined && { reason }) });
  }

  #schedule(): void {
    const everyMs = Math.min(SAVE_INTERVAL_MS, Math.max(250, this.#o.config.replication.historyMs / 4));
    this.#timer = this.#o.world.timers.after(everyMs, () => {
      void this.#tend().then(() => {
        if (!this.#stopped) this.#schedule();
      });
    });
  }

  async #tend(): Promise<void> {
    try {
      await this.#retention.run();
      for (const { id, damaged } of this.#partitions) if (damaged.size > 0) await this.heal(id, [...damaged.keys()]);
      if (this.#partitions.some(({ sums }) => sums.changedSinceSave > 0))
        await this.#pipeline.alone(() => this.#save());
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error; // storage failed: reported there
    }
  }

  /** Sums with the log position that they include, and the peers' acknowledgements: a start need not work them out. */
  async #save(): Promise<void> {
    const acks = this.#partitions.flatMap(({ id, acks: held }) =>
      [...held].map(([peer, vector]) => ({ peer, partition: id, vector: vector.encode() })),
    );
    await this.#o.store.commit(commitOf({ sums: this.#pipeline.sumsToSave(this.#partitions), acks }));
  }
}
