import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Discovery, type DiscoveryEffect, type DiscoveryEvent, SEEDS_MAX } from "../../gossip/discovery/machine.ts";
import type { Endpoint } from "../../gossip/wire/address.ts";
import { type Rng, seededRng } from "../../src/kernel/rng.ts";

const at = (n: number): Endpoint => ({ host: `10.0.${n >> 8}.${n & 255}`, port: 7002 });

/** Draws the same number each time, and counts. */
class FixedRng implements Rng {
  draws = 0;
  readonly #unit: number;
  constructor(unit: number) {
    this.#unit = unit;
  }
  unit(): number {
    this.draws++;
    return this.#unit;
  }
  u32 = (): number => Math.floor(this.unit() * 2 ** 32);
  below = (n: number): number => Math.floor(this.unit() * n);
  fork = (): Rng => this;
}

/** A machine, and time by hand. */
class Finding {
  readonly machine: Discovery;
  nowMs = 0;
  readonly seeds: (readonly Endpoint[])[] = [];
  readonly told: string[] = [];
  readonly delaysMs: number[] = [];
  readonly asks: { readonly ask: number; readonly source: number }[] = [];
  #timers: { readonly atMs: number; readonly token: number }[] = [];

  constructor(options: { fixed?: readonly Endpoint[]; sources?: number; rng?: Rng } = {}) {
    this.machine = new Discovery(options.fixed ?? [], options.sources ?? 1, options.rng ?? new FixedRng(1 - 2 ** -32));
    this.step({ kind: "start" });
  }

  step(event: DiscoveryEvent): DiscoveryEffect[] {
    const effects = this.machine.step(event, this.nowMs);
    for (const effect of effects) {
      if (effect.kind === "set-timer") {
        this.delaysMs.push(effect.delayMs);
        this.#timers.push({ atMs: this.nowMs + effect.delayMs, token: effect.token });
      } else if (effect.kind === "ask") this.asks.push(effect);
      else if (effect.kind === "seeds") this.seeds.push(effect.seeds);
      else this.told.push(effect.kind === "unanswered" ? `${effect.source}: ${effect.reason}` : `${effect.source}: ok`);
    }
    return effects;
  }

  /** Answers the oldest question that is open. */
  answer(...named: number[]): void {
    const ask = this.asks.shift()?.ask ?? -1;
    this.step({ kind: "found", ask, named: [named.map(at)] });
  }

  fail(reason = "broken"): void {
    this.step({ kind: "failed", ask: this.asks.shift()?.ask ?? -1, reason });
  }

  /** Time goes on until something is asked again. */
  untilAsked(): void {
    while (this.asks.length === 0) {
      const next = this.#timers.sort((a, b) => a.atMs - b.atMs).shift();
      if (!next) throw new Error("nothing will be asked any more");
      this.nowMs = next.atMs;
      this.step({ kind: "timer", token: next.token });
    }
  }

  round(act: () => void): void {
    act();
    this.untilAsked();
  }
}

it("an answer ends the reason of the last failure, and the same one is told again after it", () => {
  const me = new Finding();
  me.round(() => me.fail());
  expect(me.machine.view(0).lastError).toBe("broken");
  me.round(() => me.answer(1));
  expect(me.machine.view(0).lastError).toBeNull();
  me.fail();
  expect(me.told).toEqual(["0: broken", "0: ok", "0: broken"]);
});

describe("asking again", () => {
  it("failures double the pause from 1 s up to 30 s, for ever", () => {
    const finding = new Finding();
    for (let i = 0; i < 40; i++) finding.round(() => finding.fail());
    const seconds = finding.delaysMs.map((ms) => Math.round(ms / 1000));
    expect(seconds.slice(0, 8)).toEqual([1, 2, 4, 8, 16, 30, 30, 30]);
    expect(seconds.slice(8).every((one) => one === 30)).toBe(true);
  });

  it("the jitter takes at most half of a pause away, and adds nothing", () => {
    for (const [unit, factor] of [
      [0, 0.5],
      [0.5, 0.75],
      [1 - 2 ** -32, 1],
    ] as const) {
      const finding = new Finding({ rng: new FixedRng(unit) });
      for (let i = 0; i < 6; i++) finding.round(() => finding.fail());
      const wanted = [1, 2, 4, 8, 16, 30].map((seconds) => seconds * 1000 * factor);
      for (const [i, ms] of finding.delaysMs.entries()) expect(ms).toBeCloseTo(wanted[i] ?? Number.NaN, 3);
    }
  });

  it("nodes that start together ask at times of their own soon", () => {
    const asked = Array.from({ length: 50 }, (_, seed) => {
      const finding = new Finding({ rng: seededRng(seed) });
      for (let i = 0; i < 3; i++) finding.round(() => finding.fail());
      return Math.round(finding.nowMs);
    });
    expect(new Set(asked).size).toBeGreaterThan(45);
  });

  it("a source that answers is asked again every 30 s at most, and its first failure after that waits 1 s again", () => {
    const finding = new Finding();
    for (let i = 0; i < 5; i++) finding.round(() => finding.fail());
    finding.round(() => finding.answer(1));
    finding.round(() => finding.fail());
    expect(finding.delaysMs.slice(5).map((ms) => Math.round(ms / 1000))).toEqual([30, 1]);
  });

  it("sources wait and fail on their own", () => {
    const finding = new Finding({ sources: 2 });
    expect(finding.asks.map(({ source }) => source)).toEqual([0, 1]);
    finding.fail();
    finding.answer(7);
    expect(finding.machine.view(0)).toMatchObject({
      state: "failed",
      lastError: "broken",
      nextTryMs: expect.any(Number),
    });
    expect(finding.machine.view(1)).toMatchObject({ state: "found", lastError: null, addresses: [at(7)], answers: 1 });
    finding.untilAsked();
    expect(finding.asks.map(({ source }) => source)).toEqual([0]);
    expect(finding.machine.view(0)).toMatchObject({ state: "asking", nextTryMs: null, failures: 1 });
  });

  it("a late answer, a second one and a stale timer do nothing", () => {
    const finding = new Finding();
    const { ask } = finding.asks[0] ?? { ask: 0 };
    finding.answer(1);
    expect(finding.step({ kind: "found", ask, named: [[at(2)]] })).toEqual([]);
    expect(finding.step({ kind: "failed", ask, reason: "late" })).toEqual([]);
    expect(finding.step({ kind: "timer", token: 999 })).toEqual([]);
    expect(finding.machine.view(0)).toMatchObject({ addresses: [at(1)], failures: 0 });
  });

  it("draws nothing before the first answer", () => {
    const rng = new FixedRng(0.5);
    new Finding({ rng });
    expect(rng.draws).toBe(0);
  });
});

describe("the list of seeds", () => {
  it("is told when it changes, and not when a source gives the same in another order, or twice", () => {
    const finding = new Finding({ fixed: [at(200)] });
    finding.round(() => finding.answer(3, 1, 2));
    finding.round(() => finding.answer(2, 3, 1, 1));
    finding.round(() => finding.answer(1, 2, 3));
    expect(finding.seeds).toEqual([[at(200), at(1), at(2), at(3)]]);
    finding.round(() => finding.answer(1, 2, 4));
    expect(finding.seeds.at(-1)).toEqual([at(200), at(1), at(2), at(4)]);
    expect(finding.told).toEqual(["0: ok", "0: ok"]);
  });

  it("keeps the last good answer while a source fails, and when it names nobody", () => {
    const finding = new Finding();
    finding.round(() => finding.answer(1, 2));
    finding.round(() => finding.fail());
    finding.round(() => finding.answer());
    expect(finding.seeds).toEqual([[at(1), at(2)]]);
    expect(finding.machine.view(0)).toMatchObject({ addresses: [at(1), at(2)], lastError: "it names nobody" });
    finding.round(() => finding.answer(1, 2));
    expect(finding.seeds).toHaveLength(1);
    expect(finding.told).toEqual(["0: ok", "0: broken", "0: it names nobody", "0: ok"]);
  });

  it("a failure is told once for each change of its reason", () => {
    const finding = new Finding();
    for (const reason of ["a", "a", "a", "b", "b", "a"]) finding.round(() => finding.fail(reason));
    expect(finding.told).toEqual(["0: a", "0: b", "0: a"]);
  });

  it("is the union of what is written down and what all sources say, each address once", () => {
    const finding = new Finding({ fixed: [at(1)], sources: 2 });
    finding.answer(1, 2);
    finding.answer(3, 2);
    expect(finding.seeds.at(-1)).toEqual([at(1), at(2), at(3)]);
  });

  it("has at most 64, and a source that names thousands pushes no other out", () => {
    const finding = new Finding({ fixed: [at(60_000)], sources: 2 });
    finding.answer(...Array.from({ length: 5000 }, (_, i) => i));
    finding.answer(50_001, 50_002);
    const seeds = finding.seeds.at(-1) ?? [];
    expect(seeds).toHaveLength(SEEDS_MAX);
    for (const n of [60_000, 50_001, 50_002]) expect(seeds).toContainEqual(at(n));
  });

  it("of too many takes the best, and the same whatever their order", () => {
    const few = Array.from({ length: 60 }, (_, i) => at(1000 + i));
    const many = Array.from({ length: 300 }, (_, i) => at(i));
    const pick = (second: readonly Endpoint[]): readonly Endpoint[] => {
      const finding = new Finding();
      finding.step({ kind: "found", ask: finding.asks[0]?.ask ?? 0, named: [few, second] });
      return finding.seeds[0] ?? [];
    };
    const picked = pick(many);
    for (const address of few) expect(picked).toContainEqual(address);
    expect(pick([...many].reverse())).toEqual(picked);
  });

  it("whatever comes, it stays bounded, and no source is ever given up", () => {
    const act = fc.oneof(
      fc.record({ kind: fc.constant("found" as const), named: fc.array(fc.nat(300), { maxLength: 100 }) }),
      fc.record({ kind: fc.constant("failed" as const), reason: fc.constantFrom("a", "b") }),
    );
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60 }), fc.nat(), (acts, seed) => {
        const finding = new Finding({ sources: 3, rng: seededRng(seed) });
        for (const one of acts) {
          finding.untilAsked();
          if (one.kind === "found") finding.answer(...one.named);
          else finding.fail(one.reason);
        }
        finding.untilAsked();
        const keys = finding.seeds.map((seeds) => JSON.stringify(seeds));
        expect(keys.every((key, i) => key !== keys[i - 1])).toBe(true);
        expect(finding.seeds.every((seeds) => seeds.length > 0 && seeds.length <= SEEDS_MAX)).toBe(true);
        expect(finding.delaysMs.every((ms) => ms >= 500 && ms <= 30_000)).toBe(true);
      }),
    );
  });
});
