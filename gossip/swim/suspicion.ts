import { expectedConfirmations, type Profile, suspicionMs, suspicionMsMin } from "./profile.ts";

/** The time a suspected member has left, shortened by each confirmation of another member (Lifeguard). */
export interface Suspicion {
  startMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  readonly expected: number;
  /** The accuser, and who confirmed; at most one more than `expected`. */
  readonly accusers: Set<string>;
}

export function newSuspicion(profile: Profile, members: number, accuser: string, nowMs: number): Suspicion {
  const minMs = suspicionMsMin(profile, members);
  return {
    startMs: nowMs,
    minMs,
    maxMs: minMs * profile.suspicionMaxFactor,
    expected: expectedConfirmations(profile, members),
    accusers: new Set([accuser]),
  };
}

/** True when this is news: another member than all before, and one that is still waited for. */
export function confirm(suspicion: Suspicion, by: string): boolean {
  if (suspicion.accusers.size > suspicion.expected || suspicion.accusers.has(by)) return false;
  suspicion.accusers.add(by);
  return true;
}

export function leftMs(suspicion: Suspicion, nowMs: number): number {
  const { minMs, maxMs, expected, accusers, startMs } = suspicion;
  return suspicionMs(minMs, maxMs, accusers.size - 1, expected) - (nowMs - startMs);
}
