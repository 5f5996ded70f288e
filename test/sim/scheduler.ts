import { assert } from "../../src/kernel/assert.ts";
import { guardThisTurn, realSetImmediate } from "./guards.ts";

/** Among events of one moment: timers run before sockets are read, as in libuv, and `soon` comes after both. A node that
 *  wakes from a stall thus sees its late timers first: the dangerous order (gossip.md, Stalls). */
export const PHASE_TIMERS = 0;
export const PHASE_IO = 1;
export const PHASE_SOON = 2;

/** The grain of virtual time. */
export const TICK_MS = 1 / 1024;
/** What a turn of a node's event loop takes: with no time at all, code that polls by `soon` would stop the clock. */
export const TURN_MS = 16 * TICK_MS;

export interface ScheduledEvent {
  readonly atMs: number;
  readonly phase: number;
  readonly seq: number;
  /** Returns whether code outside the simulator may have run: only then microtasks can be waiting. Undefined: cancelled. */
  run: (() => boolean) | undefined;
}

/** What to do between two events: `drain` lets microtasks run once more first. */
export type Decision = "go on" | "drain" | "stop";

/** Callbacks that wait for one turn of the real event loop. More: the loop's own work is shared by more events; but the
 *  process hears nothing else meanwhile. */
const TURNS_PER_LOOP = 64;

/** Events that may pass at one moment. More is a loop that never lets time go on. */
const EVENTS_PER_MOMENT_MAX = 100_000;

/** Virtual time: a heap of events, taken one by one in order of (time, phase, number). */
export class Scheduler {
  readonly #heap: ScheduledEvent[] = [];
  #seq = 0;
  #cancelled = 0;
  #nowMs = 0;
  #eventsThisMoment = 0;
  /** Called when all microtasks of an event have run: may schedule, must not call anybody's code. */
  readonly #endTurn: () => void;

  constructor(endTurn: () => void) {
    this.#endTurn = endTurn;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Times are rounded up to whole ticks: sums and differences of times are then exact. */
  at(atMs: number, phase: number, run: () => boolean): ScheduledEvent {
    assert(atMs >= this.#nowMs, "an event is scheduled for the present or the future");
    const event = { atMs: Math.ceil(atMs / TICK_MS) * TICK_MS, phase, seq: this.#seq++, run };
    push(this.#heap, event);
    return event;
  }

  cancel(event: ScheduledEvent): void {
    if (event.run === undefined) return;
    event.run = undefined;
    this.#cancelled++;
    if (this.#cancelled > 1_000 && this.#cancelled * 2 > this.#heap.length) this.#compact();
  }

  /** Time-outs are mostly cancelled long before they are due: without this they fill the heap. */
  #compact(): void {
    const live = this.#heap.filter((event) => event.run !== undefined);
    this.#heap.length = 0;
    for (const event of live) push(this.#heap, event);
    this.#cancelled = 0;
  }

  /** Lets events happen; `decide` is asked before each, and may throw. Rejects with that, or when nothing is left.
   *
   *  One callback of the real event loop per event: after each, Node runs its microtasks and those they queue; a fixed
   *  number of `await`s would not reach them all. */
  run(decide: () => Decision): Promise<void> {
    return new Promise((resolve, reject) => {
      let isOver = false;
      let queued = 0;
      const turn = (): void => {
        queued -= 1;
        if (isOver) return;
        guardThisTurn(queued === 0);
        try {
          isOver = this.#turn(decide) === "stop";
          if (isOver) resolve();
        } catch (error) {
          isOver = true;
          reject(error);
        }
        if (isOver) guardThisTurn(true);
        else if (queued === 0) queue();
      };
      const queue = (): void => {
        for (; queued < TURNS_PER_LOOP; queued++) realSetImmediate(turn);
      };
      queue();
    });
  }

  /** Events up to the first that runs code of others, unless something is to be done before it. */
  #turn(decide: () => Decision): Decision {
    for (;;) {
      this.#endTurn();
      const decision = decide();
      if (decision !== "go on" || this.#next()) return decision;
    }
  }

  #next(): boolean {
    const event = pop(this.#heap);
    if (event === undefined) throw new Error(`nothing is left to happen at ${this.#nowMs} ms, and the run is not over`);
    const { run } = event;
    if (run === undefined) {
      this.#cancelled--;
      return false;
    }
    event.run = undefined;
    this.#eventsThisMoment = event.atMs === this.#nowMs ? this.#eventsThisMoment + 1 : 0;
    if (this.#eventsThisMoment > EVENTS_PER_MOMENT_MAX) throw new Error(`time stands still at ${this.#nowMs} ms`);
    this.#nowMs = event.atMs;
    return run();
  }
}

function isBefore(a: ScheduledEvent, b: ScheduledEvent): boolean {
  if (a.atMs !== b.atMs) return a.atMs < b.atMs;
  if (a.phase !== b.phase) return a.phase < b.phase;
  return a.seq < b.seq;
}

function push(heap: ScheduledEvent[], event: ScheduledEvent): void {
  let at = heap.push(event) - 1;
  while (at > 0) {
    const parentAt = (at - 1) >> 1;
    const parent = heap[parentAt] as ScheduledEvent;
    if (!isBefore(event, parent)) break;
    heap[at] = parent;
    at = parentAt;
  }
  heap[at] = event;
}

function pop(heap: ScheduledEvent[]): ScheduledEvent | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (first === undefined || last === undefined || heap.length === 0) return first;
  let at = 0;
  for (;;) {
    let childAt = 2 * at + 1;
    if (childAt >= heap.length) break;
    const right = heap[childAt + 1];
    if (right !== undefined && isBefore(right, heap[childAt] as ScheduledEvent)) childAt++;
    const child = heap[childAt] as ScheduledEvent;
    if (!isBefore(child, last)) break;
    heap[at] = child;
    at = childAt;
  }
  heap[at] = last;
  return first;
}
