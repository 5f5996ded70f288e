import type { Rng } from "../../src/kernel/rng.ts";

/** Where something is: a node on its machine, or a client somewhere. */
export interface Place {
  readonly name: string;
  readonly region: string;
}

/** How a way between two regions is, in each direction. Percentages are of datagrams; a stream sends what was lost again. */
export interface LinkQuality {
  readonly delayMs: number;
  /** Added to the delay, evenly from 0 to this. */
  readonly jitterMs: number;
  readonly lossPercent: number;
  readonly duplicatePercent: number;
  /** Held back long enough that later ones overtake them. */
  readonly reorderPercent: number;
}

const SOUND = { lossPercent: 0, duplicatePercent: 0, reorderPercent: 0 };
const WITHIN_REGION: LinkQuality = { delayMs: 0.25, jitterMs: 0.25, ...SOUND };
const BETWEEN_REGIONS: LinkQuality = { delayMs: 40, jitterMs: 5, ...SOUND };
/** Linux's shortest wait before a segment is sent again. */
const RETRANSMIT_MS = 200;
const RETRANSMIT_MS_MAX = 10_000;
/** What the worst of segments takes: all its waits (200 + 400 + … + 6,400 ms), and its way. */
export const SEGMENT_MS_MAX = 13_500;

/** Everything but the place itself, in `cut` and `heal`. */
export const EVERYONE = "*";

/** The ways between places: their quality, and where nothing passes. Names are those of regions or of nodes. */
export class Links {
  readonly #rng: Rng;
  /** By region and region. */
  readonly #qualities = new Map<string, Map<string, LinkQuality>>();
  #cuts: (readonly [from: string, to: string])[] = [];
  #waiting = new Set<() => void>();

  constructor(rng: Rng) {
    this.#rng = rng;
  }

  /** Between two regions (or within one), in both directions. */
  setQuality(a: string, b: string, change: Partial<LinkQuality>): void {
    const next = { ...this.#quality(a, b), ...change };
    this.#set(a, b, next);
    this.#set(b, a, next);
  }

  #set(a: string, b: string, quality: LinkQuality): void {
    this.#qualities.set(a, new Map([...(this.#qualities.get(a) ?? []), [b, quality]]));
  }

  #quality(a: string, b: string): LinkQuality {
    return this.#qualities.get(a)?.get(b) ?? (a === b ? WITHIN_REGION : BETWEEN_REGIONS);
  }

  cutOneWay(from: string, to: string): void {
    if (!this.#cuts.some(([a, b]) => a === from && b === to)) this.#cuts.push([from, to]);
  }

  /** Undoes cuts of exactly this pair of names; without names, all. */
  heal(names?: readonly [string, string]): void {
    if (names === undefined) this.#cuts = [];
    else this.#cuts = this.#cuts.filter(([from, to]) => !(names.includes(from) && names.includes(to)));
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const call of waiting) call();
  }

  /** Calls once when some cut is healed, perhaps another one. */
  onHeal(call: () => void): void {
    this.#waiting.add(call);
  }

  isCut(from: Place, to: Place): boolean {
    if (this.#cuts.length === 0 || from.name === to.name) return false;
    return this.#cuts.some(([a, b]) => isNamed(from, a) && isNamed(to, b));
  }

  /** How long something takes this time. */
  delayMs(from: Place, to: Place): number {
    const { delayMs, jitterMs } = this.#quality(from.region, to.region);
    return delayMs + this.#rng.unit() * jitterMs;
  }

  /** How long each copy of a datagram takes; none when it is lost. */
  datagramDelaysMs(from: Place, to: Place): number[] {
    const { lossPercent, duplicatePercent, reorderPercent, delayMs, jitterMs } = this.#quality(from.region, to.region);
    if (this.#happens(lossPercent)) return [];
    const copies = this.#happens(duplicatePercent) ? 2 : 1;
    const delaysMs: number[] = [];
    while (delaysMs.length < copies) {
      const late = this.#happens(reorderPercent) ? 2 * (delayMs + jitterMs) + 10 : 0;
      delaysMs.push(this.delayMs(from, to) + this.#rng.unit() * late);
    }
    return delaysMs;
  }

  /** How long a segment of a stream takes, lost ones sent again. */
  segmentDelayMs(from: Place, to: Place): number {
    const { lossPercent } = this.#quality(from.region, to.region);
    let ms = this.delayMs(from, to);
    for (let waitMs = RETRANSMIT_MS; waitMs < RETRANSMIT_MS_MAX && this.#happens(lossPercent); waitMs *= 2)
      ms += waitMs;
    return ms;
  }

  /** A choice that real networks make too: where a read ends, for example. */
  chance(percent: number): boolean {
    return this.#happens(percent);
  }

  below(n: number): number {
    return this.#rng.below(n);
  }

  #happens(percent: number): boolean {
    return percent > 0 && this.#rng.unit() * 100 < percent;
  }
}

function isNamed(place: Place, name: string): boolean {
  return name === EVERYONE || place.region === name || place.name === name;
}
