import { voteOf } from "./configuration.ts";
import type { Core } from "./core.ts";
import type { Vote, VoteReply } from "./messages.ts";
import type { Id, VoteResult } from "./quorum.ts";

/** Who leads: pre-votes and votes (Ongaro 2014, §3.4, §9.6). */
export class Election {
  readonly #core: Core;
  readonly #elected: () => void;
  #votes = new Map<Id, boolean>();

  constructor(core: Core, elected: () => void) {
    this.#core = core;
    this.#elected = elected;
  }

  /** No leader was heard of for a while. */
  timeout(): void {
    if (this.#mayCampaign()) this.#campaign(true, false);
  }

  /** The leader hands over: no pre-vote, and nobody waits for it. */
  takeOver(): void {
    if (this.#mayCampaign()) this.#campaign(false, true);
  }

  /** A change of the group that is committed and not applied decides who may vote: first that. */
  #mayCampaign(): boolean {
    const core = this.#core;
    if (core.role === "leader" || !core.isVoter || core.log.unstableSnapshot()) return false;
    const { applied, committed } = core.log;
    return !core.log.slice(applied + 1, committed + 1).some(({ payload }) => payload.kind === "change");
  }

  #campaign(pre: boolean, transfer: boolean): void {
    const core = this.#core;
    this.#votes = new Map();
    if (pre) core.becomePreCandidate();
    else core.becomeCandidate();
    const { id } = core.config;
    const term = pre ? core.term + 1 : core.term;
    const { lastIndex, lastTerm } = core.log;
    // Our own vote is an answer like the others': it counts once it is on disk.
    core.send({ type: "vote-reply", from: id, to: id, term, pre, granted: true, committed: core.log.committedAt });
    const { incoming, outgoing } = core.configuration;
    for (const to of [...new Set([...incoming, ...outgoing])].sort())
      if (to !== id) core.send({ type: "vote", from: id, to, term, pre, lastIndex, lastTerm, transfer });
  }

  /** @param vote of our term; a pre-vote's may be above it */
  onVote(vote: Vote): void {
    const core = this.#core;
    const { from, pre, lastIndex, lastTerm } = vote;
    const isFree = core.vote === null && core.leader === null;
    const may = core.vote === from || isFree || (pre && vote.term > core.term);
    const granted = may && core.log.isUpToDate(lastIndex, lastTerm);
    const term = granted ? vote.term : core.term;
    if (granted && !pre) {
      core.electionElapsed = 0;
      core.vote = from;
    }
    const { committedAt: committed } = core.log;
    core.send({ type: "vote-reply", from: core.config.id, to: from, term, pre, granted, committed });
  }

  /** What is committed is so in any term. A candidate that learns of a change of the group may be in it no longer, or ask the
   *  wrong ones: it applies the change first. */
  learn({ committed }: VoteReply): void {
    const core = this.#core;
    if (core.role === "leader") return;
    core.log.learnCommitted(committed);
    if (core.role !== "follower" && !this.#mayCampaign()) core.becomeFollower(core.term, null);
  }

  onReply({ from, term, pre, granted }: VoteReply): void {
    const core = this.#core;
    if (core.role !== (pre ? "pre-candidate" : "candidate")) return;
    // To an earlier question than the one that is open.
    if (pre && granted && term !== core.term + 1) return;
    if (!this.#votes.has(from)) this.#votes.set(from, granted);
    const result: VoteResult = voteOf(core.configuration, this.#votes);
    if (result === "lost") core.becomeFollower(core.term, null);
    else if (result === "won" && pre) this.#campaign(false, false);
    else if (result === "won") this.#elected();
  }
}
