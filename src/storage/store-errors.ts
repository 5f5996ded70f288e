import { InputError, InternalError } from "../kernel/assert.ts";

/** What the store holds is not what was put there: a checksum does not hold. Not wrong input and not our own impossible
 *  state: the caller decides what may still be served (data.md, Sound rows). The message says "damaged" and where. */
export class DamagedError extends Error {
  override name = "DamagedError";
}

export function damagedLogRecord(pos: number): DamagedError {
  return new DamagedError(`log record at position ${pos} is damaged on disk: its checksum does not hold`);
}

export function damagedCopy(bucket: string, key: string): DamagedError {
  return new DamagedError(`row ${bucket}/${key} is damaged on disk: no copy can be made of its slots`);
}

export function storeClosed(): InputError {
  return new InputError("store-closed", "the store is closed: this node is shutting down");
}

/** The store has stopped, for a reason that its message gives: the process must stop, too (I13). */
export class StoreFailedError extends InternalError {
  override name = "StoreFailedError";
}

/** After a read that the file's structure does not allow: what else is wrong with it is unknown, and a write would spread it. */
export function damagedFile(cause: unknown): StoreFailedError {
  return new StoreFailedError(`a read failed: ${reasonOf(cause)}`, { cause });
}

/** After a commit that failed, for whatever reason: the kernel may hold for clean what never reached the disk. */
export function unknownState(cause: unknown): StoreFailedError {
  return unknownAfter("commit", cause);
}

/** After the disk did not give the bytes that it was asked for. */
export function unreadable(cause: unknown): StoreFailedError {
  return unknownAfter("read", cause);
}

function unknownAfter(what: string, cause: unknown): StoreFailedError {
  const reason = reasonOf(cause);
  const meaning = reason.startsWith("SQLITE_IOERR") ? ": a read, write or fsync of its files failed" : "";
  return new StoreFailedError(
    `the store is in an unknown state after a failed ${what} (${reason}${meaning}), so this node stops. ` +
      "Check its disk, then start it again; if that fails, empty its data directory first: its peers give the data back",
    { cause },
  );
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
