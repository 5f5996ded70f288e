import type { Entry, Hlc, OpenRow, PartitionState, Row } from "../../crdt/index.ts";
import {
  admitEntry,
  applyEntry,
  dotKey,
  EMPTY_ROW,
  emptyPartition,
  encodeRow,
  HLC_ZERO,
  hashKey,
  isEmptyRow,
  lastSeq,
  openRow,
  partitionOf,
  planWrite,
  rowDigest,
  slotOf,
  tickHlc,
  type VersionVector,
} from "../../crdt/index.ts";
import type { Config } from "../../src/config/types.ts";
import { isConflict } from "../../src/conflicts/conflict.ts";
import { InternalError, present } from "../../src/kernel/assert.ts";
import { compareBytes, equalBytes, toHex, utf8 } from "../../src/kernel/bytes.ts";
import { makeActorId, type NodeId, nodeOfActor, type Region } from "../../src/kernel/ids.ts";
import { checkGrowth, checkRequest, checkRowSize } from "../../src/replication/admission.ts";
import type {
  ClockStatus,
  Deletion,
  PartitionSeen,
  ReadResult,
  RepairProgress,
  ReplicaApi,
  ReplicaEvent,
  ReplicaStatus,
  Unavailable,
  WriteRequest,
  WriteResult,
} from "../../src/replication/api.ts";
import { journalRecord } from "../../src/replication/journal.ts";
import { Owners } from "../../src/replication/owners.ts";
import type { ConflictRange, JournalRecord, KeyRange, RowKey } from "../../src/storage/store.ts";
import type { TestWorld } from "./test-world.ts";

interface Stored extends RowKey {
  readonly keyHash: Uint8Array;
  readonly partition: number;
  row: Row;
}

/** A replica on one node and in memory, made of the real rules of crdt/: what the HTTP API is tested against before, and
 *  besides, the one with a disk. Entries pass to others only when a test calls `receiveFrom`. */
export class MemoryReplica implements ReplicaApi {
  readonly node: NodeId;
  readonly region: Region;
  readonly layout = { partitionBits: 6, leafBits: 4 };
  readonly owners: Owners;
  readonly log: Entry[] = [];
  readonly #test: TestWorld;
  readonly #config: Config;
  readonly #partitions: PartitionState[] = Array.from({ length: 64 }, emptyPartition);
  readonly #rows = new Map<string, Stored>();
  readonly #deletions = new Map<string, Deletion>();
  readonly #journal: JournalRecord[] = [];
  readonly #listeners = new Set<(event: ReplicaEvent) => void>();
  readonly #actor: ReturnType<typeof makeActorId>;
  #repair: RepairProgress | null = null;
  #hlc: Hlc = HLC_ZERO;
  /** What the next writes fail with. */
  refusal: Unavailable | Error | null = null;
  failed: string | undefined;
  /** Of every peer. */
  lagEntries = 0;
  behindEntries = 0;
  clock: ClockStatus = { suspect: false, clocks: 3, offsetMs: 4, uncertaintyMs: 20 };
  /** The most rows of one writeAll. */
  largestBatch = 0;
  /** Calls of writeAll. */
  attempts = 0;

  constructor(config: Config, test: TestWorld) {
    this.node = config.node.id;
    this.region = config.node.region;
    this.owners = new Owners(this.node, config.cluster.owners);
    this.#config = config;
    this.#test = test;
    this.#actor = makeActorId(this.node, test.nowMs, test.world.rng.u32());
  }

  actor(): ReturnType<typeof makeActorId> {
    return this.#actor;
  }

  async write(request: WriteRequest): Promise<WriteResult> {
    const [result] = await this.writeAll([request]);
    if (result === undefined || result instanceof Error) throw result ?? new InternalError("a result per request");
    return result;
  }

  async writeAll(requests: readonly WriteRequest[]): Promise<(WriteResult | Error)[]> {
    await Promise.resolve();
    this.attempts += 1;
    this.largestBatch = Math.max(this.largestBatch, requests.length);
    if (this.refusal) throw this.refusal;
    return requests.map((request) => {
      try {
        return this.#writeOne(request);
      } catch (error) {
        return error instanceof Error ? error : new Error(String(error));
      }
    });
  }

  #writeOne(request: WriteRequest): WriteResult {
    const { limits } = this.#config;
    checkRequest(request, limits);
    const stored = this.#at(request);
    request.guard?.(stored.row);
    const partition = this.#partition(stored.partition);
    const dots =
      request.seen === "blind"
        ? ("blind" as const)
        : "dots" in request.seen
          ? request.seen.dots
          : coveredDots(stored.row, request.seen.vector);
    const { adds, removes } = planWrite(stored.row, request.ops, dots, this.#actor);
    if (adds.length === 0 && removes.length === 0) return this.#result(stored, []);
    this.#hlc = tickHlc(this.#hlc, this.#test.nowMs);
    const { author, reason } = request;
    const entry: Entry = {
      actor: this.#actor,
      first: partition.vector.seq(this.#actor) + 1,
      bucket: request.bucket,
      key: request.key,
      adds,
      removes,
      stamp: { hlc: this.#hlc, author, suspect: false, ...(reason !== undefined && { reason }) },
    };
    const trial = openRow(stored.row);
    const before = stored.row;
    applyEntry({ ...partition, vector: partition.vector.copy() }, trial, entry);
    checkGrowth(before, trial, request.ops, limits);
    checkRowSize(encodeRow(before).length, encodeRow(trial).length, limits);
    this.#apply(entry);
    const taken = Array.from({ length: lastSeq(entry) - entry.first + 1 }, (_, i) => entry.first + i);
    return this.#result(
      this.#at(request),
      taken.map((seq) => ({ actor: this.#actor, seq })),
    );
  }

  #result(stored: Stored, dots: WriteResult["dots"]): WriteResult {
    return {
      row: stored.row,
      keyHash: stored.keyHash,
      digest: rowDigest(this.#test.world.sha256, this.#config.cluster.salt, stored.keyHash, stored.row),
      partition: stored.partition,
      dots,
      stamp: null,
      vector: this.#partition(stored.partition).vector.copy(),
      durable: new Map([[this.region, 1]]),
    };
  }

  #partition(id: number): PartitionState {
    return present(this.#partitions[id], "64 partitions");
  }

  #at({ bucket, key }: RowKey): Stored {
    const known = this.#rows.get(`${bucket}\0${key}`);
    if (known) return known;
    const keyHash = hashKey(this.#test.world.sha256, this.#config.cluster.salt, bucket, key);
    return { bucket, key, keyHash, partition: partitionOf(slotOf(keyHash), this.layout), row: EMPTY_ROW };
  }

  #apply(entry: Entry): void {
    const stored = this.#at(entry);
    const name = `${entry.bucket}\0${entry.key}`;
    const before = stored.row;
    const row: OpenRow = openRow(before);
    applyEntry(this.#partition(stored.partition), row, entry);
    stored.row = row;
    if (isEmptyRow(row)) this.#rows.delete(name);
    else this.#rows.set(name, stored);
    this.log.push(entry);
    if (row.cells.size === 0 && before.cells.size > 0) {
      const { author, reason, hlc } = entry.stamp;
      const node = nodeOfActor(entry.actor);
      this.#deletions.set(name, { author, node, atMs: hlc.ms, ...(reason !== undefined && { reason }) });
    }
    const { sha256 } = this.#test.world;
    const body = journalRecord(sha256, { before, row, keyHash: stored.keyHash }, isConflict(row));
    const { bucket, key } = entry;
    if (body) this.#journal.unshift({ bucket, key, seq: this.#journal.length + 1, atMs: this.#test.nowMs, body });
    this.#emit({ kind: "committed", key: entry, partition: stored.partition, local: entry.actor === this.#actor });
    if (body) this.#emit({ kind: "conflict", key: { bucket, key }, open: isConflict(row) });
  }

  #emit(event: ReplicaEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** Takes what the other one wrote and this one lacks. */
  receiveFrom(other: MemoryReplica): void {
    for (const entry of other.log)
      if (admitEntry(this.#partition(this.#at(entry).partition), entry) === "next") this.#apply(entry);
    for (const waiter of [...this.#waiters]) waiter();
  }

  async read(key: RowKey): Promise<ReadResult> {
    await Promise.resolve();
    return this.#readOf(this.#at(key));
  }

  #readOf({ row, keyHash, partition }: Stored): ReadResult {
    const vector = this.#partition(partition).vector.copy();
    return { row, keyHash, digest: undefined, partition, contextVector: vector, sessionVector: vector };
  }

  async scan({
    bucket,
    prefix,
    after,
    limit,
  }: KeyRange): Promise<{ rows: (RowKey & ReadResult)[]; next: string | null }> {
    await Promise.resolve();
    const rows = this.#sorted()
      .filter((row) => row.bucket === bucket && row.key.startsWith(prefix) && row.row.cells.size > 0)
      .filter(({ key }) => after === undefined || compareBytes(utf8(key), utf8(after)) > 0);
    const page = rows.slice(0, limit);
    return {
      rows: page.map((row) => ({ bucket, key: row.key, ...this.#readOf(row) })),
      next: rows.length > limit ? (page.at(-1)?.key ?? null) : null,
    };
  }

  #sorted(): Stored[] {
    return [...this.#rows.values()].sort(
      (a, b) => compareBytes(utf8(a.bucket), utf8(b.bucket)) || compareBytes(utf8(a.key), utf8(b.key)),
    );
  }

  async buckets(): Promise<{ bucket: string; rows: number }[]> {
    await Promise.resolve();
    const counts = new Map<string, number>();
    for (const { bucket } of this.#sorted()) counts.set(bucket, (counts.get(bucket) ?? 0) + 1);
    return [...counts].map(([bucket, rows]) => ({ bucket, rows }));
  }

  async deletion({ bucket, key }: RowKey): Promise<Deletion | undefined> {
    await Promise.resolve();
    return this.#deletions.get(`${bucket}\0${key}`);
  }

  readonly #waiters = new Set<() => void>();

  async waitFor(seen: readonly PartitionSeen[], timeoutMs: number): Promise<PartitionSeen[]> {
    const missing = (): PartitionSeen[] =>
      seen.filter(({ partition, vector }) => !this.#partitions[partition]?.vector.reaches(vector));
    if (missing().length === 0) return [];
    return new Promise((resolve) => {
      const finish = (): void => {
        this.#waiters.delete(check);
        resolve(missing());
      };
      const timer = this.#test.world.timers.after(timeoutMs, finish);
      const check = (): void => {
        if (missing().length > 0) return;
        timer.cancel();
        finish();
      };
      this.#waiters.add(check);
    });
  }

  async conflicts({ bucket, after, limit }: ConflictRange): Promise<(RowKey & ReadResult)[]> {
    await Promise.resolve();
    return this.#sorted()
      .filter((row) => isConflict(row.row) && (bucket === undefined || row.bucket === bucket))
      .filter((row) => !after || compareKeys(row, after) > 0)
      .slice(0, limit)
      .map((row) => ({ bucket: row.bucket, key: row.key, ...this.#readOf(row) }));
  }

  async countConflicts(): Promise<number> {
    await Promise.resolve();
    return this.#sorted().filter(({ row }) => isConflict(row)).length;
  }

  async findByHash(keyHash: Uint8Array): Promise<(RowKey & ReadResult) | undefined> {
    await Promise.resolve();
    const found = this.#sorted().find((row) => equalBytes(row.keyHash, keyHash));
    return found && { bucket: found.bucket, key: found.key, ...this.#readOf(found) };
  }

  async journal({ key, limit }: { key?: RowKey; limit: number }): Promise<JournalRecord[]> {
    await Promise.resolve();
    return this.#journal
      .filter((record) => !key || (record.bucket === key.bucket && record.key === key.key))
      .slice(0, limit);
  }

  status(): ReplicaStatus {
    const records = [...this.#rows.values()].filter(({ row }) => row.cells.size > 0);
    const dots = records.flatMap(({ row }) => [...row.cells.values()].map(({ dot }) => dotKey(dot))).sort();
    return {
      actor: this.#actor,
      records: records.length,
      digest: toHex(this.#test.world.sha256(utf8(dots.join(" "))).slice(0, 16)),
      partitions: this.#partitions.map(({ vector, floor }, partition) => ({
        partition,
        records: records.filter((row) => row.partition === partition).length,
        digest: "0".repeat(32),
        vector,
        floor,
        damagedLeaves: 0,
      })),
      peers: this.owners.others.map(({ id, region }) => ({
        node: id,
        region,
        link: "up" as const,
        address: "127.0.0.1:7013",
        lastSyncMs: this.#test.nowMs - 1_500,
        differences: 0,
        sumDifferences: 0,
        lagEntries: this.lagEntries,
        behindEntries: this.behindEntries,
        sentBytes: 10,
        receivedBytes: 20,
        rttMs: 1.5,
        phi: 0.3,
        gray: [],
      })),
      ready: this.failed === undefined,
      ...(this.failed !== undefined && { failed: this.failed }),
      queueDepth: 0,
      earlyEntries: 0,
      disk: { level: "ample", freeBytes: null },
      clock: this.clock,
    };
  }

  async syncNow(): Promise<ReplicaStatus["peers"][number][]> {
    await Promise.resolve();
    return [...this.status().peers];
  }

  repair(): RepairProgress {
    this.#repair ??= {
      id: "repair-1",
      state: "done",
      startedMs: this.#test.nowMs,
      finishedMs: this.#test.nowMs,
      partitionsDone: 64,
      partitionsTotal: 64,
      damagedLeaves: 0,
      healedLeaves: 0,
      repairedRows: 0,
      problems: [],
    };
    return this.#repair;
  }

  repairProgress(): RepairProgress | null {
    return this.#repair;
  }

  subscribe(listener: (event: ReplicaEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Requests inside `waitFor`. */
  get waiting(): number {
    return this.#waiters.size;
  }

  get listeners(): number {
    return this.#listeners.size;
  }
}

function coveredDots(row: Row, vector: VersionVector): WriteResult["dots"] {
  return [...row.cells.values()].map(({ dot }) => dot).filter((dot) => vector.covers(dot));
}

function compareKeys(a: RowKey, b: RowKey): number {
  return compareBytes(utf8(a.bucket), utf8(b.bucket)) || compareBytes(utf8(a.key), utf8(b.key));
}
