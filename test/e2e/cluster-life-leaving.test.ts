import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Balanced, loadAt } from "./balanced.ts";
import { until } from "./cluster.ts";
import { LifeCluster, type LifeNode } from "./life.ts";

// Members go, or stand aside, while clients write and read.

const cluster = new LifeCluster();
let eu: LifeNode;
let load: Balanced | null = null;

beforeAll(async () => {
  eu = await cluster.found("eu");
  await cluster.autopilot(eu);
  for (const id of ["us", "ap", "us2"]) await cluster.join(id, eu);
}, 120_000);
afterEach(async () => load?.stop());
afterAll(() => cluster.stopAll());

async function underLoad(preferred: string): Promise<Balanced> {
  load = new Balanced(cluster, preferred, preferred);
  await load.start();
  await load.more(200);
  return load;
}

/** A node serves no more as soon as it hears that it has left, which may be a little before we hear it from another one. */
const HEARD_LATE_MS = 1_000;

/** When a node's log said something first (wall ms). */
function saidAtMs({ said }: LifeNode, event: string): number {
  const line = said.split("\n").find((text) => text.includes(`"event":"${event}"`));
  return line ? Date.parse((JSON.parse(line) as { time: string }).time) : Number.NaN;
}

/** Every acknowledged write is there, with its value, at every node that is left. */
async function nothingIsLost({ acknowledged, lost }: Balanced): Promise<void> {
  expect(lost).toEqual([]);
  expect(acknowledged.size).toBeGreaterThan(100);
  for (const node of cluster.living) {
    let missing: string[] = [];
    const hasAll = async (): Promise<boolean> => {
      const there = await loadAt(node);
      missing = [...acknowledged].filter(([key, value]) => there.get(key) !== value).map(([key]) => key);
      return missing.length === 0;
    };
    await until(`${node.id} has all that was acknowledged`, hasAll, 20_000).catch((error: unknown) => {
      throw new Error(`${error}: ${missing.length} are missing, such as ${missing.slice(0, 5)}`);
    });
  }
}

/** What clients met while `leaving` went: who asked only nodes that said to be ready met nothing; the others heard that it serves
 *  no more, or their connection ended when it stopped. */
function onlyTheLastOfItsLifeFailed({ failedTries }: Balanced, leaving: LifeNode, leftMs: number): void {
  const stoppingMs = saidAtMs(leaving, "node.stopping");
  expect(stoppingMs).toBeGreaterThan(0);
  for (const failed of failedTries) {
    expect(failed).toMatchObject({ node: leaving.id, wasReady: false });
    const sinceMs = failed.why === "not-serving" ? leftMs - HEARD_LATE_MS : stoppingMs;
    expect(failed.atMs, failed.why).toBeGreaterThanOrEqual(sinceMs);
  }
}

async function leavesUnderLoad(id: string, ...command: string[]): Promise<void> {
  const leaving = cluster.node(id);
  const clients = await underLoad(id);
  const child = leaving.process;
  const isGone = async (): Promise<boolean> => (await cluster.memberOf(eu, id)) === undefined;
  const left = until(`${id} is no member`, isGone, 60_000).then(() => Date.now());
  expect(await cluster.printed(eu, ...command, "--wait")).toContain(`${id} has handed over and is no member any more`);
  await until(`${id} has ended`, async () => child?.exitCode !== null, 30_000);
  expect(child?.exitCode).toBe(0);
  await clients.more(200);
  await clients.stop();
  expect(clients.answeredBy.get(id)).toBeGreaterThan(50);
  onlyTheLastOfItsLifeFailed(clients, leaving, await left);
  await nothingIsLost(clients);
  for (const node of cluster.living) expect(await cluster.memberOf(node, id)).toBeUndefined();
  cluster.nodes.delete(id);
}

describe("under load", () => {
  test("maintenance takes a node out of the balancers' lists and back; its data goes on", {
    timeout: 60_000,
  }, async () => {
    const us = cluster.node("us");
    const clients = await underLoad("us");
    await cluster.printed(eu, "maintenance", "on", "us");
    await until("us isn't ready", async () => !(await cluster.isReady(us)), 10_000);
    await clients.more(200);
    // Who asks it all the same is answered.
    const response = await fetch(`${us.url}/v1/kv/load/aside`, { method: "PUT", body: "x" });
    expect(response.status).toBe(204);
    expect(await (await fetch(`${us.url}/health/ready`)).json()).toMatchObject({
      ready: false,
      warning: "us is in maintenance: send requests to others",
    });
    await cluster.printed(eu, "maintenance", "off", "us");
    await until("us is ready", () => cluster.isReady(us), 10_000);
    await clients.more(200);
    await clients.stop();
    expect(clients.failedTries).toEqual([]);
    await nothingIsLost(clients);
  });

  test("a drain: the node hands over, leaves, and ends with 0; no request fails", { timeout: 90_000 }, async () => {
    await leavesUnderLoad("us2", "drain", "us2");
  });

  test("a decommission: likewise, of one that has just come", { timeout: 90_000 }, async () => {
    await cluster.join("ap2", eu);
    await leavesUnderLoad("ap2", "decommission", "ap2", "--cluster", "birds");
  });
});

describe("when copies would be too few", () => {
  test.each([
    ["drain", []],
    ["decommission", ["--cluster", "birds"]],
  ])("%s is refused with what speaks against it, and changes nothing", async (command, more) => {
    const before = (await cluster.config(eu)).version;
    const refused = await cluster.starling(eu, command, "ap", ...more);
    expect(refused).toMatchObject({ code: 4, stdout: "", stderr: expect.stringContaining("409 too-few-copies") });
    const dry = await cluster.starling(eu, command, "ap", ...more, "--dry-run");
    expect(dry).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/\ntoo-few-copies\twithout ap there would be 2 copies/),
    });
    const response = await fetch(`${eu.url}/cluster/nodes/ap/${command}`, { method: "POST" });
    expect(response.status).toBe(409);
    expect(await response.json()).toMatchObject({ obstacles: [{ slug: "too-few-copies" }] });
    expect((await cluster.config(eu)).version).toBe(before);
    expect(await cluster.isReady(cluster.node("ap"))).toBe(true);
  });
});
