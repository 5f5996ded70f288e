import { assert, InputError, present } from "../../kernel/assert.ts";
import { changed, committedOf, type GroupChange, isJoint, voteOf } from "./configuration.ts";
import type { Core } from "./core.ts";
import { type Entry, fitting, type Payload, sizeOf } from "./log.ts";
import type { AppendReply, HeartbeatReply } from "./messages.ts";
import type { Progress } from "./progress.ts";
import type { Id } from "./quorum.ts";
import { Reads } from "./reads.ts";

const END_JOINT: GroupChange = { transition: "joint-explicit", changes: [] };

/** What a leader does: brings its log to the others, counts who has it, shows itself, and hands over. */
export class Leading {
  readonly #core: Core;
  readonly reads: Reads;

  constructor(core: Core) {
    this.#core = core;
    this.reads = new Reads(core, () => this.beat());
  }

  /** Our term's first entry is empty: only with an entry of our own term are those before it committed by count
   *  (Ongaro 2014, §3.6.2, fig. 3.7). */
  begin(): void {
    this.#core.becomeLeader();
    this.reads.reset();
    this.#append([{ kind: "nothing" }]);
    this.sendAll();
  }

  // ---- proposals

  /** Throws InputError, and nothing is appended then. */
  propose(payloads: readonly Payload[]): void {
    const core = this.#core;
    if (core.transferee !== null)
      throw new InputError("leader-leaves", `leadership is being handed to ${core.transferee}: try again`);
    if (!core.group.progress.has(core.config.id))
      throw new InputError("not-a-member", "this leader was removed from the group: ask another member");
    this.#checkRoom(payloads);
    for (const payload of payloads) if (payload.kind === "change") this.#checkChange(payload.change, payloads);
    const first = core.log.lastIndex + 1;
    this.#append(payloads);
    const at = payloads.findIndex(({ kind }) => kind === "change");
    if (at >= 0) core.pendingChange = first + at;
    this.sendAll();
  }

  /** At least one fits an empty tail, however large it is. */
  #checkRoom(payloads: readonly Payload[]): void {
    const { log, config } = this.#core;
    const tail = log.slice(Math.max(log.committed + 1, log.firstIndex));
    const bytes = tail.reduce((sum, entry) => sum + sizeOf(entry), 0);
    const more = payloads.reduce((sum, payload) => sum + sizeOf({ term: 0, index: 0, payload }), 0);
    if (bytes > 0 && bytes + more > config.uncommittedBytesMax)
      throw new InputError("too-much-uncommitted", "too much waits for a quorum: try again when there is one");
  }

  #checkChange(change: GroupChange, payloads: readonly Payload[]): void {
    const core = this.#core;
    if (payloads.filter(({ kind }) => kind === "change").length > 1 || core.pendingChange > core.log.applied)
      throw new InputError("change-under-way", "the group is being changed: one change at a time");
    const leaves = change.changes.length === 0;
    if (leaves !== isJoint(core.configuration))
      throw new InputError(
        "bad-group-change",
        leaves ? "the group is not in a joint configuration" : "the group is in a joint configuration: end that first",
      );
    // None is under way, so the group is as it will be when this one is applied: what can't be done is refused now, by the
    // leader alone, and not at every member when it is committed.
    changed(core.group, change, core.log.lastIndex);
  }

  #append(payloads: readonly Payload[]): void {
    const { log, term, config } = this.#core;
    const first = log.lastIndex + 1;
    log.append(payloads.map((payload, i): Entry => ({ term, index: first + i, payload })));
    // Our own disk is one of the quorum, once it has them.
    const { id } = config;
    this.#core.send({ type: "append-reply", from: id, to: id, term, index: log.lastIndex, accepted: true, hint: null });
  }

  // ---- sending

  sendAll(): void {
    for (const id of this.#core.others()) this.send(id);
  }

  /** What the member lacks, as far as it may have messages under way. */
  send(to: Id): void {
    const progress = this.#core.group.progress.get(to);
    if (progress) while (this.#sendOne(to, progress, false)) {}
  }

  /** Returns true when there may be more to send. */
  #sendOne(to: Id, progress: Progress, mayBeEmpty: boolean): boolean {
    const { log, term, config } = this.#core;
    if (progress.state === "snapshot" || (progress.state === "probe" && progress.isPaused)) return false;
    const limit = { messages: config.inflightMessagesMax, bytes: config.inflightBytesMax };
    const isFull = progress.state === "replicate" && progress.isFull(limit);
    if (isFull && !mayBeEmpty) return false;
    const prevIndex = progress.next - 1;
    const prevTerm = log.termAt(prevIndex);
    if (prevTerm === undefined || progress.next < log.firstIndex) return this.#sendSnapshot(to, progress);
    const rest = isFull || progress.next > log.lastIndex ? [] : log.slice(progress.next);
    const entries = fitting(rest, config.messageBytesMax);
    if (entries.length === 0 && !mayBeEmpty && progress.state === "replicate") return false;
    const { committed } = log;
    this.#core.send({ type: "append", from: config.id, to, term, prevIndex, prevTerm, entries, committed });
    const bytes = entries.reduce((sum, entry) => sum + sizeOf(entry), 0);
    progress.sent(prevIndex + entries.length, entries.length, bytes);
    return progress.state === "replicate" && entries.length > 0;
  }

  #sendSnapshot(to: Id, progress: Progress): false {
    const { log, term, config } = this.#core;
    // One that was not heard of would get it for nothing.
    if (!progress.recentlyActive) return false;
    const snapshot = present(log.snapshot, "a log that was cut has a snapshot");
    progress.becomeSnapshot(snapshot.index);
    this.#core.send({ type: "snapshot", from: config.id, to, term, snapshot });
    return false;
  }

  beat(): void {
    const { config, term, log, group } = this.#core;
    const read = this.reads.round;
    for (const to of this.#core.others()) {
      // Never more than it has: it can't commit what it lacks.
      const committed = Math.min(group.progress.get(to)?.match ?? 0, log.committed);
      this.#core.send({ type: "heartbeat", from: config.id, to, term, committed, read });
    }
  }

  // ---- answers

  onAppendReply(reply: AppendReply): void {
    const progress = this.#core.group.progress.get(reply.from);
    if (!progress) return;
    progress.recentlyActive = true;
    if (reply.accepted) this.#onAccepted(reply, progress);
    else this.#onRefused(reply, progress);
  }

  /** The follower told where the logs may part at the latest; by what our own log says of that term, perhaps earlier. */
  #onRefused({ from, index, hint }: AppendReply, progress: Progress): void {
    const { log } = this.#core;
    const at = hint ?? { index: index - 1, term: 0 };
    const parting = at.term > 0 ? log.conflictHint(Math.min(at.index, log.lastIndex), at.term).index : at.index;
    if (!progress.refused(index, parting)) return;
    if (progress.state === "replicate") progress.becomeProbe();
    this.send(from);
  }

  #onAccepted({ from, index }: AppendReply, progress: Progress): void {
    const core = this.#core;
    assert(index <= core.log.lastIndex, "nobody has more of our term than we sent");
    const isNews = progress.reached(index);
    if (!isNews && !(progress.state === "probe" && progress.match === index)) return;
    if (progress.state === "probe") progress.becomeReplicate();
    else if (progress.state === "snapshot" && progress.match + 1 >= core.log.firstIndex) {
      progress.becomeProbe();
      progress.becomeReplicate();
    }
    if (this.#commit()) this.#tellCommitted();
    else if (from !== core.config.id) this.send(from);
    if (from === core.transferee && progress.match === core.log.lastIndex) this.#letTakeOver(from);
  }

  /** Also those that have everything: they don't know yet that it is committed. */
  #tellCommitted(): void {
    for (const id of this.#core.others()) {
      const progress = this.#core.group.progress.get(id);
      if (progress && this.#sendOne(id, progress, true)) this.send(id);
    }
  }

  /** Only an entry of our own term is committed by count; those before it with it. */
  #commit(): boolean {
    const { log, term, configuration, group } = this.#core;
    const index = committedOf(configuration, (id) => group.progress.get(id)?.match);
    if (index <= log.committed || log.termAt(index) !== term) return false;
    log.commitTo(index);
    this.reads.committed();
    return true;
  }

  onHeartbeatReply({ from, read }: HeartbeatReply): void {
    const progress = this.#core.group.progress.get(from);
    if (!progress) return;
    progress.recentlyActive = true;
    progress.isPaused = false;
    // What was sent last may be lost, and a window full of it never empties: an empty message, which is sent where no other
    // may be, asks whether it is there; the refusal says from where to go on.
    const mayLack = progress.match < this.#core.log.lastIndex || progress.state === "probe";
    if (mayLack && this.#sendOne(from, progress, true)) this.send(from);
    if (read > 0) this.reads.heard(from, read);
  }

  /** The driver could not bring a snapshot (or could): it goes on from where the member is known to be. */
  snapshotEnded(to: Id, arrived: boolean): void {
    const progress = this.#core.group.progress.get(to);
    if (progress?.state !== "snapshot") return;
    if (!arrived) progress.pendingSnapshot = 0;
    progress.becomeProbe();
    // The next heartbeat's answer lets it go on.
    progress.isPaused = true;
  }

  // ---- time

  tick(): void {
    const core = this.#core;
    core.heartbeatElapsed += 1;
    core.electionElapsed += 1;
    core.transferElapsed += 1;
    // It didn't catch up: go on as the leader (Ongaro 2014, §3.10).
    if (core.transferElapsed >= core.config.electionTicks) core.transferee = null;
    if (core.electionElapsed >= core.config.electionTicks) {
      core.electionElapsed = 0;
      if (!this.#hasQuorum()) {
        core.becomeFollower(core.term, null);
        this.reads.reset();
        return;
      }
    }
    if (core.heartbeatElapsed < core.config.heartbeatTicks) return;
    core.heartbeatElapsed = 0;
    this.beat();
  }

  /** One that nobody answers must not go on telling its clients that it leads (check-quorum). */
  #hasQuorum(): boolean {
    const { group, config, configuration } = this.#core;
    const heard = new Map<Id, boolean>();
    for (const [id, progress] of group.progress) {
      heard.set(id, progress.recentlyActive || id === config.id);
      progress.recentlyActive = false;
    }
    return voteOf(configuration, heard) === "won";
  }

  // ---- changes of the group, handing over

  /** A change was applied here. */
  changed(): void {
    const core = this.#core;
    if (!core.isVoter && !isJoint(core.configuration)) {
      // Removed, or a learner now: what it led to is committed, its work is done (Ongaro 2014, §4.2.2).
      core.becomeFollower(core.term, null);
      this.reads.reset();
      return;
    }
    // A smaller group may have more of a quorum, and a new member needs the log.
    this.reads.recount();
    if (this.#commit()) this.#tellCommitted();
    else this.sendAll();
    if (core.transferee !== null && !core.group.progress.has(core.transferee)) core.transferee = null;
  }

  /** Ends a joint configuration that shall end by itself, as soon as it is applied. */
  leaveJoint(): void {
    const core = this.#core;
    if (!core.configuration.autoLeave || core.pendingChange > core.log.applied) return;
    this.#append([{ kind: "change", change: END_JOINT, data: new Uint8Array(0) }]);
    core.pendingChange = core.log.lastIndex;
    this.sendAll();
  }

  transfer(target: Id): void {
    const core = this.#core;
    const progress = core.group.progress.get(target);
    if (!progress || progress.isLearner || target === core.config.id || core.transferee === target) return;
    core.transferee = target;
    core.transferElapsed = 0;
    if (progress.match === core.log.lastIndex) this.#letTakeOver(target);
    else this.send(target);
  }

  #letTakeOver(to: Id): void {
    const { config, term } = this.#core;
    this.#core.send({ type: "timeout-now", from: config.id, to, term });
  }
}
