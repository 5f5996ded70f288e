import { voteOf } from "./configuration.ts";
import type { Core } from "./core.ts";
import type { Id } from "./quorum.ts";

/** Asked by us (`from` is we ourselves) or by a follower. */
interface Pending {
  readonly id: number;
  readonly from: Id;
  /** What was committed when it was asked. */
  readonly index: number;
  /** Number of the round of heartbeats that must be answered. */
  readonly round: number;
  readonly votes: Map<Id, boolean>;
}

export interface ReadState {
  readonly id: number;
  /** The state after this index, or a later one, answers the read. */
  readonly index: number;
}

/** Reads that wait at a leader; more are refused. */
const PENDING_MAX = 1024;

/** Linearizable reads without a log entry: the leader asks a quorum whether it still leads (Ongaro 2014, §6.4). */
export class Reads {
  readonly #core: Core;
  readonly #beat: () => void;
  #pending: Pending[] = [];
  /** Asked before our term's first commit: what is committed isn't known until then. */
  #early: { readonly id: number; readonly from: Id }[] = [];
  #round = 0;
  #done: ReadState[] = [];

  constructor(core: Core, beat: () => void) {
    this.#core = core;
    this.#beat = beat;
  }

  /** Of the newest round that is waited for; 0 for none. */
  get round(): number {
    return this.#pending.at(-1)?.round ?? 0;
  }

  takeDone(): ReadState[] {
    const done = this.#done;
    this.#done = [];
    return done;
  }

  get hasDone(): boolean {
    return this.#done.length > 0;
  }

  /** At the leader. Returns false when too many wait. */
  ask(id: number, from: Id): boolean {
    if (this.#pending.length + this.#early.length >= PENDING_MAX) return false;
    if (this.#hasCommittedInTerm()) this.#start(id, from);
    else this.#early.push({ id, from });
    return true;
  }

  /** Something was committed. */
  committed(): void {
    if (this.#early.length === 0 || !this.#hasCommittedInTerm()) return;
    const early = this.#early;
    this.#early = [];
    for (const { id, from } of early) this.#start(id, from);
  }

  /** A member answered a heartbeat of this round: it took us for the leader then. */
  heard(from: Id, round: number): void {
    for (const pending of this.#pending) if (pending.round <= round) pending.votes.set(from, true);
    this.#finish();
  }

  /** The group is another: what was heard may be enough now. */
  recount(): void {
    if (this.#pending.length > 0) this.#finish();
  }

  answered(id: number, index: number): void {
    this.#done.push({ id, index });
  }

  /** No longer the leader: nobody is answered. */
  reset(): void {
    this.#pending = [];
    this.#early = [];
  }

  #hasCommittedInTerm(): boolean {
    const { log, term } = this.#core;
    return log.termAt(log.committed) === term;
  }

  #start(id: number, from: Id): void {
    this.#round += 1;
    const votes = new Map([[this.#core.config.id, true]]);
    this.#pending.push({ id, from, index: this.#core.log.committed, round: this.#round, votes });
    this.#finish();
    if (this.#pending.length > 0) this.#beat();
  }

  /** In order: a later round's quorum confirms the earlier ones too. */
  #finish(): void {
    const { configuration, config } = this.#core;
    let confirmed = -1;
    for (const [i, { votes }] of this.#pending.entries()) if (voteOf(configuration, votes) === "won") confirmed = i;
    for (const { id, from, index } of this.#pending.splice(0, confirmed + 1)) {
      if (from === config.id) this.answered(id, index);
      else this.#core.send({ type: "read-reply", from: config.id, to: from, id, index });
    }
  }
}
