import type { World } from "../world/world.ts";

/** What is over within this time isn't worth a line, and what changes faster is told this often. */
const PATIENCE_MS = 3_000;
const SAY_AGAIN_MS = 60_000;

/** Says in the log what a node waits for, for whoever wonders why it doesn't serve. */
export class Waits {
  readonly #world: Pick<World, "clock" | "log">;
  /** Since when nothing was said: it began to wait then, or told it. */
  #quietSinceMs: number | null = null;
  #said: string | null = null;

  constructor(world: Pick<World, "clock" | "log">) {
    this.#world = world;
  }

  /** Called each second or so. @param why null when it waits for nothing */
  say(why: string | null): void {
    const nowMs = this.#world.clock.monotonicMs();
    if (why === null) {
      this.#quietSinceMs = null;
      this.#said = null;
      return;
    }
    this.#quietSinceMs ??= nowMs;
    if (nowMs - this.#quietSinceMs < (why === this.#said ? SAY_AGAIN_MS : PATIENCE_MS)) return;
    this.#world.log.warn("node.waiting", { detail: why });
    this.#quietSinceMs = nowMs;
    this.#said = why;
  }
}
