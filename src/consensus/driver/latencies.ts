const SAMPLES_MAX = 512;

export interface LatencyFigures {
  /** Since the start. */
  readonly count: number;
  readonly totalMs: number;
  /** Of the last 512; null before the first. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
}

/** How long things took, lately. */
export class Latencies {
  readonly #samples: number[] = [];
  #count = 0;
  #totalMs = 0;

  add(ms: number): void {
    this.#samples[this.#count % SAMPLES_MAX] = ms;
    this.#count += 1;
    this.#totalMs += ms;
  }

  figures(): LatencyFigures {
    const sorted = [...this.#samples].sort((a, b) => a - b);
    const at = (share: number): number | null => sorted[Math.ceil(share * sorted.length) - 1] ?? null;
    return { count: this.#count, totalMs: this.#totalMs, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
  }
}
