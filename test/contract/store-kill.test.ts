import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { seededRng } from "../../src/kernel/rng.ts";
import { openSqliteStore } from "../../src/storage/sqlite.ts";

const KILLS = 15;

// Node 20 runs no TypeScript: the child is what `npm test` compiled.
const CHILD = join(import.meta.dirname, "../../dist/test/contract/store-writer.child.js");

/** Starts a process that commits until it is killed. */
function startWriter(dataDir: string) {
  const child = spawn(process.execPath, [CHILD, dataDir], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString("latin1");
  });
  const lines = () => output.split("\n").slice(0, -1);
  const ended = once(child, "close").then(() => "ended");
  return {
    child,
    ended,
    acknowledged: () => Number(lines().at(-1) ?? 0),
    /** Resolves when so many commits are acknowledged. */
    until: async (count: number) => {
      while (lines().length < count) {
        const next = await Promise.race([once(child.stdout, "data"), ended]);
        if (next === "ended") throw new Error(`the writer ended after ${lines().length} commits`);
      }
    },
  };
}

describe("a SQLite store whose process is killed", () => {
  let folder = "";
  beforeAll(async () => {
    if (!existsSync(CHILD)) throw new Error(`${CHILD} is missing: npm test builds it first (node bin/setup.mjs --dev)`);
    folder = await mkdtemp(join(tmpdir(), "starling-kill-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it(`keeps every acknowledged commit, and all or nothing of the next, over ${KILLS} kills`, {
    timeout: 120_000,
  }, async () => {
    const dataDir = join(folder, "data");
    const rng = seededRng(7);
    let kept = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const writer = startWriter(dataDir);
      await writer.until(1 + rng.below(kill % 5 === 0 ? 250 : 40));
      if (kill === 0)
        await expect(openSqliteStore({ dataDir, nowMs: () => 0 })).rejects.toMatchObject({ slug: "data-dir-in-use" });
      writer.child.kill("SIGKILL");
      // "close" comes when all that the child wrote has been read.
      await writer.ended;
      const found = await commitsIn(dataDir);
      expect(found).toBeGreaterThanOrEqual(writer.acknowledged());
      expect(found).toBeLessThanOrEqual(writer.acknowledged() + 1);
      expect(found).toBeGreaterThan(kept);
      kept = found;
    }
  });
});

/** The number of the last commit; fails when what it left is not exactly one commit's work. */
async function commitsIn(dataDir: string): Promise<number> {
  const store = await openSqliteStore({ dataDir, nowMs: () => 0 });
  const { settings, vectors, lastPos } = await store.load();
  const n = Number(settings.get("n"));
  expect(vectors.map(({ seq }) => seq)).toEqual([n]);
  expect(lastPos).toBe(n * 10);
  expect((await store.logSize()).records).toBe(n * 10);
  const body = Buffer.alloc(4096, `${n} `);
  const rows = await store.scanSlots(0, 2 ** 32);
  expect(rows).toHaveLength(40);
  for (const row of rows) expect(row.body && body.equals(row.body)).toBe(true);
  expect(await store.countConflicts()).toBe(n % 2 === 1 ? 40 : 0);
  const last = await store.readLog(lastPos - 10, 11, 1 << 20);
  expect(last.map(({ first, pos }) => `${first} ${pos}`)).toEqual(
    Array.from({ length: 10 }, (_, i) => `${n} ${lastPos - 9 + i}`),
  );
  await store.close();
  return n;
}
