import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LruMap } from "../../src/kernel/bounded-map.ts";

type Step = { readonly key: number; readonly isGet: boolean; readonly weight: number };

const steps = fc.array(fc.record({ key: fc.nat(30), isGet: fc.boolean(), weight: fc.integer({ min: 1, max: 4 }) }), {
  maxLength: 300,
  size: "max", // else no list is longer than ten
});

/** Runs the steps; after each one hands over what it holds and when each key was last used. */
function run(list: readonly Step[], budget: number, check: (held: Map<number, number>, gone: number[]) => void): void {
  const map = new LruMap<number, number>(budget);
  const used = new Map<number, number>();
  for (const [at, { key, isGet, weight }] of list.entries()) {
    const held = new Map([...used].filter(([known]) => map.has(known)));
    if (isGet) expect(map.get(key) !== undefined).toBe(held.has(key));
    else map.set(key, at, weight);
    if (isGet ? map.has(key) : true) used.set(key, at);
    expect(map.weight).toBeLessThanOrEqual(budget);
    const gone = [...held.keys()].filter((known) => known !== key && !map.has(known));
    check(held, gone);
  }
}

describe("a map with a budget", () => {
  test("never holds more than its budget, and finds exactly what it holds", () => {
    fc.assert(fc.property(steps, fc.integer({ min: 4, max: 60 }), (list, budget) => run(list, budget, () => {})));
  });

  test("forgets only what was used before three quarters of the others", () => {
    fc.assert(
      fc.property(steps, (list) => {
        const equal = list.map((step) => ({ ...step, weight: 1 }));
        run(equal, 20, (held, gone) => {
          for (const key of gone) {
            const usedLater = [...held.values()].filter((at) => at > (held.get(key) as number)).length;
            expect(usedLater).toBeGreaterThanOrEqual(Math.floor(((held.size - 1) * 3) / 4));
          }
        });
      }),
      { numRuns: 500 },
    );
  });

  test("what is heavier than the whole budget is not kept, nor what it would replace", () => {
    const map = new LruMap<string, number>(10);
    map.set("a", 1, 5);
    map.set("a", 2, 11);
    expect(map.get("a")).toBeUndefined();
    expect(map.weight).toBe(0);
  });
});
