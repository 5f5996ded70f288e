import { afterAll, describe, expect, test } from "vitest";
import { until } from "./cluster.ts";
import { get, LifeCluster, type LifeNode, put, setPolicy } from "./life.ts";

// One cluster's life, told in order: it is founded alone, four join it over three regions, leaders die, a voter is replaced.

const JOINERS = ["us", "ap", "eu2", "us2"];
const KEYS = 30;
const ROUNDS = 6;

const cluster = new LifeCluster();
afterAll(() => cluster.stopAll());

const written = new Set<string>();

/** Writes a policy at whoever lives; a refusal or an unknown outcome promises nothing. */
async function write(bucket: string, asked: LifeNode): Promise<void> {
  if ((await setPolicy(asked, bucket)) === 200) written.add(bucket);
}

async function hasAllPolicies(node: LifeNode): Promise<boolean> {
  const { policies } = (await cluster.config(node)).config;
  return [...written].every((bucket) => bucket in policies);
}

describe("a cluster that began with one node", () => {
  test("lets four in by token; each has the data before it owns any", { timeout: 120_000 }, async () => {
    const eu = await cluster.found("eu");
    await cluster.autopilot(eu);
    for (let i = 0; i < KEYS; i++) expect(await put(eu, `before-${i}`, `v${i}`)).toBe(204);
    for (const id of JOINERS) {
      const node = await cluster.join(id, eu);
      // At the moment that it is active it answers for all.
      for (let i = 0; i < KEYS; i++) expect(await get(node, `before-${i}`)).toBe(JSON.stringify(`v${i}`));
      await until(`${id} is ready`, () => cluster.isReady(node), 10_000);
      expect(await put(node, `at-${id}`, id)).toBe(204);
    }
    for (const node of cluster.living)
      for (const id of JOINERS)
        await until(`${node.id} has what ${id} took`, async () => (await get(node, `at-${id}`)) === `"${id}"`, 10_000);
  });

  test("comes to five voters", { timeout: 60_000 }, async () => {
    expect((await cluster.voters(5)).sort()).toEqual(["ap", "eu", "eu2", "us", "us2"]);
  });

  test(`loses its leader to kill -9, ${ROUNDS} times, and no configuration that was agreed`, {
    timeout: 120_000,
  }, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const leader = await cluster.leader();
      let done = false;
      const writing = (async () => {
        for (let i = 0; !done; i++) {
          const asked = cluster.living[i % cluster.living.length];
          if (asked && asked !== leader) await write(`r${round}-${i}`, asked);
        }
      })();
      await until("some were written", async () => [...written].some((name) => name.startsWith(`r${round}-`)), 20_000);
      await cluster.kill(leader.id);
      const next = await cluster.leader();
      expect(next.id).not.toBe(leader.id);
      await write(`after-${round}`, next);
      done = true;
      await writing;
      expect(written).toContain(`after-${round}`);
      await cluster.start(leader.id);
      for (const node of cluster.living) await until(`${node.id} has all`, () => hasAllPolicies(node), 20_000);
    }
    expect(written.size).toBeGreaterThan(2 * ROUNDS);
  });

  test("with three voters has one in each region, and another one in place of a dead one", {
    timeout: 90_000,
  }, async () => {
    await cluster.autopilot(await cluster.leader(), { votersMax: 3 });
    const three = await cluster.voters(3);
    expect(three.map((id) => cluster.node(id).region).sort()).toEqual(["ap", "eu", "us"]);
    const leader = await cluster.leader();
    const dead = three.find((id) => id !== leader.id && id !== "ap") ?? "";
    await cluster.kill(dead);
    await until(`${dead} no longer votes`, async () => !(await cluster.voters(3)).includes(dead), 40_000);
    const instead = await cluster.voters(3);
    expect(instead.map((id) => cluster.node(id).region).sort()).toEqual(["ap", "eu", "us"]);
    await write("with-another", leader);
    expect(written).toContain("with-another");
    await cluster.start(dead);
    await until(`${dead} has all`, () => hasAllPolicies(cluster.node(dead)), 20_000);
  });
});
