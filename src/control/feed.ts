import { assert } from "../kernel/assert.ts";
import type { Command, Kind } from "./commands.ts";
import { type Change, diff } from "./diff.ts";
import type { ControlState } from "./state.ts";
import { type Tree, viewOf } from "./view.ts";

/** One version of the state: who made it, and what is other than in the one before. */
export interface VersionEvent {
  readonly version: number;
  /** Of the one before; null when it was founded by this. */
  readonly previous: number | null;
  readonly kind: Kind;
  readonly by: string;
  readonly atMs: number;
  readonly reason: string | null;
  readonly changes: readonly Change[];
}

/** What a watcher gets who has seen all up to some version. `reset`: the ring doesn't reach back so far, start anew from
 *  `view`. */
export type Catchup =
  | { readonly kind: "events"; readonly events: readonly VersionEvent[] }
  | { readonly kind: "reset"; readonly version: number; readonly view: Tree };

export const FEED_EVENTS_MAX = 256;
/** Of an estimate of what they take: large changes push out more of the others. */
export const FEED_CHANGES_MAX = 4096;

/** The last versions, for watchers: each gets every version after the one it names, once and in order, across reconnects
 *  and on whatever node, for versions are Raft indexes. */
export class Feed {
  #events: VersionEvent[] = [];
  #changes = 0;
  /** All versions after this one are in `#events`. */
  #floor = 0;
  #state: ControlState | null;
  #view: Tree;

  /** @param state where it begins: earlier versions are not known here */
  constructor(state: ControlState | null) {
    this.#state = state;
    this.#view = state ? viewOf(state) : {};
    this.#floor = state?.version ?? 0;
  }

  /** Who has seen this version or a later one is told each that follows. */
  get floor(): number {
    return this.#floor;
  }

  get version(): number {
    return this.#state?.version ?? 0;
  }

  /** After each command that changed the state. */
  push(after: ControlState, { kind, by, atMs, reason }: Command): VersionEvent {
    assert(after.version > this.version, "versions come in order, each once");
    const view = viewOf(after);
    const changes = diff(this.#view, view);
    const event = { version: after.version, previous: this.#state?.version ?? null, kind, by, atMs, reason, changes };
    this.#state = after;
    this.#view = view;
    this.#events.push(event);
    this.#changes += changes.length;
    while (this.#events.length > FEED_EVENTS_MAX || (this.#changes > FEED_CHANGES_MAX && this.#events.length > 1)) {
      const oldest = this.#events.shift();
      this.#changes -= oldest?.changes.length ?? 0;
      this.#floor = oldest?.version ?? this.#floor;
    }
    return event;
  }

  /** The state came whole, from a peer or a snapshot: how it came to be is not known here. Watchers have to be told
   *  `reset`. */
  restart(state: ControlState | null): void {
    this.#events = [];
    this.#changes = 0;
    this.#state = state;
    this.#view = state ? viewOf(state) : {};
    this.#floor = state?.version ?? 0;
  }

  /** What follows `version`; null: from the beginning. Who has seen more than this node knows waits until it does. A
   *  version that never was (of another cluster, or of an incarnation that was given up) is answered with `reset`. */
  since(version: number | null): Catchup {
    const isKnown = version === this.#floor || this.#events.some((event) => event.version === version);
    if (version === null || (version <= this.version && !isKnown))
      return { kind: "reset", version: this.version, view: this.#view };
    return { kind: "events", events: this.#events.filter((event) => event.version > version) };
  }
}
