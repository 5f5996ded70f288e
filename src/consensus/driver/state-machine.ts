import type { GroupChange } from "../core/configuration.ts";

/** A committed entry. */
export interface Applied {
  readonly index: number;
  readonly term: number;
  /** What was proposed; empty for a change of the group that brings nothing along. */
  readonly data: Uint8Array;
  /** What the entry changes of the group of voters itself, as the core has applied it. */
  readonly change: GroupChange | null;
}

/** What a group agrees on. Every member applies the same entries in the same order, so whatever it does must follow from
 *  them alone: no clock, no chance, no settings of this node. All of it is synchronous. */
export interface StateMachine<Result> {
  /** A command that can't be carried out is an ordinary result, told as `Result`: what is thrown here stops the node, and with
   *  it every member. */
  apply(entry: Applied): Result;
  /** Throws InputError on what is no command of its own: that is asked of whatever others forward, before it is in the log,
   *  where nobody could leave it out any more. */
  check(data: Uint8Array): void;
  /** The state as it is now; at most `snapshotBytesMax`. */
  snapshot(): Uint8Array;
  /** In place of what is there: the state after `index`. Throws InputError when these are no bytes of its own. */
  restore(data: Uint8Array, index: number): void;
}
