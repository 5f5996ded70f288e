import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { json, until } from "./cluster.ts";
import { get, LifeCluster, type LifeNode, put, setPolicy } from "./life.ts";

// Two of three voters are lost for good, with their disks: what one operator does about it, told in order.

const KEYS = 20;
const cluster = new LifeCluster();
let eu: LifeNode;

beforeAll(async () => {
  eu = await cluster.found("eu");
  await cluster.autopilot(eu);
  for (const id of ["us", "ap"]) await cluster.join(id, eu);
  await cluster.voters(3);
}, 120_000);
afterAll(() => cluster.stopAll());

async function incarnationAt(node: LifeNode): Promise<number> {
  return (await cluster.config(node)).config.cluster.incarnation;
}

const copyOf = (id: string): string => join(cluster.dir, `found-again-${id}`);

const recover = (...more: string[]) => cluster.starling(null, "recover", "--cluster", "birds", ...eu.flags, ...more);

test("without a quorum data goes on, and a change of the configuration is refused with when to ask again", async () => {
  for (let i = 0; i < KEYS; i++) expect(await put(eu, `k${i}`, i)).toBe(204);
  expect(await setPolicy(eu, "before")).toBe(200);
  for (const id of ["us", "ap"])
    await until(
      `${id} has it`,
      async () => "before" in (await cluster.config(cluster.node(id))).config.policies,
      10_000,
    );
  for (const id of ["us", "ap"]) {
    await cluster.kill(id);
    // For the day on which they are found again.
    cpSync(cluster.node(id).dataDir, copyOf(id), { recursive: true });
    rmSync(cluster.node(id).dataDir, { recursive: true });
  }
  await until("eu leads no more", async () => (await fetch(`${eu.url}/cluster/leader`)).status === 404, 20_000);
  expect(await put(eu, "alone", 1)).toBe(204);
  const refused = await fetch(`${eu.url}/v1/policies/after?timeoutMs=500`, json("PUT", { show: "siblings" }));
  expect(refused.status).toBe(503);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
}, 60_000);

test("recover is refused while the node runs, under another name, without itself; nothing has changed then", async () => {
  expect(await recover("--voters", "eu")).toMatchObject({ code: 2, stderr: expect.stringContaining("is in use") });
  await cluster.kill("eu", "SIGTERM");
  const other = await cluster.starling(null, "recover", ...eu.flags, "--voters", "eu", "--cluster", "fish");
  expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining("belongs to cluster birds, not to fish") });
  expect(await recover("--voters", "us")).toMatchObject({ code: 2, stderr: expect.stringContaining("name eu itself") });
  expect(await recover("--voters", "eu,nobody")).toMatchObject({ code: 2, stdout: "" });
}, 60_000);

test("the one that is left goes on alone, with all that it had", async () => {
  const done = await recover("--voters", "eu");
  expect(done).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^the cluster goes on as incarnation 2, with version \d+\n$/),
  });
  await cluster.start("eu");
  await until("eu leads", async () => (await cluster.leader()).id === "eu", 20_000);
  expect(await incarnationAt(eu)).toBe(2);
  const { policies } = (await cluster.config(eu)).config;
  expect(Object.keys(policies)).toEqual(["before"]);
  expect(await setPolicy(eu, "after")).toBe(200);
  expect(await get(eu, "alone")).toBe("1");
  for (let i = 0; i < KEYS; i++) expect(await get(eu, `k${i}`)).toBe(String(i));
}, 60_000);

test("old voters that are found again, a majority of the old group, follow: they lead nothing and bring nothing back", async () => {
  const found = ["us", "ap"].map((id) => cluster.node(id));
  for (const { id, dataDir } of found) cpSync(copyOf(id), dataDir, { recursive: true });
  await Promise.all(found.map(({ id }) => cluster.start(id)));
  for (const node of found) {
    await until(`${node.id} knows the new incarnation`, async () => (await incarnationAt(node)) === 2, 20_000);
    const hears = async (): Promise<boolean> => "after" in (await cluster.config(node)).config.policies;
    await until(`${node.id} has what was agreed since`, hears, 20_000);
    const isKnown = async (): Promise<boolean> => (await cluster.memberOf(eu, node.id))?.instance !== null;
    await until(`${node.id}'s new log is known`, isKnown, 20_000);
    await until(`${node.id} has the data`, async () => (await get(node, "alone")) === "1", 20_000);
  }
  expect((await cluster.leader()).id).toBe("eu");
  expect((await cluster.voters(3)).sort()).toEqual(["ap", "eu", "us"]);
}, 60_000);

test("a fresh node takes the place of the one whose disk is lost", async () => {
  await cluster.kill("us");
  rmSync(cluster.node("us").dataDir, { recursive: true });
  const { flags } = await cluster.add("us3");
  const token = await cluster.token(eu);
  // Until it was silent for long enough.
  await until(
    "us may be replaced",
    async () =>
      (await cluster.starling(null, "join", eu.url, "--token", token, "--replace", "us", ...flags)).code === 0,
    30_000,
  );
  const us3 = await cluster.start("us3");
  await cluster.isActive("us3", us3);
  expect((await cluster.voters(3)).sort()).toEqual(["ap", "eu", "us3"]);
  expect(await cluster.memberOf(us3, "us")).toBeUndefined();
  for (let i = 0; i < KEYS; i++) expect(await get(us3, `k${i}`)).toBe(String(i));
  await cluster.kill("eu");
  await cluster.leader();
  expect(await setPolicy(us3, "with-two-of-three")).toBe(200);
}, 90_000);
