import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { campaign } from "./campaign.ts";
import { simulate } from "./simulate.ts";

async function run(...args: string[]): Promise<{ code: number; lines: string[] }> {
  const lines: string[] = [];
  const code = await campaign(args, (line) => lines.push(line));
  return { code, lines };
}

// The same in another process: test/e2e/replay.test.ts.
describe("a seed", () => {
  it("gives one trace, twice in one process", async () => {
    const [first, second] = [await simulate({ seed: 3, small: true }), await simulate({ seed: 3, small: true })];
    expect(first.events).toBeGreaterThan(1_000);
    expect(second.traceHash).toBe(first.traceHash);
    expect(second.events).toBe(first.events);
  });

  it("other than before gives another trace", async () => {
    const hashOf = async (seed: number): Promise<string> => (await simulate({ seed, small: true })).traceHash;
    expect(await hashOf(4)).not.toBe(await hashOf(5));
  });
});

describe("the program", () => {
  it("prints a line per seed and a summary, as the contract says", async () => {
    const { code, lines } = await run("--seeds", "1..2", "--json", "--small");
    const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(parsed.map((line) => Object.keys(line))).toEqual([
      ["seed", "ok", "traceHash", "events", "virtualMs", "operations"],
      ["seed", "ok", "traceHash", "events", "virtualMs", "operations"],
      ["seeds", "failed", "seedsPerCoreHour", "wallMs"],
    ]);
    expect(parsed.map(({ seed }) => seed)).toEqual([1, 2, undefined]);
    expect(parsed[2]).toMatchObject({ seeds: 2, failed: 0 });
    expect(code).toBe(0);
  });

  it("runs a seed with another number of nodes, regions and hours", async () => {
    const { code, lines } = await run("--seed", "1", "--nodes", "4", "--regions", "2", "--hours", "0.002");
    expect(lines[0]).toMatch(/^seed 1 ok [0-9a-f]{16}: \d+ events, \d+ ms, \d+ operations, 4 nodes/);
    expect(code).toBe(0);
  });

  it("lasts ten virtual minutes and 500 operations unless told otherwise", async () => {
    const { lines } = await run("--seed", "7", "--json");
    const { virtualMs, operations } = JSON.parse(lines[0] ?? "") as { virtualMs: number; operations: number };
    expect(virtualMs).toBeGreaterThanOrEqual(600_000);
    expect(operations).toBeGreaterThanOrEqual(500);
  });

  it("runs the faults that it is told, or none, and knows their names", async () => {
    const { lines } = await run("--seed", "1", "--small", "--faults", "crash,slow-disk");
    expect(lines[0]).toMatch(/faults: crash, slow-disk$/);
    expect((await run("--seed", "1", "--small", "--faults", "none")).lines[0]).toMatch(/faults: none$/);
    const wrong = await run("--seed", "1", "--faults", "crash,earthquake");
    expect(wrong.code).toBe(2);
    expect(wrong.lines[0]).toContain("--faults earthquake: no such fault; there are noise, cut,");
  });

  it("writes every event of a seed to a file, without another trace for it", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "starling-sim-")), "trace.jsonl");
    const plain = await run("--seed", "2", "--small", "--json");
    const { lines } = await run("--seed", "2", "--small", "--json", "--trace", file);
    expect(lines[0]).toBe(plain.lines[0]);
    const events = readFileSync(file, "utf8").trimEnd().split("\n");
    expect(events).toHaveLength((JSON.parse(lines[0] ?? "") as { events: number }).events);
    expect(JSON.parse(events[0] ?? "")).toEqual({ ms: 0, node: "eu", kind: "start", detail: "eu" });
  });

  it("prints the last events of each node when --trace names no file", async () => {
    const { lines } = await run("--seed", "2", "--small", "--trace", "--clients", "1", "--until-ms", "3000");
    expect(lines.join("\n")).toContain("last events of eu:");
  });

  it("says what is wrong with its arguments", async () => {
    for (const args of [
      ["--seeds", "9..3"],
      ["--seeds", "x"],
      ["--seed", "1", "--nodes", "99"],
      ["--what"],
      ["--seeds", "1..2", "--trace", "x"],
    ]) {
      const { code, lines } = await run(...args);
      expect(code).toBe(2);
      expect(lines.join()).toContain("npm run -s sim");
    }
  });
});
