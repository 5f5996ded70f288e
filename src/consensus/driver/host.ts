import { InputError, present } from "../../kernel/assert.ts";
import { EMPTY_BYTES } from "../../kernel/bytes.ts";
import { closeAll } from "../../storage/closing.ts";
import type { RaftIdentity, RaftLoad, RaftStore, WholeRaftLoad } from "../../storage/raft-store.ts";
import { DiskFullError } from "../../storage/store.ts";
import { Turns } from "../../storage/turns.ts";
import type { World } from "../../world/world.ts";
import type { GroupChange } from "../core/configuration.ts";
import { founded, NOTHING_SAVED, type Saved } from "../core/core.ts";
import type { LostLogError } from "../core/log.ts";
import type { Message } from "../core/messages.ts";
import type { Id } from "../core/quorum.ts";
import type { Outcome } from "./proposals.ts";
import { ROOM_RETRY_MS, type Snapshotted } from "./ready-loop.ts";
import { RaftRefusal } from "./refusal.ts";
import { Run } from "./run.ts";
import type { RaftSettings } from "./settings.ts";
import type { StateMachine } from "./state-machine.ts";
import { figuresOf, type HostState, NO_FIGURES, type RaftStatus, statusOf } from "./status.ts";
import { decodeMessage } from "./wire.ts";

export interface RaftHostOptions<Result> {
  readonly world: World;
  readonly identity: Omit<RaftIdentity, "instance">;
  /** The host's from now on: `stop` closes it. */
  readonly store: RaftStore;
  readonly machine: StateMachine<Result>;
  readonly settings: RaftSettings;
  /** Takes a message to another member, or loses it. Tells the end of each snapshot by `snapshotEnded`, later. */
  readonly send: (message: Message) => void;
  /** May this node take part, though the group as it is known here doesn't have it? A member that is behind must hear a leader
   *  that joined meanwhile; who was removed for good must not be heard. */
  readonly allow: (node: Id) => boolean;
  /** May this node take part with this log, or why not? Asked when it is loaded, and by `reconsider`. */
  readonly mayTakePart: (log: LogInHand) => true | string;
  /** A write failed or a state was impossible: the process must stop (I13). */
  readonly onFailure: (reason: string) => void;
}

export interface LogInHand {
  readonly instance: string;
  /** Neither snapshot nor entries. */
  readonly isEmpty: boolean;
}

export type LeaderListener = (leader: Id | null, term: number) => void;

/** Drives one member of a Raft group on a World: its log, whether it may take part with that, and while it does, a `Run`. */
export class RaftHost<Result> {
  readonly node: Id;
  readonly #o: RaftHostOptions<Result>;
  #state: HostState = "empty";
  #reason: string | null = null;
  /** Of the log that is whole here. */
  #instance: string | null = null;
  /** In `aside`: what was loaded; null while the store works on it. */
  #loaded: WholeRaftLoad | null = null;
  /** The last one; in `running` it is under way. */
  #run: Run<Result> | null = null;
  /** The store takes one call at a time. */
  readonly #turns = new Turns();
  #received = 0;
  #refused = 0;
  readonly #listeners = new Set<LeaderListener>();

  /** Loads what is on disk, and runs if there is a log that may take part. Rejects with InputError when it is another node's.
   *  A node on a full disk starts all the same, for its data can be read: its seat waits for room. */
  static async open<Result>(options: RaftHostOptions<Result>): Promise<RaftHost<Result>> {
    const host = new RaftHost(options);
    try {
      await host.#inTurn(() => host.#load());
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

  // ---- its log

  /** After what the last run had in hand, and after what was asked of the store before. */
  #inTurn(job: () => Promise<void>): Promise<void> {
    return this.#turns.run(async () => {
      await this.#run?.loop.idle();
      await job();
    });
  }

  async #load(): Promise<void> {
    const { store, world } = this.#o;
    try {
      const load = await store.load();
      if (!this.#hasEnded) this.#take(load);
    } catch (error) {
      if (!(error instanceof DiskFullError)) throw error;
      if (this.#hasEnded) return;
      this.#be("waiting", "the disk is full: this member takes part again when there is room");
      world.log.warn("raft.no-room", { retryMs: ROOM_RETRY_MS });
      world.timers.after(ROOM_RETRY_MS, () => this.#later(() => this.#load()));
    }
  }

  /** What nobody waits for. */
  #later(job: () => Promise<void>): void {
    this.#inTurn(async () => {
      if (!this.#hasEnded) await job();
    }).catch((error: unknown) => this.#fail(error));
  }

  #take(load: RaftLoad): void {
    if (load.kind === "nothing") this.#be("empty", "no group was founded or joined here yet");
    else if (load.kind === "damaged") {
      this.#be("damaged", damagedReason(load.reason));
      this.#o.world.log.error("raft.damaged", { reason: load.reason });
    } else {
      const { cluster, node } = this.#o.identity;
      const { identity } = load;
      if (identity.node !== node || identity.cluster !== cluster)
        throw new InputError(
          "raft-identity",
          `the Raft log in this data directory is that of node ${identity.node} of cluster ${identity.cluster}, not of ` +
            `${node} of ${cluster}: give this node its own data directory`,
        );
      this.#consider(load);
    }
  }

  /** What it has saved is looked at by nobody until it may take part. */
  #consider(load: WholeRaftLoad): void {
    const { instance } = load.identity;
    const isEmpty = load.saved.snapshot === null && load.saved.entries.length === 0;
    const answer = this.#o.mayTakePart({ instance, isEmpty });
    if (answer === true) {
      this.#begin(load);
      return;
    }
    if (this.#state !== "aside") this.#o.world.log.info("raft.aside", { instance, reason: answer });
    this.#be("aside", answer);
    this.#instance = instance;
    this.#loaded = load;
  }

  #begin(log: WholeRaftLoad): void {
    const onLeader: LeaderListener = (leader, term) => this.#onLeader(leader, term);
    const onLost = (lost: LostLogError): void => this.#lost(lost);
    const onFailure = (error: unknown): void => this.#fail(error);
    const run = new Run({ ...this.#o, node: this.node, onLeader, onLost, onFailure }, log);
    this.#run = run;
    this.#be("running", null);
    this.#instance = log.identity.instance;
    run.begin();
  }

  /** Asks `mayTakePart` again: a log that was aside runs if it may now, one that runs is laid aside if it may not any more.
   *  Resolves when that is done, and what was being written is. */
  async reconsider(): Promise<void> {
    if (this.#state === "aside" && this.#loaded !== null) this.#consider(this.#loaded);
    else if (this.#state === "running") await this.#reconsiderRun();
    else await this.#inTurn(async () => {});
  }

  async #reconsiderRun(): Promise<void> {
    const { raft } = this.#present();
    const instance = present(this.#instance, "a log that runs has one");
    const answer = this.#o.mayTakePart({ instance, isEmpty: raft.indexes.last === 0 });
    if (answer === true) return;
    this.#o.world.log.info("raft.aside", { instance, reason: answer });
    this.#be("aside", answer);
    this.#instance = instance;
    // Another life begins with it: ids of proposals and reads are never used twice.
    await this.#changing(() => this.#load());
  }

  /** Ends the seat, not the node: what it serves of the data needs no log. */
  #lost({ message }: LostLogError): void {
    const { store, world } = this.#o;
    this.#be("damaged", damagedReason(message));
    world.log.error("raft.damaged", { reason: message });
    this.#later(async () => {
      for (let isDone = false; !isDone && !this.#hasEnded; ) {
        try {
          await store.giveUp(message);
          isDone = true;
        } catch (error) {
          if (!(error instanceof DiskFullError)) throw error;
          await new Promise<void>((resolve) => {
            world.timers.after(ROOM_RETRY_MS, resolve);
          });
        }
      }
    });
  }

  /** The first state of a group with these voters, the same at each of them; `data` is what the state machine begins with.
   *  Once: rejects with InputError when there is a log here, whole or damaged, or the instance is no proper one; with
   *  RaftRefusal `no-room` when the disk is full, and nothing has happened then. */
  async found(voters: readonly Id[], data: Uint8Array, instance: string): Promise<void> {
    if (!voters.includes(this.node)) throw new InputError("bad-voters", `${this.node} founds no group without itself`);
    if (new Set(voters).size !== voters.length) throw new InputError("bad-voters", "each voter is named once");
    await this.#create(founded(voters, data), instance);
  }

  /** An empty log: this node waits until a leader that has it in its group brings it everything. Once, like `found`. */
  async join(instance: string): Promise<void> {
    await this.#create(NOTHING_SAVED, instance);
  }

  async #create(saved: Saved, instance: string): Promise<void> {
    const { store, identity } = this.#o;
    await this.#changing(async () => {
      if (this.#state === "running" || this.#state === "aside")
        throw new InputError(
          "raft-exists",
          "this node belongs to a group already: to let it found or join another one, give it an empty data directory",
        );
      if (this.#state !== "empty") throw this.#notRunning();
      await store.create({ ...identity, instance }, saved);
      await this.#load();
    });
  }

  /** An empty log in place of the one here, which may be damaged, or of none: whatever this node promised with the old one
   *  is forgotten, so nobody may count on that any more. Rejects with RaftRefusal when this member runs, waits for room or
   *  has ended, and when there is no room; with InputError when the instance is no proper one. Nothing has happened then. */
  async renew(instance: string): Promise<void> {
    const { store, identity } = this.#o;
    await this.#changing(async () => {
      if (this.#state === "running")
        throw new RaftRefusal("raft-running", "this member takes part with its log: that is not replaced", null);
      if (this.#state === "waiting" || this.#hasEnded) throw this.#notRunning();
      await store.replace({ ...identity, instance }, NOTHING_SAVED);
      await this.#load();
    });
  }

  /** Meanwhile nobody reconsiders the log that is there. */
  async #changing(change: () => Promise<void>): Promise<void> {
    try {
      await this.#inTurn(async () => {
        const before = this.#loaded;
        this.#loaded = null;
        try {
          await change();
        } catch (error) {
          this.#loaded = before;
          throw error;
        }
        if (this.#hasEnded) throw this.#notRunning();
      });
    } catch (error) {
      if (error instanceof DiskFullError)
        throw new RaftRefusal("no-room", "the disk is full: try again when there is room", ROOM_RETRY_MS);
      if (!(error instanceof InputError)) this.#fail(error);
      throw error;
    }
  }

  // ---- what is asked of it

  /** Proposes a command: at the leader, or forwarded to it. Resolves when that very entry was applied here. Rejects with
   *  RaftRefusal when nothing has happened, with OutcomeUnknown when nobody can say. */
  async propose(bytes: Uint8Array, timeoutMs: number): Promise<Outcome<Result>> {
    return this.#present().propose(bytes, timeoutMs, (data) => ({ kind: "command", data }));
  }

  /** Like `propose`, for a change of the group itself. `bytes` come to the state machine with it. */
  async changeGroup(change: GroupChange, timeoutMs: number, bytes = EMPTY_BYTES): Promise<Outcome<Result>> {
    return this.#present().propose(bytes, timeoutMs, (data) => ({ kind: "change", change, data }));
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
    this.#present().transfer(to);
  }

  /** Hears of each new leader (null: none is known); returns what ends that. */
  onLeader(listener: LeaderListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #onLeader(leader: Id | null, term: number): void {
    this.#o.world.log.info("raft.leader", { leader, term });
    for (const listener of this.#listeners) listener(leader, term);
  }

  // ---- what comes in

  /** What a peer sent, who has shown that it is `from`. Throws InputError, counted, on what this node doesn't take. */
  receive(from: Id, bytes: Uint8Array): void {
    this.#received += 1;
    try {
      const message = decodeMessage(bytes);
      this.#present().receive(message, from);
    } catch (error) {
      if (error instanceof InputError) this.#refused += 1;
      throw error;
    }
  }

  /** A link to that node, which was up, broke: it may be gone. */
  linkBroke(node: Id): void {
    if (this.#state === "running") this.#run?.step((core) => core.linkBroke(node));
  }

  /** What became of a snapshot that was handed to `send`. */
  snapshotEnded(to: Id, arrived: boolean): void {
    if (this.#state === "running") this.#present().step((core) => core.snapshotEnded(to, arrived));
  }

  // ---- what it is

  #present(): Run<Result> {
    if (this.#state !== "running") throw this.#notRunning();
    return present(this.#run, "a running host has its parts");
  }

  get #hasEnded(): boolean {
    return this.#state === "failed" || this.#state === "stopped";
  }

  #notRunning(): RaftRefusal {
    return new RaftRefusal("raft-not-running", this.#reason ?? `this member is ${this.#state}`, null);
  }

  /** The only place where its state changes: whatever follows `running` ends the run. */
  #be(state: HostState, reason: string | null): void {
    const wasRunning = this.#state === "running";
    this.#state = state;
    this.#reason = reason;
    this.#instance = null;
    this.#loaded = null;
    if (wasRunning) this.#run?.end();
  }

  #fail(error: unknown): void {
    if (this.#hasEnded) return;
    const reason = error instanceof Error ? error.message : String(error);
    this.#be("failed", reason);
    this.#o.world.log.error("raft.failed", { reason });
    this.#o.onFailure(reason);
  }

  /** Ends it; what is being written is written first. */
  async stop(): Promise<void> {
    if (this.#state === "stopped") return;
    this.#be("stopped", "this node is stopping");
    await this.#inTurn(() => this.#o.store.close());
  }

  status(): RaftStatus {
    const run = this.#run;
    return {
      state: this.#state,
      reason: this.#reason,
      instance: this.#instance,
      node: this.node,
      ...statusOf(this.#state === "running" ? run : null),
      figures: {
        ...(run ? figuresOf(run) : NO_FIGURES),
        messagesReceived: this.#received,
        messagesRefused: this.#refused,
      },
    };
  }
}

function damagedReason(reason: string): string {
  return (
    `this node's Raft log is damaged: ${reason}. It takes no part in the group with that, since it may have forgotten what it ` +
    "promised: it needs a new log, under a new instance that the cluster has agreed on"
  );
}
