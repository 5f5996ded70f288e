import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sqlite3 from "sqlite3";
import { parseActorId } from "../src/kernel/ids.ts";
import { seededRng } from "../src/kernel/rng.ts";
import { openSqliteStore } from "../src/storage/sqlite.ts";
import { Connection } from "../src/storage/sqlite-connection.ts";
import { type Commit, commitOf } from "../src/storage/store.ts";
import { type Figure, machineLine, median, percentile, type Report } from "./machine.ts";

// Question: how many map records a second can the store take for good, each with its log record and vector, against a plain
// table that takes only the records? Peer: node-sqlite3 itself, one table, one transaction a batch, with one statement a
// batch and with one call a row. Same machine, same run, same durability (WAL, synchronous=FULL), new files each.

// Run: npm run -s bench -- storage

export interface StorageBenchOptions {
  readonly rounds?: number;
  readonly rows?: number;
  readonly batchRows?: number;
}

interface Row {
  readonly key: string;
  readonly slot: number;
  readonly body: Uint8Array;
  readonly entry: Uint8Array;
}

/** One way to write, measured once. */
interface Measured {
  readonly rowsPerSecond: number;
  readonly commitMs: readonly number[];
  /** Share of the time in which the event loop was busy. */
  readonly loopShare: number;
}

const BODY_BYTES = 400;
const ENTRY_BYTES = 500;
const PARTITIONS_BITS = 6;
const ACTOR = parseActorId("eu@m1abc.0000000a");

export async function run(options: StorageBenchOptions = {}): Promise<Report> {
  const { rounds = 3, rows: count = 60_000, batchRows = 200 } = options;
  const sorted = makeRows(count);
  const found = new Map<string, Measured[]>();
  const measure = async (name: string, ...how: Parameters<typeof measureOne>): Promise<void> => {
    const measured = await measureOne(...how);
    found.set(name, [...(found.get(name) ?? []), measured]);
  };
  // Round by round, so that a slow minute of the machine falls on all alike.
  for (let round = 0; round < rounds; round++) {
    for (const order of ["key order", "random order"]) {
      const rows = order === "key order" ? sorted : shuffled(sorted);
      await measure(`store, ${order}`, openStore, rows, batchRows);
      await measure(`plain, ${order}`, openPlain("batch"), rows, batchRows);
      await measure(`calls, ${order}`, openPlain("row"), rows, batchRows);
    }
    await measure("store, large commits", openStore, shuffled(sorted), 1000);
    await measure("store, updates", openStore, shuffled(sorted), batchRows, "after writing them once");
  }
  return {
    bench: "storage",
    question: `records of ${BODY_BYTES} B durably in the store, each with a log record of ${ENTRY_BYTES} B; ${batchRows} a commit`,
    machine: machineLine(),
    peers: [
      `node-sqlite3 with SQLite ${sqlite3.VERSION}: one table (key, body), WAL, synchronous=FULL, ${batchRows} rows a transaction`,
    ],
    figures: figuresOf(found),
  };
}

function figuresOf(found: ReadonlyMap<string, readonly Measured[]>): Figure[] {
  const of = (name: string): readonly Measured[] => found.get(name) ?? [];
  const rate = (name: string): number => median(of(name).map((measured) => measured.rowsPerSecond));
  const rows = (name: string, key: string, more: Partial<Figure> = {}): Figure => {
    return { name, value: rate(key), unit: "rows/s", ...more };
  };
  const ratio = (name: string, a: string, b: string): Figure => ({ name, value: rate(a) / rate(b), unit: "×" });
  const commitMs = of("store, random order").flatMap((measured) => measured.commitMs);
  const loopShare = median(of("store, random order").map((measured) => measured.loopShare));
  return [
    rows("store, keys in order", "store, key order", { aim: { atLeast: 20_000 } }),
    rows("store, keys in random order", "store, random order", { aim: { atLeast: 20_000 } }),
    rows("store, keys in random order, 1000 a commit", "store, large commits"),
    rows("store, updates in random order", "store, updates"),
    { name: "commit in random order, p50", value: percentile(commitMs, 0.5), unit: "ms" },
    { name: "commit in random order, p99", value: percentile(commitMs, 0.99), unit: "ms" },
    { name: "event loop busy, random order", value: 100 * loopShare, unit: "%" },
    rows("plain, one statement a batch, keys in order", "plain, key order"),
    rows("plain, one statement a batch, keys in random order", "plain, random order"),
    rows("plain, one call a row, keys in order", "calls, key order"),
    rows("plain, one call a row, keys in random order", "calls, random order"),
    ratio("store to plain statement, keys in order", "store, key order", "plain, key order"),
    ratio("store to plain statement, random order", "store, random order", "plain, random order"),
    ratio("store to plain calls, keys in order", "store, key order", "calls, key order"),
    ratio("store to plain calls, random order", "store, random order", "calls, random order"),
  ];
}

/** Keys like those of places ("de/by/place-0001234"), bodies and entries of the size of a map record's. */
function makeRows(count: number): Row[] {
  const noise = randomBytes(1 << 20);
  return Array.from({ length: count }, (_, i): Row => {
    const at = (i * 977) % (noise.length - ENTRY_BYTES);
    return {
      key: `de/by/place-${String(i).padStart(7, "0")}`,
      slot: noise.readUInt32LE((i * 7919) % (noise.length - 4)),
      body: noise.subarray(at, at + BODY_BYTES),
      entry: noise.subarray(at, at + ENTRY_BYTES),
    };
  });
}

function shuffled(rows: readonly Row[]): Row[] {
  const rng = seededRng(1);
  const out = [...rows];
  for (let i = out.length - 1; i > 0; i--) {
    const other = rng.below(i + 1);
    [out[i], out[other]] = [out[other] as Row, out[i] as Row];
  }
  return out;
}

interface Target {
  write(rows: readonly Row[]): Promise<void>;
  close(): Promise<void>;
}

async function measureOne(
  open: (dir: string) => Promise<Target>,
  rows: readonly Row[],
  batchRows: number,
  when?: "after writing them once",
): Promise<Measured> {
  const dir = await mkdtemp(join(tmpdir(), "starling-bench-"));
  const target = await open(dir);
  if (when) await writeAll(target, rows, batchRows);
  const loopBefore = performance.eventLoopUtilization();
  const startedMs = performance.now();
  const commitMs = await writeAll(target, rows, batchRows);
  const rowsPerSecond = (rows.length / (performance.now() - startedMs)) * 1000;
  const loopShare = performance.eventLoopUtilization(loopBefore).utilization;
  await target.close();
  await rm(dir, { recursive: true });
  return { rowsPerSecond, commitMs, loopShare };
}

async function writeAll(target: Target, rows: readonly Row[], batchRows: number): Promise<number[]> {
  const commitMs: number[] = [];
  for (let at = 0; at < rows.length; at += batchRows) {
    const began = performance.now();
    await target.write(rows.slice(at, at + batchRows));
    commitMs.push(performance.now() - began);
  }
  return commitMs;
}

async function openStore(dir: string): Promise<Target> {
  const store = await openSqliteStore({ dataDir: dir, nowMs: Date.now });
  const seqs = new Map<number, number>();
  let pos = 0;
  const toCommit = (rows: readonly Row[]): Commit => {
    const touched = new Set<number>();
    const log = rows.map(({ slot, entry }) => {
      const partition = slot >>> (32 - PARTITIONS_BITS);
      const seq = (seqs.get(partition) ?? 0) + 1;
      seqs.set(partition, seq);
      touched.add(partition);
      pos += 1;
      return {
        pos,
        partition,
        actor: ACTOR,
        first: seq,
        last: seq,
        body: entry,
        atMs: pos,
        slot,
        digestDelta: entry.subarray(0, 16),
        inventoryDelta: entry.subarray(0, 16),
        recordDelta: 1,
        awaits: false,
      };
    });
    return commitOf({
      rows: rows.map(({ key, slot, body }) => ({ bucket: "cities", key, slot, body, conflict: false })),
      log,
      vectors: [...touched].map((partition) => ({ partition, actor: ACTOR, seq: seqs.get(partition) ?? 0 })),
    });
  };
  return { write: (rows) => store.commit(toCommit(rows)), close: () => store.close() };
}

const PLAIN_BATCH = `INSERT INTO plain (key, body)
  SELECT substr(?2, m.value ->> 0, m.value ->> 1), substr(?2, (m.value ->> 0) + (m.value ->> 1), m.value ->> 2)
  FROM json_each(?1) m WHERE true ON CONFLICT (key) DO UPDATE SET body = excluded.body`;
const PLAIN_ROW = "INSERT INTO plain (key, body) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET body = excluded.body";

function openPlain(calls: "batch" | "row") {
  return async (dir: string): Promise<Target> => {
    const connection = await Connection.open(join(dir, "plain.db"), "create");
    await connection.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;
      PRAGMA cache_size = -32768; CREATE TABLE plain (key BLOB PRIMARY KEY, body BLOB NOT NULL)`);
    const write = async (rows: readonly Row[]): Promise<void> => {
      await connection.run("BEGIN IMMEDIATE");
      if (calls === "row") for (const { key, body } of rows) await connection.run(PLAIN_ROW, Buffer.from(key), body);
      else {
        const fields: number[][] = [];
        const parts: Uint8Array[] = [];
        let offset = 1;
        for (const row of rows) {
          const key = Buffer.from(row.key);
          fields.push([offset, key.length, row.body.length]);
          parts.push(key, row.body);
          offset += key.length + row.body.length;
        }
        await connection.run(PLAIN_BATCH, JSON.stringify(fields), Buffer.concat(parts));
      }
      await connection.run("COMMIT");
    };
    return { write, close: () => connection.close() };
  };
}
