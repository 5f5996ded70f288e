import { type RaftState, sealEntry, sealSnapshot, sealState } from "./raft-records.ts";
import type { RaftSave } from "./raft-store.ts";
import type { Connection } from "./sqlite-connection.ts";

// A save as one statement, and so one transaction: each statement is a way to a thread and back, which on a busy machine takes
// longer than the write itself, and a save of 45 entries had 50 of them.

/** Once for each connection, when the tables are there. */
export const PREPARE_SAVES = `
  PRAGMA temp_store = MEMORY;
  CREATE TEMP VIEW saves (state, snapshot, first, places, sealed) AS SELECT NULL, NULL, NULL, NULL, NULL;
  CREATE TEMP TRIGGER save INSTEAD OF INSERT ON saves BEGIN
    DELETE FROM entries WHERE id >= iif(new.snapshot IS NULL, new.first, 0);
    INSERT OR REPLACE INTO snapshot SELECT 0, new.snapshot WHERE new.snapshot IS NOT NULL;
    INSERT INTO entries SELECT new.first + key, substr(new.sealed, value ->> 0, value ->> 1) FROM json_each(new.places);
    INSERT OR REPLACE INTO state VALUES (0, new.state);
  END`;

/** All of it is durable when this resolves, or nothing has changed. */
export async function saveAtOnce(connection: Connection, state: RaftState, change: RaftSave): Promise<void> {
  const sealed = change.entries.map(sealEntry);
  let start = 1;
  const places = sealed.map(({ length }) => {
    start += length;
    return [start - length, length];
  });
  await connection.run(
    "INSERT INTO saves VALUES (?1, ?2, ?3, ?4, ?5)",
    sealState(state),
    change.snapshot && sealSnapshot(change.snapshot),
    change.entries[0]?.index ?? null,
    JSON.stringify(places),
    Buffer.concat(sealed),
  );
}
