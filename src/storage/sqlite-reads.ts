import { EMPTY_BYTES } from "../kernel/bytes.ts";
import type { ActorId } from "../kernel/ids.ts";
import { compareUtf8 } from "./key-order.ts";
import { Batch } from "./sqlite-batch.ts";
import {
  decodeLog,
  decodeRow,
  LOG_OVERHEAD_BYTES,
  type LogColumns,
  type RowColumns,
  SEAL_BYTES,
  unsealOrThrow,
} from "./sqlite-codec.ts";
import type { Connection } from "./sqlite-connection.ts";
import type { ConflictRange, JournalRecord, KeyRange, LogRecord, RowKey, RowRead } from "./store.ts";

/** Actors by the number that stands for them in the file. */
export type ActorNames = ReadonlyMap<number, ActorId>;

// Each of these is one statement and so sees one commit. Without CROSS JOIN SQLite may turn a join with json_each around
// and scan the table for each key.
export const READ_SQL = {
  rows: `SELECT m.key AS i, r.bucket, r.key, r.slot, r.conflict, r.sealed FROM json_each(?1) m CROSS JOIN rows r
    ON r.bucket = m.value ->> 1 AND r.key = substr(?2, m.value ->> 0, m.value ->> 2)`,
  keys: bounded(
    "rows",
    "id",
    "bucket, key, slot, conflict, sealed",
    `SELECT id, key AS place, length(key) + length(sealed) - ${SEAL_BYTES} AS size FROM rows
      WHERE bucket = ?3 AND key >= ?4 AND key < ?5 ORDER BY key LIMIT ?1`,
  ),
  slots: `SELECT bucket, key, slot, conflict, sealed FROM rows WHERE slot >= ?1 AND slot < ?2 ORDER BY slot, bucket, key`,
  buckets: `SELECT bucket, count(*) AS rows FROM rows INDEXED BY rows_by_key GROUP BY bucket ORDER BY bucket`,
  conflicts: `SELECT bucket, key, slot, conflict, sealed FROM rows INDEXED BY rows_in_conflict
    WHERE conflict = 1 AND (bucket, key) > (?2, ?3) ORDER BY bucket, key LIMIT ?1`,
  conflictsOfBucket: `SELECT bucket, key, slot, conflict, sealed FROM rows INDEXED BY rows_in_conflict
    WHERE conflict = 1 AND bucket = ?2 AND key >= ?3 ORDER BY key LIMIT ?1`,
  countConflicts: `SELECT count(*) AS n FROM rows INDEXED BY rows_in_conflict WHERE conflict = 1`,
  log: bounded(
    "log",
    "pos",
    "pos, partition, actor, first, last, awaits, sealed",
    `SELECT pos, pos AS place, length(sealed) - ${LOG_OVERHEAD_BYTES} AS size FROM log
      WHERE pos > ?3 ORDER BY pos LIMIT ?1`,
  ),
  // One actor's records don't overlap: the first that reaches ?5 is the last one to begin at or before it, or the next.
  logOf: bounded(
    "log",
    "pos",
    "pos, partition, actor, first, last, awaits, sealed",
    `SELECT pos, first AS place, length(sealed) - ${LOG_OVERHEAD_BYTES} AS size FROM log
      WHERE partition = ?3 AND actor = ?4 AND first >= coalesce(
        (SELECT max(first) FROM log WHERE partition = ?3 AND actor = ?4 AND first <= ?5), ?5)
        AND last >= ?5 ORDER BY first LIMIT ?1`,
  ),
  awaiting: `SELECT pos, partition, actor, first, last, awaits, sealed FROM log INDEXED BY log_awaiting
    WHERE awaits = 1 ORDER BY pos`,
  deletion: `SELECT at, sealed FROM deletions WHERE bucket = ?1 AND key = ?2`,
  journal: `SELECT seq, bucket, key, at, sealed FROM journal WHERE seq < ?2 ORDER BY seq DESC LIMIT ?1`,
  journalOfKey: `SELECT seq, bucket, key, at, sealed FROM journal
    WHERE bucket = ?3 AND key = ?4 AND seq < ?2 ORDER BY seq DESC LIMIT ?1`,
};

/** A range read that stops before the bodies exceed ?2 bytes in total, but gives one row at least. `range` yields (id,
 *  place, size) of at most ?1 rows from their headers alone, so that bodies beyond the bound are not read. */
function bounded(table: string, id: string, columns: string, range: string): string {
  const wanted = columns.replaceAll(/\w+/g, "r.$&");
  return `SELECT b.ordinal, ${wanted} FROM (
      SELECT ${id}, row_number() OVER so_far AS ordinal, sum(size) OVER so_far AS total FROM (${range})
      WINDOW so_far AS (ORDER BY place ROWS UNBOUNDED PRECEDING)
    ) b CROSS JOIN ${table} r ON r.${id} = b.${id} WHERE b.total <= ?2 OR b.ordinal = 1`;
}

const byOrdinal = (a: { ordinal: number }, b: { ordinal: number }): number => a.ordinal - b.ordinal;

// SQLite's own LIMIT and comparisons know no Infinity.
const atMost = (bound: number): number => Math.min(bound, Number.MAX_SAFE_INTEGER);

export async function readRows(connection: Connection, keys: readonly RowKey[]): Promise<(RowRead | undefined)[]> {
  const found: (RowRead | undefined)[] = keys.map(() => undefined);
  const batch = new Batch();
  for (const { bucket, key } of keys) {
    const bytes = Buffer.from(key);
    batch.add([bytes], bucket, bytes.length);
  }
  let first = 0;
  await batch.each(async (json, bytes, rows) => {
    for (const columns of await connection.all<RowColumns & { i: number }>(READ_SQL.rows, json, bytes))
      found[first + columns.i] = decodeRow(columns);
    first += rows;
  });
  return found;
}

// Above every key: no byte of UTF-8 is 0xf8 or more.
const BEHIND_ALL_KEYS = Buffer.of(0xf8);

export async function scanKeys(connection: Connection, range: KeyRange): Promise<RowRead[]> {
  let from: Uint8Array = Buffer.from(range.prefix);
  const behind = behindPrefix(from);
  if (range.after !== undefined) {
    const next = behindKey(range.after);
    if (Buffer.compare(next, from) > 0) from = next;
  }
  const bounds = [atMost(range.limit), atMost(range.maxBytes)];
  const found = await connection.all<RowColumns & { ordinal: number }>(
    READ_SQL.keys,
    ...bounds,
    range.bucket,
    from,
    behind,
  );
  return found.sort(byOrdinal).map(decodeRow);
}

/** The least text above this one: itself with a NUL behind it. */
function behindKey(key: string): Uint8Array {
  return Buffer.from(`${key}\0`);
}

/** The least bytes above every text that begins so. The last byte can be raised: UTF-8 has no 0xff. */
function behindPrefix(prefix: Uint8Array): Uint8Array {
  if (prefix.length === 0) return BEHIND_ALL_KEYS;
  const behind = Buffer.from(prefix);
  behind.writeUInt8(behind.readUInt8(behind.length - 1) + 1, behind.length - 1);
  return behind;
}

export async function scanSlots(connection: Connection, from: number, to: number): Promise<RowRead[]> {
  return (await connection.all<RowColumns>(READ_SQL.slots, from, to)).map(decodeRow);
}

export async function scanConflicts(connection: Connection, range: ConflictRange): Promise<RowRead[]> {
  const { bucket, after, limit } = range;
  if (bucket === undefined) {
    const values = [atMost(limit), after?.bucket ?? "", Buffer.from(after?.key ?? "")];
    return (await connection.all<RowColumns>(READ_SQL.conflicts, ...values)).map(decodeRow);
  }
  if (after && compareUtf8(after.bucket, bucket) > 0) return [];
  const from = after?.bucket === bucket ? behindKey(after.key) : EMPTY_BYTES;
  return (await connection.all<RowColumns>(READ_SQL.conflictsOfBucket, atMost(limit), bucket, from)).map(decodeRow);
}

export async function readLog(
  connection: Connection,
  actors: ActorNames,
  afterPos: number,
  limit: number,
  maxBytes: number,
): Promise<LogRecord[]> {
  const found = await connection.all<LogColumns & { ordinal: number }>(
    READ_SQL.log,
    atMost(limit),
    atMost(maxBytes),
    afterPos,
  );
  return found.sort(byOrdinal).map((columns) => decodeLog(columns, actors.get(columns.actor)));
}

export async function readLogOf(
  connection: Connection,
  actors: ActorNames,
  of: { partition: number; actorNumber: number; fromSeq: number },
  limit: number,
  maxBytes: number,
): Promise<LogRecord[]> {
  const found = await connection.all<LogColumns & { ordinal: number }>(
    READ_SQL.logOf,
    atMost(limit),
    atMost(maxBytes),
    of.partition,
    of.actorNumber,
    of.fromSeq,
  );
  return found.sort(byOrdinal).map((columns) => decodeLog(columns, actors.get(columns.actor)));
}

export async function readDeletion(connection: Connection, key: RowKey): Promise<Uint8Array | undefined> {
  const bytes = Buffer.from(key.key);
  const [found] = await connection.all<{ at: number; sealed: Buffer }>(READ_SQL.deletion, key.bucket, bytes);
  return (
    found && unsealOrThrow(`the deletion of ${key.bucket}/${key.key}`, found.sealed, [found.at, key.bucket], bytes)
  );
}

export async function readJournal(
  connection: Connection,
  filter: { key?: RowKey; beforeSeq?: number; limit: number },
): Promise<JournalRecord[]> {
  const values = [atMost(filter.limit), filter.beforeSeq ?? Number.MAX_SAFE_INTEGER];
  const found = filter.key
    ? await connection.all<JournalColumns>(
        READ_SQL.journalOfKey,
        ...values,
        filter.key.bucket,
        Buffer.from(filter.key.key),
      )
    : await connection.all<JournalColumns>(READ_SQL.journal, ...values);
  return found.map(({ seq, bucket, key, at, sealed }) => ({
    seq,
    bucket,
    key: key.toString("utf8"),
    atMs: at,
    body: unsealOrThrow(`journal record ${seq}`, sealed, [seq, at, bucket], key),
  }));
}

interface JournalColumns {
  readonly seq: number;
  readonly bucket: string;
  readonly key: Buffer;
  readonly at: number;
  readonly sealed: Buffer;
}
