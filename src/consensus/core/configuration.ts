import { InputError } from "../../kernel/assert.ts";
import { Progress } from "./progress.ts";
import { type Id, jointCommitted, jointVote, type VoteResult } from "./quorum.ts";

/** Who votes, who listens, and in a change from which group to which. */
export interface Configuration {
  readonly incoming: ReadonlySet<Id>;
  /** Not empty while two groups must agree. */
  readonly outgoing: ReadonlySet<Id>;
  readonly learners: ReadonlySet<Id>;
  /** Voters of `outgoing` that will be learners when it ends. */
  readonly learnersNext: ReadonlySet<Id>;
  /** The leader ends the joint configuration by itself. */
  readonly autoLeave: boolean;
}

export const NOBODY: Configuration = {
  incoming: new Set(),
  outgoing: new Set(),
  learners: new Set(),
  learnersNext: new Set(),
  autoLeave: false,
};

export interface MemberChange {
  readonly kind: "voter" | "learner" | "remove";
  readonly id: Id;
}

/** What a log entry changes of the group; no members in it: it ends a joint configuration. */
export interface GroupChange {
  /** `auto`: through a joint configuration only where more than one voter changes. */
  readonly transition: "auto" | "joint-auto-leave" | "joint-explicit";
  readonly changes: readonly MemberChange[];
}

export type ProgressMap = ReadonlyMap<Id, Progress>;

/** A configuration with what a leader knows of its members. */
export interface Group {
  readonly configuration: Configuration;
  readonly progress: ProgressMap;
}

export function isJoint({ outgoing }: Configuration): boolean {
  return outgoing.size > 0;
}

export function isVoter({ incoming, outgoing }: Configuration, id: Id): boolean {
  return incoming.has(id) || outgoing.has(id);
}

export function memberIds({ incoming, outgoing, learners }: Configuration): Id[] {
  return [...new Set([...incoming, ...outgoing, ...learners])].sort();
}

export function voteOf({ incoming, outgoing }: Configuration, votes: ReadonlyMap<Id, boolean>): VoteResult {
  return jointVote([incoming, outgoing], votes);
}

export function committedOf({ incoming, outgoing }: Configuration, reached: (id: Id) => number | undefined): number {
  return jointCommitted([incoming, outgoing], reached);
}

/** Applies what an entry says. Throws InputError, and has changed nothing, when that can't be done from here.
 *  @param lastIndex of the log: where a new member's log is tried first */
export function changed(group: Group, change: GroupChange, lastIndex: number): Group {
  const { transition, changes } = change;
  if (changes.length === 0) return leaveJoint(group);
  if (transition === "auto" && changes.length === 1) return simple(group, changes, lastIndex);
  return enterJoint(group, changes, lastIndex, transition !== "joint-explicit");
}

/** One voter more or less: two such groups have a member of every majority in common. */
export function simple(group: Group, changes: readonly MemberChange[], lastIndex: number): Group {
  const before = group.configuration;
  if (isJoint(before)) throw refusal("can't apply simple config change in joint config");
  const draft = new Draft(group, lastIndex);
  draft.apply(changes);
  const { incoming } = draft;
  const differing = [...before.incoming].filter((id) => !incoming.has(id)).length;
  const added = [...incoming].filter((id) => !before.incoming.has(id)).length;
  if (differing + added > 1) throw refusal("more than one voter changed without entering joint config");
  return draft.finish(false);
}

export function enterJoint(
  group: Group,
  changes: readonly MemberChange[],
  lastIndex: number,
  autoLeave: boolean,
): Group {
  if (isJoint(group.configuration)) throw refusal("config is already joint");
  if (group.configuration.incoming.size === 0) throw refusal("can't make a zero-voter config joint");
  const draft = new Draft(group, lastIndex);
  for (const id of draft.incoming) draft.outgoing.add(id);
  draft.apply(changes);
  return draft.finish(autoLeave);
}

export function leaveJoint(group: Group): Group {
  if (!isJoint(group.configuration)) throw refusal("can't leave a non-joint config");
  const draft = new Draft(group, 0);
  draft.leave();
  return draft.finish(false);
}

function refusal(message: string): InputError {
  return new InputError("bad-group-change", message);
}

/** A group being changed; the one it was made from stays as it is. */
class Draft {
  readonly incoming: Set<Id>;
  readonly outgoing: Set<Id>;
  readonly #learners: Set<Id>;
  readonly #learnersNext: Set<Id>;
  readonly #progress: Map<Id, Progress>;
  readonly #lastIndex: number;

  constructor({ configuration, progress }: Group, lastIndex: number) {
    this.incoming = new Set(configuration.incoming);
    this.outgoing = new Set(configuration.outgoing);
    this.#learners = new Set(configuration.learners);
    this.#learnersNext = new Set(configuration.learnersNext);
    this.#progress = new Map(progress);
    this.#lastIndex = lastIndex;
  }

  apply(changes: readonly MemberChange[]): void {
    for (const { kind, id } of changes) {
      if (id === "") continue;
      if (kind === "voter") this.#makeVoter(id);
      else if (kind === "learner") this.#makeLearner(id);
      else this.#remove(id);
    }
    if (this.incoming.size === 0) throw refusal("removed all voters");
  }

  leave(): void {
    for (const id of this.#learnersNext) {
      this.#learners.add(id);
      this.#setLearner(id, true);
    }
    this.#learnersNext.clear();
    for (const id of this.outgoing) if (!this.incoming.has(id) && !this.#learners.has(id)) this.#progress.delete(id);
    this.outgoing.clear();
  }

  finish(autoLeave: boolean): Group {
    const configuration: Configuration = {
      incoming: this.incoming,
      outgoing: this.outgoing,
      learners: this.#learners,
      learnersNext: this.#learnersNext,
      autoLeave,
    };
    return { configuration, progress: this.#progress };
  }

  #makeVoter(id: Id): void {
    if (this.#progress.has(id)) this.#setLearner(id, false);
    else this.#meet(id, false);
    this.#learners.delete(id);
    this.#learnersNext.delete(id);
    this.incoming.add(id);
  }

  #makeLearner(id: Id): void {
    const known = this.#progress.get(id);
    if (!known) {
      this.#meet(id, true);
      this.#learners.add(id);
      return;
    }
    if (known.isLearner) return;
    this.#remove(id);
    this.#progress.set(id, known);
    // One that votes in the outgoing group goes on doing so until that ends.
    if (this.outgoing.has(id)) this.#learnersNext.add(id);
    else {
      this.#setLearner(id, true);
      this.#learners.add(id);
    }
  }

  #remove(id: Id): void {
    if (!this.#progress.has(id)) return;
    this.incoming.delete(id);
    this.#learners.delete(id);
    this.#learnersNext.delete(id);
    if (!this.outgoing.has(id)) this.#progress.delete(id);
  }

  #meet(id: Id, isLearner: boolean): void {
    const progress = new Progress(Math.max(this.#lastIndex, 1), isLearner);
    // Who has just come may not be counted as silent at once.
    progress.recentlyActive = true;
    this.#progress.set(id, progress);
  }

  /** In a copy: a change that is refused later must have changed nothing. */
  #setLearner(id: Id, isLearner: boolean): void {
    const known = this.#progress.get(id);
    if (!known || known.isLearner === isLearner) return;
    const copy = known.copy();
    copy.isLearner = isLearner;
    this.#progress.set(id, copy);
  }
}
