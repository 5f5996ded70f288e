import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { seededRng } from "../../src/kernel/rng.ts";
import { openSqliteStore } from "../../src/storage/sqlite.ts";

const KILLS = 15;

describe("a SQLite store whose process is killed", () => {
  let folder = "";
  let program = "";

  // Node 20 runs no TypeScript: the child is compiled to one file first.
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "starling-kill-"));
    await build({
      logLevel: "error",
      configFile: false,
      build: {
        ssr: join(import.meta.dirname, "store-writer.child.ts"),
        outDir: join(folder, "program"),
        rolldownOptions: { output: { entryFileNames: "writer.mjs" } },
      },
      ssr: { noExternal: true, external: ["sqlite3"] },
    });
    program = join(folder, "program", "writer.mjs");
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  function startWriter(dataDir: string): {
    child: ChildProcess;
    acknowledged: () => number;
    until: (n: number) => Promise<void>;
  } {
    const loader = `import(${JSON.stringify(program)})`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", loader, dataDir], {
      cwd: join(import.meta.dirname, "../.."),
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      output += chunk.toString("latin1");
    });
    const lines = () => output.split("\n").slice(0, -1);
    return {
      child,
      acknowledged: () => Number(lines().at(-1) ?? 0),
      until: async (count) => {
        while (lines().length < count) await once(child.stdout ?? child, "data");
      },
    };
  }

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
      await once(writer.child, "close");
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
