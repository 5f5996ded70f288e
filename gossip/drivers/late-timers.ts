import type { Timer, World } from "../../src/world/world.ts";

/** A timer this late means that the process stood still. Larger: a probe may be judged while its ack waits in our own
 *  socket. Smaller: ordinary jitter costs a few more turns of the loop. */
const STALL_MS_MIN = 25;
/** How long and how many packets are let in first, at most: a flood must not keep us from judging for ever. */
const DRAIN_MS_MAX = 250;
const DRAIN_PACKETS_MAX = 20_000;
/** libuv hands over a bounded number of packets per turn, and timers run before them: one quiet turn proves nothing. */
const QUIET_TURNS = 2;

/** Timers of a process that may stand still (garbage collection, a big merge, SIGSTOP): what became due meanwhile is
 *  held back until the sockets have been drained, so that nobody is judged by our own sleep (gossip.md, item 16). */
export class LateTimers {
  readonly #world: Pick<World, "clock" | "timers">;
  readonly #onStall: (byMs: number) => void;
  readonly #open = new Set<Timer>();
  #stalledMs = 0;
  #arrivals = 0;
  /** What became due while the sockets are being drained; undefined when they aren't. */
  #held: (() => void)[] | undefined;
  #closed = false;

  /** @param onStall told once per stall, before anything that became due in it is called */
  constructor(world: Pick<World, "clock" | "timers">, onStall: (byMs: number) => void) {
    this.#world = world;
    this.#onStall = onStall;
  }

  /** Calls once, at least `delayMs` from now and after what arrived meanwhile. */
  after(delayMs: number, call: () => void): Timer {
    const dueMs = this.#world.clock.monotonicMs() + delayMs;
    const stalledBeforeMs = this.#stalledMs;
    const timer = this.#world.timers.after(delayMs, () => {
      this.#open.delete(timer);
      const lateMs = this.#world.clock.monotonicMs() - dueMs - (this.#stalledMs - stalledBeforeMs);
      this.#due(lateMs, call);
    });
    this.#open.add(timer);
    return {
      cancel: () => {
        this.#open.delete(timer);
        timer.cancel();
      },
    };
  }

  /** Like `after`, but only time counts in which we were awake. */
  afterAwake(delayMs: number, call: () => void): Timer {
    const startMs = this.#awakeMs();
    let timer = this.after(delayMs, check);
    const self = this;
    function check(): void {
      const restMs = startMs + delayMs - self.#awakeMs();
      if (restMs > 0) timer = self.after(restMs, check);
      else call();
    }
    return { cancel: () => timer.cancel() };
  }

  /** A packet or bytes of a stream came in. */
  arrived(): void {
    this.#arrivals += 1;
  }

  close(): void {
    this.#closed = true;
    this.#held = undefined;
    for (const timer of this.#open) timer.cancel();
    this.#open.clear();
  }

  #awakeMs(): number {
    return this.#world.clock.monotonicMs() - this.#stalledMs;
  }

  #due(lateMs: number, call: () => void): void {
    if (this.#closed) return;
    if (this.#held) {
      this.#held.push(call);
      return;
    }
    if (lateMs < STALL_MS_MIN) {
      call();
      return;
    }
    this.#stalledMs += lateMs;
    this.#held = [call];
    this.#onStall(lateMs);
    this.#drain();
  }

  #drain(): void {
    const { clock, timers } = this.#world;
    const endMs = clock.monotonicMs() + DRAIN_MS_MAX;
    const first = this.#arrivals;
    let seen = first;
    let quietTurns = 0;
    const turn = (): void => {
      quietTurns = this.#arrivals === seen ? quietTurns + 1 : 0;
      seen = this.#arrivals;
      const enough = quietTurns >= QUIET_TURNS || seen - first >= DRAIN_PACKETS_MAX || clock.monotonicMs() >= endMs;
      if (!enough) timers.soon(turn);
      else this.#release();
    };
    timers.soon(turn);
  }

  #release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const call of held) if (!this.#closed) call();
  }
}
