import { rmSync } from "node:fs";
import { join } from "node:path";
import sqlite3 from "sqlite3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Rng } from "../../src/kernel/rng.ts";
import { json, RealCluster, type RealNode, until } from "./cluster.ts";
import { expectKept, pause, ROUNDS, someNode, startLoad, underLoad } from "./faults.ts";
import type { Shown } from "./history.ts";
import type { Load } from "./load.ts";
import { tearPage, tearWal } from "./tear.ts";

const SAID_SO = "; it said so, was emptied";
const REFUSAL = /^starling: .*empty (?:it|its data directory|the data directory)/m;

describe("pages torn on one node's disk", () => {
  let cluster: RealCluster;
  let victim: RealNode;
  /** Did the victim lose its data directory in this round? */
  let wasEmptied = false;
  beforeAll(async () => {
    cluster = await RealCluster.make(["eu", "us", "ap"]);
    await cluster.startAll();
  });
  afterAll(() => cluster.stopAll());

  /** Kills under load, damages, and starts again. What another disk holds by then must all come back. */
  async function damageOne(load: Load, rng: Rng, damage: () => string): Promise<() => Promise<void>> {
    wasEmptied = false;
    const actorsBefore = await actorsOf(victim);
    expect(actorsBefore.some((actor) => actor.startsWith(`${victim.name}@`))).toBe(true);
    await cluster.kill(victim.name);
    await cluster.network({ cut: [] });
    await load.stop();
    await cluster.converged(60_000);
    const elsewhere = await load.shownAt(cluster.nodes.find((node) => node !== victim) as RealNode);
    const how = damage();
    const more = startLoad(cluster, rng);
    let became = (await startAsAnOperator(victim, how)) ? SAID_SO : "";
    await pause(500);
    await more.stop();
    if (await hasStopped(victim)) {
      // By what the load met, or the reading before it.
      await emptyAsTold(victim, cluster.log(victim.name), how);
      became = SAID_SO;
    } else if (!(await isWhole(victim))) {
      // In what nothing has read yet: it would stop the node in a later round.
      await cluster.kill(victim.name, "SIGTERM");
      await startEmpty(victim);
      became = "; damage that nobody had met was left, was emptied";
    }
    console.log(`${victim.name}: ${how}${became}`);
    return async () => {
      await expectKept(cluster, more, wasEmptied ? isOfVictim : undefined);
      for (const node of cluster.nodes) expectAtLeast(await load.shownAt(node), elsewhere, load, how);
      const actor = await actorOfNewWrite(victim);
      expect(actor.startsWith(`${victim.name}@`)).toBe(true);
      expect(actorsBefore, "the actor of a new run").not.toContain(actor);
    };
  }

  /** Starts; does what a refusal says; repairs. @returns whether the data directory had to be emptied */
  async function startAsAnOperator(node: RealNode, how: string): Promise<boolean> {
    const from = cluster.log(node.name).length;
    try {
      await cluster.start(node.name);
      await repaired(node);
      await readThrough(node);
      if (!(await hasStopped(node))) return false;
    } catch (error) {
      if (node.process) throw new Error(`${how}: ${String(error)}`, { cause: error });
    }
    await emptyAsTold(node, cluster.log(node.name).slice(from), how);
    return true;
  }

  async function emptyAsTold(node: RealNode, log: string, how: string): Promise<void> {
    expect(log, how).toMatch(REFUSAL);
    expect(log, "no stack trace for the operator").not.toMatch(/^\s+at /m);
    await startEmpty(node);
  }

  async function startEmpty(node: RealNode): Promise<void> {
    wasEmptied = true;
    rmSync(node.dataDir, { recursive: true });
    await cluster.start(node.name);
  }

  /** A record of the log is read only when somebody needs it: its damage may stop the node at the round's end. */
  async function emptyLate(node: RealNode): Promise<void> {
    expect(node, "who stopped").toBe(victim);
    await emptyAsTold(node, cluster.log(node.name).slice(-4_000), "at the round's end");
    console.log(`${node.name}: at the round's end${SAID_SO}`);
  }

  function isWhole({ dataDir }: RealNode): Promise<boolean> {
    return new Promise((resolve) => {
      const db = new sqlite3.Database(join(dataDir, "data.db"), sqlite3.OPEN_READONLY);
      db.all<{ integrity_check: string }>("PRAGMA integrity_check", (error, rows) => {
        const whole = !error && rows.length === 1 && rows[0]?.integrity_check === "ok";
        db.close(() => resolve(whole));
      });
    });
  }

  /** Damage of the structure shows where it is met. */
  async function readThrough({ url }: RealNode): Promise<void> {
    for (const path of ["/v1/kv", "/v1/kv/load?limit=1000", "/v1/kv/torn", "/v1/conflicts?limit=1000"])
      for (let next: string | null = path; next !== null; ) next = await nextPage(url, path, next);
  }

  /** Null at the end, and when the node gives no answer any more. */
  async function nextPage(url: string, path: string, page: string): Promise<string | null> {
    try {
      const { cursor } = (await (await fetch(`${url}${page}`)).json()) as { cursor?: string };
      return cursor === undefined ? null : `${path}&cursor=${cursor}`;
    } catch (error) {
      if (error instanceof TypeError) return null; // fetch: the node has ended
      throw error;
    }
  }

  /** Whether the node is gone, or about to be. */
  async function hasStopped(node: RealNode): Promise<boolean> {
    const sound = await fetch(`${node.url}/health/ready`).then(
      async (response) => ((await response.json()) as { failed?: string }).failed === undefined,
      () => false,
    );
    if (sound) return false;
    await until("it stops", async () => node.process === null, 15_000);
    return true;
  }

  async function repaired(node: RealNode): Promise<void> {
    const gone = (): void => {
      if (!node.process) throw new Error(`${node.name} has stopped`);
    };
    await until("ready", async () => (await fetch(`${node.url}/health/ready`)).ok, 30_000, gone);
    const begun = await fetch(`${node.url}/cluster/repair`, { method: "POST" });
    const location = begun.headers.get("location") ?? "";
    let last: { state: string; problems?: string[] } = { state: "running" };
    const ended = async (): Promise<boolean> => {
      last = (await (await fetch(`${node.url}${location}`)).json()) as typeof last;
      return last.state !== "running";
    };
    await until("the repair has ended", ended, 60_000, gone);
    // Damage that the store can't read past ends the process, a moment after the repair.
    if (last.state === "failed") await until("it stops", async () => false, 15_000, gone);
    expect(last).toMatchObject({ state: "done", problems: [] });
  }

  async function actorsOf({ url }: RealNode): Promise<string[]> {
    const { partitions } = (await (await fetch(`${url}/v1/partitions`)).json()) as { partitions: { vector: object }[] };
    return [...new Set(partitions.flatMap(({ vector }) => Object.keys(vector)))];
  }

  async function actorOfNewWrite({ url }: RealNode): Promise<string> {
    expect((await fetch(`${url}/v1/kv/torn/new`, json("PUT", "new"))).status).toBe(204);
    const { dots } = (await (await fetch(`${url}/v1/explain/torn/new`)).json()) as { dots: { dot: string }[] };
    return (dots[0]?.dot ?? "").replace(/[:#/]\d+$/, "");
  }

  /** What another disk held is there; what another node had written and was gone by then is not back. */
  function expectAtLeast(shown: Shown, elsewhere: Shown, load: Load, how: string): void {
    for (const [key, held] of elsewhere.values) {
      const attempts = load.history.registers.get(key) ?? [];
      const replaced = attempts.flatMap(({ replaces }) => replaces);
      const now = shown.values.get(key) ?? [];
      const lost = held.filter((value) => !replaced.includes(value) && !now.includes(value));
      expect(lost, `${how}: lost of ${key} though another disk held it`).toEqual([]);
      const others = attempts.filter((one) => one.outcome === "acknowledged" && !isOfVictim(one));
      const back = others.filter(({ value }) => value !== null && now.includes(value) && !held.includes(value));
      expect(back, `${how}: back at ${key}`).toEqual([]);
    }
    for (const [name, value] of elsewhere.counters) expect(shown.counters.get(name), how).toBeGreaterThanOrEqual(value);
  }

  const isOfVictim = ({ node }: { node: string }): boolean => node === victim.name;

  it("the end of the write-ahead log: what another disk holds comes back", {
    timeout: 60_000 + ROUNDS * 120_000,
  }, async () => {
    await underLoad(
      "torn WAL",
      cluster,
      async ({ rng, load }) => {
        victim = someNode(cluster, rng);
        if (rng.below(2) === 0) await cutOff(victim);
        await pause(rng.below(1_000));
        return damageOne(load, rng, () => tearWal(join(victim.dataDir, "data.db-wal"), rng));
      },
      { mayBeLost: isOfVictim },
    );
  });

  /** What the victim now acknowledges is on its own disk alone. */
  async function cutOff({ name }: RealNode): Promise<void> {
    await cluster.network({ cut: cluster.nodes.filter((n) => n.name !== name).map((n) => [name, n.name]) });
  }

  it("a page of the database: rows are healed, or the node says to empty its data directory", {
    timeout: 60_000 + ROUNDS * 120_000,
  }, async () => {
    await underLoad(
      "torn database",
      cluster,
      async ({ rng, load }) => {
        victim = someNode(cluster, rng);
        // A clean stop moves everything from the log into the database; else there was little to damage.
        await cluster.kill(victim.name, "SIGTERM");
        await cluster.start(victim.name);
        await pause(rng.below(500));
        return damageOne(load, rng, () => tearPage(join(victim.dataDir, "data.db"), rng));
      },
      { mayBeLost: isOfVictim, revive: emptyLate },
    );
  });
});
