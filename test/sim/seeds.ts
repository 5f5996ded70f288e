import { describe, it } from "vitest";
import { simulate } from "./simulate.ts";

/** More: SIM_SEEDS=2000 npx vitest run test/sim/seeds */
export const SEEDS = Number(process.env.SIM_SEEDS ?? 300);
const SEEDS_PER_TEST = 10;
/** One in so many has ten virtual minutes and more than 500 operations; it costs as much as four small ones. */
const LONG_EVERY = 10;
const TIMEOUT_MS = 600_000;

/** Every `of`-th test of ten seeds, so that files, and with them workers, share the seeds. */
export function describeSeeds(part: number, of: number): void {
  describe(`${SEEDS} seeds, part ${part} of ${of}: converge, lose and resurrect nothing, and agree with the naive twin`, () => {
    for (let first = 1, i = 0; first <= SEEDS; first += SEEDS_PER_TEST, i++) {
      const last = Math.min(SEEDS, first + SEEDS_PER_TEST - 1);
      if (i % of !== part - 1) continue;
      it(`seeds ${first} to ${last}`, () => runSeeds(first, last), TIMEOUT_MS);
    }
  });
}

async function runSeeds(first: number, last: number): Promise<void> {
  for (let seed = first; seed <= last; seed++) {
    const result = await simulate({ seed, small: seed % LONG_EVERY !== 0 });
    if (!result.ok) throw new Error(result.report());
  }
}
