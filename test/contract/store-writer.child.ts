import { writeSync } from "node:fs";
import { parseActorId } from "../../src/kernel/ids.ts";
import { openSqliteStore } from "../../src/storage/sqlite.ts";
import { commitOf } from "../../src/storage/store.ts";

/** Commits without end until it is killed, and prints the number of each commit once that is acknowledged. Commit n sets
 *  every row's body, the vector and a setting to n, and adds ten log records: a torn one shows. */
const [dataDir = ""] = process.argv.slice(2);
const actor = parseActorId("eu@m1abc.0000000a");
const store = await openSqliteStore({ dataDir, nowMs: () => 0 });

for (let n = (await store.load()).lastPos / 10 + 1; ; n++) {
  const body = Buffer.alloc(4096, `${n} `);
  await store.commit(
    commitOf({
      rows: Array.from({ length: 40 }, (_, i) => ({
        bucket: "b",
        key: `k${i}`,
        slot: i * 1e8,
        body,
        conflict: n % 2 === 1,
      })),
      log: Array.from({ length: 10 }, (_, i) => ({
        pos: (n - 1) * 10 + i + 1,
        partition: i,
        actor,
        first: n,
        last: n,
        body: Buffer.from(`${n}`),
        atMs: n,
        slot: 0,
        digestDelta: new Uint8Array(16),
        inventoryDelta: new Uint8Array(16),
        recordDelta: 0,
        awaits: false,
      })),
      vectors: [{ partition: 0, actor, seq: n }],
      settings: [{ name: "n", value: `${n}` }],
    }),
  );
  writeSync(1, `${n}\n`);
}
