import { seededRng } from "../../src/kernel/rng.ts";
import { Pool, type PoolOptions } from "./pool.test-kit.ts";

const MINUTE_MS = 60_000;

/** How long after a crash, in ms. */
export interface Crash {
  readonly firstSuspicionMs: number;
  /** Everyone suspects it: how long the news of the first suspicion took. */
  readonly spreadMs: number;
  /** The last of all knows of the death. */
  readonly everyoneMs: number;
}

/** One member after the other crashes at a random moment, and comes back when the first other suspects it. */
export function firstSuspicions(members: number, crashes: number, options: PoolOptions): number[] {
  const pool = Pool.full(members, options);
  const rng = seededRng(options.seed);
  const found: number[] = [];
  while (found.length < crashes) {
    const victim = `n${rng.below(members)}`;
    pool.run(1000 * rng.unit());
    const crashMs = pool.nowMs;
    pool.crash(victim);
    const isSuspected = (): boolean => pool.events("member-suspect", victim).length > 0;
    pool.until(isSuspected, MINUTE_MS, `${victim} is suspected`);
    found.push((pool.events("member-suspect", victim)[0]?.atMs ?? Number.NaN) - crashMs);
    revive(pool, victim);
  }
  return found;
}

/** One member after the other crashes, and comes back when all others know that it is dead. */
export function deaths(members: number, crashes: number, options: PoolOptions): Crash[] {
  const pool = Pool.full(members, options);
  const rng = seededRng(options.seed);
  const found: Crash[] = [];
  while (found.length < crashes) {
    const victim = `n${rng.below(members)}`;
    pool.run(1000 * rng.unit());
    const crashMs = pool.nowMs;
    pool.crash(victim);
    const everyoneKnows = (): boolean => pool.events("member-dead", victim).length >= members - 1;
    pool.until(everyoneKnows, 3 * MINUTE_MS, `${victim} is dead for all`);
    const suspectedMs = pool.events("member-suspect", victim).map(({ atMs }) => atMs - crashMs);
    const deadMs = pool.events("member-dead", victim).map(({ atMs }) => atMs - crashMs);
    const [firstSuspicionMs = Number.NaN] = suspectedMs;
    const spreadMs = (suspectedMs.at(-1) ?? Number.NaN) - firstSuspicionMs;
    found.push({ firstSuspicionMs, spreadMs, everyoneMs: deadMs.at(-1) ?? Number.NaN });
    revive(pool, victim);
  }
  return found;
}

function revive(pool: Pool, victim: string): void {
  const seed = victim === "n0" ? "n1" : "n0";
  pool.start(victim, { seeds: [seed] });
  pool.until(() => pool.everyoneSees("alive", [victim]), MINUTE_MS, `${victim} is back for all`);
  pool.run(5000);
  pool.log.length = 0;
}
