import { rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Saved } from "../consensus/core/core.ts";
import type { Snapshot } from "../consensus/core/log.ts";
import { assert, InputError, present } from "../kernel/assert.ts";
import { closeAll } from "./closing.ts";
import {
  afterCompact,
  afterGivingUp,
  afterSave,
  firstState,
  type RaftState,
  readRecords,
  sealSnapshot,
  sealState,
} from "./raft-records.ts";
import { cannotCreate, type RaftIdentity, type RaftLoad, type RaftSave, type RaftStore } from "./raft-store.ts";
import { Connection, sqliteCode } from "./sqlite-connection.ts";
import { prepareDataDir, sizeOf, syncDirectory } from "./sqlite-files.ts";
import { Mark } from "./sqlite-raft-mark.ts";
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

const NO_CHANGE: RaftSave = { hardState: null, snapshot: null, entries: [] };

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

  constructor(file: string, mark: Mark) {
    this.#file = file;
    this.#mark = mark;
  }

  async open(): Promise<void> {
    if ((await sizeOf(this.#file)) === null) return;
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
    await this.#writeSave({ ...found, life: load.life, generation: found.generation + 1 }, NO_CHANGE);
    return load;
  }

  async create(identity: RaftIdentity, saved: Saved): Promise<void> {
    const found = this.#connection || this.#damage !== null ? await this.load() : this.#loadNothing();
    if (found.kind !== "nothing") throw cannotCreate(found);
    await this.#alone(() => this.#install(identity, saved));
  }

  async replace(identity: RaftIdentity, saved: Saved): Promise<void> {
    await this.#alone(() => this.#install(identity, saved));
  }

  /** A file that is there is whole: what was begun and not ended never had its name. */
  async #install(identity: RaftIdentity, saved: Saved): Promise<void> {
    if (this.#failure) throw this.#failure;
    // Above all that was ever written here: so nothing seems to be missing from the new one, and the old one, should somebody
    // put it back, lacks writes.
    const state = firstState(identity, saved, Math.max(this.#mark.generation ?? 0, this.#state?.generation ?? 0));
    const draft = `${this.#file}.new`;
    try {
      await writeDraft(draft, state, saved);
      await this.#checkpoint();
    } catch (error) {
      // The draft is no log, and the old one has moved from its WAL to its own file, if at all.
      if (isFull(error)) throw new DiskFullError(error);
      throw this.#failed(error);
    }
    try {
      await this.#layOldAside(state.generation);
      await rename(draft, this.#file);
      await syncDirectory(dirname(this.#file));
      await this.#mark.write(state.generation);
    } catch (error) {
      throw this.#failed(error);
    }
    this.#state = null;
    this.#damage = null;
    await this.open();
  }

  /** SQLite would read the old file's WAL into the new one. So what is in there goes to its file first, and the old log stays
   *  whole until the new one has its name. */
  async #checkpoint(): Promise<void> {
    try {
      await this.#connection?.all("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch (error) {
      if (!DAMAGE.has(sqliteCode(error) ?? "")) throw error;
    }
  }

  /** A WAL that SQLite can't read is removed, once it is sure that the file without it is not taken for a whole log. */
  async #layOldAside(generation: number): Promise<void> {
    await this.#letGo();
    const wal = `${this.#file}-wal`;
    const walBytes = await sizeOf(wal);
    if (walBytes === null) return;
    if (walBytes > 0) {
      await this.#mark.write(generation);
      await this.#mark.sync();
    }
    await rm(wal);
    await syncDirectory(dirname(this.#file));
  }

  async giveUp(reason: string): Promise<void> {
    const state = afterGivingUp(present(this.#state, "it was loaded"), reason);
    await this.#alone(() => this.#writeSave(state, NO_CHANGE));
    this.#state = null;
  }

  async save(change: RaftSave): Promise<void> {
    const state = afterSave(present(this.#state, "it was loaded"), change);
    await this.#alone(() => this.#writeSave(state, change));
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
      await this.#mark.write(state.generation);
    } catch (error) {
      // The kernel refused to take the bytes: unlike after a failed fsync, nothing is in doubt.
      if (sqliteCode(error) === "SQLITE_FULL" && (await this.#undone(connection))) throw new DiskFullError(error);
      throw this.#failed(error);
    }
    this.#state = state;
  }

  #failed(error: unknown): StoreFailedError {
    this.#failure = unknownState(error);
    return this.#failure;
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

/** A whole log under a name that nobody reads; durable. */
async function writeDraft(draft: string, state: RaftState, saved: Saved): Promise<void> {
  for (const left of [draft, `${draft}-journal`]) await rm(left, { force: true });
  const connection = await Connection.open(draft, "create");
  try {
    await connection.exec(`PRAGMA synchronous = FULL; ${SCHEMA} ${PREPARE_SAVES}`);
    await saveAtOnce(connection, state, saved);
  } finally {
    await connection.close();
  }
}

function isFull(error: unknown): boolean {
  return sqliteCode(error) === "SQLITE_FULL" || (error instanceof Error && "code" in error && error.code === "ENOSPC");
}
