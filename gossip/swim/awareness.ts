/** Lifeguard's S: how far a member's distrust of itself may go. Larger: a member in a bad state accuses more slowly, and
 *  finds real failures later. */
export const AWARENESS_MAX = 8;

/** How unwell this member is, from 0 (healthy): what it misses of others may be its own fault (Dadgar, Phillips, Currey,
 *  "Lifeguard", 2017, §IV-A). It gives others more time to answer, not to refute: suspicions stay as they are. */
export class Awareness {
  #score = 0;

  get score(): number {
    return this.#score;
  }

  /** Worse by a positive delta, better by a negative one. */
  change(delta: number): void {
    this.#score = Math.min(AWARENESS_MAX, Math.max(0, this.#score + delta));
  }

  stretched(ms: number): number {
    return ms * (this.#score + 1);
  }
}
