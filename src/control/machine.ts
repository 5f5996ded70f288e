import { InputError } from "../kernel/assert.ts";
import type { Sha256 } from "../kernel/hashing.ts";
import { apply, type Control, type Result, UNFOUNDED } from "./apply.ts";
import { decodeCommand, decodeControl, decodeState, encodeControl, encodeState, hashOf } from "./codec.ts";
import type { Command } from "./commands.ts";
import { Feed } from "./feed.ts";
import type { ControlState } from "./state.ts";

/** The state machine that the Raft driver applies committed entries to, and the state that this node shows: the newest of
 *  what its log came to and what it heard from peers. A member outside the group only hears; one in the group may hear of a
 *  version before its log has it. What is shown never goes back, whatever becomes of the log. */
export class ControlMachine {
  #applied: Control = UNFOUNDED;
  #shown: ControlState | null = null;
  #feed = new Feed(null);
  /** Of the log, while what is shown is ahead of it; null while the two are the same. */
  #behind: Feed | null = null;
  #stopped: InputError | null = null;
  #hash: { readonly of: ControlState; readonly hex: string } | null = null;
  #bytes: { readonly of: ControlState; readonly encoded: Uint8Array } | null = null;
  readonly #sha256: Sha256;

  constructor(sha256: Sha256) {
    this.#sha256 = sha256;
  }

  /** The latest state that this node has; requests never wait for a newer one. */
  get state(): ControlState | null {
    return this.#shown;
  }

  /** What the log came to: the one that the next entry is applied to. */
  get appliedState(): ControlState | null {
    return this.#applied.state;
  }

  /** Of the versions of `state`. */
  get feed(): Feed {
    return this.#feed;
  }

  /** Of the versions that the log came to, be they older: for who can wait until the log has got to `state`, and misses
   *  none then. */
  get logFeed(): Feed {
    return this.#behind === null || this.#applied.state === null ? this.#feed : this.#behind;
  }

  /** Of `state`, in hex; null before the founding. It is gossiped with the version. */
  hash(): string | null {
    const state = this.#shown;
    if (state === null) return null;
    if (this.#hash?.of !== state) this.#hash = { of: state, hex: hashOf(state, this.#sha256) };
    return this.#hash.hex;
  }

  /** Throws InputError for a committed entry that this version can't read (`unknown-level`: upgrade the node), and for
   *  every one after it: to skip one would be to go another way than the others. The data goes on without (I10). */
  apply({ index, bytes }: { readonly index: number; readonly bytes: Uint8Array }): Result {
    if (this.#stopped) throw this.#stopped;
    const command = this.#read(bytes);
    const before = this.#applied.state;
    const { control, result } = apply(this.#applied, index, command);
    this.#applied = control;
    if (control.state !== null && control.state !== before) this.#showStep(control.state, command);
    return result;
  }

  /** What would become of it now: asked before it is proposed, so that what is refused anyway stays out of the log. */
  preview(command: Command): Result {
    const control = { state: this.#shown, recent: this.#applied.recent };
    return apply(control, (this.#shown?.version ?? 0) + 1, command).result;
  }

  #read(bytes: Uint8Array): Command {
    try {
      return decodeCommand(bytes);
    } catch (error) {
      if (error instanceof InputError) this.#stopped = error;
      throw error;
    }
  }

  /** Of what the log came to. */
  snapshot(): Uint8Array {
    return encodeControl(this.#applied);
  }

  /** Puts a snapshot in the place of what the log came to, be it older. Throws InputError, and keeps what it has, when the
   *  bytes aren't one. Watchers start anew if it is newer than what they saw. */
  restore(bytes: Uint8Array): void {
    this.#applied = decodeControl(bytes);
    this.#stopped = null;
    this.#behind = new Feed(this.#applied.state);
    this.#catchUp();
  }

  /** The state, as a node that isn't in the group pulls it. */
  stateBytes(): Uint8Array | null {
    const state = this.#shown;
    if (state === null) return null;
    // Many ask for the same one.
    if (this.#bytes?.of !== state) this.#bytes = { of: state, encoded: encodeState(state) };
    return this.#bytes.encoded;
  }

  /** Shows a peer's state if it is newer, and says whether it was. Throws InputError, and keeps what it has, when the bytes
   *  aren't one (`bad-state`, `unknown-level`), are another cluster's (`wrong-cluster`) or founding's (`other-founding`), or say otherwise what this node
   *  shows of the same version (`state-differs`): one of the two went wrong, and nobody here knows which. */
  adopt(bytes: Uint8Array): boolean {
    const mine = this.#shown;
    const theirs = decodeState(bytes);
    if (mine && mine.cluster.id !== theirs.cluster.id)
      throw new InputError("wrong-cluster", `a state of cluster ${theirs.cluster.name}, which isn't this one`);
    const isOther = mine !== null && mine.founding !== theirs.founding;
    const difference = isOther ? ageOfOther(theirs, mine) : age(theirs, mine);
    if (difference === 0 && hashOf(theirs, this.#sha256) !== this.hash())
      throw new InputError(
        "state-differs",
        `version ${theirs.version} isn't the same on both nodes: one is damaged or has a bug, compare them with others`,
      );
    if (difference <= 0) return false;
    this.#shown = theirs;
    this.#behind ??= this.#feed;
    this.#feed = new Feed(theirs);
    return true;
  }

  /** A version more on what is shown is told as such; where that is ahead, it is kept for when the log gets there. */
  #showStep(after: ControlState, command: Command): void {
    if (this.#behind === null) this.#shown = after;
    (this.#behind ?? this.#feed).push(after, command);
    this.#catchUp();
  }

  /** Once the log has got to what is shown, its feed tells how that came to be. Past it, which only a raised incarnation or a
   *  snapshot brings about, nobody knows what lies between the two. */
  #catchUp(): void {
    const { state } = this.#applied;
    if (this.#behind === null || (state === null ? this.#shown !== null : age(state, this.#shown) < 0)) return;
    const isPast = state !== null && age(state, this.#shown) > 0;
    if (isPast) this.#feed.restart(state);
    else if (this.#behind.floor < this.#feed.floor) this.#feed = this.#behind;
    this.#shown = state;
    this.#behind = null;
  }
}

/** Above 0 where `a` is newer than `b`: of another founding it never is. A higher incarnation wins: it was raised because the old group's quorum was given up,
 *  whatever that still does. */
function age(a: ControlState, b: ControlState | null): number {
  if (b === null) return 1;
  if (a.founding !== b.founding) return -1;
  return a.cluster.incarnation - b.cluster.incarnation || a.version - b.version;
}

/** The cluster was founded twice, and no version of one is newer than any of the other. Who founded it alone, since its data
 *  directory was emptied, goes back to where it is a member; nobody else ever follows another founding. */
function ageOfOther(theirs: ControlState, mine: ControlState): 1 {
  const [only, ...others] = mine.members.keys();
  if (only !== undefined && others.length === 0 && theirs.members.size > 1 && theirs.members.has(only)) return 1;
  throw new InputError(
    "other-founding",
    `cluster ${theirs.cluster.name} was founded twice: a data directory was emptied. Stop the node that founded it anew, and ` +
      "start it with an empty directory where it reaches the others",
  );
}
