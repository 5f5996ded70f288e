/** How unwell this member is, from 0 (healthy): what it misses of others may be its own fault (Dadgar, Phillips, Currey,
 *  "Lifeguard", 2017, §IV-A). It gives others more time to answer, not to refute: suspicions stay as they are. */
export class Awareness {
  readonly #max: number;
  #score = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get score(): number {
    return this.#score;
  }

  /** Worse by a positive delta, better by a negative one. */
  change(delta: number): void {
    this.#score = Math.min(this.#max, Math.max(0, this.#score + delta));
  }

  stretched(ms: number): number {
    return ms * (this.#score + 1);
  }
}
