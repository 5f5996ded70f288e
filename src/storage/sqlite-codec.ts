import { crc32 } from "node:zlib";
import { assert } from "../kernel/assert.ts";
import { EMPTY_BYTES } from "../kernel/bytes.ts";
import type { ActorId } from "../kernel/ids.ts";
import { DELTA_BYTES } from "./check-commit.ts";
import type { LogRecord, RowRead } from "./store.ts";
import { DamagedError, damagedLogRecord } from "./store-errors.ts";

// Every row of every table ends in a "sealed" column: 4 bytes of CRC-32 (little-endian), then the body. The CRC covers the
// body and all that the row says beside it, so that neither can change, nor a body move to another row, without notice.
export const SEAL_BYTES = 4;

const MAX_FIELDS = 16;
const numbers = Buffer.alloc(MAX_FIELDS * 8);
/** Its first n numbers, for each n. */
const firstNumbers = Array.from({ length: MAX_FIELDS + 1 }, (_, n) => numbers.subarray(0, n * 8));

/** CRC-32 over a row's fields in their order: numbers, texts, then bytes. */
export function checksum(fields: readonly (number | string)[], ...parts: readonly Uint8Array[]): number {
  assert(fields.length + parts.length <= MAX_FIELDS, "a row has at most 16 checked fields");
  // Numbers and all lengths first, in one piece: calls into zlib cost more than the bytes.
  let at = 0;
  for (const field of fields) at = numbers.writeDoubleLE(typeof field === "number" ? field : field.length, at);
  for (const part of parts) at = numbers.writeDoubleLE(part.length, at);
  let crc = crc32(firstNumbers[fields.length + parts.length] as Buffer);
  // zlib takes no bytes at no address for "begin anew", and an empty Buffer may have no address.
  for (const field of fields) if (typeof field === "string" && field !== "") crc = crc32(field, crc);
  for (const part of parts) if (part.length > 0) crc = crc32(part, crc);
  return crc;
}

/** The sealed column of a row that has no body: its checksum. */
export function sealWithoutBody(fields: readonly (number | string)[]): number {
  return checksum(fields, EMPTY_BYTES);
}

/** The body of a sealed column, or null when its checksum does not hold. */
export function unseal(
  sealed: Uint8Array,
  fields: readonly (number | string)[],
  ...parts: Uint8Array[]
): Uint8Array | null {
  if (sealed.length < SEAL_BYTES) return null;
  // A plain view: Buffer's own `slice` would not copy as a Uint8Array's does.
  const body = new Uint8Array(sealed.buffer, sealed.byteOffset + SEAL_BYTES, sealed.length - SEAL_BYTES);
  const crc = new DataView(sealed.buffer, sealed.byteOffset, SEAL_BYTES).getUint32(0, true);
  return checksum(fields, ...parts, body) === crc ? body : null;
}

/** Like `unseal`, for what a node can't do without. `what` names the row in the error. */
export function unsealOrThrow(
  what: string,
  sealed: Uint8Array,
  fields: readonly (number | string)[],
  ...parts: Uint8Array[]
): Uint8Array {
  const body = unseal(sealed, fields, ...parts);
  if (!body) throw new DamagedError(`${what} is damaged on disk: its checksum does not hold`);
  return body;
}

export interface RowColumns {
  readonly bucket: string;
  readonly key: Buffer;
  readonly slot: number;
  readonly conflict: number;
  readonly sealed: Buffer;
}

export function rowFields(row: { bucket: string; slot: number; conflict: boolean | number }): (number | string)[] {
  return [row.slot, Number(row.conflict), row.bucket];
}

export function decodeRow(columns: RowColumns): RowRead {
  return {
    bucket: columns.bucket,
    key: columns.key.toString("utf8"),
    slot: columns.slot,
    conflict: columns.conflict === 1,
    body: unseal(columns.sealed, rowFields(columns), columns.key),
  };
}

// What of a log record no query looks for, in front of its body: atMs (double), slot, recordDelta, two deltas.
// One column instead of five: each costs the writer 0.5 µs of JSON and the reader a property.
const LOG_HEAD_BYTES = 8 + 4 + 1 + 2 * DELTA_BYTES;
/** Bytes of a log record's sealed column that are not its body. */
export const LOG_OVERHEAD_BYTES = SEAL_BYTES + LOG_HEAD_BYTES;

export interface LogColumns {
  readonly pos: number;
  readonly partition: number;
  readonly actor: number;
  readonly first: number;
  readonly last: number;
  readonly awaits: number;
  readonly sealed: Buffer;
}

function logFields(row: Omit<LogColumns, "actor" | "awaits" | "sealed">, awaits: boolean, actor: string) {
  return [row.pos, row.partition, row.first, row.last, Number(awaits), actor];
}

const logHead = Buffer.alloc(LOG_HEAD_BYTES);

/** The parts of a log record's sealed column. Good until the next call. */
export function encodeLog(record: LogRecord): (Uint8Array | number)[] {
  const head = logHead;
  let at = head.writeDoubleLE(record.atMs);
  at = head.writeUInt32LE(record.slot, at);
  at = head.writeInt8(record.recordDelta, at);
  head.set(record.digestDelta, at);
  head.set(record.inventoryDelta, at + DELTA_BYTES);
  const crc = checksum(logFields(record, record.awaits, record.actor), head, record.body);
  return [crc, head, record.body];
}

/** Throws DamagedError when the checksum does not hold. */
export function decodeLog(columns: LogColumns, actor: ActorId | undefined): LogRecord {
  const { sealed } = columns;
  const head = sealed.subarray(SEAL_BYTES, LOG_OVERHEAD_BYTES);
  const body = new Uint8Array(sealed.buffer, sealed.byteOffset, sealed.length).subarray(LOG_OVERHEAD_BYTES);
  if (
    actor === undefined ||
    head.length < LOG_HEAD_BYTES ||
    checksum(logFields(columns, columns.awaits === 1, actor), head, body) !== sealed.readUInt32LE(0)
  )
    throw damagedLogRecord(columns.pos);
  return {
    pos: columns.pos,
    partition: columns.partition,
    actor,
    first: columns.first,
    last: columns.last,
    body,
    atMs: head.readDoubleLE(0),
    slot: head.readUInt32LE(8),
    recordDelta: head.readInt8(12),
    digestDelta: new Uint8Array(head.subarray(13, 13 + DELTA_BYTES)),
    inventoryDelta: new Uint8Array(head.subarray(13 + DELTA_BYTES)),
    awaits: columns.awaits === 1,
  };
}
