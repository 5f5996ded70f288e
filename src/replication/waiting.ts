import type { VersionVector } from "../../crdt/index.ts";
import type { Timer, World } from "../world/world.ts";
import type { PartitionSeen } from "./api.ts";
import { Unavailable } from "./api.ts";

interface Waiter {
  readonly seen: readonly PartitionSeen[];
  readonly done: (missing: PartitionSeen[]) => void;
  readonly timer: Timer;
}

/** Requests that wait for what a session has seen; one more is refused. */
const MAX_WAITERS = 10_000;

/** Who waits until this node's vectors reach something. Looked at after each commit. */
export class Waiting {
  readonly #world: World;
  readonly #vectorOf: (partition: number) => VersionVector;
  readonly #waiters = new Set<Waiter>();

  constructor(world: World, vectorOf: (partition: number) => VersionVector) {
    this.#world = world;
    this.#vectorOf = vectorOf;
  }

  /** Resolves with what is still missing: [] as soon as all is here, else what is lacking after `timeoutMs`. */
  wait(seen: readonly PartitionSeen[], timeoutMs: number): Promise<PartitionSeen[]> {
    const missing = this.#missing(seen);
    if (missing.length === 0 || timeoutMs <= 0) return Promise.resolve(missing);
    if (this.#waiters.size >= MAX_WAITERS)
      return Promise.reject(
        new Unavailable("overloaded", "too many requests wait for replication here; try again shortly"),
      );
    return new Promise((done) => {
      const timer = this.#world.timers.after(timeoutMs, () => {
        this.#waiters.delete(waiter);
        done(this.#missing(seen));
      });
      const waiter: Waiter = { seen, done, timer };
      this.#waiters.add(waiter);
    });
  }

  #missing(seen: readonly PartitionSeen[]): PartitionSeen[] {
    return seen.filter(({ partition, vector }) => !this.#vectorOf(partition).reaches(vector));
  }

  /** After a commit. */
  check(): void {
    for (const waiter of this.#waiters) {
      if (this.#missing(waiter.seen).length > 0) continue;
      waiter.timer.cancel();
      this.#waiters.delete(waiter);
      waiter.done([]);
    }
  }

  stop(): void {
    for (const { timer, done, seen } of this.#waiters) {
      timer.cancel();
      done(this.#missing(seen));
    }
    this.#waiters.clear();
  }
}
