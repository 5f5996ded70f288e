import type { Hlc, Stamp } from "../../crdt/index.ts";
import { HLC_ZERO, tickHlc } from "../../crdt/index.ts";
import type { NodeId } from "../kernel/ids.ts";
import type { ClockExchange, Instant } from "../peer/link.ts";
import type { World } from "../world/world.ts";
import type { ClockStatus } from "./api.ts";
import type { ClockReading } from "./clock-watch.ts";
import { ClockWatch, isOff, isSound, sampleOf } from "./clock-watch.ts";

/** A warning ends after so long without suspicion: a clock at the edge doesn't fill the log. */
const QUIET_MS = 10_000;

/** Stamps of this node's writes, and whether its clock can be trusted with them. */
export class Stamping {
  readonly #world: Pick<World, "clock" | "log">;
  readonly #maxDriftMs: number;
  readonly #watch = new ClockWatch();
  #reading: ClockReading = { clocks: 1, bounds: null };
  #readAtWallMs: number | null = null;
  /** When the clock was last found to be off, while the log has a warning that has not ended. */
  #lastOffMs: number | null = null;

  constructor(world: Pick<World, "clock" | "log">, maxDriftMs: number) {
    this.#world = world;
    this.#maxDriftMs = maxDriftMs;
  }

  /** The stamp of a local write above `last`. */
  next(last: Hlc): Pick<Stamp, "hlc" | "suspect"> {
    const wallMs = this.#world.clock.wallMs();
    // Once a ms and not once a write: an import stamps tens of thousands a second.
    if (wallMs !== this.#readAtWallMs) this.#read();
    const reading = this.#reading;
    const fromFuture = last.ms > wallMs + this.#maxDriftMs;
    // A clock that was ahead and is right again: the stamps leave that future, too, and causality needs none of them.
    const hlc = tickHlc(fromFuture && isSound(reading, this.#maxDriftMs) ? HLC_ZERO : last, wallMs);
    const suspect = this.#isOff() || (fromFuture && isOff(reading, this.#maxDriftMs, hlc.ms - wallMs));
    return { hlc, suspect };
  }

  heard(peer: NodeId, exchange: ClockExchange): void {
    const sample = sampleOf(peer, exchange);
    if (!sample) return;
    this.#watch.note(sample);
    this.#read();
  }

  status(): ClockStatus {
    this.#read();
    const { clocks, bounds } = this.#reading;
    return {
      suspect: this.#isOff(),
      clocks,
      offsetMs: bounds && Math.round((bounds.lowMs + bounds.highMs) / 2),
      uncertaintyMs: bounds && Math.ceil((bounds.highMs - bounds.lowMs) / 2),
    };
  }

  #isOff(): boolean {
    return isOff(this.#reading, this.#maxDriftMs);
  }

  #read(): void {
    const { clock } = this.#world;
    const now: Instant = { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() };
    this.#reading = this.#watch.read(now);
    this.#readAtWallMs = now.wallMs;
    this.#warn(now.monotonicMs);
  }

  #warn(nowMs: number): void {
    const since = this.#lastOffMs;
    const off = this.#isOff();
    if (off) this.#lastOffMs = nowMs;
    else if (since !== null && nowMs - since >= QUIET_MS) this.#lastOffMs = null;
    if ((since === null) === (this.#lastOffMs === null)) return;
    const { clocks, bounds } = this.#reading;
    this.#world.log.warn(off ? "clock.suspect" : "clock.trusted-again", {
      ...(bounds && { offsetMs: Math.round((bounds.lowMs + bounds.highMs) / 2) }),
      clocks,
      maxDriftMs: this.#maxDriftMs,
    });
  }
}
