import { InputError } from "../kernel/assert.ts";
import type { Sha256 } from "../kernel/hashing.ts";
import { apply, type Control, type Result, UNFOUNDED } from "./apply.ts";
import { decodeCommand, decodeControl, decodeState, encodeControl, encodeState, hashOf } from "./codec.ts";
import type { Command } from "./commands.ts";
import { Feed } from "./feed.ts";
import type { ControlState } from "./state.ts";

/** The state machine that the Raft driver applies committed entries to. On a node that isn't in the group, the same, fed
 *  with whole states of its peers. */
export class ControlMachine {
  #control: Control = UNFOUNDED;
  #feed = new Feed(null);
  #stopped: InputError | null = null;
  #hash: { readonly of: ControlState; readonly hex: string } | null = null;
  readonly #sha256: Sha256;

  constructor(sha256: Sha256) {
    this.#sha256 = sha256;
  }

  /** The latest state that this node has; requests never wait for a newer one. */
  get state(): ControlState | null {
    return this.#control.state;
  }

  get feed(): Feed {
    return this.#feed;
  }

  /** Of the state, in hex; null before the founding. It is gossiped with the version. */
  hash(): string | null {
    const { state } = this.#control;
    if (state === null) return null;
    if (this.#hash?.of !== state) this.#hash = { of: state, hex: hashOf(state, this.#sha256) };
    return this.#hash.hex;
  }

  /** Throws InputError for a committed entry that this version can't read (`unknown-level`: upgrade the node), and for
   *  every one after it: to skip one would be to go another way than the others. The data goes on without (I10). */
  apply({ index, bytes }: { readonly index: number; readonly bytes: Uint8Array }): Result {
    if (this.#stopped) throw this.#stopped;
    const command = this.#read(bytes);
    const before = this.#control.state;
    const { control, result } = apply(this.#control, index, command);
    this.#control = control;
    if (control.state !== null && control.state !== before) this.#feed.push(control.state, command);
    return result;
  }

  /** What would become of it now: asked before it is proposed, so that what is refused anyway stays out of the log. */
  preview(command: Command): Result {
    return apply(this.#control, (this.state?.version ?? 0) + 1, command).result;
  }

  #read(bytes: Uint8Array): Command {
    try {
      return decodeCommand(bytes);
    } catch (error) {
      if (error instanceof InputError) this.#stopped = error;
      throw error;
    }
  }

  snapshot(): Uint8Array {
    return encodeControl(this.#control);
  }

  /** Throws InputError, and keeps what it has, when the bytes aren't a snapshot. Watchers start anew. */
  restore(bytes: Uint8Array): void {
    this.#become(decodeControl(bytes));
  }

  /** The state, as a node that isn't in the group pulls it. */
  stateBytes(): Uint8Array | null {
    return this.#control.state && encodeState(this.#control.state);
  }

  /** Takes a peer's state if it is newer, and says whether it was. Throws InputError, and keeps what it has, when the bytes
   *  aren't one, or are another cluster's. */
  adopt(bytes: Uint8Array): boolean {
    const mine = this.#control.state;
    const theirs = decodeState(bytes);
    if (mine && mine.cluster.id !== theirs.cluster.id)
      throw new InputError("wrong-cluster", `a state of cluster ${theirs.cluster.name}, which isn't this one`);
    if (mine && !isNewer(theirs, mine)) return false;
    this.#become({ state: theirs, recent: UNFOUNDED.recent });
    return true;
  }

  #become(control: Control): void {
    this.#control = control;
    this.#stopped = null;
    this.#feed.restart(control.state);
  }
}

/** A higher incarnation wins: it was raised because the old group's quorum was given up, whatever that still does. */
function isNewer(a: ControlState, b: ControlState): boolean {
  const difference = a.cluster.incarnation - b.cluster.incarnation || a.version - b.version;
  return difference > 0;
}
