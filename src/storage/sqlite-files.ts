import { mkdir, open, rm, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { InputError } from "../kernel/assert.ts";
import { Connection, sqliteCode } from "./sqlite-connection.ts";

/** The files of a data directory. */
export interface DataFiles {
  readonly dataDir: string;
  readonly data: string;
  readonly lock: string;
  readonly copies: string;
}

/** Makes the data directory (for its owner alone) if need be. Rejects with an InputError when that can't be done. */
export async function prepareDataDir(dataDir: string): Promise<DataFiles> {
  try {
    const made = await mkdir(dataDir, { recursive: true, mode: 0o700 });
    // A new directory is on disk only when the one above it is.
    if (made !== undefined) await syncDirectory(dirname(made));
    if (!(await stat(dataDir)).isDirectory()) throw new Error("it is not a directory");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new InputError("bad-data-dir", `cannot use ${dataDir} as data directory (${reason}): choose another one`);
  }
  return {
    dataDir,
    data: join(dataDir, "data.db"),
    lock: join(dataDir, "lock.db"),
    copies: join(dataDir, "copies"),
  };
}

/** Null when there is no such file. */
export async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Takes the directory for this process until the connection is closed or the process ends, however it ends: two writers
 *  would be one actor with two histories. */
export async function lockDataDir(files: DataFiles): Promise<Connection> {
  const lock = await Connection.open(files.lock, "create");
  try {
    await lock.run("BEGIN EXCLUSIVE");
  } catch (error) {
    await lock.close();
    if (sqliteCode(error) !== "SQLITE_BUSY") throw error;
    throw new InputError(
      "data-dir-in-use",
      `${files.dataDir} is in use by another Starling process: stop that one, or give this one a data directory of its own`,
    );
  }
  return lock;
}

/** An empty folder for copies; what a crashed run left there is removed. */
export async function emptyCopies(files: DataFiles): Promise<void> {
  await rm(files.copies, { recursive: true, force: true });
  await mkdir(files.copies, { mode: 0o700 });
}

export async function measureUsage(files: DataFiles): Promise<Usage> {
  const data = await stat(files.data);
  const disk = await statfs(files.dataDir);
  return {
    dataBytes: data.size + (await walBytes(files)),
    freeBytes: disk.bavail * disk.bsize,
    totalBytes: disk.blocks * disk.bsize,
  };
}

export interface Usage {
  readonly dataBytes: number;
  readonly freeBytes: number;
  readonly totalBytes: number;
}

async function walBytes(files: DataFiles): Promise<number> {
  try {
    return (await stat(`${files.data}-wal`)).size;
  } catch {
    // SQLite removes the file when the last connection closes and makes it at the first write.
    return 0;
  }
}
