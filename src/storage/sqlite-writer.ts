import { assert, present } from "../kernel/assert.ts";
import type { ActorId } from "../kernel/ids.ts";
import { type HighWater, lastOfEach, nameOfKey } from "./check-commit.ts";
import { Batch } from "./sqlite-batch.ts";
import { checksum, encodeLog, LOG_OVERHEAD_BYTES, rowFields, SEAL_BYTES, sealWithoutBody } from "./sqlite-codec.ts";
import { type Connection, sqliteCode } from "./sqlite-connection.ts";
import { AT_ONCE_SQL, MOVED, WRITE_SQL } from "./sqlite-write-sql.ts";
import { type Commit, DiskFullError, type LogRecord, type VectorEntry } from "./store.ts";

/** What the writer knows besides the tables. */
export interface WriterState {
  readonly actorNames: Map<number, ActorId>;
  readonly actorNumbers: Map<ActorId, number>;
  counters: Counters;
}

export interface Counters extends HighWater {
  readonly logRecords: number;
  readonly logBytes: number;
}

/** Turns commits into transactions on the one connection that writes. */
export class Writer {
  readonly #connection: Connection;
  readonly #state: WriterState;
  /** Does the connection have the view of AT_ONCE_SQL? */
  #isPrepared = false;

  constructor(connection: Connection, state: WriterState) {
    this.#connection = connection;
    this.#state = state;
  }

  /** One durable transaction. `vacuumPages` of free pages are given back to the file system on the way. Rejects with
   *  DiskFullError when there is no room, and nothing has changed; after any other rejection the state of the file is
   *  unknown. */
  async commit(commit: Commit, after: HighWater, vacuumPages: number): Promise<void> {
    const actors = this.#state.actorNumbers.size;
    try {
      await this.#commit(commit, after, vacuumPages);
    } catch (error) {
      // The kernel refused to take the bytes: unlike after a failed fsync, nothing is in doubt.
      if (sqliteCode(error) !== "SQLITE_FULL") throw error;
      await this.#undo(actors);
      throw new DiskFullError(error);
    }
  }

  async #undo(actors: number): Promise<void> {
    try {
      await this.#connection.exec("ROLLBACK");
    } catch (error) {
      // SQLite rolls back by itself after most errors of this kind.
      if (!(error instanceof Error) || !error.message.includes("no transaction is active")) throw error;
    }
    const { actorNames, actorNumbers } = this.#state;
    for (const [number, actor] of [...actorNames]) {
      if (number <= actors) continue;
      actorNames.delete(number);
      actorNumbers.delete(actor);
    }
  }

  async #commit(commit: Commit, after: HighWater, vacuumPages: number): Promise<void> {
    const before = this.#state.counters;
    if (vacuumPages === 0 && this.#isOrdinary(commit) && (await this.#commitAtOnce(commit, after))) return;
    await this.#connection.run("BEGIN IMMEDIATE");
    await this.#writeRows(commit.rows);
    await this.#writeLog(commit.log);
    const cut = await this.#cutLog(commit.cutLog);
    await this.#writeVectors(WRITE_SQL.vectors, commit.vectors);
    await this.#writeVectors(WRITE_SQL.floors, commit.floors);
    await this.#writePartitionState(commit);
    await this.#writeDeletions(commit.deletions);
    await this.#writeJournal(commit.journal);
    await this.#writeSettings(commit.settings);
    if (commit.forgetBeforeMs) {
      await this.#connection.run(WRITE_SQL.forgetDeletions, commit.forgetBeforeMs.deletions);
      await this.#connection.run(WRITE_SQL.forgetJournal, commit.forgetBeforeMs.journal);
    }
    const counters = {
      ...after,
      logRecords: before.logRecords + commit.log.length - cut.records,
      logBytes: before.logBytes + commit.log.reduce((sum, { body }) => sum + body.length, 0) - cut.bytes,
    };
    await this.#writeCounters(before, counters);
    if (vacuumPages > 0) await this.#connection.exec(`PRAGMA incremental_vacuum(${vacuumPages})`);
    await this.#connection.run("COMMIT");
    this.#state.counters = counters;
  }

  /** Rows that stay, log records of known actors, vectors: what nearly every commit is. */
  #isOrdinary({ rows, log, vectors, ...rare }: Commit): boolean {
    const { forgetBeforeMs, ...lists } = rare;
    const isKnown = ({ actor }: { actor: ActorId }): boolean => this.#state.actorNumbers.has(actor);
    return (
      forgetBeforeMs === undefined &&
      Object.values(lists).every((list) => list.length === 0) &&
      rows.every(({ body }) => body !== null) &&
      log.every(isKnown) &&
      vectors.every(isKnown)
    );
  }

  /** False when nothing was written, and the way of many statements must be taken. */
  async #commitAtOnce(commit: Commit, after: HighWater): Promise<boolean> {
    const before = this.#state.counters;
    const counters = {
      ...after,
      logRecords: before.logRecords + commit.log.length,
      logBytes: before.logBytes + commit.log.reduce((sum, { body }) => sum + body.length, 0),
    };
    const rows = lastOfEach(commit.rows, nameOfKey);
    const values: (string | Uint8Array)[] = [];
    const { upserts } = rowBatches(rows);
    const ofCounters = counterBatch(before, counters);
    for (const { single } of [upserts, this.#logBatch(commit.log), this.#vectorBatch(commit.vectors), ofCounters]) {
      if (single === null) return false;
      values.push(...single);
    }
    if (!this.#isPrepared) await this.#connection.exec(AT_ONCE_SQL.prepare);
    this.#isPrepared = true;
    try {
      await this.#connection.run(AT_ONCE_SQL.commit, rows.length, ...values);
    } catch (error) {
      if (error instanceof Error && error.message.endsWith(MOVED)) return false;
      throw error;
    }
    this.#state.counters = counters;
    return true;
  }

  async #writeRows(rows: Commit["rows"]): Promise<void> {
    const { upserts, deletes } = rowBatches(lastOfEach(rows, nameOfKey));
    await upserts.each(async (json, bytes, count) => {
      const changed = await this.#connection.run(WRITE_SQL.rows, json, bytes);
      if (changed === count) return;
      // The upsert passes over rows that are stored with another slot: see there.
      await this.#connection.run(WRITE_SQL.removeMovedRows, json, bytes);
      const changedNow = await this.#connection.run(WRITE_SQL.rows, json, bytes);
      assert(changedNow === count, "every row is written once those with another slot are gone");
    });
    await deletes.run(this.#connection, WRITE_SQL.deleteRows);
  }

  async #writeLog(log: readonly LogRecord[]): Promise<void> {
    if (log.length === 0) return;
    await this.#numberActors(log.map((record) => record.actor));
    await this.#logBatch(log).run(this.#connection, WRITE_SQL.log);
  }

  #logBatch(log: readonly LogRecord[]): Batch {
    const batch = new Batch();
    for (const record of log) {
      const { pos, partition, first, last, awaits } = record;
      const actor = this.#actorNumber(record.actor);
      const length = LOG_OVERHEAD_BYTES + record.body.length;
      batch.add(encodeLog(record), pos, partition, actor, first, last, Number(awaits), length);
    }
    return batch;
  }

  async #cutLog(positions: readonly number[]): Promise<{ records: number; bytes: number }> {
    if (positions.length === 0) return { records: 0, bytes: 0 };
    const json = JSON.stringify([...new Set(positions)]);
    const cut = await this.#connection.one<{ records: number; bytes: number }>(WRITE_SQL.sizeOfLog, json);
    await this.#connection.run(WRITE_SQL.cutLog, json);
    return cut;
  }

  async #writeVectors(sql: string, entries: readonly VectorEntry[]): Promise<void> {
    await this.#numberActors(entries.map((entry) => entry.actor));
    await this.#vectorBatch(entries).run(this.#connection, sql);
  }

  #vectorBatch(entries: readonly VectorEntry[]): Batch {
    const batch = new Batch();
    for (const { partition, actor, seq } of entries)
      batch.add([sealWithoutBody([partition, actor, seq])], partition, this.#actorNumber(actor), seq);
    return batch;
  }

  async #writePartitionState(commit: Commit): Promise<void> {
    const acks = new Batch();
    const forgottenAcks = new Batch();
    for (const { peer, partition, vector } of lastOfEach(commit.acks, (ack) => `${ack.peer} ${ack.partition}`))
      if (vector) acks.add(sealed([peer, partition], vector), peer, partition, SEAL_BYTES + vector.length);
      else forgottenAcks.add([], peer, partition);
    await acks.run(this.#connection, WRITE_SQL.acks);
    await forgottenAcks.run(this.#connection, WRITE_SQL.forgetAcks);

    const sums = new Batch();
    for (const { partition, pos, body } of commit.sums)
      sums.add(sealed([partition, pos], body), partition, pos, SEAL_BYTES + body.length);
    await sums.run(this.#connection, WRITE_SQL.sums);

    const damaged = new Batch();
    const healed = new Batch();
    for (const { partition, leaf, vector } of lastOfEach(commit.damaged, (at) => `${at.partition} ${at.leaf}`))
      if (vector) damaged.add(sealed([partition, leaf], vector), partition, leaf, SEAL_BYTES + vector.length);
      else healed.add([], partition, leaf);
    await damaged.run(this.#connection, WRITE_SQL.damaged);
    await healed.run(this.#connection, WRITE_SQL.healed);
  }

  async #writeDeletions(deletions: Commit["deletions"]): Promise<void> {
    const batch = new Batch();
    const forgotten = new Batch();
    for (const { bucket, key, atMs, body } of lastOfEach(deletions, nameOfKey)) {
      const bytes = Buffer.from(key);
      if (!body) {
        forgotten.add([bytes], bucket, bytes.length);
        continue;
      }
      const seal = checksum([atMs, bucket], bytes, body);
      batch.add([bytes, seal, body], bucket, bytes.length, atMs, SEAL_BYTES + body.length);
    }
    await batch.run(this.#connection, WRITE_SQL.deletions);
    await forgotten.run(this.#connection, WRITE_SQL.forgetDeletion);
  }

  async #writeJournal(journal: Commit["journal"]): Promise<void> {
    const batch = new Batch();
    for (const { seq, bucket, key, atMs, body } of journal) {
      const bytes = Buffer.from(key);
      const seal = checksum([seq, atMs, bucket], bytes, body);
      batch.add([bytes, seal, body], seq, bucket, bytes.length, atMs, SEAL_BYTES + body.length);
    }
    await batch.run(this.#connection, WRITE_SQL.journal);
  }

  async #writeSettings(settings: Commit["settings"]): Promise<void> {
    const batch = new Batch();
    for (const { name, value } of settings) {
      const nameBytes = Buffer.from(name);
      const body = Buffer.from(value);
      batch.add([nameBytes, checksum([], nameBytes, body), body], nameBytes.length, SEAL_BYTES + body.length);
    }
    await batch.run(this.#connection, WRITE_SQL.settings);
  }

  async #writeCounters(before: Counters, after: Counters): Promise<void> {
    await counterBatch(before, after).run(this.#connection, WRITE_SQL.counters);
  }

  /** Gives new actors a number, in the file and here. */
  async #numberActors(actors: readonly ActorId[]): Promise<void> {
    const { actorNames, actorNumbers } = this.#state;
    const batch = new Batch();
    for (const actor of actors) {
      if (actorNumbers.has(actor)) continue;
      const number = actorNumbers.size + 1;
      actorNumbers.set(actor, number);
      actorNames.set(number, actor);
      batch.add([], number, actor);
    }
    await batch.run(this.#connection, WRITE_SQL.actors);
  }

  #actorNumber(actor: ActorId): number {
    return present(this.#state.actorNumbers.get(actor), "actors are numbered before they are written");
  }
}

export const COUNTERS = ["lastPos", "lastJournalSeq", "logRecords", "logBytes"] as const;

function rowBatches(rows: Commit["rows"]): { upserts: Batch; deletes: Batch } {
  const upserts = new Batch();
  const deletes = new Batch();
  for (const row of rows) {
    const key = Buffer.from(row.key);
    if (row.body === null) {
      deletes.add([key], row.bucket, key.length);
      continue;
    }
    const seal = checksum(rowFields(row), key, row.body);
    const sealedBytes = SEAL_BYTES + row.body.length;
    upserts.add([key, seal, row.body], row.bucket, key.length, row.slot, Number(row.conflict), sealedBytes);
  }
  return { upserts, deletes };
}

function counterBatch(before: Counters, after: Counters): Batch {
  const batch = new Batch();
  for (const name of COUNTERS)
    if (after[name] !== before[name]) batch.add([sealWithoutBody([name, after[name]])], name, after[name]);
  return batch;
}

function sealed(fields: readonly (number | string)[], body: Uint8Array): (Uint8Array | number)[] {
  return [checksum(fields, body), body];
}
