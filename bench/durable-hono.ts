import { serve } from "@hono/node-server";
import { Hono } from "hono";
import sqlite3 from "sqlite3";

// The limit of Starling's whole stack for a durable write: Hono and sqlite3 with group commit, and nothing of a database
// between them. No version, no conflict, no log, no sum, no token: each PUT replaces a row's bytes.
const database = new sqlite3.Database(process.argv[3] as string);
await new Promise<void>((resolve, reject) => {
  const schema = `PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE rows (bucket TEXT, key TEXT, body BLOB, PRIMARY KEY (bucket, key)) WITHOUT ROWID`;
  database.exec(schema, (error) => (error ? reject(error) : resolve()));
});
const insert = database.prepare(
  `INSERT INTO rows SELECT value ->> 0, value ->> 1, substr(?2, value ->> 2, value ->> 3) FROM json_each(?1) WHERE true
   ON CONFLICT DO UPDATE SET body = excluded.body`,
);

interface Write {
  readonly bucket: string;
  readonly key: string;
  readonly body: Buffer;
  readonly done: (error: Error | null) => void;
}

let waiting: Write[] = [];
let isCommitting = false;

/** All that waits in one transaction; what comes meanwhile waits for the next. */
function commit(): void {
  if (isCommitting || waiting.length === 0) return;
  isCommitting = true;
  const writes = waiting;
  waiting = [];
  let offset = 1;
  const rows = writes.map(({ bucket, key, body }) => {
    offset += body.length;
    return [bucket, key, offset - body.length, body.length];
  });
  const bytes = Buffer.concat(writes.map(({ body }) => body));
  insert.run([JSON.stringify(rows), bytes], (error) => {
    isCommitting = false;
    for (const { done } of writes) done(error);
    commit();
  });
}

const app = new Hono();
app.get("/v1/kv/:bucket/:key", (c) => c.body("ready", 200));
app.put("/v1/kv/:bucket/:key", async (c) => {
  const { bucket, key } = c.req.param();
  const body = Buffer.from(await c.req.arrayBuffer());
  await new Promise<void>((resolve, reject) => {
    waiting.push({ bucket, key, body, done: (error) => (error ? reject(error) : resolve()) });
    // One turn of the loop brings many requests: they share a commit.
    setImmediate(commit);
  });
  return c.body(null, 204);
});
serve({ fetch: app.fetch, port: Number(process.argv[2]), hostname: "127.0.0.1" });
