/** Why a peer that lives is better not asked first. `silent`: its heartbeats are overdue; `slow`: it answers several times
 *  later than it used to; `lossy`: gossip's packets to or from it are lost. */
export type GrayReason = "silent" | "slow" | "lossy";

/** One in 10^8 pauses of a healthy peer is so long (Akka's default). Lower: ordinary jitter turns traffic away. Higher:
 *  traffic goes to a peer that hangs for longer. At heartbeats of a second it is reached after 2.4 s or so, before SWIM
 *  would have suspected a member that still answers its pings. */
const PHI_GRAY = 8;
/** Above this it is told as this: nobody needs to know more exactly. */
const PHI_MAX = 99;
/** Some lost packets are ordinary; three that follow each other are not (each newest one counts an eighth). */
const LOSS_GRAY = 0.25;
/** So many times the fastest that it lately was, and so much longer: on short ways every pause is many times as long. */
const SLOW_FACTOR = 4;
const SLOW_MS_MIN = 50;
const SAMPLES_MAX = 100;
const RECENT_SAMPLES = 5;
/** Intervals on a quiet line hardly vary, and the first late packet must not be a scandal. */
const DEVIATION_PART_MIN = 1 / 4;

/** The heartbeats of one peer, as answered to us: how overdue the next one is, and how slow answers have become. It
 *  steers traffic away from a gray failure (slow, lossy) long before it is a death, and nothing else (I11).
 *  Hayashibara, Défago, Yared, Katayama, "The φ accrual failure detector" (2004). */
export class Pulse {
  readonly #everyMs: number;
  readonly #intervalsMs: number[] = [];
  readonly #rttsMs: number[] = [];
  #lastMs: number | null = null;
  #isFirst = true;

  /** @param everyMs the pace of heartbeats: what is expected before any has come */
  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  /** A new link: how long there was none is no interval between heartbeats. */
  opened(): void {
    this.#isFirst = true;
  }

  heard(nowMs: number, rttMs: number): void {
    if (!this.#isFirst && this.#lastMs !== null) keep(this.#intervalsMs, nowMs - this.#lastMs);
    this.#isFirst = false;
    this.#lastMs = nowMs;
    keep(this.#rttsMs, rttMs);
  }

  /** We stood still, and could not hear it. An answer that was waiting may have been heard before we noticed: then its
   *  interval was our sleep. */
  slept(byMs: number, nowMs: number): void {
    if (this.#lastMs === null) return;
    if (this.#lastMs + byMs <= nowMs) {
      this.#lastMs += byMs;
      return;
    }
    this.#intervalsMs.pop();
    this.#rttsMs.pop();
  }

  /** −log10 of how probable so long a pause is by chance; null before the first heartbeat. */
  phi(nowMs: number): number | null {
    if (this.#lastMs === null) return null;
    const { mean, deviation } = this.#statistics();
    const y = (nowMs - this.#lastMs - mean) / deviation;
    return Math.min(PHI_MAX, -Math.log10(tailOfNormal(y)));
  }

  /** Of the last few answers the middle one, beside the fastest that is remembered. */
  get isSlow(): boolean {
    const recent = this.#rttsMs.slice(-RECENT_SAMPLES).sort((a, b) => a - b);
    const middle = recent[RECENT_SAMPLES >> 1];
    if (middle === undefined || recent.length < RECENT_SAMPLES) return false;
    const fastest = Math.min(...this.#rttsMs);
    return middle > SLOW_FACTOR * fastest && middle > fastest + SLOW_MS_MIN;
  }

  /** @param directLoss of gossip's probes, the share that it did not answer directly; null when unknown */
  grayReasons(nowMs: number, directLoss: number | null): GrayReason[] {
    const reasons: GrayReason[] = [];
    if ((this.phi(nowMs) ?? 0) >= PHI_GRAY) reasons.push("silent");
    if (this.isSlow) reasons.push("slow");
    if ((directLoss ?? 0) >= LOSS_GRAY) reasons.push("lossy");
    return reasons;
  }

  #statistics(): { mean: number; deviation: number } {
    const n = this.#intervalsMs.length;
    const mean = n === 0 ? this.#everyMs : this.#intervalsMs.reduce((sum, ms) => sum + ms, 0) / n;
    const variance = n === 0 ? 0 : this.#intervalsMs.reduce((sum, ms) => sum + (ms - mean) ** 2, 0) / n;
    return { mean, deviation: Math.max(Math.sqrt(variance), DEVIATION_PART_MIN * this.#everyMs) };
  }
}

function keep(samples: number[], sample: number): void {
  samples.push(sample);
  if (samples.length > SAMPLES_MAX) samples.shift();
}

/** The probability that a standard normal value is above y, within 2·10⁻⁴ for small ones: Bowling et al., "A logistic
 *  approximation to the cumulative normal distribution" (2009). */
function tailOfNormal(y: number): number {
  return 1 / (1 + Math.exp(y * (1.5976 + 0.07056 * y * y)));
}
