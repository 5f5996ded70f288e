import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { makeActorId, parseNodeId } from "../../src/kernel/ids.ts";
import { openSqliteStore } from "../../src/storage/sqlite.ts";
import { backstopPages, PAGE_BYTES } from "../../src/storage/sqlite-checkpoints.ts";
import type { Store } from "../../src/storage/store.ts";
import { commitOf, DiskFullError } from "../../src/storage/store.ts";
import { recordOf, rowOf } from "../../src/storage/store-subject.test-kit.ts";

const isRoot = process.getuid?.() === 0;
const mounted: string[] = [];

function smallDisk(mib = 8): string {
  const dir = mkdtempSync(join(tmpdir(), "starling-full-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${mib}m`, "starling-test", dir]);
  mounted.push(dir);
  return dir;
}

afterEach(() => {
  for (const dir of mounted.splice(0)) {
    execFileSync("umount", [dir]);
    rmSync(dir, { recursive: true });
  }
});

const open = (dir: string): Promise<Store> => openSqliteStore({ dataDir: join(dir, "data"), nowMs: () => 0 });

/** Commits rows until there is no more room; returns how many went in. */
async function fillUp(store: Store): Promise<number> {
  for (let pos = 1; pos <= 10_000; pos++) {
    const row = rowOf("b", `k${pos}`, "x".repeat(20_000));
    try {
      await store.commit(commitOf({ rows: [row], log: [recordOf(pos)] }));
    } catch (error) {
      expect(error).toBeInstanceOf(DiskFullError);
      return pos - 1;
    }
  }
  throw new Error("8 MiB took 200 MB");
}

describe("the bound of the WAL", () => {
  it.each([
    ["64 MiB where the disk is large", 2 ** 40, 64],
    ["64 MiB from half a GiB on", 2 ** 29, 64],
    ["an eighth of a smaller one", 2 ** 26, 8],
    ["a MiB at least", 2 ** 20, 1],
    ["64 MiB where its size is unknown", Number.POSITIVE_INFINITY, 64],
  ])("is %s", (_, diskBytes, mib) => {
    expect(backstopPages(diskBytes) * PAGE_BYTES).toBe(mib * 2 ** 20);
  });
});

describe.skipIf(!isRoot)("a SQLite store on a small disk (skipped without root, for a tmpfs)", () => {
  it("takes an eighth of it for its WAL at most, give or take a commit", async () => {
    const dir = smallDisk(64);
    const store = await open(dir);
    let walBytesMax = 0;
    // The same rows again and again: three times what the disk has room for, were it all to stay in the WAL.
    for (let n = 0; n < 200; n++) {
      const rows = Array.from({ length: 50 }, (_, i) => rowOf("b", `k${i}`, `${n % 10}`.repeat(20_000)));
      await store.commit(commitOf({ rows }));
      walBytesMax = Math.max(walBytesMax, statSync(join(dir, "data", "data.db-wal")).size);
    }
    expect(walBytesMax).toBeLessThan(11 * 2 ** 20);
    await store.close();
  });
});

describe.skipIf(!isRoot)("a SQLite store on a full disk (skipped without root, for a tmpfs)", () => {
  it("refuses a commit whole, and goes on when there is room", async () => {
    const dir = smallDisk();
    writeFileSync(join(dir, "ballast"), new Uint8Array(2 ** 21));
    let store = await open(dir);
    const stored = await fillUp(store);
    expect(stored).toBeGreaterThan(10);
    expect((await store.usage()).freeBytes).toBeLessThan(2 ** 20);
    // Refused again, and by the way of many statements too: an actor that is new here, and a row that goes.
    const actor = makeActorId(parseNodeId("us"), 7, 7);
    const fresh = recordOf(stored + 1, { actor, first: 1, body: new Uint8Array(100_000) });
    await expect(store.commit(commitOf({ log: [fresh] }))).rejects.toBeInstanceOf(DiskFullError);
    // Nothing of what was refused shows.
    const missing = rowOf("b", `k${stored + 1}`, "");
    expect(await store.readRows([missing])).toEqual([undefined]);
    expect((await store.readLog(stored, 10, 2 ** 20)).length).toBe(0);

    rmSync(join(dir, "ballast"));
    await store.commit(commitOf({ log: [fresh], rows: [rowOf("b", "after", "1")] }));
    await store.close();
    store = await open(dir);
    expect((await store.load()).lastPos).toBe(stored + 1);
    expect((await store.readLogOf(0, actor, 1, 10, 2 ** 20)).map(({ pos }) => pos)).toEqual([stored + 1]);
    expect(await store.readRows([rowOf("b", "after", "1")])).toEqual([rowOf("b", "after", "1")]);
    expect((await store.readRows([rowOf("b", "k1", "")]))[0]?.body?.length).toBe(20_000);
    await store.close();
  });
});
