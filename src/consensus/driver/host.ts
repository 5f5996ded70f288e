import { InputError, present } from "../../kernel/assert.ts";
import { EMPTY_BYTES } from "../../kernel/bytes.ts";
import { closeAll } from "../../storage/closing.ts";
import type { RaftIdentity, RaftLoad, RaftStore } from "../../storage/raft-store.ts";
import { DiskFullError } from "../../storage/store.ts";
import type { World } from "../../world/world.ts";
import type { GroupChange } from "../core/configuration.ts";
import { founded, NOTHING_SAVED, type Saved } from "../core/core.ts";
import type { Message } from "../core/messages.ts";
import type { Id } from "../core/quorum.ts";
import { Raft } from "../core/raft.ts";
import { LinearReads } from "./linear-reads.ts";
import { checkForwarded, type Outcome, Proposals } from "./proposals.ts";
import { ReadyLoop, ROOM_RETRY_MS, type Snapshotted } from "./ready-loop.ts";
import { RaftRefusal, refusalOf } from "./refusal.ts";
import { coreConfig, type RaftSettings } from "./settings.ts";
import type { StateMachine } from "./state-machine.ts";
import { type FigureSources, figuresOf, type HostState, NO_FIGURES, type RaftStatus, statusOf } from "./status.ts";
import { Ticker } from "./ticker.ts";
import { decodeMessage } from "./wire.ts";

export interface RaftHostOptions<Result> {
  readonly world: World;
  readonly identity: RaftIdentity;
  /** The host's from now on: `stop` closes it. */
  readonly store: RaftStore;
  readonly machine: StateMachine<Result>;
  readonly settings: RaftSettings;
  /** Takes a message to another member, or loses it. Tells the end of each snapshot by `snapshotEnded`, later. */
  readonly send: (message: Message) => void;
  /** May this node take part, though the group as it is known here doesn't have it? A member that is behind must hear a leader
   *  that joined meanwhile; who was removed for good must not be heard. */
  readonly allow: (node: Id) => boolean;
  /** Nothing was ever saved here: founds a group, or joins one. Asked again when there was no room for that. */
  readonly onEmpty?: (host: RaftHost<Result>) => Promise<void>;
  /** A write failed or a state was impossible: the process must stop (I13). */
  readonly onFailure: (reason: string) => void;
}

/** Parts of a member that runs. */
interface Running<Result> extends FigureSources<Result> {
  readonly raft: Raft;
}

export type LeaderListener = (leader: Id | null, term: number) => void;

/** Drives one member of a Raft group on a World: time, disk, messages and the state machine around the pure core. */
export class RaftHost<Result> {
  readonly node: Id;
  readonly #o: RaftHostOptions<Result>;
  #state: HostState = "empty";
  #reason: string | null = "no group was founded or joined here yet";
  #running: Running<Result> | null = null;
  #isCreating = false;
  #received = 0;
  #refused = 0;
  readonly #listeners = new Set<LeaderListener>();

  /** Loads what is on disk, and runs if there is a log. Rejects with InputError when it is another node's. */
  static async open<Result>(options: RaftHostOptions<Result>): Promise<RaftHost<Result>> {
    const host = new RaftHost(options);
    try {
      await host.#begin();
    } catch (error) {
      await closeAll([() => options.store.close()], [error]);
      throw error;
    }
    return host;
  }

  private constructor(options: RaftHostOptions<Result>) {
    this.#o = options;
    this.node = options.identity.node;
  }

  /** A node on a full disk starts all the same, for its data can be read: its seat waits for room. */
  async #begin(): Promise<void> {
    const { store, onEmpty, world } = this.#o;
    try {
      this.#state = "empty";
      this.#take(await store.load());
      if (this.#isEmpty) await onEmpty?.(this);
    } catch (error) {
      if (!(error instanceof DiskFullError)) throw error;
      this.#state = "waiting";
      this.#reason = "the disk is full: this member takes part again when there is room";
      world.log.warn("raft.no-room", { retryMs: ROOM_RETRY_MS });
      world.timers.after(ROOM_RETRY_MS, () => {
        if (this.#state === "waiting") this.#begin().catch((late: unknown) => this.#fail(late));
      });
    }
  }

  get #isEmpty(): boolean {
    return this.#state === "empty";
  }

  #take(load: RaftLoad): void {
    if (load.kind === "nothing") return;
    if (load.kind === "damaged") {
      this.#state = "damaged";
      this.#reason =
        `this node's Raft log is damaged: ${load.reason}. It takes no part in the group, since it may have forgotten what it ` +
        "promised. Remove this node from the cluster, empty its data directory and join it again under a new id";
      this.#o.world.log.error("raft.damaged", { reason: load.reason });
      return;
    }
    const { identity } = this.#o;
    if (load.identity.node !== identity.node || load.identity.cluster !== identity.cluster)
      throw new InputError(
        "raft-identity",
        `the Raft log in this data directory is that of node ${load.identity.node} of cluster ${load.identity.cluster}, not of ` +
          `${identity.node} of ${identity.cluster}: give this node its own data directory`,
      );
    this.#run(load.saved, load.life);
  }

  /** The first state of a group with these voters, the same at each of them; `data` is what the state machine begins with.
   *  Once: rejects with InputError when there is a log here, whole or damaged. */
  async found(voters: readonly Id[], data: Uint8Array): Promise<void> {
    if (!voters.includes(this.node)) throw new InputError("bad-voters", `${this.node} founds no group without itself`);
    if (new Set(voters).size !== voters.length) throw new InputError("bad-voters", "each voter is named once");
    await this.#create(founded(voters, data));
  }

  /** An empty log: this node waits until a leader that has it in its group brings it everything. Once, like `found`. */
  async join(): Promise<void> {
    await this.#create(NOTHING_SAVED);
  }

  async #create(saved: Saved): Promise<void> {
    const { store, identity } = this.#o;
    if (this.#state === "running" || this.#isCreating)
      throw new InputError(
        "raft-exists",
        "this node belongs to a group already: to let it found or join another one, give it an empty data directory",
      );
    if (this.#state !== "empty") throw this.#notRunning();
    this.#isCreating = true;
    try {
      await store.create(identity, saved);
      const load = await store.load();
      if (this.#hasEnded) throw this.#notRunning();
      this.#take(load);
    } catch (error) {
      if (!(error instanceof InputError || error instanceof DiskFullError)) this.#fail(error);
      throw error;
    } finally {
      this.#isCreating = false;
    }
  }

  #run(saved: Saved, life: number): void {
    const { world, machine, settings, store, send } = this.#o;
    const { snapshot } = saved;
    if (snapshot) machine.restore(snapshot.data, snapshot.index);
    const raft = new Raft(coreConfig(this.node, settings), saved, world.rng.fork());
    const proposals = new Proposals<Result>(world, this.node, life, settings.inFlightMax);
    const { inFlightMax, electionTicks } = settings;
    const reads = new LinearReads(world, life, inFlightMax, electionTicks, (id) => this.#ask((core) => core.read(id)));
    const onLeader: LeaderListener = (leader, term) => this.#onLeader(leader, term);
    const onFailure = (error: unknown): void => this.#fail(error);
    const parts = { world, raft, store, machine, settings, proposals, reads, send, onLeader, onFailure };
    const loop = new ReadyLoop<Result>(parts, saved.hardState);
    const ticker = new Ticker(world, settings.tickMs, () => {
      this.#step((core) => core.tick());
      if (raft.leader !== null) this.#guarded(() => reads.askAgain(false));
    });
    this.#running = { raft, loop, proposals, reads, ticker };
    this.#state = "running";
    this.#reason = null;
    // Whoever is the only voter waits for nobody.
    const { incoming, outgoing } = raft.configuration;
    const isAlone = incoming.size === 1 && outgoing.size === 0 && incoming.has(this.node);
    this.#step((core) => {
      if (isAlone) core.campaign();
    });
  }

  // ---- what is asked of it

  /** Proposes a command: at the leader, or forwarded to it. Resolves when that very entry was applied here. Rejects with
   *  RaftRefusal when nothing has happened, with OutcomeUnknown when nobody can say. */
  async propose(bytes: Uint8Array, timeoutMs: number): Promise<Outcome<Result>> {
    return this.#propose(bytes, timeoutMs, (data) => ({ kind: "command", data }));
  }

  /** Like `propose`, for a change of the group itself. `bytes` come to the state machine with it. */
  async changeGroup(change: GroupChange, timeoutMs: number, bytes = EMPTY_BYTES): Promise<Outcome<Result>> {
    return this.#propose(bytes, timeoutMs, (data) => ({ kind: "change", change, data }));
  }

  #propose(
    bytes: Uint8Array,
    timeoutMs: number,
    payloadOf: (data: Uint8Array) => Parameters<Raft["propose"]>[0][number],
  ): Promise<Outcome<Result>> {
    const { proposals } = this.#present();
    const { proposalBytesMax } = this.#o.settings;
    if (bytes.length > proposalBytesMax)
      throw new RaftRefusal(
        "too-large",
        `a proposal of ${bytes.length} bytes: the limit is ${proposalBytesMax}; change less at once`,
        null,
      );
    return proposals.ask(bytes, timeoutMs, (data) => this.#ask((core) => core.propose([payloadOf(data)])));
  }

  /** A linearizable read: resolves to an index up to which everything is applied here, and which is no older than what any
   *  member had acknowledged when it was called. Rejects with RaftRefusal. */
  async read(timeoutMs: number): Promise<number> {
    return this.#present().reads.read(timeoutMs);
  }

  /** Puts the state in the place of the log's applied entries now, whatever the settings say. Rejects with RaftRefusal. */
  async snapshot(): Promise<Snapshotted> {
    return this.#present().loop.snapshotNow();
  }

  /** Hands leadership to another voter, if it catches up within an election's time; whether it did shows in `onLeader`.
   *  Throws RaftRefusal. */
  transfer(to: Id): void {
    const { raft } = this.#present();
    if (!raft.configuration.incoming.has(to))
      throw new RaftRefusal("not-a-voter", `${to} is no voter of this group`, null);
    if (raft.leader === null) throw this.#noLeader();
    this.#ask((core) => core.transfer(to));
  }

  /** Hears of each new leader (null: none is known); returns what ends that. */
  onLeader(listener: LeaderListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #onLeader(leader: Id | null, term: number): void {
    this.#o.world.log.info("raft.leader", { leader, term });
    for (const listener of this.#listeners) listener(leader, term);
    if (leader !== null) this.#running?.reads.askAgain(true);
  }

  #noLeader(): RaftRefusal {
    return refusalOf(new InputError("no-leader", "the group has no leader now: try again"), this.#electionMs);
  }

  get #electionMs(): number {
    const { tickMs, electionTicks } = this.#o.settings;
    return tickMs * electionTicks;
  }

  // ---- what comes in

  /** What a peer sent, who has shown that it is `from`. Throws InputError, counted, on what this node doesn't take. */
  receive(from: Id, bytes: Uint8Array): void {
    this.#received += 1;
    try {
      const message = decodeMessage(bytes);
      this.#check(message, from);
      this.#step((core) => core.step(message));
    } catch (error) {
      if (error instanceof InputError) this.#refused += 1;
      throw error;
    }
  }

  #check(message: Message, from: Id): void {
    const { raft } = this.#present();
    if (message.from !== from)
      throw new InputError("bad-sender", `a Raft message from ${message.from} came from ${from}`);
    if (message.to !== this.node)
      throw new InputError("bad-receiver", `a Raft message for ${message.to} came to ${this.node}`);
    const { incoming, outgoing, learners } = raft.configuration;
    const isMember = [incoming, outgoing, learners].some((ids) => ids.has(from));
    if (!isMember && !this.#o.allow(from)) throw new InputError("not-a-member", `${from} is no member of this group`);
    if (message.type !== "propose") return;
    for (const payload of message.payloads) checkForwarded(payload, this.#o.settings.proposalBytesMax);
  }

  /** What became of a snapshot that was handed to `send`. */
  snapshotEnded(to: Id, arrived: boolean): void {
    if (this.#state === "running") this.#step((core) => core.snapshotEnded(to, arrived));
  }

  // ---- the core

  /** Something of the core's, and all that follows from it. What it refuses is thrown as RaftRefusal. */
  #ask(act: (raft: Raft) => void): void {
    let refusal: RaftRefusal | null = null;
    this.#step((core) => {
      try {
        act(core);
      } catch (error) {
        refusal = refusalOf(error, this.#electionMs);
      }
    });
    if (refusal) throw refusal;
  }

  #step(act: (raft: Raft) => void): void {
    this.#guarded(() => {
      const { raft, loop } = this.#present();
      act(raft);
      loop.run();
    });
  }

  /** An impossible state ends the host, and through `onFailure` the process. */
  #guarded(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (error instanceof InputError) throw error;
      this.#fail(error);
    }
  }

  #present(): Running<Result> {
    if (this.#state !== "running") throw this.#notRunning();
    return present(this.#running, "a running host has its parts");
  }

  get #hasEnded(): boolean {
    return this.#state === "failed" || this.#state === "stopped";
  }

  #notRunning(): RaftRefusal {
    return new RaftRefusal("raft-not-running", this.#reason ?? `this member is ${this.#state}`, null);
  }

  #fail(error: unknown): void {
    if (this.#hasEnded) return;
    const reason = error instanceof Error ? error.message : String(error);
    this.#end("failed", reason);
    this.#o.world.log.error("raft.failed", { reason });
    this.#o.onFailure(reason);
  }

  #end(state: HostState, reason: string): void {
    this.#state = state;
    this.#reason = reason;
    const running = this.#running;
    running?.ticker.stop();
    running?.loop.stop();
    running?.proposals.end();
    running?.reads.end();
  }

  /** Ends it; what is being written is written first. */
  async stop(): Promise<void> {
    if (this.#state === "stopped") return;
    this.#end("stopped", "this node is stopping");
    await this.#running?.loop.idle();
    await this.#o.store.close();
  }

  status(): RaftStatus {
    const running = this.#running;
    return {
      state: this.#state,
      reason: this.#reason,
      node: this.node,
      ...statusOf(running?.raft ?? null),
      figures: {
        ...(running ? figuresOf(running) : NO_FIGURES),
        messagesReceived: this.#received,
        messagesRefused: this.#refused,
      },
    };
  }
}
