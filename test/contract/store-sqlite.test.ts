import { mkdir, mkdtemp, open as openFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openSqliteStore } from "../../src/storage/sqlite.ts";
import { Connection } from "../../src/storage/sqlite-connection.ts";
import { READ_SQL } from "../../src/storage/sqlite-reads.ts";
import { commitOf, type Store } from "../../src/storage/store.ts";
import { StoreFailedError } from "../../src/storage/store-errors.ts";
import { bytesOf, EU, recordOf, rowOf } from "../../src/storage/store-subject.test-kit.ts";

const made: string[] = [];
afterAll(async () => {
  for (const dataDir of made) await rm(dataDir, { recursive: true, force: true });
});

async function newDir(): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), "starling-sqlite-"));
  made.push(dataDir);
  return dataDir;
}

const open = (dataDir: string): Promise<Store> => openSqliteStore({ dataDir, nowMs: () => 0 });

async function rawSql(dataDir: string, sql: string): Promise<void> {
  const connection = await Connection.open(join(dataDir, "data.db"), "create");
  await connection.exec(sql);
  await connection.close();
}

/** A directory whose store holds one of everything that `load` reads. */
async function filledDir(): Promise<string> {
  const dataDir = await newDir();
  const store = await open(dataDir);
  await store.commit(
    commitOf({
      rows: ["a", "b", "c"].map((key, slot) => rowOf("b", key, `of ${key}`, { slot })),
      log: [recordOf(1)],
      vectors: [{ partition: 0, actor: EU, seq: 1 }],
      floors: [{ partition: 0, actor: EU, seq: 1 }],
      acks: [{ peer: "us" as never, partition: 0, vector: bytesOf("vector") }],
      sums: [{ partition: 0, pos: 1, body: bytesOf("sums") }],
      damaged: [{ partition: 0, leaf: 1, vector: bytesOf("vector") }],
      settings: [{ name: "name", value: "value" }],
      journal: [{ bucket: "b", key: "a", seq: 1, atMs: 1, body: bytesOf("record") }],
      deletions: [{ bucket: "b", key: "d", atMs: 1, body: bytesOf("who") }],
    }),
  );
  await store.close();
  return dataDir;
}

describe("a data directory", () => {
  it("is made for its owner alone, with the settings that durability needs", async () => {
    const dataDir = join(await newDir(), "deep", "er");
    const store = await open(dataDir);
    expect((await stat(dataDir)).mode & 0o777).toBe(0o700);
    await store.close();
    const raw = await Connection.open(join(dataDir, "data.db"), "read");
    expect(await raw.all("PRAGMA journal_mode")).toEqual([{ journal_mode: "wal" }]);
    expect(await raw.all("PRAGMA auto_vacuum")).toEqual([{ auto_vacuum: 2 }]);
    await raw.close();
  });

  it("belongs to one store at a time", async () => {
    const dataDir = await newDir();
    const store = await open(dataDir);
    await expect(open(dataDir)).rejects.toMatchObject({ slug: "data-dir-in-use", message: /in use by another.*stop/ });
    await store.commit(commitOf({ rows: [rowOf("b", "k", "v")] }));
    await store.close();
    await (await open(dataDir)).close();
  });

  it("of a newer version is refused, and left as it was", async () => {
    const dataDir = await filledDir();
    await rawSql(dataDir, "PRAGMA user_version = 99");
    await expect(open(dataDir)).rejects.toMatchObject({ slug: "data-too-new", message: /version 99/ });
    await rawSql(dataDir, "PRAGMA user_version = 1");
    const store = await open(dataDir);
    expect(await store.buckets()).toEqual([{ bucket: "b", rows: 3 }]);
    await store.close();
  });

  it("with another program's database, or no database, is refused", async () => {
    const foreign = await newDir();
    await rawSql(foreign, "CREATE TABLE theirs (x)");
    await expect(open(foreign)).rejects.toMatchObject({ slug: "not-a-starling-store" });
    const garbage = await newDir();
    await writeFile(join(garbage, "data.db"), "no database ".repeat(1000));
    await expect(open(garbage)).rejects.toMatchObject({ slug: "not-a-starling-store" });
  });

  it("that is a file is refused", async () => {
    const file = join(await newDir(), "file");
    await writeFile(file, "");
    await expect(open(file)).rejects.toMatchObject({ slug: "bad-data-dir" });
    await expect(open(join(file, "below"))).rejects.toMatchObject({ slug: "bad-data-dir" });
  });

  it("goes on where a first start was killed between two steps", async () => {
    const dataDir = await newDir();
    await rawSql(dataDir, "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL");
    await (await open(dataDir)).close();
  });

  it("loses what a killed process left of its copies", async () => {
    const dataDir = await newDir();
    await mkdir(join(dataDir, "copies"));
    await writeFile(join(dataDir, "copies", "1.db"), "half a copy");
    const store = await open(dataDir);
    expect(await readdir(join(dataDir, "copies"))).toEqual([]);
    const copy = await store.openCopy(0, 1);
    expect(await readdir(join(dataDir, "copies"))).toEqual(["1.db"]);
    await copy.close();
    expect(await readdir(join(dataDir, "copies"))).toEqual([]);
    await store.close();
  });
});

describe("damage in a SQLite file", () => {
  const changes = [
    "slot = 9",
    "conflict = 1",
    "bucket = 'c'",
    "key = x'62'",
    "sealed = x''",
    "sealed = substr(sealed, 1, 5)",
  ];
  it.each(changes)("is noticed in a row with %s", async (change) => {
    const dataDir = await filledDir();
    await rawSql(dataDir, `DELETE FROM rows WHERE key = x'62'; UPDATE rows SET ${change} WHERE key = x'61'`);
    const store = await open(dataDir);
    const bodies = (await store.scanSlots(0, 10)).map(({ body }) => body && Buffer.from(body).toString());
    expect(bodies.sort()).toEqual([null, "of c"].sort());
    await store.close();
  });

  it("of a row's slot is healed by writing the row", async () => {
    const dataDir = await filledDir();
    await rawSql(dataDir, "UPDATE rows SET slot = 4000000000 WHERE key = x'62'");
    const store = await open(dataDir);
    const rows = ["a", "b", "c"].map((key, slot) => rowOf("b", key, `new ${key}`, { slot }));
    await store.commit(commitOf({ rows }));
    expect(await store.scanSlots(0, 2 ** 32)).toEqual(rows);
    await store.close();
  });

  it("is noticed in a body that moved to another row", async () => {
    const dataDir = await filledDir();
    await rawSql(dataDir, "UPDATE rows SET sealed = (SELECT sealed FROM rows WHERE key = x'61') WHERE key = x'62'");
    const store = await open(dataDir);
    expect((await store.readRows([{ bucket: "b", key: "b" }]))[0]?.body).toBeNull();
    await store.close();
  });

  const flips = [
    "UPDATE vectors SET seq = 7",
    "UPDATE floors SET partition = 1",
    "UPDATE acks SET sealed = CAST(sealed || x'00' AS BLOB)",
    "UPDATE damaged SET leaf = 2",
    "UPDATE settings SET name = x'00'",
    "UPDATE counters SET value = value - 1",
    "UPDATE actors SET name = 'eu@m1abc.0000000c'",
    "DELETE FROM counters",
  ];
  it.each(flips)("stops a start: %s", async (sql) => {
    const dataDir = await filledDir();
    await rawSql(dataDir, sql);
    const start = async (): Promise<void> => {
      const store = await open(dataDir);
      await store.load().finally(() => store.close());
    };
    await expect(start()).rejects.toThrow("damaged");
  });

  it.each(["pos = 2", "sealed = x''", "partition = 1"])("makes saved sums count as lost: %s", async (change) => {
    const dataDir = await filledDir();
    await rawSql(dataDir, `UPDATE sums SET ${change}`);
    const store = await open(dataDir);
    expect(await store.load()).toMatchObject({ sums: [], lostSums: [change === "partition = 1" ? 1 : 0] });
    await store.close();
  });

  it("is noticed in each field of a log record", async () => {
    for (const change of ["partition = 1", "first = 0", "last = 9", "awaits = 1", "sealed = x'00'"]) {
      const dataDir = await filledDir();
      await rawSql(dataDir, `UPDATE log SET ${change}`);
      const store = await open(dataDir);
      await expect(store.readLog(0, 9, 999)).rejects.toThrow("log record at position 1 is damaged");
      await store.close();
    }
  });

  it("is noticed in a deletion and in the journal", async () => {
    const dataDir = await filledDir();
    await rawSql(dataDir, "UPDATE deletions SET at = 2; UPDATE journal SET at = 2");
    const store = await open(dataDir);
    await expect(store.readDeletion({ bucket: "b", key: "d" })).rejects.toThrow("damaged");
    await expect(store.readJournal({ limit: 9 })).rejects.toThrow("journal record 1 is damaged");
    await store.close();
  });
});

/** Overwrites the root page of a table or an index. */
async function breakTree(dataDir: string, name: string): Promise<void> {
  const file = join(dataDir, "data.db");
  const raw = await Connection.open(file, "read");
  const { rootpage } = await raw.one<{ rootpage: number }>("SELECT rootpage FROM sqlite_schema WHERE name = ?1", name);
  await raw.close();
  const data = await openFile(file, "r+");
  await data.write(Buffer.alloc(4096, 0xff), 0, 4096, (rootpage - 1) * 4096);
  await data.close();
}

describe("a SQLite file whose structure is broken", () => {
  const reads: [string, string, (store: Store) => Promise<unknown>][] = [
    ["reads a key", "rows_by_key", (store) => store.readRows([{ bucket: "b", key: "a" }])],
    ["lists a bucket", "rows_by_key", (store) => store.scanKeys({ bucket: "b", prefix: "", limit: 1, maxBytes: 1 })],
    ["scans a leaf", "rows_by_slot", (store) => store.scanSlots(0, 9)],
    ["copies", "rows_by_slot", (store) => store.openCopy(0, 9)],
    ["reads the journal", "journal_by_key", (store) => store.readJournal({ key: { bucket: "b", key: "a" }, limit: 1 })],
  ];
  it.each(reads)("stops the store that %s: nothing is read or written any more", async (_, tree, read) => {
    const dataDir = await filledDir();
    await breakTree(dataDir, tree);
    const store = await open(dataDir);
    await store.load();
    await expect(read(store)).rejects.toBeInstanceOf(StoreFailedError);
    expect((await store.failed).message).toMatch(/a read failed: SQLITE_CORRUPT/);
    await expect(store.commit(commitOf({ settings: [{ name: "n", value: "v" }] }))).rejects.toThrow("SQLITE_CORRUPT");
    await expect(store.buckets()).rejects.toThrow("SQLITE_CORRUPT");
    await store.close();
  });

  it("does not stop a store that reads other parts of it", async () => {
    const dataDir = await filledDir();
    await breakTree(dataDir, "rows_by_key");
    const store = await open(dataDir);
    expect(await store.scanSlots(0, 9)).toHaveLength(3);
    await store.commit(commitOf({ settings: [{ name: "n", value: "v" }] }));
    await store.close();
  });
});

describe("a SQLite store", () => {
  it("commits nothing more once a commit has failed, and still reads what was durable", async () => {
    const dataDir = await filledDir();
    await rawSql(dataDir, "CREATE TRIGGER full BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'disk trouble'); END");
    const store = await open(dataDir);
    const commit = commitOf({ rows: [rowOf("b", "new", "v")], log: [recordOf(2)] });
    await expect(store.commit(commit)).rejects.toThrow(/unknown state.*disk trouble/);
    await expect(store.commit(commitOf({}))).rejects.toThrow(/unknown state.*disk trouble/);
    expect(await store.buckets()).toEqual([{ bucket: "b", rows: 3 }]);
    await store.close();
    await rawSql(dataDir, "DROP TRIGGER full");
    const again = await open(dataDir);
    expect(await again.buckets()).toEqual([{ bucket: "b", rows: 3 }]);
    await again.commit(commit);
    await again.close();
  });

  it("finds everything by an index: only counting reads all of one", async () => {
    const dataDir = await filledDir();
    const connection = await Connection.open(join(dataDir, "data.db"), "read");
    const scans = new Map<string, string[]>();
    for (const [name, sql] of Object.entries(READ_SQL)) {
      const values = Array.from(
        { length: Math.max(...[...sql.matchAll(/\?(\d)/g)].map(([, n]) => Number(n)), 0) },
        () => 0,
      );
      const plan = await connection.all<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, ...values);
      const scanned = plan
        .map(({ detail }) => detail)
        .filter((detail) => /SCAN (r|l|rows|log|journal|deletions)\b/.test(detail));
      if (scanned.length > 0) scans.set(name, scanned);
    }
    await connection.close();
    expect(Object.fromEntries(scans)).toEqual({
      // What counts reads an index from end to end.
      buckets: ["SCAN rows USING COVERING INDEX rows_by_key"],
      countConflicts: ["SCAN rows USING COVERING INDEX rows_in_conflict"],
      // These begin at the start and end with the limit, or hold flagged records alone.
      awaiting: ["SCAN log USING INDEX log_awaiting"],
    });
  });

  it("keeps its WAL within bounds while it writes much more", async () => {
    const dataDir = await newDir();
    const store = await open(dataDir);
    let walBytesMax = 0;
    for (let n = 0; n < 24; n++) {
      const body = Buffer.alloc(1 << 20, `${n}`);
      await store.commit(commitOf({ rows: Array.from({ length: 8 }, (_, i) => rowOf("b", `k${i}`, body)) }));
      walBytesMax = Math.max(walBytesMax, (await stat(join(dataDir, "data.db-wal"))).size);
    }
    expect(walBytesMax).toBeGreaterThan(1 << 20);
    expect(walBytesMax).toBeLessThan(96 << 20);
    await store.close();
  });

  it("gives the room of deleted rows back to the file system, a little with each commit", async () => {
    const dataDir = await newDir();
    const store = await open(dataDir);
    const rows = Array.from({ length: 600 }, (_, i) => rowOf("b", `k${i}`, Buffer.alloc(64 << 10, "x")));
    await store.commit(commitOf({ rows }));
    await store.commit(commitOf({ rows: rows.map(({ key }) => rowOf("b", key, null)) }));
    // The share of free pages is looked at with each checkpoint beside the writer, every 8192 pages or so.
    const body = Buffer.alloc(128 << 10, "y");
    const file = join(dataDir, "data.db");
    // How many commits that takes depends on how fast the checkpoints beside them come along.
    for (let n = 0; n < 400 || (n < 3_000 && (await stat(file)).size >= 20 << 20); n++)
      await store.commit(commitOf({ rows: [rowOf("b", "other", body)] }));
    await store.close();
    expect((await stat(file)).size).toBeLessThan(20 << 20);
  });
});
