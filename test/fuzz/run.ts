import { setFlagsFromString } from "node:v8";
import { createContext, runInContext, runInNewContext } from "node:vm";
import { seededRng } from "../../src/kernel/rng.ts";
import { mutateBytes } from "./mutate.ts";
import type { Target } from "./target.ts";

/** One line of the output, in this order. */
export interface Outcome {
  readonly target: string;
  readonly inputs: number;
  readonly accepted: number;
  readonly rejected: number;
  readonly crashes: number;
  readonly slowestMs: number;
  readonly heapGrowthMiB: number;
}

export interface Failure {
  readonly target: string;
  readonly kind: "crash" | "hang" | "growth";
  readonly seed: number;
  readonly input: Uint8Array;
  readonly message: string;
}

export interface Options {
  readonly inputs: number;
  readonly seed: number;
  /** Further inputs to start from. */
  readonly seeds?: readonly Uint8Array[];
  readonly onFailure: (failure: Failure) => void;
  /** CPU that one input may take. */
  readonly inputMs?: number;
  /** No input is begun later than this after the first ones, which warm up. */
  readonly seconds?: number;
  /** After so long an input is stopped. */
  readonly endlessMs?: number;
  /** What may stay on the heap from the first inputs to the last. */
  readonly growthMiB?: number;
}

export const INPUT_MS = 250;
export const GROWTH_MIB = 8;
/** An input that took so long on the wall is looked at again. */
const SUSPECT_MS = 50;
/** So many different crashes are told; then the target is given up. */
const CRASHES_MAX = 10;
/** An input that is still at it after this is stopped, and is a hang whatever the CPU says. */
const ENDLESS_MS = 20_000;
const BATCH = 256;
/** What repeats itself inside repetitions can get long, and be slow for nothing but its length. */
const STRUCTURED_BYTES = 16_384;
/** Inputs before the heap is looked at for the first time: what is compiled and cached by then doesn't count. */
const WARM_UP = 10_000;
const MIB = 2 ** 20;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function heldMiB(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return (heapUsed + arrayBuffers) / MIB;
}

const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const box: { call: () => void } = { call: () => undefined };
const context = createContext(box);

/** Runs the call, and ends it from outside when it doesn't end by itself. @returns whether it ended by itself */
function within(ms: number, call: () => void): boolean {
  box.call = call;
  try {
    runInContext("call()", context, { timeout: ms });
    return true;
  } catch (error) {
    if ((error as { code?: unknown }).code === "ERR_SCRIPT_EXECUTION_TIMEOUT") return false;
    throw error;
  }
}

/** Gives a target inputs and keeps the figures. */
class Run {
  readonly #target: Target;
  readonly #options: Options;
  accepted = 0;
  rejected = 0;
  crashes = 0;
  slowestMs = 0;
  given = 0;
  current: Uint8Array = new Uint8Array(0);
  untilMs = Number.POSITIVE_INFINITY;

  constructor(target: Target, options: Options) {
    this.#target = target;
    this.#options = options;
  }

  startClock(): void {
    this.untilMs = nowMs() + 1000 * (this.#options.seconds ?? Number.POSITIVE_INFINITY);
  }

  fail(kind: Failure["kind"], message: string): void {
    this.crashes += 1;
    const { seed, onFailure } = this.#options;
    onFailure({ target: this.#target.name, kind, seed, input: this.current, message });
  }

  crashed(error: unknown): void {
    this.fail("crash", error instanceof Error ? (error.stack ?? error.message) : String(error));
  }

  count(isAccepted: boolean): void {
    if (isAccepted) this.accepted += 1;
    else this.rejected += 1;
  }

  one(input: Uint8Array): void {
    this.current = input;
    this.given += 1;
    const startMs = nowMs();
    try {
      this.count(this.#target.parse(input) as boolean);
    } catch (error) {
      this.crashed(error);
    }
    this.took(nowMs() - startMs, () => void this.#target.parse(input));
  }

  async oneAsync(input: Uint8Array): Promise<void> {
    this.current = input;
    this.given += 1;
    const startCpuMs = cpuMs();
    try {
      this.count(await this.#target.parse(input));
    } catch (error) {
      this.crashed(error);
    }
    const ms = cpuMs() - startCpuMs;
    this.slowestMs = Math.max(this.slowestMs, ms);
    if (ms > this.#limitMs) this.fail("hang", `took ${Math.round(ms)} ms of CPU`);
  }

  get #limitMs(): number {
    return this.#options.inputMs ?? this.#target.inputMs ?? INPUT_MS;
  }

  /** A long time on the wall may be the collector's, or another process's: what counts is the least CPU of two more. */
  took(wallMs: number, again: () => void): void {
    let ms = wallMs;
    if (wallMs > SUSPECT_MS) for (let runs = 0; runs < 2; runs++) ms = Math.min(ms, cpuOf(again));
    this.slowestMs = Math.max(this.slowestMs, ms);
    if (ms > this.#limitMs) this.fail("hang", `took ${Math.round(ms)} ms of CPU`);
  }
}

function cpuOf(call: () => void): number {
  const startMs = cpuMs();
  try {
    call();
  } catch {
    // it was told when it failed first
  }
  return cpuMs() - startMs;
}

export async function fuzz(target: Target, options: Options): Promise<Outcome> {
  const { inputs, growthMiB = GROWTH_MIB } = options;
  const run = new Run(target, options);
  const next = generator(target, options);
  const warmUp = Math.min(Math.floor(inputs / 4), target.inputsInTest ?? WARM_UP);
  await feed(target, run, next, warmUp, options);
  const rest = (): Promise<void> => feed(target, run, next, inputs - warmUp, options);
  let heapGrowthMiB = await growthOver(target, run, rest);
  // Compiled code and caches stay too, but only once: what leaks goes on.
  if (heapGrowthMiB > growthMiB) heapGrowthMiB = await growthOver(target, run, rest);
  if (heapGrowthMiB > growthMiB) run.fail("growth", `${heapGrowthMiB} MiB stayed on the heap; at most ${growthMiB}`);
  const { given, accepted, rejected, crashes, slowestMs } = run;
  return {
    target: target.name,
    inputs: given,
    accepted,
    rejected,
    crashes,
    slowestMs: round(slowestMs),
    heapGrowthMiB,
  };
}

async function growthOver(target: Target, run: Run, work: () => Promise<void>): Promise<number> {
  run.startClock();
  target.reset?.();
  const beforeMiB = heldMiB();
  await work();
  target.reset?.();
  return round(heldMiB() - beforeMiB);
}

async function feed(target: Target, run: Run, next: () => Uint8Array, count: number, options: Options): Promise<void> {
  const upTo = run.given + count;
  while (run.given < upTo && run.crashes < CRASHES_MAX && nowMs() < run.untilMs) {
    if (target.isAsync === true) await run.oneAsync(next());
    else batch(run, next, Math.min(BATCH, upTo - run.given), options.endlessMs ?? ENDLESS_MS);
  }
}

function batch(run: Run, next: () => Uint8Array, count: number, endlessMs: number): void {
  const ended = within(endlessMs, () => {
    for (let i = 0; i < count && run.crashes < CRASHES_MAX; i++) run.one(next());
  });
  if (ended) return;
  // A batch may be slow as a whole: the input that was interrupted gets the time to itself.
  const input = run.current;
  if (!within(endlessMs, () => run.one(input))) run.fail("hang", `did not end in ${endlessMs} ms`);
}

function generator(target: Target, { seed, seeds = [] }: Options): () => Uint8Array {
  const rng = seededRng(seed);
  const pool = [...target.seeds(), ...seeds];
  return () => {
    const made = target.structured && rng.below(2) === 0 ? target.structured(rng) : null;
    return made && made.length <= STRUCTURED_BYTES ? made : mutateBytes(rng, pool);
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Gives a target inputs that once failed, or that must be accepted: throws what it throws. */
export async function replay(target: Target, inputs: readonly Uint8Array[]): Promise<boolean[]> {
  const results: boolean[] = [];
  for (const input of inputs) {
    const startMs = cpuMs();
    results.push(await target.parse(input));
    const ms = Math.min(
      cpuMs() - startMs,
      cpuOf(() => void target.parse(input)),
    );
    if (target.isAsync !== true && ms > (target.inputMs ?? INPUT_MS))
      throw new Error(`${target.name}: an input took ${ms} ms of CPU`);
  }
  return results;
}
