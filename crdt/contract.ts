import type { ActorId } from "../src/kernel/ids.ts";
import type { Content, SlotType } from "./content.ts";
import type { Dot } from "./dot.ts";
import type { Cell } from "./row.ts";

/** What a type of CRDT is here. Joining is the same for all (dots come and go, partition.ts); a type only says which
 *  dots an operation adds and removes, and what a slot's live cells mean. Any type must pass `contract.test-kit.ts`. */
export interface CrdtType<Op, Shown> {
  readonly name: SlotType;
  /** The effect of an operation on one slot. It removes only cells it was shown. */
  plan(op: Op, slot: SlotView): Plan;
  /** What the live cells of one slot say, a function of these cells alone. `cells` is never empty. */
  show(cells: readonly Cell[]): Shown;
}

/** A slot as a writer finds it. */
export interface SlotView {
  /** Its live cells that the writer saw: all for a blind write, those of its context otherwise. */
  readonly seen: readonly SeenCell[];
  /** All its live cells here. */
  readonly live: readonly SeenCell[];
  readonly actor: ActorId;
}

/** A live cell, or one that an earlier operation of the same request drafted (it has no dot yet). */
export interface SeenCell {
  readonly dot: Dot | null;
  readonly content: Content;
}

export interface Plan {
  readonly adds: readonly Content[];
  readonly removes: readonly SeenCell[];
}
