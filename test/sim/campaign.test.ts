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
    const [first, second] = [await simulate({ seed: 3 }), await simulate({ seed: 3 })];
    expect(first.events).toBeGreaterThan(1_000);
    expect(second.traceHash).toBe(first.traceHash);
    expect(second.events).toBe(first.events);
  });

  it("other than before gives another trace", async () => {
    expect((await simulate({ seed: 4 })).traceHash).not.toBe((await simulate({ seed: 5 })).traceHash);
  });
});

describe("the program", () => {
  it("prints a line per seed and a summary, as the contract says", async () => {
    const { code, lines } = await run("--seeds", "1..2", "--json");
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

  it("says what is wrong with its arguments", async () => {
    for (const args of [["--seeds", "9..3"], ["--seeds", "x"], ["--seed", "1", "--nodes", "99"], ["--what"]]) {
      const { code, lines } = await run(...args);
      expect(code).toBe(2);
      expect(lines.join()).toContain("npm run -s sim");
    }
  });
});
