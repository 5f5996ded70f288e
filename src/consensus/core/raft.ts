import { assert, assertNever, InputError } from "../../kernel/assert.ts";
import type { Rng } from "../../kernel/rng.ts";
import { type Configuration, isJoint } from "./configuration.ts";
import { Core, type HardState, type RaftConfig, type Role, restored, type Saved, savedGroup } from "./core.ts";
import { Election } from "./election.ts";
import { Leading } from "./leading.ts";
import { type Entry, LostLogError, type Payload, type Snapshot } from "./log.ts";
import type { Append, Heartbeat, InstallSnapshot, Message } from "./messages.ts";
import type { Progress } from "./progress.ts";
import type { Id } from "./quorum.ts";
import type { ReadState } from "./reads.ts";

/** What a driver has to do now. Disk first: `afterDurable` goes out when hard state, snapshot and entries are durable. */
export interface Ready {
  /** Null when it is as it was. */
  readonly hardState: HardState | null;
  /** In place of everything that is on disk. */
  readonly snapshot: Snapshot | null;
  /** Replace what the disk has from the first one's index on. */
  readonly entries: readonly Entry[];
  /** May go at once. */
  readonly messages: readonly Message[];
  readonly afterDurable: readonly Message[];
  /** To be applied, in order; all of them are on our own disk. A snapshot is applied before them. */
  readonly committed: readonly Entry[];
  readonly reads: readonly ReadState[];
}

/** Of entries applied at once. */
const APPLY_BYTES_MAX = 4 * 1024 * 1024;

/** Raft as a state machine (Ongaro, "Consensus: Bridging Theory and Practice", 2014): pre-vote, check-quorum, joint
 *  consensus with learners, read index, leader transfer, snapshots. No clock, no disk, no network: ticks, messages and
 *  proposals in, a `Ready` out; then `durable()`, and the next. */
export class Raft {
  readonly #core: Core;
  readonly #election: Election;
  readonly #leading: Leading;
  #savedState: HardState;
  #inHand: Ready | null = null;

  constructor(config: RaftConfig, saved: Saved, rng: Rng) {
    this.#core = new Core(config, saved, rng);
    this.#leading = new Leading(this.#core);
    this.#election = new Election(this.#core, () => this.#leading.begin());
    this.#savedState = this.#core.hardState;
  }

  // ---- what can be seen

  get id(): Id {
    return this.#core.config.id;
  }

  get role(): Role {
    return this.#core.role;
  }

  get term(): number {
    return this.#core.term;
  }

  get leader(): Id | null {
    return this.#core.leader;
  }

  get configuration(): Configuration {
    return this.#core.configuration;
  }

  get indexes(): {
    readonly last: number;
    readonly committed: number;
    readonly applied: number;
    readonly first: number;
  } {
    const { lastIndex: last, committed, applied, firstIndex: first } = this.#core.log;
    return { last, committed, applied, first };
  }

  /** What a leader knows of the others; empty at others. */
  progress(): ReadonlyMap<Id, Progress> {
    return this.role === "leader" ? this.#core.group.progress : new Map();
  }

  // ---- what goes in

  tick(): void {
    const core = this.#core;
    if (core.role === "leader") {
      this.#leading.tick();
      return;
    }
    core.electionElapsed += 1;
    // Only a campaign starts the count again. Who may not be a candidate goes on counting: it may be a voter that doesn't
    // know it yet, and must not refuse others its vote as if it had just heard of a leader.
    if (core.electionElapsed >= core.electionTimeout) this.#election.timeout();
  }

  /** At the leader, or forwarded to it. Throws InputError when it can't be taken: nothing has happened then. That it was
   *  taken doesn't say that it will be committed. */
  propose(payloads: readonly Payload[]): void {
    const { leader, config } = this.#core;
    if (this.role === "leader") this.#leading.propose(payloads);
    else if (leader === null) throw new InputError("no-leader", "the group has no leader now: try again");
    else this.#core.send({ type: "propose", from: config.id, to: leader, payloads });
  }

  /** `reads` of some later Ready will have this id, unless leadership changes first: ask again then. */
  read(id: number): void {
    const { leader, config } = this.#core;
    if (leader === null) throw new InputError("no-leader", "the group has no leader now: try again");
    if (this.role !== "leader") this.#core.send({ type: "read", from: config.id, to: leader, id });
    else if (!this.#leading.reads.ask(id, config.id))
      throw new InputError("too-many-reads", "too many reads wait for a quorum: try again");
  }

  /** The link to a node broke. Where that is the leader it may be gone, and need not be waited for as long as if it were only
   *  silent. A hint: whatever it says, it takes a majority that hears of no leader to begin a term (pre-vote). */
  linkBroke(node: Id): void {
    const core = this.#core;
    if (core.role === "follower" && core.leader === node) core.doubtLeader();
  }

  /** Hands leadership to a voter, if it catches up within an election's time. */
  transfer(target: Id): void {
    const { leader, config } = this.#core;
    if (this.role === "leader") this.#leading.transfer(target);
    else if (leader !== null) this.#core.send({ type: "transfer", from: config.id, to: leader, target });
  }

  /** Be a candidate now: for the founder of a group, which need not wait for anybody. */
  campaign(): void {
    this.#election.timeout();
  }

  snapshotEnded(to: Id, arrived: boolean): void {
    if (this.role === "leader") this.#leading.snapshotEnded(to, arrived);
  }

  /** `data` is the state after `index`: the entries up to there may be forgotten. Returns what the disk shall have. */
  compact(index: number, data: Uint8Array): Snapshot {
    assert(index === this.#core.log.applied, "the group is known as of what is applied");
    return this.#core.log.compact(index, savedGroup(this.#core.group), data);
  }

  /** Throws LostLogError, and has changed nothing then, when our log turns out to have lost its end. */
  step(message: Message): void {
    const core = this.#core;
    if (message.to !== core.config.id) return;
    if (message.type === "heartbeat" && message.term >= core.term) this.#checkEnd(message);
    if (message.type === "vote-reply") this.#election.learn(message);
    if (!("term" in message)) this.#stepOutside(message);
    else if (message.term > core.term) this.#stepAbove(message);
    else if (message.term < core.term) this.#stepBelow(message);
    else this.#stepInTerm(message);
  }

  /** A leader tells no member of more than that one has acknowledged, and what is acknowledged is on its disk. */
  #checkEnd({ committed }: Heartbeat): void {
    const { lastIndex } = this.#core.log;
    if (committed > lastIndex)
      throw new LostLogError(
        `it ends at entry ${lastIndex}, and its leader knows that it had entry ${committed}: an older copy of its data ` +
          "directory was put back",
      );
  }

  /** Of a later term than ours. */
  #stepAbove(message: Extract<Message, { term: number }>): void {
    const core = this.#core;
    if (message.type === "vote") {
      // Who hears of a leader helps nobody to unseat it: a removed or cut off member can't disturb (§4.2.3, §9.6).
      const hasLeader = core.leader !== null && core.electionElapsed < core.config.electionTicks;
      if (hasLeader && !message.transfer) return;
      if (!message.pre) core.becomeFollower(message.term, null);
      this.#election.onVote(message);
      return;
    }
    if (message.type === "vote-reply" && message.pre && message.granted) {
      if (message.term === core.term + 1) this.#election.onReply(message);
      return;
    }
    const isLeaders = message.type === "append" || message.type === "heartbeat" || message.type === "snapshot";
    core.becomeFollower(message.term, isLeaders ? message.from : null);
    this.#leading.reads.reset();
    if (message.type !== "vote-reply") this.#stepInTerm(message);
  }

  /** Of an earlier term. */
  #stepBelow(message: Extract<Message, { term: number }>): void {
    const { config, term } = this.#core;
    const reply = { from: config.id, to: message.from, term };
    // A leader whom we left behind learns that; a candidate whose pre-votes go unheard too.
    if (message.type === "append" || message.type === "heartbeat")
      this.#core.send({ type: "append-reply", ...reply, index: 0, accepted: false, hint: null });
    else if (message.type === "vote" && message.pre)
      this.#core.send({
        type: "vote-reply",
        ...reply,
        pre: true,
        granted: false,
        committed: this.#core.log.committedAt,
      });
  }

  #stepInTerm(message: Extract<Message, { term: number }>): void {
    switch (message.type) {
      case "vote":
        this.#election.onVote(message);
        return;
      case "vote-reply":
        this.#election.onReply(message);
        return;
      case "append":
        if (this.#follow(message.from)) this.#onAppend(message);
        return;
      case "heartbeat":
        if (this.#follow(message.from)) this.#onHeartbeat(message);
        return;
      case "snapshot":
        if (this.#follow(message.from)) this.#onSnapshot(message);
        return;
      case "append-reply":
        if (this.role === "leader") this.#leading.onAppendReply(message);
        return;
      case "heartbeat-reply":
        if (this.role === "leader") this.#leading.onHeartbeatReply(message);
        return;
      case "timeout-now":
        if (this.role !== "leader") this.#election.takeOver();
        return;
      default:
        assertNever(message);
    }
  }

  #stepOutside(message: Exclude<Message, { term: number }>): void {
    if (message.type === "read-reply") {
      this.#leading.reads.answered(message.id, message.index);
      return;
    }
    if (this.role !== "leader") return; // whoever asked asks again
    if (message.type === "transfer") this.#leading.transfer(message.target);
    else if (message.type === "read") this.#leading.reads.ask(message.id, message.from);
    else {
      try {
        this.#leading.propose(message.payloads);
      } catch (error) {
        // The one who forwarded it waits for it to be applied, and no longer than for any that is lost.
        if (!(error instanceof InputError)) throw error;
      }
    }
  }

  // ---- as a follower

  /** Of our term: there is one leader in it, so this is who. */
  #follow(leader: Id): boolean {
    const core = this.#core;
    assert(core.role !== "leader", "a term has one leader");
    if (core.role !== "follower") core.becomeFollower(core.term, leader);
    core.electionElapsed = 0;
    core.leader = leader;
    return true;
  }

  #onAppend({ from, term, prevIndex, prevTerm, entries, committed }: Append): void {
    const { log, config } = this.#core;
    const reply = { type: "append-reply", from: config.id, to: from, term } as const;
    if (prevIndex < log.committed) {
      // Old news: what is committed here is as the leader has it.
      this.#core.send({ ...reply, index: log.committed, accepted: true, hint: null });
    } else if (log.accept(prevIndex, prevTerm, entries)) {
      const index = prevIndex + entries.length;
      // Only up to where the two logs are known to agree.
      log.commitTo(Math.min(committed, index));
      this.#core.send({ ...reply, index, accepted: true, hint: null });
    } else {
      const hint = log.conflictHint(Math.min(prevIndex, log.lastIndex), prevTerm);
      this.#core.send({ ...reply, index: prevIndex, accepted: false, hint });
    }
  }

  #onHeartbeat({ from, term, committed, read }: Heartbeat): void {
    const { log, config } = this.#core;
    log.commitTo(committed);
    this.#core.send({ type: "heartbeat-reply", from: config.id, to: from, term, read });
  }

  #onSnapshot({ from, term, snapshot }: InstallSnapshot): void {
    const core = this.#core;
    const { log, config } = core;
    if (snapshot.index <= log.committed) {
      // We have all of it.
    } else if (log.matches(snapshot.index, snapshot.term)) log.commitTo(snapshot.index);
    else {
      log.restore(snapshot);
      core.group = restored(snapshot.group, snapshot.index);
    }
    const index = log.committed;
    core.send({ type: "append-reply", from: config.id, to: from, term, index, accepted: true, hint: null });
  }

  // ---- what comes out

  get hasReady(): boolean {
    const { log, hasMessages } = this.#core;
    if (this.#inHand) return false;
    return (
      hasMessages ||
      log.unstableSnapshot() !== null ||
      log.unstableEntries().length > 0 ||
      log.applicable(1).length > 0 ||
      this.#leading.reads.hasDone ||
      !isSame(this.#savedState, this.#core.hardState)
    );
  }

  /** What is to be done now. `durable` must follow before the next. Changes of the group among `committed` take effect
   *  here: when they are applied, at every member alike. */
  ready(): Ready {
    assert(this.#inHand === null, "one batch at a time");
    const { log } = this.#core;
    const snapshot = log.unstableSnapshot();
    const entries = log.unstableEntries();
    const committed = log.applicable(APPLY_BYTES_MAX);
    const { now, afterDurable } = this.#core.takeMessages();
    const { hardState } = this.#core;
    const ready: Ready = {
      hardState: isSame(this.#savedState, hardState) ? null : hardState,
      snapshot,
      entries,
      messages: now,
      afterDurable,
      committed,
      reads: this.#leading.reads.takeDone(),
    };
    this.#inHand = ready;
    this.#apply(committed);
    return ready;
  }

  /** Hard state, snapshot and entries of the last Ready are on disk. */
  durable(): void {
    const ready = this.#inHand;
    assert(ready !== null, "there is a batch in hand");
    this.#inHand = null;
    if (ready.hardState) this.#savedState = ready.hardState;
    if (ready.snapshot) this.#core.log.snapshotStabilised(ready.snapshot.index);
    const last = ready.entries.at(-1);
    if (last) this.#core.log.stabilised(last.index, last.term);
    for (const message of ready.afterDurable) if (message.to === this.id) this.step(message);
  }

  #apply(committed: readonly Entry[]): void {
    const core = this.#core;
    let hasChanged = false;
    for (const { index, payload } of committed) {
      core.log.applied = index;
      if (payload.kind !== "change") continue;
      core.change(payload.change);
      hasChanged = true;
    }
    if (core.role !== "leader") return;
    if (hasChanged) this.#leading.changed();
    if (core.role === "leader" && isJoint(core.configuration)) this.#leading.leaveJoint();
  }
}

function isSame(a: HardState, b: HardState): boolean {
  return a.term === b.term && a.vote === b.vote && a.committed === b.committed;
}
