import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import sqlite3 from "sqlite3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { json, RealCluster, until } from "./cluster.ts";

/** A short history, so that logs are cut within the test: whoever was away then catches up by a copy. */
const SHORT_HISTORY = '[replication]\nhistory = "2s"\nsync_interval = "500ms"\n';

let cluster: RealCluster;
const started: RealCluster[] = [];
afterAll(() => Promise.all(started.map((one) => one.stopAll())));

async function make(extra = ""): Promise<RealCluster> {
  const made = await RealCluster.make(["eu", "us", "ap"], extra);
  started.push(made);
  await made.startAll();
  return made;
}

async function put(name: string, keys: readonly string[], value: string): Promise<void> {
  await batch(
    name,
    keys.map((key) => ({ action: "put", bucket: "b", key, value })),
  );
}

async function del(name: string, keys: readonly string[]): Promise<void> {
  await batch(
    name,
    keys.map((key) => ({ action: "delete", bucket: "b", key })),
  );
}

async function batch(name: string, items: readonly object[]): Promise<void> {
  const response = await fetch(`${cluster.node(name).url}/v1/batch`, json("POST", { items }));
  const { results } = (await response.json()) as { results: { status: number }[] };
  for (const { status } of results) expect(status).toBeLessThan(300);
}

async function valueAt(name: string, key: string): Promise<unknown> {
  const response = await fetch(`${cluster.node(name).url}/v1/kv/b/${key}`);
  const body: unknown = await response.json();
  return response.status === 200 ? body : response.status;
}

/** Runs SQL on a node's file, past the node. */
async function sql(name: string, statement: string): Promise<number> {
  const file = join(cluster.node(name).dataDir, "data.db");
  const db = await new Promise<sqlite3.Database>((resolve, reject) => {
    const opened: sqlite3.Database = new sqlite3.Database(file, (error) => (error ? reject(error) : resolve(opened)));
  });
  db.configure("busyTimeout", 5_000);
  const changes = await new Promise<number>((resolve, reject) =>
    db.run(statement, function (error: Error | null) {
      if (error) reject(error);
      else resolve(this.changes);
    }),
  );
  await new Promise((resolve) => db.close(resolve));
  return changes;
}

async function repair(
  name: string,
): Promise<{ state: string; damagedLeaves: number; healedLeaves: number; problems: string[] }> {
  const begun = await fetch(`${cluster.node(name).url}/cluster/repair`, { method: "POST" });
  expect(begun.status).toBe(202);
  const location = begun.headers.get("location") ?? "";
  let last: { state: string } = { state: "running" };
  await until(
    "the repair has ended",
    async () => {
      last = (await (await fetch(`${cluster.node(name).url}${location}`)).json()) as { state: string };
      return last.state !== "running";
    },
    60_000,
  );
  return last as Awaited<ReturnType<typeof repair>>;
}

const keys = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => `k${from + i}`);
const DAMAGE = "UPDATE rows SET sealed = zeroblob(length(sealed)) WHERE id % 3 = 0 AND id <= 300";
const REMOVE = "DELETE FROM rows WHERE id % 3 = 1 AND id <= 300";

describe("rows damaged or removed directly in one node's SQLite file", () => {
  beforeAll(async () => {
    cluster = await make();
    await put("eu", keys(0, 500), "sound");
    await cluster.converged();
  }, 60_000);

  it("are found and healed by POST /cluster/repair on the running node, and never spread", {
    timeout: 120_000,
  }, async () => {
    const [sound] = await cluster.digests();
    expect(await sql("ap", DAMAGE)).toBe(100);
    expect(await sql("ap", REMOVE)).toBe(100);
    const done = await repair("ap");
    expect(done).toMatchObject({ state: "done", problems: [] });
    expect(done.damagedLeaves).toBeGreaterThan(150);
    expect(done.healedLeaves).toBe(done.damagedLeaves);
    for (const { digest, records } of await cluster.digests())
      expect({ digest, records }).toEqual({ digest: sound?.digest, records: 500 });
    await cluster.kill("ap", "SIGTERM"); // so that nothing is answered from memory
    await cluster.start("ap");
    for (const key of keys(0, 500)) expect(await valueAt("ap", key)).toBe("sound");
    for (const key of keys(0, 500)) expect(await valueAt("us", key)).toBe("sound");
  });

  it("are healed by a read where the checksum tells", { timeout: 120_000 }, async () => {
    await cluster.kill("ap", "SIGTERM");
    expect(await sql("ap", DAMAGE)).toBeGreaterThan(50);
    await cluster.start("ap");
    for (const key of keys(0, 300)) expect(await valueAt("ap", key)).toBe("sound");
    expect(await repair("ap")).toMatchObject({ state: "done", problems: [] });
  });

  it("are not written over by a write: it waits for healing or is told to come again", {
    timeout: 60_000,
  }, async () => {
    await cluster.kill("ap", "SIGTERM");
    await sql("ap", DAMAGE);
    await cluster.start("ap");
    for (const key of keys(0, 60)) {
      const response = await fetch(
        `${cluster.node("ap").url}/v1/ops/sets/${key}`,
        json("POST", { ops: [{ op: "add", elements: [1] }] }),
      );
      expect([200, 503]).toContain(response.status);
    }
    await repair("ap");
    await cluster.converged();
    for (const key of keys(0, 300)) expect(await valueAt("ap", key)).toBe("sound");
  });
});

describe("a node that was away, or came back with old data, while logs were cut", () => {
  beforeAll(async () => {
    cluster = await make(SHORT_HISTORY);
  }, 60_000);

  async function logsAreCut(): Promise<void> {
    await until(
      "the logs of eu and us are cut",
      async () => {
        const texts = await Promise.all(
          ["eu", "us"].map(async (name) => (await fetch(`${cluster.node(name).url}/v1/partitions`)).json()),
        );
        return texts.every((text) =>
          (text as { partitions: { floor: object }[] }).partitions.some(({ floor }) => Object.keys(floor).length > 0),
        );
      },
      60_000,
    );
  }

  it("catches up by a copy, and nothing deleted returns", { timeout: 180_000 }, async () => {
    await put("eu", keys(0, 200), "first");
    await cluster.converged();
    await cluster.kill("ap");
    await del("eu", keys(0, 150));
    await put("us", keys(0, 50), "again");
    await until(
      "eu and us equal",
      async () => (await valueAt("eu", "k49")) === "again" && (await valueAt("us", "k149")) === 404,
      10_000,
    );
    await logsAreCut();
    await new Promise((resolve) => setTimeout(resolve, 5_000)); // more passes of the cut: all of it is old by now
    await cluster.start("ap");
    await cluster.converged();
    expect(cluster.log("ap")).toContain("catch-up.adopted");
    for (const key of keys(0, 50)) expect(await valueAt("ap", key)).toBe("again");
    for (const key of keys(50, 150)) expect(await valueAt("ap", key)).toBe(404);
    for (const key of keys(150, 200)) expect(await valueAt("ap", key)).toBe("first");
  });

  it("an older copy of its data directory, put back, behaves the same", { timeout: 180_000 }, async () => {
    const { dataDir } = cluster.node("eu");
    await put("eu", keys(300, 400), "old");
    await cluster.converged();
    await cluster.kill("eu", "SIGTERM");
    cpSync(dataDir, `${dataDir}.old`, { recursive: true });
    await cluster.start("eu");
    await put("eu", keys(400, 450), "made after the copy");
    await cluster.converged();
    await del("us", keys(300, 380));
    await put("ap", keys(300, 320), "again");
    await cluster.converged();
    await logsAreCut();
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    await cluster.kill("eu");
    rmSync(dataDir, { recursive: true });
    cpSync(`${dataDir}.old`, dataDir, { recursive: true });
    await cluster.start("eu");
    await put("eu", ["fresh"], "after the roll-back");
    await cluster.converged();
    for (const name of ["eu", "us", "ap"]) {
      for (const key of keys(300, 320)) expect(await valueAt(name, key)).toBe("again");
      for (const key of keys(320, 380)) expect(await valueAt(name, key)).toBe(404);
      for (const key of keys(380, 400)) expect(await valueAt(name, key)).toBe("old");
      for (const key of keys(400, 450)) expect(await valueAt(name, key)).toBe("made after the copy");
      expect(await valueAt(name, "fresh")).toBe("after the roll-back");
    }
  });
});
