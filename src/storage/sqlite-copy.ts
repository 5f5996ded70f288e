import { rm } from "node:fs/promises";
import { decodeRow, type RowColumns, SEAL_BYTES } from "./sqlite-codec.ts";
import { Connection } from "./sqlite-connection.ts";
import type { StoreCopy, StoredRow } from "./store.ts";
import { damagedCopy } from "./store-errors.ts";
import { Turns } from "./turns.ts";

// Rows and bytes read at a time while a copy is checked: bounds what is in memory.
const READ_ROWS_MAX = 1024;
const CHECK_BYTES = 1 << 20;

const READ_COPY = `SELECT r.n, r.bucket, r.key, r.slot, r.conflict, r.sealed FROM (
    SELECT n, sum(size) OVER (ORDER BY n ROWS UNBOUNDED PRECEDING) AS total FROM (
      SELECT n, length(key) + length(sealed) - ${SEAL_BYTES} AS size FROM copy.rows
        WHERE n > ?1 ORDER BY n LIMIT ${READ_ROWS_MAX})
  ) b CROSS JOIN copy.rows r ON r.n = b.n WHERE b.total <= ?2 OR b.n = ?1 + 1`;

/** Copies the rows in slots [from, to) to a database file of their own. A plain read transaction would do, were the
 *  transfer fast: open for minutes it keeps the WAL from being reused (architecture.md, traps). */
export async function openCopy(
  dataFile: string,
  copyFile: string,
  slots: { readonly from: number; readonly to: number },
  turns: Turns,
): Promise<StoreCopy> {
  // In a turn of its own, taken at once: commits called before are in the copy, those called later are not.
  const connection = await turns.run(() => beginCopy(dataFile, copyFile));
  const release = async (): Promise<void> => {
    await connection.close();
    await rm(copyFile, { force: true });
  };
  try {
    const rows = await connection.run(
      `INSERT INTO copy.rows (bucket, key, slot, conflict, sealed) SELECT bucket, key, slot, conflict, sealed
        FROM main.rows WHERE slot >= ?1 AND slot < ?2 ORDER BY slot, bucket, key`,
      slots.from,
      slots.to,
    );
    await connection.run("COMMIT");
    await checkRows(connection, rows);
    return copyOver(connection, rows, release);
  } catch (error) {
    await release();
    throw error;
  }
}

/** A connection in a transaction that sees the last commit. */
async function beginCopy(dataFile: string, copyFile: string): Promise<Connection> {
  // "create" is for the copy: the data file is there.
  const connection = await Connection.open(dataFile, "create");
  try {
    await connection.run("ATTACH ?1 AS copy", copyFile);
    // A file that a crash leaves behind is removed at the next start: it needs neither journal nor fsync.
    await connection.exec(`PRAGMA copy.journal_mode = OFF; PRAGMA copy.synchronous = OFF;
      CREATE TABLE copy.rows (n INTEGER PRIMARY KEY, bucket TEXT, key BLOB, slot INTEGER, conflict INTEGER, sealed BLOB);
      BEGIN; SELECT 1 FROM main.rows LIMIT 1`);
    return connection;
  } catch (error) {
    await connection.close();
    await rm(copyFile, { force: true });
    throw error;
  }
}

function copyOver(connection: Connection, rows: number, release: () => Promise<void>): StoreCopy {
  const calls = new Turns();
  let closing: Promise<void> | undefined;
  return {
    rows,
    read: (offset, maxBytes) => calls.run(() => readCopied(connection, offset, maxBytes)),
    close: () => {
      closing ??= calls.run(release);
      return closing;
    },
  };
}

async function checkRows(connection: Connection, rows: number): Promise<void> {
  for (let checked = 0; checked < rows; ) checked += (await readCopied(connection, checked, CHECK_BYTES)).length;
}

async function readCopied(connection: Connection, offset: number, maxBytes: number): Promise<StoredRow[]> {
  const bound = Math.min(maxBytes, Number.MAX_SAFE_INTEGER);
  const found = await connection.all<RowColumns & { n: number }>(READ_COPY, offset, bound);
  found.sort((a, b) => a.n - b.n);
  return found.map((columns) => {
    const row = decodeRow(columns);
    const { body } = row;
    if (body === null) throw damagedCopy(row.bucket, row.key);
    return { ...row, body };
  });
}
