import { closeSync, cpSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import sqlite3 from "sqlite3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { json, RealCluster, type RealNode, until } from "./cluster.ts";

const PAGE_BYTES = 4_096;
/** Logs are cut within the test: sums can then not be worked out from them. */
const SHORT_HISTORY = '[replication]\nhistory = "2s"\nsync_interval = "500ms"\n';
const KEYS = 300;

function sql<Row>({ dataDir }: RealNode, statement: string): Promise<Row[]> {
  return new Promise((resolve, reject) => {
    const db = new sqlite3.Database(join(dataDir, "data.db"));
    db.all<Row>(statement, (error, rows) => db.close(() => (error ? reject(error) : resolve(rows))));
  });
}

/** Overwrites the root page of a table or an index. */
async function breakTree(node: RealNode, name: string): Promise<void> {
  const [found] = await sql<{ rootpage: number }>(node, `SELECT rootpage FROM sqlite_schema WHERE name = '${name}'`);
  const file = openSync(join(node.dataDir, "data.db"), "r+");
  writeSync(file, Buffer.alloc(PAGE_BYTES, 0xff), 0, PAGE_BYTES, ((found?.rootpage ?? 0) - 1) * PAGE_BYTES);
  closeSync(file);
}

describe("damage in one node's file, outside its rows", () => {
  let cluster: RealCluster;
  let ap: RealNode;
  beforeAll(async () => {
    cluster = await RealCluster.make(["eu", "us", "ap"], SHORT_HISTORY);
    ap = cluster.node("ap");
    await cluster.startAll();
    const items = Array.from({ length: KEYS }, (_, i) => ({ action: "put", bucket: "b", key: `k${i}`, value: i }));
    const put = await fetch(`${cluster.node("eu").url}/v1/batch`, json("POST", { items }));
    expect(put.status).toBe(200);
    await cluster.converged();
    await until("ap's log is cut", async () => (await cutPartitions()) > 40, 60_000);
  }, 120_000);
  afterAll(() => cluster.stopAll());

  async function cutPartitions(): Promise<number> {
    const { partitions } = (await (await fetch(`${ap.url}/v1/partitions`)).json()) as {
      partitions: { floor: object }[];
    };
    return partitions.filter(({ floor }) => Object.keys(floor).length > 0).length;
  }

  /** What the node said since, once it has ended. */
  async function endOf(logFrom: number): Promise<string> {
    await until("ap has stopped", async () => ap.process === null, 15_000);
    return cluster.log("ap").slice(logFrom);
  }

  function expectAdvice(log: string, reason: RegExp): void {
    expect(log).toMatch(/^starling: the data in .* is damaged \(.*\)\. To restore it from the peers, empty the data/m);
    expect(log).toMatch(reason);
    expect(log, "no stack trace for the operator").not.toMatch(/^\s+at /m);
  }

  async function restoreFromPeers(): Promise<void> {
    rmSync(ap.dataDir, { recursive: true });
    await cluster.start("ap");
    await cluster.converged();
  }

  it("of saved sums: the node starts with the digest it had, and asks its peers", { timeout: 120_000 }, async () => {
    const [sound] = await cluster.digests();
    await cluster.kill("ap", "SIGTERM");
    await sql(ap, "UPDATE sums SET sealed = zeroblob(length(sealed)) WHERE partition IN (3, 5)");
    await sql(ap, "UPDATE sums SET pos = pos + 1 WHERE partition = 8");
    await cluster.start("ap");
    for (const { digest, records } of await cluster.digests())
      expect({ digest, records }).toEqual({ digest: sound?.digest, records: KEYS });
    expect(cluster.log("ap").match(/"event":"storage.sums-lost"/g)).toHaveLength(3);
    for (let i = 0; i < KEYS; i++) expect(await (await fetch(`${ap.url}/v1/kv/b/k${i}`)).json()).toBe(i);
    const marks = async (): Promise<number> =>
      (await sql<{ n: number }>(ap, "SELECT count(*) AS n FROM damaged"))[0]?.n ?? 0;
    await until("every leaf is sound again", async () => (await marks()) === 0, 60_000);
    await cluster.converged();
    const child = ap.process;
    await cluster.kill("ap", "SIGTERM");
    expect(child?.exitCode, "the links that healed it are closed with the others").toBe(0);
    await cluster.start("ap");
  });

  it.each([
    ["vectors", "UPDATE vectors SET seq = seq + 1", /vectors: the entry of partition \d+ .* is damaged/],
    ["floors", "UPDATE floors SET seq = seq + 1", /floors: the entry of partition \d+ .* is damaged/],
    ["counters", "UPDATE counters SET value = value + 1", /counter \w+ is damaged/],
    ["settings", "UPDATE settings SET sealed = zeroblob(length(sealed))", /setting .* is damaged/],
  ])("of %s: the node refuses to start and says what to do", { timeout: 60_000 }, async (_, damage, reason) => {
    await cluster.kill("ap", "SIGTERM");
    cpSync(ap.dataDir, `${ap.dataDir}.kept`, { recursive: true });
    await sql(ap, damage);
    const from = cluster.log("ap").length;
    await expect(cluster.start("ap")).rejects.toThrow("ended with 1");
    expectAdvice(await endOf(from), reason);
    rmSync(ap.dataDir, { recursive: true });
    cpSync(`${ap.dataDir}.kept`, ap.dataDir, { recursive: true });
    rmSync(`${ap.dataDir}.kept`, { recursive: true });
    await cluster.start("ap");
  });

  it.each([
    ["a read", "rows_by_key", async () => (await fetch(`${ap.url}/v1/kv/b/k1`)).status],
    ["a listing", "rows_by_key", async () => (await fetch(`${ap.url}/v1/kv/b`)).status],
    ["the list of conflicts", "rows_in_conflict", async () => (await fetch(`${ap.url}/v1/conflicts`)).status],
  ])(
    "of its structure: %s finds it, and the node stops and says what to do",
    {
      timeout: 90_000,
    },
    async (_, tree, read) => {
      await cluster.kill("ap", "SIGTERM");
      await breakTree(ap, tree);
      const from = cluster.log("ap").length;
      await cluster.start("ap");
      const child = ap.process;
      expect(await read()).toBe(503);
      const log = await endOf(from);
      expect(child?.exitCode).toBe(1);
      expectAdvice(log, /a read failed: SQLITE_CORRUPT/);
      expect(log).toMatch(/"level":"error".*"event":"replica\.failed"/);
      await restoreFromPeers();
      expect(await (await fetch(`${ap.url}/v1/kv/b/k1`)).json()).toBe(1);
    },
  );
});
