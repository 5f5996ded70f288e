import { spawn } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RealCluster, type RealNode, until } from "./cluster.ts";
import { missing, pause, ROUNDS, someNode, underLoad } from "./faults.ts";
import type { Load } from "./load.ts";

const lacking = missing("strace");
if (lacking) console.warn(`input/output errors are skipped: ${lacking} missing`);

/** Lets system calls of a running process fail. Resolves when it is at work; `ended` when the process is gone. */
async function inject(
  { process: child, name }: RealNode,
  calls: string,
  when: string,
): Promise<{ ended: Promise<void> }> {
  const strace = spawn(
    "strace",
    ["-f", "-p", String(child?.pid), "-e", `trace=${calls}`, "-e", `inject=${calls}:error=EIO:when=${when}`],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  let told = "";
  strace.stderr.on("data", (bytes: Buffer) => {
    told += bytes.toString();
  });
  const ended = new Promise<void>((resolve) => strace.once("close", () => resolve()));
  await until(
    `strace has attached to ${name}`,
    async () => told.includes("attached"),
    10_000,
    () => {
      if (strace.exitCode !== null) throw new Error(`strace ended: ${told}`);
    },
  );
  return { ended };
}

describe.skipIf(lacking)("input/output errors under load (skipped without strace and root)", () => {
  let cluster: RealCluster;
  beforeAll(async () => {
    cluster = await RealCluster.make(["eu", "us", "ap"]);
    await cluster.startAll();
  });
  afterAll(() => cluster.stopAll());

  async function expectStop(victim: RealNode, load: Load, calls: string, when: string): Promise<void> {
    const child = victim.process;
    const logFrom = cluster.log(victim.name).length;
    const gone = new Promise<number | null>((resolve) => child?.once("exit", resolve));
    const endMs = performance.now() + 20_000;
    const { ended } = await inject(victim, calls, when);
    // The commit that fails should hold writes of clients: they must not have been acknowledged.
    while (child?.exitCode === null && performance.now() < endMs) await Promise.all([load.burst(victim), pause(10)]);
    const late = pause(1_000).then(() => "still running after 20 s");
    const code = await Promise.race([gone, late]);
    if (typeof code === "string") child?.kill("SIGKILL");
    await ended;
    expect(code, "exit code").toBe(1);
    const log = cluster.log(victim.name).slice(logFrom);
    expect(log).toMatch(/"level":"error".*"event":"replica\.failed"/);
    expect(log).toMatch(/^starling: the store .* fsync of its files failed.* so this node stops\. Check its disk/m);
    expect(log, "no stack trace for the operator").not.toMatch(/^\s+at /m);
  }

  for (const [what, calls] of [
    ["an fsync", "fsync,fdatasync"],
    ["a write", "pwrite64"],
  ] as const)
    it(`${what} that fails stops the process with a sentence, and nothing acknowledged is lost`, {
      timeout: 60_000 + ROUNDS * 90_000,
    }, async () => {
      await underLoad(`EIO of ${what}`, cluster, async ({ rng, load }) => {
        const victim = someNode(cluster, rng);
        // Once is what a real disk does: the kernel then holds the lost pages for clean.
        const when = `${1 + rng.below(3)}${rng.below(2) === 0 ? "+" : ""}`;
        await expectStop(victim, load, calls, when);
        await pause(rng.below(500));
        await cluster.start(victim.name);
      });
    });
});
