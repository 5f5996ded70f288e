import { copyFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { founded, NOTHING_SAVED } from "../../src/consensus/core/core.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import { seededRng } from "../../src/kernel/rng.ts";
import { MemoryRaftStore, type RaftImage } from "../../src/storage/memory-raft.ts";
import { describeRaftStore } from "../../src/storage/raft-store.test-kit.ts";
import { Connection } from "../../src/storage/sqlite-connection.ts";
import { openSqliteRaft } from "../../src/storage/sqlite-raft.ts";

const made: string[] = [];
afterAll(async () => {
  for (const dataDir of made) await rm(dataDir, { recursive: true, force: true });
});

async function newDir(): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), "starling-raft-"));
  made.push(dataDir);
  return dataDir;
}

async function withRawSql<T>(dataDir: string, run: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await Connection.open(join(dataDir, "consensus.sqlite"), "write");
  try {
    return await run(connection);
  } finally {
    await connection.close();
  }
}

interface Row {
  readonly id: number;
  readonly sealed: Buffer;
}

/** The mark first and the WAL last: a copy takes time, and a crash takes none. Again when a file came, went or was cut
 *  meanwhile. */
async function copyOf(dataDir: string): Promise<string> {
  for (;;) {
    const copy = await newDir();
    const before = await filesOf(dataDir);
    const files = (await readdir(dataDir)).sort((a, b) => rank(a) - rank(b));
    try {
      // Not `copyFile`: it never ends (seen) when its source is cut shorter meanwhile.
      for (const file of files) await writeFile(join(copy, file), await readFile(join(dataDir, file)));
      if ((await filesOf(dataDir)) === before) return copy;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    }
  }
}

/** Which there are, and how long they are. */
async function filesOf(dataDir: string): Promise<string> {
  const found: string[] = [];
  for (const file of (await readdir(dataDir)).sort())
    try {
      const { ino, size } = await stat(join(dataDir, file));
      found.push(`${file} ${ino} ${size}`);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    }
  return found.join();
}

const rank = (file: string): number => (file.endsWith(".mark") ? 0 : file.endsWith("-wal") ? 2 : 1);

function placeOf(record: string): { table: string; id: number } {
  const [kind = "", index = "0"] = record.split(" ");
  return { table: kind === "entry" ? "entries" : kind, id: Number(index) };
}

function flipped(sealed: Uint8Array, at: number): Uint8Array {
  const copy = new Uint8Array(sealed);
  copy[at] = (copy[at] as number) ^ (1 << (at % 8));
  return copy;
}

describeRaftStore("SQLite", {
  newDir,
  open: openSqliteRaft,
  crashed: copyOf,
  records: (dataDir) =>
    withRawSql(dataDir, async (connection) => {
      const found: { name: string; bytes: number }[] = [];
      for (const table of ["state", "snapshot", "entries"])
        for (const { id, sealed } of await connection.all<Row>(`SELECT id, sealed FROM ${table}`))
          found.push({ name: table === "entries" ? `entry ${id}` : table, bytes: sealed.length });
      return found;
    }),
  damage: (dataDir, record, how) =>
    withRawSql(dataDir, async (connection) => {
      const { table, id } = placeOf(record);
      if (how === "remove") {
        await connection.run(`DELETE FROM ${table} WHERE id = ?1`, id);
        return;
      }
      const { sealed } = await connection.one<Row>(`SELECT id, sealed FROM ${table} WHERE id = ?1`, id);
      await connection.run(`UPDATE ${table} SET sealed = ?2 WHERE id = ?1`, id, Buffer.from(flipped(sealed, how.flip)));
    }),
});

const images = new Map<string, MemoryRaftStore>();
const imageOf = (dataDir: string): RaftImage | undefined => images.get(dataDir)?.image;
let dirs = 0;

function changeImage(dataDir: string, change: (image: RaftImage) => RaftImage): void {
  const image = imageOf(dataDir);
  if (image) images.set(dataDir, new MemoryRaftStore(change(image)));
}

describeRaftStore("memory", {
  newDir: async () => `${dirs++}`,
  open: async (dataDir) => {
    const store = new MemoryRaftStore(imageOf(dataDir));
    images.set(dataDir, store);
    return store;
  },
  crashed: async (dataDir) => {
    const copy = `${dirs++}`;
    images.set(copy, new MemoryRaftStore(imageOf(dataDir)));
    return copy;
  },
  records: async (dataDir) => {
    const { state, snapshot, entries } = imageOf(dataDir) ?? { state: null, snapshot: null, entries: [] };
    return [
      ...(state ? [{ name: "state", bytes: state.length }] : []),
      ...(snapshot ? [{ name: "snapshot", bytes: snapshot.length }] : []),
      ...entries.map(([index, sealed]) => ({ name: `entry ${index}`, bytes: sealed.length })),
    ];
  },
  damage: async (dataDir, record, how) =>
    changeImage(dataDir, (image) => {
      const change = (sealed: Uint8Array): Uint8Array => (how === "remove" ? sealed : flipped(sealed, how.flip));
      const { table, id } = placeOf(record);
      if (table === "state" || table === "snapshot") {
        const sealed = image[table];
        return { ...image, [table]: how === "remove" || !sealed ? null : change(sealed) };
      }
      const others = image.entries.filter(([index]) => how !== "remove" || index !== id);
      return { ...image, entries: others.map(([index, sealed]) => [index, index === id ? change(sealed) : sealed]) };
    }),
});

/** A directory with a log of some length, as a clean end leaves it, or with the WAL that a crash leaves. */
async function withLog(end: "closed" | "killed"): Promise<string> {
  const dataDir = await newDir();
  const store = await openSqliteRaft(dataDir);
  await store.create(
    { cluster: "c", node: "n1", instance: "0".repeat(32) },
    founded(["n1", "n2"], utf8("the first state")),
  );
  await store.load();
  for (let index = 2; index < 40; index++) {
    const payload = { kind: "command", data: utf8(`command ${index} `.repeat(10)) } as const;
    const hardState = { term: index >> 2, vote: "n2", committed: index - 1 };
    await store.save({ hardState, snapshot: null, entries: [{ index, term: 1, payload }] });
  }
  const copy = end === "killed" ? await copyOf(dataDir) : dataDir;
  await store.close();
  return copy;
}

/** A new and empty log in the place of what is there. */
async function replaced(dataDir: string): Promise<void> {
  const store = await openSqliteRaft(dataDir);
  try {
    await store.replace({ cluster: "c", node: "n1", instance: "1".repeat(32) }, NOTHING_SAVED);
  } finally {
    await store.close();
  }
}

/** What a start makes of it: what it read, or the sentence with which it refused. */
async function startOf(dataDir: string): Promise<string> {
  try {
    const store = await openSqliteRaft(dataDir);
    try {
      const load = await store.load();
      if (load.kind === "whole") return JSON.stringify(load.saved);
      return load.kind === "damaged" ? `refused: ${load.reason}` : "nothing";
    } finally {
      await store.close();
    }
  } catch (error) {
    return `refused: ${error instanceof Error ? error.message : String(error)}`;
  }
}

describe("a SQLite file of a Raft log", () => {
  it.each([
    ["consensus.sqlite", "closed"],
    ["consensus.sqlite", "killed"],
    ["consensus.sqlite-wal", "killed"],
    ["consensus.mark", "killed"],
  ] as const)(
    "%s with one byte flipped (after it was %s) is read as it was, or refused with a sentence",
    async (name, end) => {
      const rng = seededRng(17);
      const original = await withLog(end);
      const right = await startOf(await copyOf(original));
      expect(right).toContain('"entries"');
      let refused = 0;
      for (let i = 0; i < 50; i++) {
        const dataDir = await copyOf(original);
        const file = join(dataDir, name);
        const bytes = await readFile(file);
        const at = rng.below(bytes.length);
        bytes[at] = (bytes[at] as number) ^ (1 << rng.below(8));
        await writeFile(file, bytes);
        const found = await startOf(dataDir);
        if (found !== right) expect(found, `byte ${at}`).toMatch(/^refused: .{20,}/);
        if (found !== right) refused += 1;
        await rm(dataDir, { recursive: true });
      }
      // Of a killed one most pages are in the WAL yet; what the mark alone says is that nothing is missing.
      if (name !== "consensus.mark") expect(refused).toBeGreaterThan(end === "closed" || name.endsWith("-wal") ? 5 : 0);
    },
  );

  it("that is gone, or whose WAL is gone, is missed", async () => {
    for (const name of ["consensus.sqlite", "consensus.sqlite-wal"]) {
      const dataDir = await withLog("killed");
      await rm(join(dataDir, name));
      expect(await startOf(dataDir), name).toMatch(/refused: .*(is gone|are gone)/);
    }
  });

  it.each(["closed", "killed"] as const)(
    "that was replaced is missed when somebody puts it back (it was %s), whatever else is there",
    async (end) => {
      const dataDir = await withLog(end);
      const old = await copyOf(dataDir);
      await replaced(dataDir);
      // Nobody has loaded it here yet.
      expect(JSON.parse(await startOf(await copyOf(dataDir)))).toMatchObject({ entries: [], snapshot: null });
      for (const name of await readdir(old))
        if (!name.endsWith(".mark")) await copyFile(join(old, name), join(dataDir, name));
      expect(await startOf(dataDir)).toMatch(/refused: its last \d+ writes are gone/);
    },
  );

  it.each([
    ["consensus.sqlite", "closed"],
    ["consensus.sqlite", "killed"],
    ["consensus.sqlite-wal", "killed"],
    ["consensus.mark", "killed"],
  ] as const)("%s with bytes flipped (after it was %s) can be begun anew", async (name, end) => {
    const rng = seededRng(19);
    const original = await withLog(end);
    for (let i = 0; i < 15; i++) {
      const dataDir = await copyOf(original);
      const file = join(dataDir, name);
      const bytes = await readFile(file);
      // The head of the file too: that is where SQLite looks whether it is a database at all.
      for (let flips = 0; flips < 20; flips++) {
        const at = rng.below(flips === 0 ? Math.min(100, bytes.length) : bytes.length);
        bytes[at] = (bytes[at] as number) ^ (1 << rng.below(8));
      }
      await writeFile(file, bytes);
      await replaced(dataDir);
      expect(JSON.parse(await startOf(dataDir)), `${i}`).toMatchObject({ entries: [], snapshot: null });
      await rm(dataDir, { recursive: true });
    }
  });

  it("is the old one until the new one has its name, and the new one from then on", async () => {
    const dataDir = await withLog("killed");
    const old = await copyOf(dataDir);
    await replaced(dataDir);
    const right = await startOf(await copyOf(old));
    const cutOff = await copyOf(old);
    await copyFile(join(dataDir, "consensus.sqlite"), join(cutOff, "consensus.sqlite.new"));
    expect(await startOf(cutOff)).toBe(right);
    // What the mark says was not on the disk yet when the power went.
    await copyFile(join(old, "consensus.mark"), join(dataDir, "consensus.mark"));
    expect(JSON.parse(await startOf(dataDir))).toMatchObject({ entries: [], snapshot: null });
  });

  it("that is gone can be begun anew, and what it left beside it is not read into the new one", async () => {
    const dataDir = await withLog("killed");
    await rm(join(dataDir, "consensus.sqlite"));
    await replaced(dataDir);
    expect(JSON.parse(await startOf(dataDir))).toMatchObject({ entries: [], snapshot: null });
  });

  it("whose creation was cut off is nothing yet", async () => {
    const dataDir = await newDir();
    await writeFile(join(dataDir, "consensus.sqlite.new"), "half a file");
    expect(await startOf(dataDir)).toBe("nothing");
  });
});
