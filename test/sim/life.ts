import { assert } from "../../src/kernel/assert.ts";
import type { Clock, Timer, Timers } from "../../src/world/world.ts";
import { PHASE_SOON, PHASE_TIMERS, Scheduler, TICK_MS, TURN_MS } from "./scheduler.ts";
import { type EventKind, hashText, NOBODY, Trace } from "./trace.ts";

/** What all parts of one simulation share: its time, its trace, and whose code is running. */
export class Core {
  readonly scheduler: Scheduler;
  readonly trace: Trace = new Trace();
  /** The first error that nobody caught. */
  failure: { readonly error: unknown; readonly life: Life | undefined } | undefined;
  /** Whose code ran last: an unhandled rejection is its. */
  current: Life | undefined;
  #atTurnEnd: (() => void)[] = [];

  constructor() {
    this.scheduler = new Scheduler(() => {
      if (this.#atTurnEnd.length === 0) return;
      const calls = this.#atTurnEnd;
      this.#atTurnEnd = [];
      for (const call of calls) call();
    });
  }

  /** Calls when the current event and all its microtasks are over: what was written in one turn travels together. */
  atTurnEnd(call: () => void): void {
    this.#atTurnEnd.push(call);
  }

  /** Runs code from outside the simulator for a node (or for nobody), on record. */
  call(life: Life | undefined, kind: EventKind, content: number, call: () => void, detail?: unknown): true {
    this.trace.record(this.scheduler.nowMs, life?.index ?? NOBODY, kind, content, detail);
    this.current = life;
    try {
      call();
    } catch (error) {
      this.fail(error);
    }
    return true;
  }

  fail(error: unknown): void {
    this.failure ??= { error, life: this.current };
  }
}

/** One run of one node's process. Everything that happens to it goes through here: nothing happens to it after its death,
 *  and what happens in a stall happens when the stall is over. */
export class Life {
  readonly core: Core;
  readonly name: string;
  /** Of the machine: stays the same over restarts. */
  readonly index: number;
  readonly clock: NodeClock;
  alive = true;
  #stalledUntilMs = 0;
  /** What must be done when it dies, in order. */
  readonly onDeath = new Set<(how: Death) => void>();

  constructor(core: Core, name: string, index: number, clock: NodeClock) {
    this.core = core;
    this.name = name;
    this.index = index;
    this.clock = clock;
  }

  get stalled(): boolean {
    return this.#stalledUntilMs > this.core.scheduler.nowMs;
  }

  /** Its event loop does nothing for so long (a SIGSTOP, a long collection of garbage). The machine goes on: packets
   *  are buffered, connections accepted. */
  stall(ms: number): void {
    this.core.trace.record(this.core.scheduler.nowMs, this.index, "stall", hashText(String(ms)), `${ms} ms`);
    this.#stalledUntilMs = Math.max(this.#stalledUntilMs, this.core.scheduler.nowMs + ms);
  }

  /** Calls its code now, or when its stall is over. Returns whether code has run. */
  enter(phase: number, kind: EventKind, content: number, call: () => void, detail?: unknown): boolean {
    if (!this.alive) return false;
    if (!this.stalled) return this.core.call(this, kind, content, call, detail);
    this.core.scheduler.at(this.#stalledUntilMs, phase, () => this.enter(phase, kind, content, call, detail));
    return false;
  }

  /** Calls its code in `ms` of the simulation's time. */
  later(ms: number, phase: number, kind: EventKind, call: () => void, detail?: string): Timer {
    const { scheduler } = this.core;
    let cancelled = false;
    const guarded = (): void => {
      if (!cancelled) call();
    };
    const event = scheduler.at(scheduler.nowMs + ms, phase, () => this.enter(phase, kind, 0, guarded, detail));
    return {
      cancel: () => {
        cancelled = true; // it may be due already, and wait for the end of a stall
        scheduler.cancel(event);
      },
    };
  }

  /** A promise of the World: after this life's death it stays as it is for ever. */
  promise<T>(start: (resolve: (value: T) => void, reject: (error: unknown) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      start(
        (value) => {
          if (this.alive) resolve(value);
        },
        (error) => {
          if (this.alive) reject(error);
        },
      );
    });
  }

  readonly timers: Timers = {
    after: (delayMs, call) => {
      assert(delayMs >= 0, "a timer's delay is a number that is not negative");
      // Whole milliseconds, one at least: as Node's are.
      const wholeMs = Math.max(1, Math.ceil(delayMs));
      return this.later(this.clock.simulatedMs(wholeMs), PHASE_TIMERS, "timer", call);
    },
    soon: (call) => void this.later(TURN_MS, PHASE_SOON, "soon", call),
  };

  die(how: Death): void {
    if (!this.alive) return;
    this.alive = false;
    this.core.trace.record(this.core.scheduler.nowMs, this.index, "crash", 0, how);
    for (const call of this.onDeath) call(how);
    this.onDeath.clear();
  }
}

/** `process`: its machine lives on and resets its connections. `machine`: silence, until something starts there again. */
export type Death = "process" | "machine";

/** When simulations begin; any time that is not now. */
const EPOCH_MS = 1_900_000_000_000;

/** A machine's clock, with its faults: an offset from true time, a drift, jumps. */
export class NodeClock implements Clock {
  readonly #scheduler: Scheduler;
  #offsetMs: number;
  #rate = 1;
  /** Local time ran at `#rate` since: simulated time, local time. */
  #since: readonly [number, number];

  constructor(scheduler: Scheduler, bootMs: number, offsetMs: number, driftPpm: number) {
    this.#scheduler = scheduler;
    // Monotonic time counts from a boot of its own; wall time doesn't know when that was.
    this.#offsetMs = offsetMs - bootMs;
    this.#since = [scheduler.nowMs, bootMs];
    this.setDrift(driftPpm);
  }

  monotonicMs(): number {
    const [simulatedMs, localMs] = this.#since;
    const now = localMs + (this.#scheduler.nowMs - simulatedMs) * this.#rate;
    return Math.floor(now / TICK_MS) * TICK_MS;
  }

  wallMs(): number {
    return Math.floor(EPOCH_MS + this.#offsetMs + this.monotonicMs());
  }

  /** Wall time jumps, as when somebody sets it. */
  jump(ms: number): void {
    this.#offsetMs += ms;
  }

  /** From now on it gains so much on true time: 100 is 8.6 s a day. */
  setDrift(ppm: number): void {
    this.#since = [this.#scheduler.nowMs, this.monotonicMs()];
    this.#rate = 1 + ppm / 1e6;
  }

  /** How long a delay of its own time takes. A tick more where rounding could make it short. */
  simulatedMs(localMs: number): number {
    return this.#rate === 1 ? localMs : localMs / this.#rate + TICK_MS;
  }
}
