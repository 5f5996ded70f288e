import { LOG_OVERHEAD_BYTES } from "./sqlite-codec.ts";

/** What the statement of AT_ONCE_SQL fails with, having changed nothing, where a row is stored with another slot. */
export const MOVED = "a row is stored with another slot";

/** The statements of a commit: ?1 is a JSON array of rows, each `[offset of its bytes, ...fields]`; ?2 the bytes of all
 *  (Batch). `WHERE true` tells SQLite that ON belongs to the INSERT. */
export const WRITE_SQL = {
  // The slot of a key doesn't change, so an update leaves its index alone (twice as fast); a row that is found with
  // another slot (it is damaged) is passed over, shows in the count of changes, and is replaced.
  rows: `INSERT INTO rows (bucket, key, slot, conflict, sealed)
    SELECT m.value ->> 1, substr(?2, m.value ->> 0, m.value ->> 2), m.value ->> 3, m.value ->> 4,
      substr(?2, (m.value ->> 0) + (m.value ->> 2), m.value ->> 5)
    FROM jsonb_each(?1) m WHERE true
    ON CONFLICT (bucket, key) DO UPDATE SET conflict = excluded.conflict, sealed = excluded.sealed
    WHERE slot = excluded.slot`,
  removeMovedRows: `DELETE FROM rows WHERE id IN (SELECT r.id FROM jsonb_each(?1) m CROSS JOIN rows r
    ON r.bucket = m.value ->> 1 AND r.key = substr(?2, m.value ->> 0, m.value ->> 2) WHERE r.slot <> m.value ->> 3)`,
  deleteRows: `DELETE FROM rows WHERE id IN (SELECT r.id FROM jsonb_each(?1) m CROSS JOIN rows r
    ON r.bucket = m.value ->> 1 AND r.key = substr(?2, m.value ->> 0, m.value ->> 2))`,

  actors: `INSERT INTO actors (id, name) SELECT m.value ->> 1, m.value ->> 2 FROM jsonb_each(?1) m WHERE ?2 IS NOT NULL`,
  log: `INSERT INTO log (pos, partition, actor, first, last, awaits, sealed)
    SELECT m.value ->> 1, m.value ->> 2, m.value ->> 3, m.value ->> 4, m.value ->> 5, m.value ->> 6,
      substr(?2, m.value ->> 0, m.value ->> 7)
    FROM jsonb_each(?1) m`,
  sizeOfLog: `SELECT count(*) AS records, coalesce(sum(length(l.sealed) - ${LOG_OVERHEAD_BYTES}), 0) AS bytes
    FROM jsonb_each(?1) m CROSS JOIN log l ON l.pos = m.value`,
  cutLog: `DELETE FROM log WHERE pos IN (SELECT value FROM jsonb_each(?1))`,
  vectors: vectorSql("vectors"),
  floors: vectorSql("floors"),

  acks: `INSERT INTO acks (peer, partition, sealed)
    SELECT m.value ->> 1, m.value ->> 2, substr(?2, m.value ->> 0, m.value ->> 3) FROM jsonb_each(?1) m WHERE true
    ON CONFLICT (peer, partition) DO UPDATE SET sealed = excluded.sealed`,
  forgetAcks: `DELETE FROM acks WHERE ?2 IS NOT NULL
    AND (peer, partition) IN (SELECT value ->> 1, value ->> 2 FROM jsonb_each(?1))`,
  sums: `INSERT INTO sums (partition, pos, sealed)
    SELECT m.value ->> 1, m.value ->> 2, substr(?2, m.value ->> 0, m.value ->> 3) FROM jsonb_each(?1) m WHERE true
    ON CONFLICT (partition) DO UPDATE SET pos = excluded.pos, sealed = excluded.sealed`,
  damaged: `INSERT INTO damaged (partition, leaf, sealed)
    SELECT m.value ->> 1, m.value ->> 2, substr(?2, m.value ->> 0, m.value ->> 3) FROM jsonb_each(?1) m WHERE true
    ON CONFLICT (partition, leaf) DO UPDATE SET sealed = excluded.sealed`,
  healed: `DELETE FROM damaged WHERE ?2 IS NOT NULL
    AND (partition, leaf) IN (SELECT value ->> 1, value ->> 2 FROM jsonb_each(?1))`,

  deletions: `INSERT INTO deletions (bucket, key, at, sealed)
    SELECT m.value ->> 1, substr(?2, m.value ->> 0, m.value ->> 2), m.value ->> 3,
      substr(?2, (m.value ->> 0) + (m.value ->> 2), m.value ->> 4)
    FROM jsonb_each(?1) m WHERE true
    ON CONFLICT (bucket, key) DO UPDATE SET at = excluded.at, sealed = excluded.sealed`,
  forgetDeletion: `DELETE FROM deletions WHERE id IN (SELECT d.id FROM jsonb_each(?1) m CROSS JOIN deletions d
    ON d.bucket = m.value ->> 1 AND d.key = substr(?2, m.value ->> 0, m.value ->> 2))`,
  forgetDeletions: `DELETE FROM deletions WHERE at < ?1`,
  journal: `INSERT INTO journal (seq, bucket, key, at, sealed)
    SELECT m.value ->> 1, m.value ->> 2, substr(?2, m.value ->> 0, m.value ->> 3), m.value ->> 4,
      substr(?2, (m.value ->> 0) + (m.value ->> 3), m.value ->> 5)
    FROM jsonb_each(?1) m`,
  forgetJournal: `DELETE FROM journal WHERE at < ?1`,
  settings: `INSERT INTO settings (name, sealed)
    SELECT substr(?2, m.value ->> 0, m.value ->> 1), substr(?2, (m.value ->> 0) + (m.value ->> 1), m.value ->> 2)
    FROM jsonb_each(?1) m WHERE true
    ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed`,
  counters: `INSERT INTO counters (name, value, sealed)
    SELECT m.value ->> 1, m.value ->> 2, substr(?2, m.value ->> 0, 4) FROM jsonb_each(?1) m WHERE true
    ON CONFLICT (name) DO UPDATE SET value = excluded.value, sealed = excluded.sealed`,
};

/** An ordinary commit (rows, log, vectors, counters) as one statement: a view whose trigger does it all, in a transaction
 *  of its own. A statement is a trip to a thread and back, and a commit of some forty rows spent half its time on trips. */
export const AT_ONCE_SQL = {
  // Temporary: of this connection, not of the file.
  prepare: `CREATE TEMP VIEW at_once (row_count, row_fields, row_bytes, log_fields, log_bytes, vector_fields, vector_bytes,
      counter_fields, counter_bytes) AS SELECT 0, 0, 0, 0, 0, 0, 0, 0, 0;
    CREATE TEMP TRIGGER commit_at_once INSTEAD OF INSERT ON at_once BEGIN
      ${ofView(WRITE_SQL.rows, "row")};
      SELECT RAISE(ABORT, '${MOVED}') WHERE changes() <> new.row_count;
      ${ofView(WRITE_SQL.log, "log")};
      ${ofView(WRITE_SQL.vectors, "vector")};
      ${ofView(WRITE_SQL.counters, "counter")};
    END`,
  commit: "INSERT INTO at_once VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
};

function ofView(sql: string, part: string): string {
  return sql.replaceAll("?1", `new.${part}_fields`).replaceAll("?2", `new.${part}_bytes`);
}

function vectorSql(table: "vectors" | "floors"): string {
  return `INSERT INTO ${table} (partition, actor, seq, sealed)
    SELECT m.value ->> 1, m.value ->> 2, m.value ->> 3, substr(?2, m.value ->> 0, 4) FROM jsonb_each(?1) m WHERE true
    ON CONFLICT (partition, actor) DO UPDATE SET seq = excluded.seq, sealed = excluded.sealed`;
}
