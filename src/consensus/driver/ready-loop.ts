import { present } from "../../kernel/assert.ts";
import type { RaftSave, RaftStore } from "../../storage/raft-store.ts";
import { DiskFullError } from "../../storage/store.ts";
import type { World } from "../../world/world.ts";
import type { HardState } from "../core/core.ts";
import type { Entry } from "../core/log.ts";
import { sizeOf } from "../core/log.ts";
import type { Message } from "../core/messages.ts";
import type { Id } from "../core/quorum.ts";
import type { Raft, Ready } from "../core/raft.ts";
import { coalesced } from "./coalesce.ts";
import { Latencies } from "./latencies.ts";
import type { LinearReads } from "./linear-reads.ts";
import { type Proposals, unframe } from "./proposals.ts";
import { RaftRefusal } from "./refusal.ts";
import { MESSAGE_BYTES_MAX, type RaftSettings } from "./settings.ts";
import type { StateMachine } from "./state-machine.ts";

/** How often a full disk is tried again. */
export const ROOM_RETRY_MS = 1_000;

export interface ReadyLoopOptions<Result> {
  readonly world: World;
  readonly raft: Raft;
  readonly store: RaftStore;
  readonly machine: StateMachine<Result>;
  readonly settings: RaftSettings;
  readonly proposals: Proposals<Result>;
  readonly reads: LinearReads;
  readonly send: (message: Message) => void;
  readonly onLeader: (leader: Id | null, term: number) => void;
  readonly onFailure: (error: unknown) => void;
}

/** The state as it stands in the place of the log. */
export interface Snapshotted {
  /** Of the last entry that it has in it. */
  readonly index: number;
  readonly bytes: number;
  /** False when nothing was applied since the last one: that one stays. */
  readonly isNew: boolean;
}

/** Everybody who asks for a snapshot before it is taken gets the same one. */
interface Asked {
  readonly promise: Promise<Snapshotted>;
  readonly resolve: (done: Snapshotted) => void;
  readonly reject: (error: Error) => void;
}

/** Carries out what the core wants done, one batch at a time: what promises nothing is sent at once, what was committed is
 *  applied, then one durable write, and only then what promises something (Ongaro 2014, §10.2.1). */
export class ReadyLoop<Result> {
  readonly #o: ReadyLoopOptions<Result>;
  #isBusy = false;
  #isStopped = false;
  #idle: Promise<void> = Promise.resolve();
  #leader: Id | null = null;
  #term: number;
  /** What the disk has of these two; what else it has of the hard state may be older. */
  #promised: Pick<HardState, "term" | "vote">;
  /** A commit index that is not worth a write of its own: whoever restarts is told again. */
  #unsaved: HardState | null = null;
  #bytesSinceSnapshot = 0;
  /** The log is not looked at again before its state is after this. */
  #compactFrom = 0;
  #asked: Asked | null = null;
  /** What the state machine has seen; the core counts a snapshot as soon as it came. */
  applied: number;
  readonly saveMs = new Latencies();
  readonly snapshotMs = new Latencies();
  terms = 0;
  leaders = 0;
  snapshotsTaken = 0;
  snapshotsRestored = 0;
  snapshotBytes = 0;
  oversizedBytes: number | null = null;

  constructor(options: ReadyLoopOptions<Result>, saved: HardState) {
    this.#o = options;
    this.#term = options.raft.term;
    this.#promised = saved;
    this.applied = options.raft.indexes.applied;
  }

  /** Does what there is to do, from the end of this turn of the loop on, and goes on until there is nothing more. Called in
   *  the midst of it, it only returns. At once would be too early: proposals and messages come many in a turn, and the first
   *  alone would keep all others waiting for its write. */
  run(): void {
    if (this.#isBusy || this.#isStopped) return;
    this.#isBusy = true;
    this.#idle = this.#drain();
  }

  stop(): void {
    this.#isStopped = true;
    this.#settle((asked) =>
      asked.reject(new RaftRefusal("raft-not-running", "this member takes no part any more", null)),
    );
  }

  /** Saves the state in the place of the applied entries, though none of the settings asks for it yet. Rejects with
   *  RaftRefusal when the state is too large, or this member ends. */
  snapshotNow(): Promise<Snapshotted> {
    this.#asked ??= newAsked();
    const { promise } = this.#asked;
    this.run();
    return promise;
  }

  /** Resolves when nothing is being written. */
  idle(): Promise<void> {
    return this.#idle;
  }

  async #drain(): Promise<void> {
    const { raft, onFailure, world } = this.#o;
    await new Promise<void>((resolve) => world.timers.soon(resolve));
    try {
      for (;;) {
        this.#watch();
        if (this.#isStopped) return;
        if (raft.hasReady) await this.#carryOut(raft.ready());
        else if (this.#asked !== null || this.#isCompactionDue()) await this.#compact();
        else return;
      }
    } catch (error) {
      onFailure(error);
    } finally {
      this.#isBusy = false;
    }
  }

  async #carryOut(ready: Ready): Promise<void> {
    const { raft, store, send, world } = this.#o;
    for (const message of coalesced(ready.messages, MESSAGE_BYTES_MAX)) send(message);
    this.#apply(ready);
    const save = this.#saveOf(ready);
    if (save) {
      const startMs = world.clock.monotonicMs();
      await this.#whenThereIsRoom(() => store.save(save));
      if (this.#isStopped) return;
      this.saveMs.add(world.clock.monotonicMs() - startMs);
      if (this.#isStopped) return;
    }
    raft.durable();
    for (const message of coalesced(ready.afterDurable, MESSAGE_BYTES_MAX)) if (message.to !== raft.id) send(message);
  }

  /** A full disk is no doubt about what is on it: this member says nothing new until there is room, and the others go on
   *  without it. */
  async #whenThereIsRoom(write: () => Promise<void>): Promise<void> {
    const { world } = this.#o;
    for (let tries = 0; !this.#isStopped; tries++) {
      try {
        await write();
        return;
      } catch (error) {
        if (!(error instanceof DiskFullError)) throw error;
        if (tries === 0) world.log.warn("raft.no-room", { retryMs: ROOM_RETRY_MS });
      }
      await new Promise<void>((resolve) => {
        world.timers.after(ROOM_RETRY_MS, resolve);
      });
    }
  }

  /** Null where only the commit index moved. */
  #saveOf({ hardState, snapshot, entries }: Ready): RaftSave | null {
    const newest = hardState ?? this.#unsaved;
    const isPromise =
      hardState !== null && (hardState.term !== this.#promised.term || hardState.vote !== this.#promised.vote);
    if (!isPromise && snapshot === null && entries.length === 0) {
      this.#unsaved = newest;
      return null;
    }
    this.#unsaved = null;
    if (newest) this.#promised = newest;
    return { hardState: newest, snapshot, entries };
  }

  #apply({ snapshot, committed, reads }: Ready): void {
    const { machine, world, raft, reads: waiting } = this.#o;
    if (snapshot) {
      const startMs = world.clock.monotonicMs();
      machine.restore(snapshot.data, snapshot.index);
      this.#noteSnapshot(snapshot.data.length, startMs);
      this.snapshotsRestored += 1;
      this.#bytesSinceSnapshot = 0;
    }
    for (const entry of committed) this.#applyOne(entry);
    this.applied = raft.indexes.applied;
    waiting.answered(reads);
    waiting.applied(this.applied);
  }

  #applyOne(entry: Entry): void {
    const { machine, proposals } = this.#o;
    const { index, term, payload } = entry;
    this.#bytesSinceSnapshot += sizeOf(entry);
    if (payload.kind === "nothing") return;
    const { id, data } = unframe(payload.data);
    const change = payload.kind === "change" ? payload.change : null;
    proposals.settle(id, index, machine.apply({ index, term, data, change }));
  }

  /** Tells of another leader, or of another term of the same one. */
  #watch(): void {
    const { raft, onLeader } = this.#o;
    const { leader, term } = raft;
    const isNews = leader !== this.#leader || (leader !== null && term !== this.#term);
    this.terms += term - this.#term;
    this.#term = term;
    this.#leader = leader;
    if (!isNews) return;
    if (leader !== null) this.leaders += 1;
    onLeader(leader, term);
  }

  // ---- snapshots

  #isCompactionDue(): boolean {
    const { settings, raft } = this.#o;
    const { applied, first } = raft.indexes;
    if (applied < first || applied < this.#compactFrom) return false;
    return applied + 1 - first >= settings.compactEntries || this.#bytesSinceSnapshot >= settings.compactBytes;
  }

  /** No batch is in hand: what is applied is what the state machine has. */
  async #compact(): Promise<void> {
    const { machine, raft, settings, store, world } = this.#o;
    const { applied, first } = raft.indexes;
    if (applied < first) {
      this.#settle((asked) => asked.resolve({ index: first - 1, bytes: this.snapshotBytes, isNew: false }));
      return;
    }
    const startMs = world.clock.monotonicMs();
    const data = machine.snapshot();
    this.oversizedBytes = data.length > settings.snapshotBytesMax ? data.length : null;
    if (this.oversizedBytes !== null) {
      world.log.error("raft.state-too-large", { bytes: data.length, limit: settings.snapshotBytesMax });
      this.#compactFrom = applied + settings.compactEntries;
      this.#settle((asked) => asked.reject(tooLarge(data.length, settings.snapshotBytesMax)));
      return;
    }
    this.#bytesSinceSnapshot = 0;
    const snapshot = raft.compact(applied, data);
    await this.#whenThereIsRoom(() => store.compact(snapshot));
    if (this.#isStopped) return;
    this.#noteSnapshot(data.length, startMs);
    this.snapshotsTaken += 1;
    this.#settle((asked) => asked.resolve({ index: applied, bytes: data.length, isNew: true }));
  }

  #settle(tell: (asked: Asked) => void): void {
    const asked = this.#asked;
    this.#asked = null;
    if (asked) tell(asked);
  }

  #noteSnapshot(bytes: number, startMs: number): void {
    this.snapshotBytes = bytes;
    this.snapshotMs.add(this.#o.world.clock.monotonicMs() - startMs);
  }
}

function newAsked(): Asked {
  let settle: Pick<Asked, "resolve" | "reject"> | null = null;
  const promise = new Promise<Snapshotted>((resolve, reject) => {
    settle = { resolve, reject };
  });
  return { promise, ...present<Pick<Asked, "resolve" | "reject">>(settle, "a promise's parts are there at once") };
}

function tooLarge(bytes: number, limit: number): RaftRefusal {
  return new RaftRefusal("snapshot-too-large", `the state has ${bytes} bytes; a snapshot has at most ${limit}`, null);
}
