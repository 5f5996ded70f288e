import { InputError } from "../../kernel/assert.ts";
import type { RaftStore, WholeRaftLoad } from "../../storage/raft-store.ts";
import type { World } from "../../world/world.ts";
import { LostLogError, type Payload } from "../core/log.ts";
import type { Message } from "../core/messages.ts";
import type { Id } from "../core/quorum.ts";
import { Raft } from "../core/raft.ts";
import { LinearReads } from "./linear-reads.ts";
import { checkPlausible } from "./plausible.ts";
import { checkForwarded, type Outcome, Proposals } from "./proposals.ts";
import { ReadyLoop } from "./ready-loop.ts";
import { RaftRefusal, refusalOf } from "./refusal.ts";
import { coreConfig, type RaftSettings } from "./settings.ts";
import type { StateMachine } from "./state-machine.ts";
import type { FigureSources } from "./status.ts";
import { Ticker } from "./ticker.ts";

export interface RunOptions<Result> {
  readonly world: World;
  readonly node: Id;
  readonly store: RaftStore;
  readonly machine: StateMachine<Result>;
  readonly settings: RaftSettings;
  readonly send: (message: Message) => void;
  readonly allow: (node: Id) => boolean;
  readonly onLeader: (leader: Id | null, term: number) => void;
  /** The log turned out to have lost its end: end this run, and have the log given up. */
  readonly onLost: (lost: LostLogError) => void;
  readonly onFailure: (error: unknown) => void;
}

/** The Raft core over one log, from its load to the end of its part in the group: with time, disk, proposals and reads. */
export class Run<Result> implements FigureSources<Result> {
  readonly raft: Raft;
  readonly loop: ReadyLoop<Result>;
  readonly proposals: Proposals<Result>;
  readonly reads: LinearReads;
  readonly ticker: Ticker;
  readonly #o: RunOptions<Result>;
  #hasEnded = false;

  /** `begin` is still to be called. */
  constructor(options: RunOptions<Result>, { identity, saved, life }: WholeRaftLoad) {
    const { world, node, machine, settings } = options;
    this.#o = options;
    const { snapshot } = saved;
    if (snapshot) machine.restore(snapshot.data, snapshot.index);
    const raft = new Raft(coreConfig(node, settings), saved, world.rng.fork());
    const { inFlightMax, electionTicks } = settings;
    const proposals = new Proposals<Result>(world, node, { instance: identity.instance, life }, inFlightMax);
    // An emptied node counts its lives from one again, but with another log.
    const readsFrom = Number.parseInt(identity.instance.slice(0, 5), 16) + life;
    const reads = new LinearReads(world, readsFrom, inFlightMax, electionTicks, (id) =>
      this.#ask((core) => core.read(id)),
    );
    const onLeader = (leader: Id | null, term: number): void => this.#onLeader(leader, term);
    this.loop = new ReadyLoop<Result>({ ...options, raft, proposals, reads, onLeader }, saved.hardState);
    this.ticker = new Ticker(world, settings.tickMs, () => {
      this.step((core) => core.tick());
      if (raft.leader !== null) this.#guarded(() => reads.askAgain(false));
    });
    this.raft = raft;
    this.proposals = proposals;
    this.reads = reads;
  }

  /** Whoever is the only voter waits for nobody. */
  begin(): void {
    const { incoming, outgoing } = this.raft.configuration;
    const isAlone = incoming.size === 1 && outgoing.size === 0 && incoming.has(this.#o.node);
    this.step((core) => {
      if (isAlone) core.campaign();
    });
  }

  /** Nothing is sent, applied or answered any more; what is being written is written (`loop.idle`). */
  end(): void {
    this.#hasEnded = true;
    this.ticker.stop();
    this.loop.stop();
    this.proposals.end();
    this.reads.end();
  }

  // ---- what is asked of it

  propose(
    bytes: Uint8Array,
    timeoutMs: number,
    payloadOf: (data: Uint8Array) => Exclude<Payload, { kind: "nothing" }>,
  ): Promise<Outcome<Result>> {
    const { proposalBytesMax } = this.#o.settings;
    if (bytes.length > proposalBytesMax)
      throw new RaftRefusal(
        "too-large",
        `a proposal of ${bytes.length} bytes: the limit is ${proposalBytesMax}; change less at once`,
        null,
      );
    return this.proposals.ask(bytes, timeoutMs, (data) => this.#ask((core) => core.propose([payloadOf(data)])));
  }

  transfer(to: Id): void {
    if (!this.raft.configuration.incoming.has(to))
      throw new RaftRefusal("not-a-voter", `${to} is no voter of this group`, null);
    if (this.raft.leader === null)
      throw refusalOf(new InputError("no-leader", "the group has no leader now: try again"), this.#electionMs);
    this.#ask((core) => core.transfer(to));
  }

  /** Throws InputError on what this member doesn't take. */
  receive(message: Message, from: Id): void {
    const { node, allow, settings, machine } = this.#o;
    if (message.from !== from)
      throw new InputError("bad-sender", `a Raft message from ${message.from} came from ${from}`);
    if (message.to !== node) throw new InputError("bad-receiver", `a Raft message for ${message.to} came to ${node}`);
    const { incoming, outgoing, learners } = this.raft.configuration;
    const isMember = [incoming, outgoing, learners].some((ids) => ids.has(from));
    if (!isMember && !allow(from)) throw new InputError("not-a-member", `${from} is no member of this group`);
    checkPlausible(message, this.raft);
    if (message.type === "propose")
      for (const payload of message.payloads)
        checkForwarded(payload, settings.proposalBytesMax, (data) => machine.check(data));
    this.step((core) => core.step(message));
  }

  #onLeader(leader: Id | null, term: number): void {
    this.#o.onLeader(leader, term);
    if (leader !== null && !this.#hasEnded) this.reads.askAgain(true);
  }

  get #electionMs(): number {
    const { tickMs, electionTicks } = this.#o.settings;
    return tickMs * electionTicks;
  }

  // ---- the core

  /** Something of the core's, and all that follows from it. What it refuses is thrown as RaftRefusal. */
  #ask(act: (raft: Raft) => void): void {
    let refusal: RaftRefusal | null = null;
    this.step((core) => {
      try {
        act(core);
      } catch (error) {
        refusal = refusalOf(error, this.#electionMs);
      }
    });
    if (refusal) throw refusal;
  }

  step(act: (raft: Raft) => void): void {
    if (this.#hasEnded) return;
    this.#guarded(() => {
      act(this.raft);
      this.loop.run();
    });
  }

  /** A log that has lost its end ends this run; an impossible state the host, and with it the process. */
  #guarded(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (error instanceof InputError) throw error;
      if (error instanceof LostLogError) this.#o.onLost(error);
      else this.#o.onFailure(error);
    }
  }
}
