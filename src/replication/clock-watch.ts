import type { NodeId } from "../kernel/ids.ts";
import type { ClockExchange, Instant } from "../peer/link.ts";

export interface ClockSample {
  readonly peer: NodeId;
  /** The peer's wall time less ours, as if it had looked at its clock at half the round trip. */
  readonly offsetMs: number;
  readonly rttMs: number;
  readonly at: Instant;
}

export interface ClockReading {
  /** Clocks that are known, this node's included. */
  readonly clocks: number;
  /** Ours less the median is certainly within; null when too few are known. Positive: ours is ahead. */
  readonly bounds: Bounds | null;
}

export interface Bounds {
  readonly lowMs: number;
  readonly highMs: number;
}

/** Fewer can't tell whose is wrong. */
const MIN_CLOCKS = 3;
/** Wall times are whole ms, on both sides. */
const ROUNDING_MS = 2;
/** How fast two clocks may part: what adjtime slews at most. More: a sample is worth less sooner; less: a badly built
 *  clock is taken at its word. */
const DRIFT_PPM = 500;
/** Long, so that a node which is cut off goes on marking what it writes: just then others write the same keys. By then
 *  drift has made a sample uncertain by 43 s. */
const MAX_AGE_MS = 24 * 3_600_000;

/** Null when our own wall clock was set in between: then half the round trip says nothing. */
export function sampleOf(peer: NodeId, { asked, answered, peerWallMs }: ClockExchange): ClockSample | null {
  if (Math.abs(stepBetween(asked, answered)) > 2 * ROUNDING_MS) return null;
  const rttMs = answered.monotonicMs - asked.monotonicMs;
  return { peer, offsetMs: peerWallMs - (answered.wallMs - rttMs / 2), rttMs, at: answered };
}

/** How much further our wall clock went than time did: it was set, or the machine slept. */
function stepBetween(from: Instant, to: Instant): number {
  return to.wallMs - from.wallMs - (to.monotonicMs - from.monotonicMs);
}

/** Where the peer's clock can be now, less ours. When ours was set since the sample was taken, the peer may be where it
 *  was measured (a machine that slept) or moved away by as much (somebody set the clock): both count, so that nobody is
 *  accused until a newer sample tells. */
function boundsOf({ offsetMs, rttMs, at }: ClockSample, now: Instant): Bounds {
  const ageMs = Math.max(now.monotonicMs - at.monotonicMs, now.wallMs - at.wallMs);
  const uncertaintyMs = rttMs / 2 + ROUNDING_MS + (ageMs * DRIFT_PPM) / 1e6;
  const moved = offsetMs - stepBetween(at, now);
  return { lowMs: Math.min(offsetMs, moved) - uncertaintyMs, highMs: Math.max(offsetMs, moved) + uncertaintyMs };
}

/** What is known of the peers' clocks: the best recent sample of each. Pure; at most one sample a peer. */
export class ClockWatch {
  readonly #samples = new Map<NodeId, ClockSample>();

  note(sample: ClockSample): void {
    const held = this.#samples.get(sample.peer);
    if (!held || isBetter(sample, held)) this.#samples.set(sample.peer, sample);
    for (const [peer, { at }] of this.#samples)
      if (sample.at.monotonicMs - at.monotonicMs > MAX_AGE_MS) this.#samples.delete(peer);
  }

  read(now: Instant): ClockReading {
    const known = [...this.#samples.values()].filter(({ at }) => now.monotonicMs - at.monotonicMs <= MAX_AGE_MS);
    const clocks = known.length + 1;
    if (clocks < MIN_CLOCKS) return { clocks, bounds: null };
    const all = known.map((sample) => boundsOf(sample, now));
    // The median moves with none of its clocks further than that clock moves: bounds of all give bounds of it.
    const lowMs = -medianWithOurs(all.map((bounds) => bounds.highMs));
    const highMs = -medianWithOurs(all.map((bounds) => bounds.lowMs));
    return { clocks, bounds: { lowMs, highMs } };
  }
}

/** A surer sample, or one that shows that the peer's clock was set since. */
function isBetter(sample: ClockSample, held: ClockSample): boolean {
  const fresh = boundsOf(sample, sample.at);
  const old = boundsOf(held, sample.at);
  const contradicts = fresh.lowMs > old.highMs || fresh.highMs < old.lowMs;
  return contradicts || fresh.highMs - fresh.lowMs <= old.highMs - old.lowMs;
}

/** Our own offset from ourselves is 0. */
function medianWithOurs(offsetsMs: readonly number[]): number {
  const sorted = [0, ...offsetsMs].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? 0) + upper) / 2;
}

/** Certainly further off than allowed. */
export function isOff({ bounds }: ClockReading, maxDriftMs: number, aheadMs = 0): boolean {
  return bounds !== null && (bounds.lowMs + aheadMs > maxDriftMs || bounds.highMs + aheadMs < -maxDriftMs);
}

/** Certainly not. Between the two nothing is certain. */
export function isSound({ bounds }: ClockReading, maxDriftMs: number): boolean {
  return bounds !== null && bounds.lowMs >= -maxDriftMs && bounds.highMs <= maxDriftMs;
}
