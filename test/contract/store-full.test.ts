import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { makeActorId, parseNodeId } from "../../src/kernel/ids.ts";
import { openSqliteStore } from "../../src/storage/sqlite.ts";
import type { Store } from "../../src/storage/store.ts";
import { commitOf, DiskFullError } from "../../src/storage/store.ts";
import { recordOf, rowOf } from "../../src/storage/store-subject.test-kit.ts";

const isRoot = process.getuid?.() === 0;
const mounted: string[] = [];

/** A disk of 8 MiB. */
function smallDisk(): string {
  const dir = mkdtempSync(join(tmpdir(), "starling-full-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "starling-test", dir]);
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
