import { InputError } from "../kernel/assert.ts";
import { type Connection, sqliteCode } from "./sqlite-connection.ts";

/** "Star" in ASCII: tells our files from other SQLite databases. */
const APPLICATION_ID = 0x53746172;

// Keys, and whatever else may hold any text, are blobs of UTF-8: SQLite cuts text at NUL in places, and blobs compare by
// bytes. Rows have an id of their own, so that a new one appends its body and only two small index entries land on random
// pages; clustering by key or by slot dirties a page of bodies for each row (measured: 9 k instead of 18 k rows/s).
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE rows (id INTEGER PRIMARY KEY, bucket TEXT NOT NULL, key BLOB NOT NULL, slot INTEGER NOT NULL,
    conflict INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT;
  CREATE UNIQUE INDEX rows_by_key ON rows (bucket, key);
  CREATE INDEX rows_by_slot ON rows (slot);
  CREATE INDEX rows_in_conflict ON rows (bucket, key) WHERE conflict = 1;

  CREATE TABLE actors (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
  CREATE TABLE log (pos INTEGER PRIMARY KEY, partition INTEGER NOT NULL, actor INTEGER NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, awaits INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT;
  CREATE UNIQUE INDEX log_by_actor ON log (partition, actor, first);
  CREATE INDEX log_awaiting ON log (pos) WHERE awaits = 1;
  CREATE TABLE vectors (partition INTEGER, actor INTEGER, seq INTEGER NOT NULL, sealed BLOB NOT NULL,
    PRIMARY KEY (partition, actor)) STRICT, WITHOUT ROWID;
  CREATE TABLE floors (partition INTEGER, actor INTEGER, seq INTEGER NOT NULL, sealed BLOB NOT NULL,
    PRIMARY KEY (partition, actor)) STRICT, WITHOUT ROWID;

  CREATE TABLE acks (peer TEXT, partition INTEGER, sealed BLOB NOT NULL,
    PRIMARY KEY (peer, partition)) STRICT, WITHOUT ROWID;
  CREATE TABLE sums (partition INTEGER PRIMARY KEY, pos INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT;
  CREATE TABLE damaged (partition INTEGER, leaf INTEGER, sealed BLOB NOT NULL,
    PRIMARY KEY (partition, leaf)) STRICT, WITHOUT ROWID;

  CREATE TABLE deletions (id INTEGER PRIMARY KEY, bucket TEXT NOT NULL, key BLOB NOT NULL, at REAL NOT NULL,
    sealed BLOB NOT NULL) STRICT;
  CREATE UNIQUE INDEX deletions_by_key ON deletions (bucket, key);
  CREATE INDEX deletions_by_age ON deletions (at);
  CREATE TABLE journal (seq INTEGER PRIMARY KEY, bucket TEXT NOT NULL, key BLOB NOT NULL, at REAL NOT NULL,
    sealed BLOB NOT NULL) STRICT;
  CREATE INDEX journal_by_key ON journal (bucket, key, seq);
  CREATE INDEX journal_by_age ON journal (at);

  CREATE TABLE settings (name BLOB PRIMARY KEY, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;
  `,
];

export const SCHEMA_VERSION = MIGRATIONS.length;

/** Makes or checks the file behind a writer connection and brings it to this version's schema. Rejects with an InputError
 *  when it is another program's file, no database, or of a newer version. */
export async function prepareSchema(writer: Connection, file: string): Promise<void> {
  const { version, application, tables } = await readHeader(writer, file);
  if (tables > 0 && application !== APPLICATION_ID)
    throw new InputError(
      "not-a-starling-store",
      `${file} is another program's database: choose another data directory`,
    );
  if (version > SCHEMA_VERSION)
    throw new InputError(
      "data-too-new",
      `${file} has schema version ${version}, this version of Starling knows up to ${SCHEMA_VERSION}: run the version that wrote it, or a later one`,
    );
  // Before anything else is written: only an empty file can be given auto_vacuum.
  if (tables === 0) await writer.exec("PRAGMA auto_vacuum = INCREMENTAL");
  await writer.exec("PRAGMA journal_mode = WAL");
  for (let next = version; next < SCHEMA_VERSION; next++)
    await writer.exec(
      `BEGIN IMMEDIATE; ${MIGRATIONS[next]}; PRAGMA user_version = ${next + 1}; PRAGMA application_id = ${APPLICATION_ID}; COMMIT`,
    );
}

async function readHeader(writer: Connection, file: string) {
  try {
    const version = await writer.one<{ user_version: number }>("PRAGMA user_version");
    const application = await writer.one<{ application_id: number }>("PRAGMA application_id");
    const { tables } = await writer.one<{ tables: number }>("SELECT count(*) AS tables FROM sqlite_schema");
    return { version: version.user_version, application: application.application_id, tables };
  } catch (error) {
    if (sqliteCode(error) !== "SQLITE_NOTADB") throw error;
    throw new InputError(
      "not-a-starling-store",
      `${file} is not a database, or its first page is damaged: choose another data directory; or, if this was a node's, ` +
        "keep a copy, empty the data directory and start again to restore it from the peers",
    );
  }
}
