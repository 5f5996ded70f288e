import { describe, expect, it } from "vitest";
import type { StoreImage } from "../../src/storage/memory.ts";
import { SimCluster } from "./cluster.ts";
import type { PlanOptions } from "./plan.ts";
import { drawPlan } from "./plan.ts";
import type { Outcome } from "./shrink.ts";
import { commandOf, pin, shrink } from "./shrink.ts";
import { simulate } from "./simulate.ts";

const ALL = ["noise", "cut", "flap", "crash", "stall", "rollback", "clock"] as const;
const START: PlanOptions = { seed: 7, nodes: 5, clients: 4, busyMs: 20_000, faults: ALL };

/** Runs nothing: what is violated is a function of the plan. */
function fake(violated: (plan: Outcome["plan"]) => string | undefined) {
  const asked: PlanOptions[] = [];
  const run = async (options: PlanOptions): Promise<Outcome> => {
    asked.push(options);
    const plan = drawPlan(options);
    const invariant = violated(plan);
    return { plan, ok: invariant === undefined, violations: invariant ? [{ invariant, text: "" }] : [] };
  };
  return { run, asked };
}

describe("asking for what a seed draws anyway", () => {
  it("gives the plan of that seed", () => {
    for (let seed = 1; seed <= 200; seed++) {
      for (const options of [{ seed }, { seed, small: true }, { seed, busyMs: 3_600_000 / 7, regions: 2 }]) {
        const plan = drawPlan(options);
        expect(drawPlan(pin(options, plan))).toEqual(plan);
      }
    }
  });

  it("and ending earlier changes nothing but the end: faults are as frequent as before", () => {
    const plan = drawPlan({ seed: 5 });
    expect(drawPlan({ seed: 5, untilMs: 900 })).toEqual({ ...plan, busyMs: 900 });
  });
});

describe("shrinking", () => {
  it("finds the least of each part that the failure needs", async () => {
    const { run } = fake(({ nodes, clients, faults, busyMs }) =>
      nodes.length >= 3 && clients.length >= 2 && faults.has("cut") && faults.has("rollback") && busyMs >= 4_321
        ? "durable"
        : undefined,
    );
    const { options, isMinimal, invariant } = await shrink(START, run);
    expect(options).toMatchObject({ nodes: 3, clients: 2, faults: ["cut", "rollback"] });
    expect(options.untilMs).toBeGreaterThanOrEqual(4_321);
    expect(options.untilMs).toBeLessThan(4_321 + 20);
    expect([isMinimal, invariant]).toEqual([true, "durable"]);
  });

  it("finds each single fault that alone is enough, and that none is needed", async () => {
    for (const needed of ALL) {
      const { options } = await shrink(START, fake(({ faults }) => (faults.has(needed) ? "durable" : undefined)).run);
      expect(options.faults).toEqual([needed]);
    }
    expect((await shrink(START, fake(() => "durable").run)).options).toMatchObject({
      faults: [],
      nodes: 1,
      clients: 1,
    });
  });

  it("never takes the failure of another invariant, which smaller ones have, for the same", async () => {
    const { run } = fake(({ nodes, faults }) => (nodes.length === 5 && faults.size >= 2 ? "durable" : "convergence"));
    const { options, result, invariant } = await shrink(START, run);
    expect(options.nodes).toBe(5);
    expect(options.faults).toHaveLength(2);
    expect([invariant, result.violations[0]?.invariant]).toEqual(["durable", "durable"]);
  });

  it("looks at the first violation only: later ones may follow from another cause", async () => {
    const run = async (options: PlanOptions): Promise<Outcome> => {
      const plan = drawPlan(options);
      const names = plan.nodes.length < 5 ? ["convergence", "durable"] : ["durable"];
      return { plan, ok: false, violations: names.map((invariant) => ({ invariant, text: "" })) };
    };
    expect((await shrink(START, run)).options.nodes).toBe(5);
  });

  it("ends within its budget of tries, with the smallest of those that failed", async () => {
    const needs = ({ nodes, faults }: Outcome["plan"]) => nodes.length >= 3 && faults.has("stall");
    for (const triesMax of [1, 2, 5, 11]) {
      const { run, asked } = fake((plan) => (needs(plan) ? "durable" : undefined));
      const { options, tries, isMinimal } = await shrink(START, run, triesMax);
      expect(asked).toHaveLength(triesMax);
      expect([tries, isMinimal]).toEqual([triesMax, false]);
      expect(needs(drawPlan(options))).toBe(true);
    }
  });

  it("tries a few other seeds where the given one needs all it has", async () => {
    const { run } = fake(({ seed, nodes }) => ((seed === 7 ? nodes.length === 5 : nodes.length >= 2) ? "durable" : ""));
    expect((await shrink(START, run)).options).toMatchObject({ seed: 8, nodes: 2 });
  });

  it("is the same each time, and tries nothing twice in vain", async () => {
    const runs = [0, 1].map(() => fake(({ faults }) => (faults.has("flap") && faults.has("clock") ? "durable" : "")));
    const found = await Promise.all(runs.map(({ run }) => shrink(START, run)));
    expect(runs[1]?.asked).toEqual(runs[0]?.asked);
    expect(found[1]).toEqual(found[0]);
    const asked = (runs[0]?.asked ?? []).map((options) => JSON.stringify(options));
    const failed = asked.filter((text) => !/flap.*clock/.test(text));
    expect(new Set(failed).size).toBe(failed.length);
  });

  it("refuses what does not fail", async () => {
    await expect(shrink(START, fake(() => undefined).run)).rejects.toThrow("seed 7 violates nothing");
  });
});

it("the command names each part that is not as the seed draws it", () => {
  expect(commandOf({ seed: 3, nodes: 2, clients: 1, faults: ["cut", "crash"], untilMs: 812 })).toBe(
    "npm run -s sim -- --seed 3 --nodes 2 --clients 1 --faults cut,crash --until-ms 812",
  );
  expect(commandOf({ seed: 3, small: true, faults: [], regions: 2, busyMs: 7_200_000 })).toBe(
    "npm run -s sim -- --seed 3 --regions 2 --hours 2 --faults none --small",
  );
});

/** A disk that lies: what was there at a node's last stall is what its next process finds after a crash. */
async function withLyingDisks<T>(body: () => Promise<T>): Promise<T> {
  const { stall, crash } = SimCluster.prototype;
  const atStall = new WeakMap<SimCluster, Map<string, StoreImage>>();
  SimCluster.prototype.stall = function (name, ms) {
    const image = this.image(name);
    if (image) atStall.set(this, new Map([...(atStall.get(this) ?? []), [name, image]]));
    stall.call(this, name, ms);
  };
  SimCluster.prototype.crash = function (name, how) {
    const image = this.isAlive(name) ? atStall.get(this)?.get(name) : undefined;
    crash.call(this, name, how);
    if (image) this.restoreImage(name, image);
  };
  try {
    return await body();
  } finally {
    Object.assign(SimCluster.prototype, { stall, crash });
  }
}

describe("a planted bug: acknowledged writes are lost when a node is stalled and then killed", () => {
  it("shrinks to these two faults, fewer nodes and a shorter time, and still loses them", async () => {
    const options: PlanOptions = {
      seed: 22,
      small: true,
      nodes: 3,
      busyMs: 8_000,
      faults: ["noise", "stall", "crash"],
    };
    const { shrunk, again } = await withLyingDisks(async () => {
      const found = await shrink(options, (one) => simulate(one), 20);
      return { shrunk: found, again: await simulate(found.options) };
    });
    expect(shrunk.invariant).toBe("durable");
    expect(shrunk.options.faults).toEqual(["stall", "crash"]);
    expect(shrunk.options.nodes).toBeLessThan(3);
    expect(shrunk.options.untilMs).toBeLessThan(8_000);
    expect(again.violations).toEqual(shrunk.result.violations);
    expect(again.traceHash).toBe(shrunk.result.traceHash);
    expect((await simulate(shrunk.options)).violations, "without the bug").toEqual([]);
  }, 120_000);
});
