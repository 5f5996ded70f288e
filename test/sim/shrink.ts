import { assert } from "../../src/kernel/assert.ts";
import type { Fault, PlanOptions } from "./plan.ts";
import type { SimResult } from "./simulate.ts";

export type Outcome = Pick<SimResult, "ok" | "violations" | "plan">;

export interface Shrunk<T extends Outcome> {
  readonly options: PlanOptions;
  readonly result: T;
  /** The first one violated, before and after. */
  readonly invariant: string;
  /** Replays it. */
  readonly command: string;
  readonly tries: number;
  /** Nothing that was tried makes it smaller; false when the tries were used up before. */
  readonly isMinimal: boolean;
}

/** Simulations that may be spent. */
const TRIES_MAX = 120;
/** To leave something out changes all that chance decides after it, so the failure may need another seed to be met. */
const SEEDS_PER_CANDIDATE = 3;
/** A time is short enough when a shorter one would save less than this. */
const PRECISION_MS = 20;

/** Finds smaller options that violate the same invariant first: fewer faults, nodes, clients, a shorter time.
 *  Throws when the given ones violate none. */
export async function shrink<T extends Outcome>(
  options: PlanOptions,
  run: (options: PlanOptions) => Promise<T>,
  triesMax: number = TRIES_MAX,
): Promise<Shrunk<T>> {
  const result = await run(options);
  const invariant = result.violations[0]?.invariant;
  if (invariant === undefined) throw new Error(`seed ${options.seed} violates nothing: there is nothing to shrink`);
  const search = new Search(run, { options, result, invariant, triesMax });
  const isMinimal = await search.go();
  const { best, tries } = search;
  return { ...best, invariant, command: commandOf(best.options), tries, isMinimal };
}

/** All that a plan's size depends on, named. */
type Pinned = PlanOptions & {
  readonly nodes: number;
  readonly clients: number;
  readonly faults: readonly Fault[];
  readonly untilMs: number;
};

/** Asks for what the seed draws anyway: the same run, of which single parts can now be taken away. */
export function pin(options: PlanOptions, { nodes, clients, faults, busyMs }: Outcome["plan"]): Pinned {
  const untilMs = Math.ceil(busyMs);
  return { ...options, nodes: nodes.length, clients: clients.length, faults: [...faults.keys()], untilMs };
}

class Search<T extends Outcome> {
  best: { readonly options: PlanOptions; readonly result: T };
  /** The first run counts. */
  tries = 1;
  readonly #run: (options: PlanOptions) => Promise<T>;
  readonly #invariant: string;
  readonly #triesMax: number;
  readonly #firstSeed: number;
  /** What was tried in vain. */
  readonly #refuted = new Set<string>();
  #now: Pinned;

  constructor(
    run: (options: PlanOptions) => Promise<T>,
    start: { readonly options: PlanOptions; readonly result: T; readonly invariant: string; readonly triesMax: number },
  ) {
    this.#run = run;
    this.best = { options: start.options, result: start.result };
    this.#invariant = start.invariant;
    this.#triesMax = start.triesMax;
    this.#firstSeed = start.options.seed;
    this.#now = pin(start.options, start.result.plan);
  }

  get #isSpent(): boolean {
    return this.tries >= this.#triesMax;
  }

  /** Whether it came to an end before the tries did. */
  async go(): Promise<boolean> {
    if (!(await this.#stillFails(this.#now))) return !this.#isSpent;
    let before: Pinned;
    do {
      before = this.#now;
      await this.#dropFaults();
      await this.#lower("nodes", 1);
      await this.#lower("clients", 1);
      await this.#endEarlier();
    } while (this.#now !== before && !this.#isSpent);
    return !this.#isSpent;
  }

  async #stillFails(options: Pinned): Promise<boolean> {
    const name = JSON.stringify(options);
    if (this.#isSpent || this.#refuted.has(name)) return false;
    this.tries += 1;
    const result = await this.#run(options);
    if (result.violations[0]?.invariant !== this.#invariant) {
      this.#refuted.add(name);
      return false;
    }
    this.#now = options;
    this.best = { options, result };
    return true;
  }

  /** With less of something, under one of a few seeds. */
  async #can(less: Partial<Pinned>): Promise<boolean> {
    const others = Array.from({ length: SEEDS_PER_CANDIDATE }, (_, i) => this.#firstSeed + i);
    const { seed } = this.#now;
    for (const next of [seed, ...others.filter((other) => other !== seed).slice(0, SEEDS_PER_CANDIDATE - 1)])
      if (await this.#stillFails({ ...this.#now, ...less, seed: next })) return true;
    return false;
  }

  /** Delta debugging: without all, without halves, …, without single ones until none can be missed. */
  async #dropFaults(): Promise<void> {
    if (this.#now.faults.length === 0 || (await this.#can({ faults: [] }))) return;
    let size = Math.ceil(this.#now.faults.length / 2);
    while (!this.#isSpent) {
      const hasDropped = await this.#dropChunks(size);
      if (size === 1 && !hasDropped) return;
      size = Math.ceil(size / 2);
    }
  }

  async #dropChunks(size: number): Promise<boolean> {
    let hasDropped = false;
    for (let from = 0; from < this.#now.faults.length; ) {
      const { faults } = this.#now;
      const rest = [...faults.slice(0, from), ...faults.slice(from + size)];
      // When it worked, what came after the chunk is at its place now.
      if (rest.length > 0 && (await this.#can({ faults: rest }))) hasDropped = true;
      else from += size;
    }
    return hasDropped;
  }

  async #lower(what: "nodes" | "clients", least: number): Promise<void> {
    for (let count = least; count < this.#now[what]; count++) if (await this.#can({ [what]: count })) return;
  }

  /** A shorter run is the beginning of a longer one: what is violated at some time is not violated before it. Where that
   *  isn't so (convergence), the bisection finds some short time instead of the shortest. */
  async #endEarlier(): Promise<void> {
    let enough = this.#now.untilMs;
    let tooShort = 0;
    assert(Number.isInteger(enough), "times to end at are whole milliseconds");
    while (enough - tooShort > PRECISION_MS && !this.#isSpent) {
      const untilMs = Math.ceil((tooShort + enough) / 2);
      if (await this.#stillFails({ ...this.#now, untilMs })) enough = untilMs;
      else tooShort = untilMs;
    }
  }
}

/** Gives a run with these options. */
export function commandOf({ seed, small, nodes, regions, clients, faults, busyMs, untilMs }: PlanOptions): string {
  const flags = {
    seed,
    nodes,
    regions,
    clients,
    hours: busyMs === undefined ? undefined : busyMs / 3_600_000,
    faults: faults && (faults.join(",") || "none"),
    "until-ms": untilMs,
  };
  const given = Object.entries(flags).flatMap(([name, value]) => (value === undefined ? [] : [`--${name} ${value}`]));
  return `npm run -s sim -- ${given.join(" ")}${small ? " --small" : ""}`;
}
