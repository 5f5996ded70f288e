import { describe, expect, it } from "vitest";
import { type Result, simulate } from "./cluster.ts";

/** More: npm run -s sim:raft -- --seeds A..B */
const SEEDS = 300;

describe("300 seeds of groups under faults", () => {
  const results: Result[] = [];

  it("keep the five properties, linearizable reads and writes, and come to rest", { timeout: 120_000 }, () => {
    for (let seed = 1; seed <= SEEDS; seed++) results.push(simulate(seed));
    const failed = results.filter(({ ok }) => !ok);
    const texts = failed.map(({ seed, violation }) => `seed ${seed}: ${violation?.invariant}: ${violation?.text}`);
    expect(texts, failed[0]?.report()).toEqual([]);
    expect(results.filter(({ isUndecided }) => isUndecided)).toEqual([]);
  });

  it("meet what they are there for", () => {
    const total = (of: (result: Result) => number): number => results.reduce((sum, result) => sum + of(result), 0);
    expect(total(({ operations }) => operations)).toBeGreaterThan(30 * SEEDS);
    expect(total(({ met }) => met.elections)).toBeGreaterThan(3 * SEEDS);
    expect(total(({ met }) => met.groups)).toBeGreaterThan(2 * SEEDS);
    expect(total(({ met }) => met.installs)).toBeGreaterThan(SEEDS);
    expect(total(({ met }) => met.replaced)).toBeGreaterThan(SEEDS / 2);
    expect(total(({ met }) => met.refusedStarts)).toBeGreaterThan(SEEDS / 50);
  });

  it("are the same run each time", () => {
    for (const { seed, traceHash } of results.slice(0, 10)) expect(simulate(seed).traceHash).toBe(traceHash);
  });
});
