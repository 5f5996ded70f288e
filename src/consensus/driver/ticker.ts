import type { Timer, World } from "../../world/world.ts";

/** Later than this share of a tick, and the process stood still, or others held its loop. */
const LATE_SHARE = 1 / 2;
/** Turns of the loop in which what arrived meanwhile is read. */
const TURNS = 2;

/** A tick for each firing of a timer, never several at once: a process that stood still must not take the time it slept for
 *  its leader's silence. What the leader sent meanwhile is in our own sockets and is read first (gossip.md, Stalls). */
export class Ticker {
  readonly #world: World;
  readonly #tickMs: number;
  readonly #tick: () => void;
  #timer: Timer;
  #isStopped = false;
  stalls = 0;

  constructor(world: World, tickMs: number, tick: () => void) {
    this.#world = world;
    this.#tickMs = tickMs;
    this.#tick = tick;
    this.#timer = this.#schedule();
  }

  #schedule(): Timer {
    const { clock, timers } = this.#world;
    const dueMs = clock.monotonicMs() + this.#tickMs;
    return timers.after(this.#tickMs, () => {
      const isLate = clock.monotonicMs() - dueMs > LATE_SHARE * this.#tickMs;
      if (isLate) this.stalls += 1;
      this.#fire(isLate ? TURNS : 0);
    });
  }

  #fire(turns: number): void {
    if (this.#isStopped) return;
    if (turns > 0) {
      this.#world.timers.soon(() => this.#fire(turns - 1));
      return;
    }
    this.#timer = this.#schedule();
    this.#tick();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer.cancel();
  }
}
