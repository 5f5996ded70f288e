import { join } from "node:path";
import { assert } from "../kernel/assert.ts";
import type { ActorId } from "../kernel/ids.ts";
import { checkCommit } from "./check-commit.ts";
import { closeAll } from "./closing.ts";
import { backstopPages, Checkpoints, PAGE_BYTES } from "./sqlite-checkpoints.ts";
import { Connection, sqliteCode } from "./sqlite-connection.ts";
import { openCopy } from "./sqlite-copy.ts";
import { type DataFiles, emptyCopies, lockDataDir, measureUsage, prepareDataDir, type Usage } from "./sqlite-files.ts";
import { loadState, loadWriterState } from "./sqlite-load.ts";
import { Readers } from "./sqlite-readers.ts";
import {
  READ_SQL,
  readDeletion,
  readJournal,
  readLog,
  readLogOf,
  scanConflicts,
  scanKeys,
  scanSlots,
} from "./sqlite-reads.ts";
import { prepareSchema } from "./sqlite-schema.ts";
import { Writer, type WriterState } from "./sqlite-writer.ts";
import type { Commit, ConflictRange, KeyRange, RowKey, Store, StoreCopy, StoreState } from "./store.ts";
import { DiskFullError } from "./store.ts";
import { damagedFile, storeClosed, unknownState, unreadable } from "./store-errors.ts";
import { Turns } from "./turns.ts";

// With the writer and the checkpointer these fill libuv's four threads.
const READERS = 2;
const WRITER_CACHE_KIB = 32_768;
const READER_CACHE_KIB = 8192;
// Admission asks for the disk's room with each write; asking the file system each time would cost more than some writes.
const USAGE_MAX_AGE_MS = 1000;

export interface SqliteOptions {
  readonly dataDir: string;
  readonly nowMs: () => number;
}

/** Opens or makes the store in a data directory, for this process alone. Rejects with an InputError when the directory is
 *  in use or unusable, or its data is of a newer version; with a DamagedError when what every start needs is damaged. */
export async function openSqliteStore(options: SqliteOptions): Promise<Store> {
  const files = await prepareDataDir(options.dataDir);
  const opened: Connection[] = [];
  const keep = (connection: Connection): Connection => {
    opened.push(connection);
    return connection;
  };
  try {
    const lock = keep(await lockDataDir(files));
    await emptyCopies(files);
    const writer = keep(await Connection.open(files.data, "create"));
    // Before anything reads the file: a tool that looks into it may hold a lock for a moment.
    await writer.exec("PRAGMA busy_timeout = 5000");
    await prepareSchema(writer, files.data);
    const backstop = backstopPages((await measureUsage(files)).totalBytes);
    // Statement journals in memory (there is one for each upsert: 10 % of its time as a file).
    await writer.exec(`PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -${WRITER_CACHE_KIB};
      PRAGMA wal_autocheckpoint = ${backstop}; PRAGMA journal_size_limit = ${backstop * PAGE_BYTES}`);
    const checkpointer = keep(await Connection.open(files.data, "write"));
    const readers: Connection[] = [];
    for (let n = 0; n < READERS; n++) {
      const reader = keep(await Connection.open(files.data, "read"));
      await reader.exec(`PRAGMA cache_size = -${READER_CACHE_KIB}; PRAGMA temp_store = MEMORY`);
      readers.push(reader);
    }
    const state = await loadWriterState(writer);
    const { nowMs } = options;
    return new SqliteStore(files, { lock, writer, checkpointer, readers }, { state, backstop, nowMs });
  } catch (error) {
    await closeAll(
      opened.reverse().map((connection) => () => connection.close()),
      [error],
    );
    throw error;
  }
}

interface Connections {
  readonly lock: Connection;
  readonly writer: Connection;
  readonly checkpointer: Connection;
  readonly readers: readonly Connection[];
}

interface Opened {
  readonly state: WriterState;
  readonly backstop: number;
  readonly nowMs: () => number;
}

class SqliteStore implements Store {
  readonly #files: DataFiles;
  readonly #connections: Connections;
  readonly #state: WriterState;
  readonly #writer: Writer;
  readonly #readers: Readers;
  readonly #checkpoints: Checkpoints;
  /** Commits and the moments at which copies begin, in the order of the calls. */
  readonly #turns = new Turns();
  readonly #nowMs: () => number;
  #usage: { readonly atMs: number; readonly found: Promise<Usage> } | undefined;
  readonly #copies = new Set<Promise<StoreCopy>>();
  #copiesMade = 0;
  #committing = false;
  /** Why the state of the file is unknown. */
  #failure: unknown;
  /** Why the file can't be read: more than `#failure`, after which what was durable is still there. */
  #damage: Error | undefined;
  readonly failed: Promise<Error>;
  #tellFailure: (error: Error) => void = () => {};
  #closing: Promise<void> | undefined;

  constructor(files: DataFiles, connections: Connections, { state, backstop, nowMs }: Opened) {
    this.#nowMs = nowMs;
    this.#files = files;
    this.#connections = connections;
    this.#state = state;
    this.#writer = new Writer(connections.writer, state);
    this.#readers = new Readers(connections.readers);
    this.#checkpoints = new Checkpoints(connections.checkpointer, backstop, (error) => this.#fail(error));
    this.failed = new Promise((resolve) => {
      this.#tellFailure = resolve;
    });
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#tellFailure(this.#damage ?? unknownState(error));
  }

  async #read<T>(read: () => Promise<T>): Promise<T> {
    if (this.#damage) throw this.#damage;
    try {
      return await read();
    } catch (error) {
      const failure = failureOf(error);
      if (!failure) throw error;
      this.#damage ??= failure;
      this.#fail(error);
      throw this.#damage;
    }
  }

  #readOn<T>(read: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#read(() => this.#readers.run(read));
  }

  load(): Promise<StoreState> {
    return this.#readOn((connection) => loadState(connection, this.#state));
  }

  async commit(commit: Commit): Promise<void> {
    if (this.#closing) throw storeClosed();
    assert(!this.#committing, "one commit at a time");
    this.#throwIfFailed();
    const after = checkCommit(commit, this.#state.counters);
    this.#committing = true;
    try {
      await this.#turns.run(() => this.#writer.commit(commit, after, this.#checkpoints.vacuumPages));
    } catch (error) {
      if (error instanceof DiskFullError) throw error;
      this.#failure = error;
    } finally {
      this.#committing = false;
    }
    this.#throwIfFailed();
    this.#checkpoints.noteCommit(commit);
  }

  // After a failed fsync the kernel may hold lost pages for clean: neither a retry nor a read proves anything.
  #throwIfFailed(): void {
    if (this.#failure === undefined) return;
    throw this.#damage ?? unknownState(this.#failure);
  }

  readRows(keys: readonly RowKey[]) {
    return this.#read(() => this.#readers.readRows(keys));
  }

  scanKeys(range: KeyRange) {
    return this.#readOn((connection) => scanKeys(connection, range));
  }

  scanSlots(from: number, to: number) {
    return this.#readOn((connection) => scanSlots(connection, from, to));
  }

  buckets() {
    return this.#readOn((connection) => connection.all<{ bucket: string; rows: number }>(READ_SQL.buckets));
  }

  scanConflicts(range: ConflictRange) {
    return this.#readOn((connection) => scanConflicts(connection, range));
  }

  async countConflicts(): Promise<number> {
    const { n } = await this.#readOn((connection) => connection.one<{ n: number }>(READ_SQL.countConflicts));
    return n;
  }

  readLog(afterPos: number, limit: number, maxBytes: number) {
    return this.#readOn((connection) => readLog(connection, this.#state.actorNames, afterPos, limit, maxBytes));
  }

  async readLogOf(partition: number, actor: ActorId, fromSeq: number, limit: number, maxBytes: number) {
    const actorNumber = this.#state.actorNumbers.get(actor);
    if (actorNumber === undefined) return [];
    const of = { partition, actorNumber, fromSeq };
    return this.#readOn((connection) => readLogOf(connection, this.#state.actorNames, of, limit, maxBytes));
  }

  async logSize() {
    const [oldest] = await this.readLog(0, 1, 1);
    const { logRecords, logBytes } = this.#state.counters;
    return { records: logRecords, bytes: logBytes, oldestAtMs: oldest?.atMs ?? null };
  }

  readDeletion(key: RowKey) {
    return this.#readOn((connection) => readDeletion(connection, key));
  }

  readJournal(filter: { key?: RowKey; beforeSeq?: number; limit: number }) {
    return this.#readOn((connection) => readJournal(connection, filter));
  }

  async openCopy(from: number, to: number): Promise<StoreCopy> {
    if (this.#closing) throw storeClosed();
    this.#copiesMade += 1;
    const file = join(this.#files.copies, `${this.#copiesMade}.db`);
    const opening = this.#read(() => openCopy(this.#files.data, file, { from, to }, this.#turns));
    this.#copies.add(opening);
    try {
      const copy = await opening;
      return {
        ...copy,
        close: async () => {
          await copy.close();
          this.#copies.delete(opening);
        },
      };
    } catch (error) {
      this.#copies.delete(opening);
      throw error;
    }
  }

  usage(): Promise<Usage> {
    const nowMs = this.#nowMs();
    if (!this.#usage || Math.abs(nowMs - this.#usage.atMs) > USAGE_MAX_AGE_MS)
      this.#usage = { atMs: nowMs, found: measureUsage(this.#files) };
    return this.#usage.found;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#turns.run(async () => undefined);
    const copies = await Promise.allSettled(this.#copies);
    await closeAll([
      ...copies.map((opened) => async () => {
        if (opened.status === "fulfilled") await opened.value.close();
      }),
      () => this.#readers.close(),
      () => this.#checkpoints.close(),
      () => this.#connections.writer.close(),
      // Last: until here nobody else may write.
      () => this.#connections.lock.close(),
    ]);
  }
}

/** What a failed read says about the whole file; undefined when nothing. */
function failureOf(error: unknown): Error | undefined {
  const code = sqliteCode(error);
  if (code === "SQLITE_CORRUPT" || code === "SQLITE_NOTADB") return damagedFile(error);
  return code === "SQLITE_IOERR" ? unreadable(error) : undefined;
}
