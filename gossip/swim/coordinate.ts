import type { Rng } from "../../src/kernel/rng.ts";
import { type Coordinate, DIMENSIONS } from "../wire/serf.ts";

// Serf's constants (coordinate.DefaultConfig): members of one pool must move alike.
const ERROR_MAX = 1.5;
const HEIGHT_MIN = 10e-6;
/** How fast error and place follow a new measurement. */
const ERROR_PACE = 0.25;
const PLACE_PACE = 0.25;
const ADJUSTMENT_SAMPLES = 20;
/** A median of so many keeps single slow packets out. */
const FILTER_SAMPLES = 3;
/** Pulls everyone to the middle a little, or the whole pool drifts away. */
const GRAVITY_RHO = 150;
const RTT_MS_MAX = 10_000;
const ZERO = 1e-6;

const ORIGIN: Coordinate = {
  vec: Array<number>(DIMENSIONS).fill(0),
  error: ERROR_MAX,
  adjustment: 0,
  height: HEIGHT_MIN,
};

/** Where we are, as learnt from round trips to members that say where they are. */
export class Vivaldi {
  readonly #rng: Rng;
  readonly #recent = new Map<string, readonly number[]>();
  readonly #adjustments: number[] = Array<number>(ADJUSTMENT_SAMPLES).fill(0);
  #nextAdjustment = 0;
  #mine = ORIGIN;

  constructor(rng: Rng) {
    this.#rng = rng;
  }

  get mine(): Coordinate {
    return this.#mine;
  }

  /** Of how many members round trips are remembered. */
  get size(): number {
    return this.#recent.size;
  }

  /** A round trip to a member that is at `other`. What can't be (a coordinate that isn't one, an absurd time) is ignored. */
  learn(name: string, other: Coordinate, rttMs: number): void {
    if (!isValid(other) || !(rttMs >= 0 && rttMs <= RTT_MS_MAX)) return;
    const rtt = Math.max(ZERO, this.#median(name, rttMs / 1000));
    this.#move(other, rtt);
    this.#adjust(other, rtt);
    this.#mine = this.#pushed(-((distance(ORIGIN, this.#mine) / GRAVITY_RHO) ** 2), ORIGIN);
    if (!isValid(this.#mine)) this.#mine = ORIGIN;
  }

  /** One who is gone. */
  forget(name: string): void {
    this.#recent.delete(name);
  }

  #median(name: string, rtt: number): number {
    const samples = [...(this.#recent.get(name) ?? []), rtt].slice(-FILTER_SAMPLES);
    this.#recent.set(name, samples);
    const sorted = [...samples].sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] as number;
  }

  #move(other: Coordinate, rtt: number): void {
    const expected = distance(this.#mine, other);
    const wrongness = Math.abs(expected - rtt) / rtt;
    // Who is less sure moves more.
    const weight = this.#mine.error / Math.max(ZERO, this.#mine.error + other.error);
    const error = Math.min(ERROR_MAX, ERROR_PACE * weight * wrongness + this.#mine.error * (1 - ERROR_PACE * weight));
    this.#mine = { ...this.#mine, error };
    this.#mine = this.#pushed(PLACE_PACE * weight * (rtt - expected), other);
  }

  #adjust(other: Coordinate, rtt: number): void {
    this.#adjustments[this.#nextAdjustment] = rtt - rawDistance(this.#mine, other);
    this.#nextAdjustment = (this.#nextAdjustment + 1) % ADJUSTMENT_SAMPLES;
    const sum = this.#adjustments.reduce((total, sample) => total + sample, 0);
    this.#mine = { ...this.#mine, adjustment: sum / (2 * ADJUSTMENT_SAMPLES) };
  }

  /** Away from `other` by a force, towards it by a negative one. */
  #pushed(force: number, other: Coordinate): Coordinate {
    const { vec, height } = this.#mine;
    const { unit, length } = this.#direction(vec, other.vec);
    const moved = vec.map((part, at) => part + (unit[at] as number) * force);
    const taller = length > ZERO ? Math.max(HEIGHT_MIN, ((height + other.height) * force) / length + height) : height;
    return { ...this.#mine, vec: moved, height: taller };
  }

  /** Of two in one place any direction will do. */
  #direction(from: readonly number[], other: readonly number[]): { unit: readonly number[]; length: number } {
    const difference = from.map((part, at) => part - (other[at] as number));
    const length = magnitude(difference);
    if (length > ZERO) return { unit: difference.map((part) => part / length), length };
    const chance = from.map(() => this.#rng.unit() - 0.5);
    const size = magnitude(chance);
    return size > ZERO
      ? { unit: chance.map((part) => part / size), length: 0 }
      : { unit: from.map((_, at) => Number(at === 0)), length: 0 };
  }
}

/** The round trip that two coordinates tell, in ms. */
export function estimatedRttMs(a: Coordinate, b: Coordinate): number {
  return 1000 * distance(a, b);
}

function distance(a: Coordinate, b: Coordinate): number {
  const raw = rawDistance(a, b);
  const adjusted = raw + a.adjustment + b.adjustment;
  return adjusted > 0 ? adjusted : raw;
}

function rawDistance(a: Coordinate, b: Coordinate): number {
  return magnitude(a.vec.map((part, at) => part - (b.vec[at] as number))) + a.height + b.height;
}

function magnitude(vec: readonly number[]): number {
  return Math.sqrt(vec.reduce((sum, part) => sum + part * part, 0));
}

function isValid({ vec, error, adjustment, height }: Coordinate): boolean {
  return vec.length === DIMENSIONS && [...vec, error, adjustment, height].every(Number.isFinite);
}
