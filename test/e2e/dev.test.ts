import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkPortsFree } from "../../src/cli/ports.ts";
import { MAIN, until } from "./cluster.ts";

// Issue 3, acceptance 1 and 2: what `npm start` and `starling tour` do, on free ports and in a folder of its own.

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "starling-dev-"));
const data = join(folder, "data");
let base = 0;

beforeAll(async () => {
  if (!existsSync(MAIN)) spawnSync(process.execPath, [join(ROOT, "bin/setup.mjs")], { stdio: "inherit" });
  base = await freeBase();
});

afterAll(() => {
  // Only after a failed test is there anything left.
  for (const { pid } of ourProcesses()) process.kill(pid, "SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** The first port of a row in which all ports of a dev cluster are free. */
async function freeBase(): Promise<number> {
  for (let at = 20_000 + (process.pid % 300) * 30; at < 60_000; at += 30) {
    const wanted = [0, 10, 20].flatMap((tens) =>
      [0, 1, 2].map((one) => ({ host: "127.0.0.1", port: at + tens + one, udp: one === 1, what: "" })),
    );
    const free = await checkPortsFree(wanted, "").then(
      () => true,
      () => false,
    );
    if (free) return at;
  }
  throw new Error("no row of free ports on this machine");
}

/** Every process, of any parent, that works in our folder. */
function ourProcesses(): { pid: number; args: string }[] {
  return allProcesses().filter(({ args }) => args.includes(folder));
}

function allProcesses(): { pid: number; args: string }[] {
  if (existsSync("/proc/self/cmdline"))
    return readdirSync("/proc").flatMap((name) =>
      /^\d+$/.test(name) ? [{ pid: Number(name), args: commandLine(name) }] : [],
    );
  const { stdout } = spawnSync("ps", ["-A", "-o", "pid=,args="], { encoding: "utf8" });
  return stdout.split("\n").map((line) => ({ pid: Number.parseInt(line, 10), args: line }));
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return ""; // it ended between the listing and this look
  }
}

interface Started {
  readonly child: ChildProcess;
  readonly urls: readonly string[];
  readonly ended: Promise<number | null>;
}

/** Starts a dev cluster; resolves with its addresses when it says that it is ready. */
async function startDev(command: string, args: readonly string[]): Promise<Started> {
  const more = ["--data", data, "--ports", String(base), "--json"];
  const child = spawn(command, [...args, ...more], { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (bytes: Buffer) => {
      output += bytes.toString();
    });
  const ready = (): string | undefined => output.split("\n").find((line) => line.startsWith('{"ready":true'));
  await until(
    "ready",
    async () => ready() !== undefined,
    50_000,
    () => {
      if (child.exitCode !== null) throw new Error(`dev ended with ${child.exitCode}: ${output}`);
    },
  );
  const { nodes } = JSON.parse(ready() ?? "") as { nodes: readonly { url: string }[] };
  return { child, ended, urls: nodes.map(({ url }) => url) };
}

function starling(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8", cwd: folder });
  return { code: status, stdout, stderr };
}

async function readAll(urls: readonly string[], path: string): Promise<string[]> {
  return Promise.all(urls.map(async (url) => (await fetch(url + path)).text()));
}

async function expectNothingRuns(): Promise<void> {
  await until("no process is left", async () => ourProcesses().length === 0, 20_000);
}

describe("a dev cluster", () => {
  test("three regions answer, Ctrl-C leaves no process, and the next start has the data", async () => {
    const first = await startDev(process.execPath, [MAIN, "dev"]);
    expect(first.urls.length).toBe(3);
    const [eu, us] = first.urls;
    await fetch(`${eu}/v1/kv/demo/greeting`, { method: "PUT", body: "hello from eu" });
    await until(
      "everywhere",
      async () => (await readAll(first.urls, "/v1/kv/demo/greeting")).every((v) => v === "hello from eu"),
      20_000,
    );

    const again = starling("dev", "--data", data, "--ports", String(base));
    expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining("this dev cluster runs already") });
    const busy = starling("dev", "--data", join(folder, "other"), "--ports", String(base + 10));
    expect(busy).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`port ${base + 10} on 127.0.0.1, eu's client port, is in use`),
    });

    first.child.kill("SIGINT");
    expect(await first.ended).toBe(0);
    expect(ourProcesses()).toEqual([]);

    const second = await startDev(process.execPath, [MAIN, "dev"]);
    expect(await readAll(second.urls, "/v1/kv/demo/greeting")).toEqual(Array(3).fill("hello from eu"));
    expect((await fetch(`${us}/v1/kv/demo/greeting`, { method: "PUT", body: "hello from us" })).status).toBe(204);
    second.child.kill("SIGTERM");
    expect(await second.ended).toBe(0);
    expect(ourProcesses()).toEqual([]);
  }, 180_000);

  test("that is killed outright takes its nodes with it", async () => {
    const { child, ended } = await startDev(process.execPath, [MAIN, "dev"]);
    expect(ourProcesses().length).toBe(4);
    child.kill("SIGKILL");
    await ended;
    await expectNothingRuns();
  }, 120_000);

  test("started by npm start ends when only npm is told to", async () => {
    const { child, ended } = await startDev("npm", ["start", "--silent", "--"]);
    child.kill("SIGTERM");
    await ended;
    await expectNothingRuns();
  }, 120_000);
});

describe("a node that was started with a channel", () => {
  // At once the channel is gone before the node has loaded what listens for its end; later the event comes.
  test.each([0, 3_000])("stops when that closes, after %i ms", { timeout: 30_000 }, async (afterMs) => {
    const any = "127.0.0.1:0";
    const args = ["node", "--client.bind", any, "--gossip.bind", any, "--peer.bind", any];
    const child = spawn(process.execPath, [MAIN, ...args, "--node.data_dir", join(folder, `alone-${afterMs}`)], {
      stdio: ["ignore", "ignore", "ignore", "ipc"],
    });
    const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    child.disconnect();
    expect(await ended).toBe(0);
  });
});

describe("the tour", () => {
  test("holds all its claims, twice in a row, and says so when one does not hold", async () => {
    const { child, urls, ended } = await startDev(process.execPath, [MAIN, "dev", "--fresh"]);
    const [eu] = urls;
    for (const _run of ["first", "second"]) {
      const tour = starling("tour", "--limit", "400", "--json", "--node", String(eu));
      expect(tour).toMatchObject({ code: 0 });
      const { ok, claims } = JSON.parse(tour.stdout) as { ok: boolean; claims: { claim: string }[] };
      expect(ok).toBe(true);
      expect(claims.map(({ claim }) => claim)).toContain("each node lists exactly one conflict, with the same id");
    }
    const ap = ourProcesses().find(({ args }) => args.includes(join(data, "ap", "node.toml")));
    process.kill(ap?.pid ?? 0, "SIGKILL");
    const failed = starling("tour", "--limit", "400", "--json", "--node", String(eu));
    expect(failed.code).not.toBe(0);
    expect(failed.stderr).toContain("starling: ");
    child.kill("SIGINT");
    expect(await ended).toBe(0);
    await expectNothingRuns();
  }, 240_000);
});
