import { InputError, present } from "../../kernel/assert.ts";
import type { Rng } from "../../kernel/rng.ts";
import {
  type Configuration,
  changed,
  type Group,
  type GroupChange,
  isVoter,
  memberIds,
  NOBODY,
} from "./configuration.ts";
import { type Entry, Log, type SavedGroup, type Snapshot } from "./log.ts";
import type { Message } from "./messages.ts";
import { Progress } from "./progress.ts";
import type { Id } from "./quorum.ts";

export type Role = "follower" | "pre-candidate" | "candidate" | "leader";

/** What the disk must have before anybody hears of it. */
export interface HardState {
  readonly term: number;
  /** Whom we voted for in this term. */
  readonly vote: Id | null;
  readonly committed: number;
}

/** Ticks are the driver's; about a tenth of an election's time each. */
export interface RaftConfig {
  readonly id: Id;
  /** How long a follower waits for a leader, at least; twice that at most. Longer: slower failover. Shorter: elections
   *  that nobody needed. */
  readonly electionTicks: number;
  /** How often a leader shows itself; far below `electionTicks`. */
  readonly heartbeatTicks: number;
  /** Of the entries of one message. */
  readonly messageBytesMax: number;
  /** Messages, and bytes, on their way to one follower. */
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  /** Of entries that are not committed yet: further proposals are refused. */
  readonly uncommittedBytesMax: number;
}

/** What a node finds on its disk. */
export interface Saved {
  readonly hardState: HardState;
  readonly snapshot: Snapshot | null;
  readonly entries: readonly Entry[];
}

export const NOTHING_SAVED: Saved = {
  hardState: { term: 0, vote: null, committed: 0 },
  snapshot: null,
  entries: [],
};

/** What each of a group's first voters begins with: a snapshot, so that who comes later gets the first group with it (a log
 *  that began with an entry for each would do without, but a node could not tell how much of the group it knows). */
export function founded(voters: readonly Id[], data: Uint8Array): Saved {
  const group: SavedGroup = {
    incoming: [...voters].sort(),
    outgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
  return {
    hardState: { term: 1, vote: null, committed: 1 },
    snapshot: { index: 1, term: 1, group, data },
    entries: [],
  };
}

/** What one node begins with that goes on alone from a group whose quorum is lost: later than all that it had.
 *  @param last of its old log; what follows must never look older than what was read before */
export function goesOnAlone(
  self: Id,
  last: { readonly index: number; readonly term: number },
  data: Uint8Array,
): Saved {
  const [index, term] = [last.index + 1, last.term + 1];
  const { snapshot } = founded([self], data);
  const { group } = present(snapshot, "a group is founded with a snapshot");
  return { hardState: { term, vote: null, committed: index }, snapshot: { index, term, group, data }, entries: [] };
}

/** Over so many ticks are the candidates spread that have seen their leader's link break. */
const DOUBT_TICKS = 4;

/** May be sent before anything is on disk: they promise nothing. All others wait (Ongaro 2014, §10.2.1). */
const UNBOUND: ReadonlySet<Message["type"]> = new Set<Message["type"]>([
  "append",
  "snapshot",
  "heartbeat",
  "timeout-now",
  "propose",
  "read",
  "read-reply",
  "transfer",
]);

/** What the parts of the machine share: the term, the log, the group, the role, and what goes out. */
export class Core {
  readonly config: RaftConfig;
  readonly log: Log;
  readonly #rng: Rng;
  term: number;
  vote: Id | null;
  role: Role = "follower";
  leader: Id | null = null;
  group: Group;
  /** Ticks since the leader was heard of; at the leader, since its quorum was counted. */
  electionElapsed = 0;
  heartbeatElapsed = 0;
  electionTimeout = 0;
  /** To whom the leader is handing over, and for how many ticks. A count of its own: a leader that is asked to hand over
   *  again and again must still count its quorum. */
  transferee: Id | null = null;
  transferElapsed = 0;
  /** The index of the last change of the group that may not be applied yet: one at a time. */
  pendingChange = 0;
  #now: Message[] = [];
  #afterDurable: Message[] = [];

  constructor(config: RaftConfig, saved: Saved, rng: Rng) {
    const { hardState, snapshot, entries } = saved;
    this.config = config;
    this.#rng = rng;
    this.term = hardState.term;
    this.vote = hardState.vote;
    // What is applied is read again from the snapshot on: the group is a part of it.
    this.log = new Log(snapshot, entries, hardState.committed, snapshot?.index ?? 0);
    this.group = restored(snapshot?.group ?? null, this.log.lastIndex);
    this.resetTimeout();
  }

  get configuration(): Configuration {
    return this.group.configuration;
  }

  get isVoter(): boolean {
    return isVoter(this.configuration, this.config.id);
  }

  get hardState(): HardState {
    return { term: this.term, vote: this.vote, committed: this.log.committed };
  }

  send(message: Message): void {
    const isPreVote = message.type === "vote" && message.pre;
    const mayGo = message.to !== this.config.id && (UNBOUND.has(message.type) || isPreVote);
    (mayGo ? this.#now : this.#afterDurable).push(message);
  }

  takeMessages(): { now: Message[]; afterDurable: Message[] } {
    const taken = { now: this.#now, afterDurable: this.#afterDurable };
    this.#now = [];
    this.#afterDurable = [];
    return taken;
  }

  get hasMessages(): boolean {
    return this.#now.length + this.#afterDurable.length > 0;
  }

  others(): Id[] {
    return [...this.group.progress.keys()].filter((id) => id !== this.config.id).sort();
  }

  becomeFollower(term: number, leader: Id | null): void {
    this.#enter("follower", term);
    this.leader = leader;
  }

  /** Into another role, with fresh timers; a new term forgets the vote. */
  #enter(role: Role, term: number): void {
    if (term !== this.term) {
      this.vote = null;
      // What we promised in the last term and was never written: the entries may be others by now. Nobody in this term asks.
      this.#afterDurable = [];
    }
    this.term = term;
    this.role = role;
    this.leader = null;
    this.electionElapsed = 0;
    this.heartbeatElapsed = 0;
    this.transferee = null;
    this.resetTimeout();
  }

  /** A pre-candidate stays in its term, and keeps its vote. */
  becomePreCandidate(): void {
    this.role = "pre-candidate";
    this.leader = null;
    this.electionElapsed = 0;
    this.resetTimeout();
  }

  becomeCandidate(): void {
    this.#enter("candidate", this.term + 1);
    this.vote = this.config.id;
  }

  becomeLeader(): void {
    this.#enter("leader", this.term);
    this.leader = this.config.id;
    const { lastIndex } = this.log;
    const fresh = new Map<Id, Progress>();
    for (const [id, { isLearner }] of this.group.progress) {
      const progress = new Progress(lastIndex + 1, isLearner);
      progress.recentlyActive = id === this.config.id;
      fresh.set(id, progress);
    }
    this.group = { ...this.group, progress: fresh };
    // There may be one among what isn't applied yet: none other until it is.
    this.pendingChange = lastIndex;
  }

  resetTimeout(): void {
    this.electionTimeout = this.config.electionTicks + this.#rng.below(this.config.electionTicks);
  }

  /** The leader may be gone: others may lead, and this one would soon. Not all at once, and soon enough for a message of the
   *  leader's to come first if it lives. */
  doubtLeader(): void {
    this.leader = null;
    const soon = this.electionTimeout - 1 - this.#rng.below(DOUBT_TICKS);
    this.electionElapsed = Math.max(this.electionElapsed, soon);
  }

  /** Throws InputError when it can't be done from here. */
  change(change: GroupChange): void {
    this.group = changed(this.group, change, this.log.lastIndex);
  }
}

/** A group as it was saved, nothing known of its members' logs. */
export function restored(saved: SavedGroup | null, lastIndex: number): Group {
  if (!saved) return { configuration: NOBODY, progress: new Map() };
  const configuration: Configuration = {
    incoming: new Set(saved.incoming),
    outgoing: new Set(saved.outgoing),
    learners: new Set(saved.learners),
    learnersNext: new Set(saved.learnersNext),
    autoLeave: saved.autoLeave,
  };
  if (configuration.incoming.size === 0) throw new InputError("bad-snapshot", "a group has at least one voter");
  const ids = memberIds(configuration);
  const progress = new Map(ids.map((id) => [id, new Progress(lastIndex + 1, configuration.learners.has(id))]));
  return { configuration, progress };
}

/** All of it: a snapshot that dropped the outgoing half of a joint group would let one majority decide where two must. */
export function savedGroup({ configuration }: Group): SavedGroup {
  const { incoming, outgoing, learners, learnersNext, autoLeave } = configuration;
  const sorted = (ids: ReadonlySet<Id>): Id[] => [...ids].sort();
  return {
    incoming: sorted(incoming),
    outgoing: sorted(outgoing),
    learners: sorted(learners),
    learnersNext: sorted(learnersNext),
    autoLeave,
  };
}
