import { OutcomeUnknown } from "../consensus/driver/refusal.ts";
import type { Result } from "../control/apply.ts";
import type { Member } from "../control/schemas.ts";
import type { ControlState } from "../control/state.ts";
import { InputError } from "../kernel/assert.ts";
import type { Replica } from "../replication/replica.ts";
import type { World } from "../world/world.ts";
import type { Wish } from "./api.ts";

/** How far this node's copy of the data is. */
export interface CopyProgress {
  /** Everything that the owners that can be reached showed at the start is here; false while none was reached. */
  isCaughtUp(): boolean;
  /** A mark in what is written here: clients that don't ask who is ready write on. */
  written(): CopyMark;
  /** Everything that was written here up to there is at more than half of the other owners, and at all that can be reached. */
  isHandedOver(upTo: CopyMark): boolean;
}

/** Whoever made it knows what it is. */
export type CopyMark = Parameters<Replica["isHandedOver"]>[0];

export interface ResidenceOptions {
  readonly self: string;
  readonly world: World;
  readonly copy: CopyProgress;
  readonly state: () => ControlState | null;
  /** Its log is agreed, or it waits for none. */
  readonly isSettled: () => boolean;
  readonly propose: (wish: Wish, timeoutMs: number) => Promise<Result>;
  /** The Raft group still has it, and somebody leads that. */
  readonly isNeeded: () => boolean;
  /** The Raft group has let go of it, as somebody in it says. Rejects with RaftRefusal or OutcomeUnknown. */
  readonly isLetGo: (timeoutMs: number) => Promise<boolean>;
  /** It is a member no more. Called once. */
  readonly onGone: (why: string) => void;
}

const PROPOSE_TIMEOUT_MS = 3_000;
/** Between the drain and the leaving at least: balancers must see that this node isn't ready before it goes. */
const DRAIN_MS_MIN = 5_000;
const RETRY_MS = 5_000;
/** Without a leader for so long, longer than elections take: the group has let go of it. */
const FREE_MS = 3_000;
/** It waits no longer for that: the group may have lost its quorum otherwise. */
const NEEDED_MS_MAX = 15_000;

/** A member's coming and going, as far as it does that by itself: it owns when it has caught up, and leaves when what was written
 *  here is elsewhere. */
export class Residence {
  readonly #o: ResidenceOptions;
  #drainingSinceMs: number | null = null;
  #toHandOver: CopyMark;
  #notBeforeMs = 0;
  #wasMember = false;
  #isGone = false;
  /** When it was seen to be a member no more, and when it was last needed. */
  #gone: { readonly sinceMs: number; neededMs: number } | null = null;
  /** What a draining or joining node waits for; null else. */
  why: string | null = null;

  constructor(options: ResidenceOptions) {
    this.#o = options;
  }

  async look(): Promise<void> {
    const { self, state, world } = this.#o;
    const known = state();
    const me = known?.members.get(self);
    if (!me) {
      if (known) this.#mayBeGone(known);
      return;
    }
    this.#wasMember = true;
    const nowMs = world.clock.monotonicMs();
    this.#drainingSinceMs = me.state === "draining" ? (this.#drainingSinceMs ?? nowMs) : null;
    if (me.state !== "draining") this.#toHandOver = undefined;
    if (me.state === "joining") await this.#arrive();
    else if (this.#drainingSinceMs !== null)
      await this.#depart(known?.cluster.name ?? "", me, nowMs - this.#drainingSinceMs);
    else this.why = null;
  }

  /** A state that is older than our joining doesn't have us either. */
  #mayBeGone({ cluster, removed }: ControlState): void {
    if (!this.#wasMember || this.#isGone || this.#isStillNeeded()) return;
    this.#isGone = true;
    const how = removed.ids.get(this.#o.self);
    this.#o.onGone(
      `${this.#o.self} is no member of ${cluster.name} any more${how ? ` (${how.how}, by ${how.by})` : ""}`,
    );
  }

  /** A group of two voters can't let go of one without it. */
  #isStillNeeded(): boolean {
    const nowMs = this.#o.world.clock.monotonicMs();
    this.#gone ??= { sinceMs: nowMs, neededMs: nowMs };
    if (this.#o.isNeeded()) this.#gone.neededMs = nowMs;
    this.why = "the Raft group has to let go of it";
    return nowMs - this.#gone.neededMs < FREE_MS && nowMs - this.#gone.sinceMs < NEEDED_MS_MAX;
  }

  async #arrive(): Promise<void> {
    const { self, copy, isSettled } = this.#o;
    if (!copy.isCaughtUp()) this.why = "copying the data before it owns any";
    else if (!isSettled()) this.why = "its part in the cluster is not agreed yet";
    else await this.#propose({ kind: "activate", member: self, by: self, reason: "it has caught up", ifVersion: null });
  }

  /** Who left while the group still counted on its vote might leave it without a quorum: nobody asks a node that is no
   *  member any more. */
  async #depart(cluster: string, { role }: Readonly<Member>, forMs: number): Promise<void> {
    const { self, copy } = this.#o;
    if (forMs >= DRAIN_MS_MIN) this.#toHandOver ??= copy.written();
    // What is written after that is handed over when it has left, and takes no more.
    if (this.#toHandOver === undefined) this.why = "balancers are to see that it isn't ready";
    else if (!copy.isHandedOver(this.#toHandOver)) this.why = "handing over what was written here";
    else if (role !== "none") this.why = "autopilot has to choose who takes its place in the Raft group";
    else if (!(await this.#isLetGo())) this.why = "the Raft group has to let go of it";
    else await this.#propose({ kind: "leave", member: self, cluster, by: self, reason: "it drained", ifVersion: null });
  }

  async #isLetGo(): Promise<boolean> {
    try {
      return await this.#o.isLetGo(PROPOSE_TIMEOUT_MS);
    } catch (error) {
      if (!(error instanceof InputError || error instanceof OutcomeUnknown)) throw error;
      return false; // nobody can say: the next look asks again
    }
  }

  async #propose(wish: Wish): Promise<void> {
    const { world, propose } = this.#o;
    const nowMs = world.clock.monotonicMs();
    if (nowMs < this.#notBeforeMs) return;
    this.#notBeforeMs = nowMs + RETRY_MS;
    try {
      const result = await propose(wish, PROPOSE_TIMEOUT_MS);
      this.why = result.ok ? null : result.message;
    } catch (error) {
      // RaftRefusal is one, too: nothing that was refused stops a node.
      if (!(error instanceof InputError || error instanceof OutcomeUnknown)) throw error;
      this.why = error.message;
      this.#notBeforeMs = 0;
    }
  }
}
