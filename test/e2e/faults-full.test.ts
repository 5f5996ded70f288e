import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { json, RealCluster, type RealNode, until } from "./cluster.ts";
import { missing, pause, ROUNDS, someNode, underLoad } from "./faults.ts";

const SIZE_MIB = 64;

const lacking = missing("mount");
if (lacking) console.warn(`a full disk is skipped: ${lacking} missing`);

/** Takes all the room there is, to the last byte. */
function fill(path: string): void {
  const file = openSync(path, "w");
  try {
    for (let bytes = 2 ** 20; bytes >= 1; )
      try {
        if (writeSync(file, Buffer.alloc(bytes)) < bytes) bytes = Math.floor(bytes / 2);
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
        bytes = Math.floor(bytes / 2);
      }
  } finally {
    closeSync(file);
  }
}

describe.skipIf(lacking)("a full disk under load (skipped without root, for a tmpfs)", () => {
  let cluster: RealCluster;
  const mounted: string[] = [];
  beforeAll(async () => {
    cluster = await RealCluster.make(["eu", "us", "ap"]);
    for (const { dataDir } of cluster.nodes) {
      mkdirSync(dataDir);
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${SIZE_MIB}m`, "starling-test", dataDir]);
      mounted.push(dataDir);
    }
    await cluster.startAll();
  });
  afterAll(async () => {
    await Promise.all(cluster.nodes.map(({ name }) => cluster.kill(name)));
    for (const dataDir of mounted) execFileSync("umount", [dataDir]);
    await cluster.stopAll();
  });

  async function put({ url }: RealNode): Promise<{ status: number; type: string }> {
    const response = await fetch(`${url}/v1/kv/room/probe`, json("PUT", "probe"));
    const text = await response.text();
    return { status: response.status, type: response.ok ? "" : (JSON.parse(text) as { type: string }).type };
  }

  const readyStatus = async ({ url }: RealNode, query = ""): Promise<number> =>
    (await fetch(`${url}/health/ready${query}`)).status;

  async function expectReadOnly(victim: RealNode): Promise<void> {
    await until(`${victim.name} refuses writes`, async () => (await put(victim)).type === "disk-full", 10_000);
    expect((await put(victim)).status).toBe(503);
    expect(await readyStatus(victim)).toBe(503);
    expect(await readyStatus(victim, "?for=read")).toBe(200);
    expect((await fetch(`${victim.url}/v1/kv/room/probe`)).status).toBe(200);
    for (const other of cluster.nodes.filter((node) => node !== victim)) expect((await put(other)).status).toBe(204);
  }

  it("turns a node read-only and not ready, and it recovers by itself when there is room", {
    timeout: 60_000 + ROUNDS * 90_000,
  }, async () => {
    await underLoad("full disk", cluster, async ({ rng }) => {
      const victim = someNode(cluster, rng);
      expect((await put(victim)).status).toBe(204);
      const filler = join(victim.dataDir, "filler");
      fill(filler);
      await expectReadOnly(victim);
      await pause(rng.below(2_000));
      await expectReadOnly(victim);
      rmSync(filler);
      await until("it takes writes again", async () => (await put(victim)).status === 204, 10_000);
      await until("it is ready again", async () => (await readyStatus(victim)) === 200, 10_000);
      await pause(500);
      // So that the next round begins with a short log: its WAL may take an eighth of the disk by itself.
      await cluster.kill(victim.name, "SIGTERM");
      await cluster.start(victim.name);
    });
  });
});
