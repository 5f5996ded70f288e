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

/** After a commit that failed, for whatever reason: the kernel may hold for clean what never reached the disk. */
export function unknownState(cause: unknown): InternalError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const meaning = reason.startsWith("SQLITE_IOERR") ? ": a read, write or fsync of its files failed" : "";
  return new InternalError(
    `the store is in an unknown state after a failed commit (${reason}${meaning}), so this node stops. ` +
      "Check its disk, then start it again; if that fails, empty its data directory first: its peers give the data back",
    { cause },
  );
}
