import { seededRng } from "../../src/kernel/rng.ts";
import { Pool, type PoolOptions } from "./pool.test-kit.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

export interface Falsehoods {
  /** Members suspected, and held for dead, who live: each counted once for each member that believed it. */
  readonly suspicions: number;
  readonly deaths: number;
}

/** Nobody fails; datagrams are lost.
 *  @param streams false: neither TCP pings nor push/pull help */
export function lossyHours(members: number, hours: number, streams: boolean, options: PoolOptions): Falsehoods {
  const pool = Pool.full(members, options);
  pool.streams = streams;
  let [suspicions, deaths] = [0, 0];
  for (let left = hours; left > 0; left -= 1) {
    pool.run(Math.min(1, left) * HOUR_MS);
    suspicions += pool.events("member-suspect").length;
    deaths += pool.events("member-dead").length;
    pool.log.length = 0; // a day of it fills memory
  }
  return { suspicions, deaths };
}

export interface Stalls {
  /** Accusations by who slept. */
  readonly bySleepers: number;
  /** Sleepers whom others suspected, and whom others held for dead. */
  readonly suspected: number;
  readonly dead: number;
}

/** One member after the other stands still for up to `stallMsMax`. */
export function stalls(members: number, count: number, stallMsMax: number, options: PoolOptions): Stalls {
  const pool = Pool.full(members, options);
  const rng = seededRng(options.seed);
  let [bySleepers, suspected, dead] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    const sleeper = `n${rng.below(members)}`;
    pool.run(1000 * rng.unit());
    pool.stall(sleeper, stallMsMax * rng.unit());
    pool.run(stallMsMax + 15_000);
    bySleepers += pool
      .events("member-suspect")
      .filter(({ event }) => event.kind === "member-suspect" && event.by === sleeper).length;
    suspected += Math.min(1, pool.events("member-suspect", sleeper).length);
    dead += Math.min(1, pool.events("member-dead").length);
    pool.log.length = 0;
  }
  return { bySleepers, suspected, dead };
}

export interface SlowMembers {
  readonly members: number;
  readonly slow: number;
  readonly minutes: number;
  readonly slowMsMax: number;
  readonly pauseMsMax: number;
}

export interface FalsePositives {
  /** Healthy members held for dead, at slow members and at healthy ones together, and at healthy ones alone. */
  readonly all: number;
  readonly atHealthy: number;
}

/** The Lifeguard paper's kind of experiment: the messages of some members are held up again and again, both ways, for
 *  random times; all live. What counts is who of the healthy is held for dead. */
export function slowMembers(how: SlowMembers, options: PoolOptions): FalsePositives {
  const pool = Pool.full(how.members, options);
  const rng = seededRng(options.seed);
  const nextMs = Array.from({ length: how.slow }, () => how.pauseMsMax * rng.unit());
  const startMs = pool.nowMs;
  while (pool.nowMs - startMs < how.minutes * MINUTE_MS) {
    for (const [i, atMs] of nextMs.entries()) {
      if (pool.nowMs - startMs < atMs) continue;
      const slowMs = how.slowMsMax * rng.unit();
      pool.clog(`n${i}`, slowMs);
      nextMs[i] = pool.nowMs - startMs + slowMs + how.pauseMsMax * rng.unit();
    }
    pool.run(100);
  }
  const isSlow = (name: string): boolean => Number(name.slice(1)) < how.slow;
  const wrong = pool.events("member-dead").filter(({ event }) => !isSlow(event.name));
  return { all: wrong.length, atHealthy: wrong.filter(({ by }) => !isSlow(by)).length };
}

/** Two halves that hear nothing of each other for an hour; how long until all know all again, in ms. */
export function healing(members: number, options: PoolOptions): number {
  const pool = Pool.full(members, options);
  const half = (name: string): number => Number(name.slice(1)) % 2;
  pool.cut((a, b) => half(a) !== half(b));
  pool.run(HOUR_MS);
  pool.heal();
  pool.log.length = 0;
  return pool.until(() => pool.everyoneSees("alive"), 10 * MINUTE_MS, "all know all again");
}
