import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Saved } from "../consensus/core/core.ts";
import type { Snapshot } from "../consensus/core/log.ts";
import { assert, InputError, present } from "../kernel/assert.ts";
import { closeAll } from "./closing.ts";
import {
  afterCompact,
  afterSave,
  emptyState,
  type RaftState,
  readRecords,
  sealSnapshot,
  sealState,
} from "./raft-records.ts";
import { cannotCreate, type RaftIdentity, type RaftLoad, type RaftSave, type RaftStore } from "./raft-store.ts";
import { checksum } from "./sqlite-codec.ts";
import { Connection, sqliteCode } from "./sqlite-connection.ts";
import { prepareDataDir, syncDirectory } from "./sqlite-files.ts";
import { PREPARE_SAVES, saveAtOnce } from "./sqlite-raft-save.ts";
import { DiskFullError } from "./store.ts";
import { type StoreFailedError, unknownState, unreadable } from "./store-errors.ts";

const SCHEMA = `
  CREATE TABLE state (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
  CREATE TABLE snapshot (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
  CREATE TABLE entries (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;`;
/** Pages of WAL at which a commit also checkpoints (1 MiB): a log is small, and a start reads all of the WAL. */
const CHECKPOINT_PAGES = 256;
const BUSY_TIMEOUT_MS = 1_000;

/** What SQLite says of a file that isn't as it was written. */
const DAMAGE = new Set(["SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR", "SQLITE_MISMATCH", "SQLITE_CONSTRAINT"]);

interface Row {
  readonly id: number;
  readonly sealed: Buffer;
}

/** Opens a member's durable state in a data directory, for this process alone; makes nothing before `create`. Rejects with an
 *  InputError when the directory can't be used or another process has it open. */
export async function openSqliteRaft(dataDir: string): Promise<RaftStore> {
  await prepareDataDir(dataDir);
  const file = join(dataDir, "consensus.sqlite");
  const mark = await Mark.open(join(dataDir, "consensus.mark"));
  try {
    const store = new SqliteRaftStore(file, mark);
    await store.open();
    return store;
  } catch (error) {
    await closeAll([() => mark.close()], [error]);
    throw error;
  }
}

class SqliteRaftStore implements RaftStore {
  readonly #file: string;
  readonly #mark: Mark;
  /** Null: there is no file. */
  #connection: Connection | null = null;
  #state: RaftState | null = null;
  /** Why the file can't be read as a database. */
  #damage: string | null = null;
  #failure: StoreFailedError | null = null;
  #isBusy = false;
  #isDraft = false;

  constructor(file: string, mark: Mark) {
    this.#file = file;
    this.#mark = mark;
  }

  async open(): Promise<void> {
    if (!(await exists(this.#file))) return;
    await this.#reading(async () => {
      const connection = await Connection.open(this.#file, "write");
      this.#connection = connection;
      // One process, and no file of shared memory. Set before anything is read: the first read takes the lock.
      await connection.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}; PRAGMA locking_mode = EXCLUSIVE`);
      await connection.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
        PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}; BEGIN EXCLUSIVE; COMMIT; ${PREPARE_SAVES}`);
    });
    if (this.#damage !== null) await this.#letGo();
  }

  async load(): Promise<RaftLoad> {
    return this.#alone(async () => {
      if (!this.#connection && this.#damage === null) return this.#loadNothing();
      const found = await this.#reading(() => this.#loadFile());
      return found ?? { kind: "damaged", reason: present(this.#damage, "what can't be read is damaged") };
    });
  }

  #loadNothing(): RaftLoad {
    const { generation } = this.#mark;
    return generation === null
      ? { kind: "nothing" }
      : { kind: "damaged", reason: `${this.#file} is gone, and was written ${generation} times` };
  }

  async #loadFile(): Promise<RaftLoad | null> {
    const connection = this.#connection;
    if (!connection) return null;
    const [check] = await connection.all<{ integrity_check: string }>("PRAGMA integrity_check(1)");
    if (check?.integrity_check !== "ok")
      return {
        kind: "damaged",
        reason: `SQLite finds ${this.#file} damaged: ${check?.integrity_check ?? "no answer"}`,
      };
    const rows = (table: string): Promise<Row[]> => connection.all<Row>(`SELECT id, sealed FROM ${table} ORDER BY id`);
    const [state] = await rows("state");
    const [snapshot] = await rows("snapshot");
    const entries = (await rows("entries")).map(({ id, sealed }) => [id, sealed] as const);
    const { load, state: found } = readRecords({
      state: state?.sealed ?? null,
      snapshot: snapshot?.sealed ?? null,
      entries,
    });
    if (load.kind !== "whole" || !found) return load;
    const { generation } = this.#mark;
    if (generation !== null && generation > found.generation)
      return { kind: "damaged", reason: `its last ${generation - found.generation} writes are gone` };
    await this.#writeSave(
      { ...found, life: load.life, generation: found.generation + 1 },
      { hardState: null, snapshot: null, entries: [] },
    );
    return load;
  }

  async create(identity: RaftIdentity, saved: Saved): Promise<void> {
    const found = this.#connection || this.#damage !== null ? await this.load() : this.#loadNothing();
    if (found.kind !== "nothing") throw cannotCreate(found);
    await this.#alone(async () => {
      const draft = `${this.#file}.new`;
      await rm(draft, { force: true });
      const connection = await Connection.open(draft, "create");
      this.#connection = connection;
      this.#isDraft = true;
      try {
        await connection.exec(`PRAGMA synchronous = FULL; ${SCHEMA} ${PREPARE_SAVES}`);
        await this.#writeSave(afterSave(emptyState(identity), saved), saved);
      } finally {
        this.#isDraft = false;
        this.#connection = null;
        await connection.close();
      }
      // A file that is there is whole: what was begun and not ended never had this name.
      await rename(draft, this.#file);
      await syncDirectory(join(this.#file, ".."));
    });
    await this.open();
  }

  async save(change: RaftSave): Promise<void> {
    await this.#alone(() => this.#writeSave(afterSave(present(this.#state, "it was loaded"), change), change));
  }

  #writeSave(state: RaftState, change: RaftSave): Promise<void> {
    return this.#write(state, (connection) => saveAtOnce(connection, state, change));
  }

  async compact(snapshot: Snapshot): Promise<void> {
    await this.#alone(() =>
      this.#inTransaction(afterCompact(present(this.#state, "it was loaded"), snapshot), async (connection) => {
        await connection.run("DELETE FROM entries WHERE id <= ?1", snapshot.index);
        await connection.run("INSERT OR REPLACE INTO snapshot VALUES (0, ?1)", sealSnapshot(snapshot));
      }),
    );
  }

  #inTransaction(state: RaftState, write: (connection: Connection) => Promise<void>): Promise<void> {
    return this.#write(state, async (connection) => {
      await connection.run("BEGIN IMMEDIATE");
      await write(connection);
      await connection.run("INSERT OR REPLACE INTO state VALUES (0, ?1)", sealState(state));
      await connection.run("COMMIT");
    });
  }

  /** One durable transaction. After a failure nothing is tried again: the kernel may hold lost pages for clean. */
  async #write(state: RaftState, write: (connection: Connection) => Promise<void>): Promise<void> {
    if (this.#failure) throw this.#failure;
    const connection = present(this.#connection, "it was created");
    try {
      await write(connection);
      // Not of a draft: should it never get its name, nothing was promised that could be missed.
      if (!this.#isDraft) await this.#mark.write(state.generation);
    } catch (error) {
      // The kernel refused to take the bytes: unlike after a failed fsync, nothing is in doubt.
      if (sqliteCode(error) === "SQLITE_FULL" && (await this.#undone(connection))) throw new DiskFullError(error);
      this.#failure = unknownState(error);
      throw this.#failure;
    }
    this.#state = state;
  }

  /** False when even that failed. SQLite may have ended the transaction by itself already. */
  async #undone(connection: Connection): Promise<boolean> {
    try {
      await connection.run("ROLLBACK");
      return true;
    } catch (error) {
      return sqliteCode(error) === "SQLITE_ERROR";
    }
  }

  /** What a damaged file says ends up in `#damage`; null then. */
  async #reading<T>(read: () => Promise<T>): Promise<T | null> {
    try {
      return await read();
    } catch (error) {
      const code = sqliteCode(error);
      if (error === this.#failure || code === undefined) throw error;
      if (DAMAGE.has(code)) {
        this.#damage = `SQLite can't read ${this.#file}: ${error instanceof Error ? error.message : code}`;
        return null;
      }
      await this.#letGo();
      if (code !== "SQLITE_BUSY") throw unreadable(error);
      throw new InputError(
        "data-dir-in-use",
        `${this.#file} is in use by another process: stop that one, or give this one a data directory of its own`,
      );
    }
  }

  async #alone<T>(job: () => Promise<T>): Promise<T> {
    assert(!this.#isBusy, "one call at a time");
    this.#isBusy = true;
    try {
      return await job();
    } finally {
      this.#isBusy = false;
    }
  }

  async #letGo(): Promise<void> {
    const connection = this.#connection;
    this.#connection = null;
    await connection?.close();
  }

  close(): Promise<void> {
    return closeAll([() => this.#letGo(), () => this.#mark.close()]);
  }
}

/** How many writes there have been, beside the database and never synced: a WAL whose end was damaged reads as one that was
 *  never written, and its transactions, though acknowledged, are silently gone. A number that the kernel still has, or wrote
 *  back since, tells. It may be behind (after a loss of power), never ahead. */
class Mark {
  readonly #file: FileHandle;
  /** At the start; null when there is none that is sound. */
  readonly generation: number | null;

  static async open(path: string): Promise<Mark> {
    const file = (await exists(path)) ? await open(path, "r+") : await open(path, "w+", 0o600);
    const bytes = Buffer.alloc(MARK_BYTES);
    const { bytesRead } = await file.read(bytes, 0, MARK_BYTES, 0);
    const generation = bytes.readDoubleLE(0);
    const isSound = bytesRead === MARK_BYTES && bytes.readUInt32LE(8) === checksum(["mark", generation]);
    return new Mark(file, isSound ? generation : null);
  }

  private constructor(file: FileHandle, generation: number | null) {
    this.#file = file;
    this.generation = generation;
  }

  async write(generation: number): Promise<void> {
    const bytes = Buffer.alloc(MARK_BYTES);
    bytes.writeDoubleLE(generation, 0);
    bytes.writeUInt32LE(checksum(["mark", generation]), 8);
    await this.#file.write(bytes, 0, MARK_BYTES, 0);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

const MARK_BYTES = 12;

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}
