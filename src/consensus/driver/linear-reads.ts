import type { Timer, World } from "../../world/world.ts";
import type { ReadState } from "../core/reads.ts";
import { RaftRefusal } from "./refusal.ts";

interface Waiting {
  readonly resolve: (index: number) => void;
  readonly reject: (error: Error) => void;
  readonly timer: Timer;
  /** Known once a quorum has answered. */
  index: number | null;
  /** Ticks since the leader was asked. */
  age: number;
}

/** When others are likely to be through. */
const RETRY_AFTER_MS = 100;
/** Ids of one life: more reads than any lives to make. */
const IDS_PER_LIFE = 2 ** 31;
const LIVES = 2 ** 21;

/** Linearizable reads of this node that wait: for a quorum first, then until what it told is applied here. */
export class LinearReads {
  readonly #world: World;
  readonly #ask: (id: number) => void;
  readonly #max: number;
  readonly #retryTicks: number;
  readonly #waiting = new Map<number, Waiting>();
  #nextId: number;

  /** @param life not the same for two runs soon after each other: an answer to a read of an earlier one must not answer ours
   *  @param ask throws RaftRefusal when there is nobody to ask @param retryTicks after which an answer counts as lost */
  constructor(world: World, life: number, max: number, retryTicks: number, ask: (id: number) => void) {
    this.#world = world;
    this.#ask = ask;
    this.#max = max;
    this.#retryTicks = retryTicks;
    this.#nextId = (life % LIVES) * IDS_PER_LIFE + 1;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  read(timeoutMs: number): Promise<number> {
    if (this.#waiting.size >= this.#max)
      return Promise.reject(
        new RaftRefusal("too-many-reads", "too many reads of this node wait: try again", RETRY_AFTER_MS),
      );
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        this.#waiting.delete(id);
        reject(new RaftRefusal("no-leader", `no quorum answered within ${timeoutMs} ms: try again`, timeoutMs));
      };
      const timer = this.#world.timers.after(timeoutMs, giveUp);
      this.#waiting.set(id, { resolve, reject, timer, index: null, age: 0 });
      try {
        this.#ask(id);
      } catch (error) {
        timer.cancel();
        this.#waiting.delete(id);
        throw error;
      }
    });
  }

  answered(states: readonly ReadState[]): void {
    for (const { id, index } of states) {
      const waiting = this.#waiting.get(id);
      // Asked twice, answered twice: both tell what was committed after it was asked for.
      if (waiting) waiting.index ??= index;
    }
  }

  applied(applied: number): void {
    for (const [id, { index, timer, resolve }] of this.#waiting) {
      if (index === null || index > applied) continue;
      this.#waiting.delete(id);
      timer.cancel();
      resolve(applied);
    }
  }

  /** A question or its answer may be lost, or its leader gone. @param isNewLeader then all are asked at once */
  askAgain(isNewLeader: boolean): void {
    for (const [id, waiting] of this.#waiting) {
      if (waiting.index !== null) continue;
      waiting.age += isNewLeader ? 0 : 1;
      if (!isNewLeader && waiting.age < this.#retryTicks) continue;
      waiting.age = 0;
      try {
        this.#ask(id);
      } catch (error) {
        // Asked again later, until its time is over.
        if (!(error instanceof RaftRefusal)) throw error;
      }
    }
  }

  end(): void {
    for (const { timer, reject } of this.#waiting.values()) {
      timer.cancel();
      reject(new RaftRefusal("raft-not-running", "this member takes no part any more: ask another one", null));
    }
    this.#waiting.clear();
  }
}
