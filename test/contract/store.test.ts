import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import {
  damageLog,
  damageRow,
  damageSums,
  type MemoryStore,
  openMemoryStore,
  type StoreImage,
} from "../../src/storage/memory.ts";
import { openSqliteStore } from "../../src/storage/sqlite.ts";
import { Connection } from "../../src/storage/sqlite-connection.ts";
import { describeStore } from "../../src/storage/store.test-kit.ts";

const made: string[] = [];

afterAll(async () => {
  for (const dataDir of made) await rm(dataDir, { recursive: true, force: true });
});

async function withRawSql(dataDir: string, run: (connection: Connection) => Promise<unknown>): Promise<void> {
  const connection = await Connection.open(join(dataDir, "data.db"), "write");
  await run(connection);
  await connection.close();
}

const FLIP_LAST =
  "substr(sealed, 1, length(sealed) - 1) || CASE hex(substr(sealed, -1)) WHEN '00' THEN x'01' ELSE x'00' END";

describeStore("SQLite", {
  newDir: async () => {
    const dataDir = await mkdtemp(join(tmpdir(), "starling-store-"));
    made.push(dataDir);
    return dataDir;
  },
  open: (dataDir) => openSqliteStore({ dataDir, nowMs: () => 0 }),
  damageRow: (dataDir, bucket, key, how) =>
    withRawSql(dataDir, (connection) =>
      connection.run(
        `${how === "flip" ? `UPDATE rows SET sealed = CAST(${FLIP_LAST} AS BLOB)` : "DELETE FROM rows"} WHERE bucket = ?1 AND key = ?2`,
        bucket,
        Buffer.from(key),
      ),
    ),
  damageLog: (dataDir, pos) =>
    withRawSql(dataDir, (connection) =>
      connection.run(`UPDATE log SET sealed = CAST(${FLIP_LAST} AS BLOB) WHERE pos = ?1`, pos),
    ),
  damageSums: (dataDir, partition) =>
    withRawSql(dataDir, (connection) =>
      connection.run(`UPDATE sums SET sealed = CAST(${FLIP_LAST} AS BLOB) WHERE partition = ?1`, partition),
    ),
});

const images = new Map<string, StoreImage>();
const open = new Map<string, MemoryStore>();

function imageOf(dataDir: string): StoreImage | undefined {
  return open.get(dataDir)?.image() ?? images.get(dataDir);
}

async function changeImage(dataDir: string, change: (image: StoreImage) => StoreImage): Promise<void> {
  const image = imageOf(dataDir);
  if (image) images.set(dataDir, change(image));
  open.delete(dataDir);
}

let memoryStores = 0;

describeStore("memory", {
  newDir: async () => `${memoryStores++}`,
  open: async (dataDir) => {
    const image = imageOf(dataDir);
    const store = openMemoryStore(image ? { image } : {});
    open.set(dataDir, store);
    return store;
  },
  damageRow: (dataDir, bucket, key, how) => changeImage(dataDir, (image) => damageRow(image, bucket, key, how)),
  damageLog: (dataDir, pos) => changeImage(dataDir, (image) => damageLog(image, pos)),
  damageSums: (dataDir, partition) => changeImage(dataDir, (image) => damageSums(image, partition)),
});
