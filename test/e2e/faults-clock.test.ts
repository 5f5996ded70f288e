import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { json, RealCluster, type RealNode, until } from "./cluster.ts";
import { missing, pause, ROUNDS, someNode, underLoad } from "./faults.ts";

const LIBRARY = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu/faketime/libfaketime.so.1`;
const HOUR_MS = 3_600_000;
/** clock.max_drift: a stamp that is further ahead must not take another node's clock with it. */
const MAX_DRIFT_MS = 500;
const SHIFTS = ["+1h", "-1h"] as const;

const lacking = missing(LIBRARY);
if (lacking) console.warn(`clock faults are skipped: ${lacking} missing (Debian: faketime)`);

describe.skipIf(lacking)("wrong wall clocks under load (skipped without libfaketime)", () => {
  let cluster: RealCluster;
  beforeAll(async () => {
    cluster = await RealCluster.make(["eu", "us", "ap"]);
    for (const node of cluster.nodes) setClock(node, "+0");
    await Promise.all(cluster.nodes.map(({ name }) => cluster.start(name, clockOf(cluster.node(name)))));
  });
  afterAll(() => cluster.stopAll());

  const clockFile = ({ name }: RealNode): string => join(cluster.dir, `${name}.clock`);
  const setClock = (node: RealNode, shift: string): void => writeFileSync(clockFile(node), `${shift}\n`);

  /** Only the wall clock: the monotonic one never jumps. The library reads the file again at each question. */
  function clockOf(node: RealNode): Record<string, string> {
    return {
      LD_PRELOAD: LIBRARY,
      FAKETIME_TIMESTAMP_FILE: clockFile(node),
      FAKETIME_NO_CACHE: "1",
      DONT_FAKE_MONOTONIC: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    };
  }

  /** How far ahead of our clock the stamp of a new write at a node is, at least and at most. */
  async function aheadMs({ url }: RealNode, key: string): Promise<{ least: number; most: number }> {
    const beforeMs = Date.now();
    expect((await fetch(`${url}/v1/kv/stamps/${key}`, json("PUT", key))).status).toBe(204);
    const afterMs = Date.now();
    const { dots } = (await (await fetch(`${url}/v1/explain/stamps/${key}`)).json()) as {
      dots: { hlc: { ms: number } }[];
    };
    const stampMs = Math.max(...dots.map(({ hlc }) => hlc.ms));
    return { least: stampMs - afterMs, most: stampMs - beforeMs };
  }

  async function expectShifted(victim: RealNode, shift: string, number: number): Promise<void> {
    const key = `${victim.name}${shift}${number}`;
    const own = await aheadMs(victim, key);
    // A clock that went back doesn't take the stamps with it: those stay above what was stamped before.
    if (shift === "+1h") expect(own.least).toBeGreaterThan(HOUR_MS - 5_000);
    for (const other of cluster.nodes.filter((node) => node !== victim)) {
      const { least, most } = await aheadMs(other, `${key} at ${other.name}`);
      expect(least, `stamp of ${other.name}`).toBeLessThanOrEqual(MAX_DRIFT_MS);
      expect(most, `stamp of ${other.name}`).toBeGreaterThanOrEqual(0);
    }
  }

  /** Is what a node writes from some moment on marked clock-suspect, or from some moment on not? */
  async function expectMarked(node: RealNode, isMarked: boolean): Promise<void> {
    const writesMarked = async (): Promise<boolean> => {
      await fetch(`${node.url}/v1/kv/stamps/mark`, json("PUT", isMarked));
      const explained = await (await fetch(`${node.url}/v1/explain/stamps/mark`)).json();
      const { dots } = explained as { dots: { node: string; clockSuspect?: true }[] };
      return dots.some((dot) => dot.node === node.name && dot.clockSuspect === true);
    };
    const what = `what ${node.name} writes is ${isMarked ? "" : "not "}marked`;
    await until(what, async () => (await writesMarked()) === isMarked, 5_000);
    for (const { name, url } of cluster.nodes) {
      const { clock } = (await (await fetch(`${url}/cluster/status`)).json()) as { clock: { suspect: boolean } };
      expect(clock.suspect, `the clock of ${name}`).toBe(isMarked && name === node.name);
    }
  }

  async function expectNobodyDead(logsFrom: ReadonlyMap<string, number>): Promise<void> {
    for (const node of cluster.nodes) {
      expect(cluster.log(node.name).slice(logsFrom.get(node.name)), `log of ${node.name}`).not.toContain("member-dead");
      const { nodes } = (await (await fetch(`${node.url}/cluster/nodes`)).json()) as { nodes: { state: string }[] };
      expect(nodes.map(({ state }) => state)).not.toContain("dead");
    }
  }

  const logEnds = (): Map<string, number> => new Map(cluster.nodes.map(({ name }) => [name, cluster.log(name).length]));

  it("a clock that jumps by an hour, and back", { timeout: 60_000 + ROUNDS * 90_000 }, async () => {
    await underLoad("clock jump", cluster, async ({ rng, number }) => {
      const victim = someNode(cluster, rng);
      const shift = SHIFTS[rng.below(2)] as string;
      const from = logEnds();
      setClock(victim, shift);
      await pause(1_000 + rng.below(2_000));
      await expectShifted(victim, shift, number);
      await expectMarked(victim, true);
      setClock(victim, "+0");
      await expectMarked(victim, false);
      expect((await aheadMs(victim, `${victim.name} right again ${number}`)).least).toBeLessThanOrEqual(MAX_DRIFT_MS);
      await expectNobodyDead(from);
    });
  });

  it("a node that starts an hour wrong, and later right again", { timeout: 60_000 + ROUNDS * 90_000 }, async () => {
    await underLoad("clock shifted", cluster, async ({ rng, number }) => {
      const victim = someNode(cluster, rng);
      const shift = SHIFTS[number % 2] as string;
      await cluster.kill(victim.name, "SIGTERM");
      setClock(victim, shift);
      await cluster.start(victim.name, clockOf(victim));
      const from = logEnds();
      await pause(1_000 + rng.below(2_000));
      await expectShifted(victim, shift, 1_000 + number);
      await expectMarked(victim, true);
      await expectNobodyDead(from);
      await cluster.kill(victim.name, "SIGTERM");
      setClock(victim, "+0");
      await cluster.start(victim.name, clockOf(victim));
    });
  });
});
