import { assert } from "../../src/kernel/assert.ts";
import type { MemoryRaftStore } from "../../src/storage/memory-raft.ts";
import type { RaftStore } from "../../src/storage/raft-store.ts";
import { DiskFullError } from "../../src/storage/store.ts";
import { unknownState } from "../../src/storage/store-errors.ts";
import { COMMIT_MS, type DiskPace, NOTICE_MS, READ_MS } from "./disk-pace.ts";
import type { Life } from "./life.ts";
import { PHASE_IO } from "./scheduler.ts";

interface Pending {
  readonly write: () => Promise<void>;
  written: boolean;
}

/** A member's Raft state on a simulated disk: writes take time, and one that is under way when the process dies is there
 *  whole, or not at all. */
export class SimRaftStore implements RaftStore {
  readonly #life: Life;
  readonly #inner: MemoryRaftStore;
  readonly #disk: DiskPace;
  readonly #release: () => void;
  #pending: Pending | null = null;
  #failure: Error | null = null;
  #isBusy = false;

  constructor(life: Life, inner: MemoryRaftStore, disk: DiskPace, release: () => void) {
    this.#life = life;
    this.#inner = inner;
    this.#disk = disk;
    this.#release = release;
    life.onDeath.add(this.#die);
  }

  readonly #die = (): void => {
    if (this.#pending?.written === false && this.#disk.heads()) void this.#pending.write();
    this.#pending = null;
    this.#release();
  };

  load: RaftStore["load"] = () => this.#later("load raft", () => this.#inner.load());
  create: RaftStore["create"] = (...what) => this.#write("create raft", () => this.#inner.create(...what));
  replace: RaftStore["replace"] = (...what) => this.#write("replace raft", () => this.#inner.replace(...what));
  giveUp: RaftStore["giveUp"] = (reason) => this.#write("give up raft", () => this.#inner.giveUp(reason));
  save: RaftStore["save"] = (change) => this.#write("save raft", () => this.#inner.save(change));
  compact: RaftStore["compact"] = (snapshot) => this.#write("compact raft", () => this.#inner.compact(snapshot));

  async close(): Promise<void> {
    await this.#later("close raft", () => this.#inner.close());
    this.#life.onDeath.delete(this.#die);
    this.#release();
  }

  /** As the real one: who doesn't wait has lost track of what is on the disk. */
  #begin(): void {
    assert(!this.#isBusy, "one call at a time");
    this.#isBusy = true;
  }

  #ended<T>(call: Promise<T>): Promise<T> {
    return call.finally(() => {
      this.#isBusy = false;
    });
  }

  #later<T>(what: string, read: () => Promise<T>): Promise<T> {
    this.#begin();
    return this.#life.promise((resolve, reject) => {
      const answer = (): void => void this.#ended(read()).then(resolve, reject);
      this.#life.later(this.#disk.between(READ_MS), PHASE_IO, "read", answer, what);
    });
  }

  #write(what: string, write: () => Promise<void>): Promise<void> {
    this.#begin();
    if (this.#failure) return this.#ended(Promise.reject(this.#failure));
    return this.#life.promise((resolve, reject) => {
      const pending = { write, written: false };
      this.#pending = pending;
      const { scheduler, trace } = this.#life.core;
      trace.record(scheduler.nowMs, this.#life.index, "commit", 0, what);
      // The disk works on while the process is stalled: this is no event of its.
      scheduler.at(scheduler.nowMs + this.#disk.between(COMMIT_MS), PHASE_IO, () => {
        if (this.#pending !== pending) return false;
        void this.#ended(this.#perform(pending)).then(resolve, reject);
        return true;
      });
    });
  }

  async #perform(pending: Pending): Promise<void> {
    const { isFull } = this.#disk;
    const fails = !isFull && this.#disk.takeFailure("raft");
    if (!isFull && (!fails || this.#disk.heads())) await pending.write();
    pending.written = true;
    if (fails) this.#failure = unknownState(new Error("disk I/O error: fsync failed"));
    await this.#life.promise<void>((resolve) => {
      this.#life.later(this.#disk.between(NOTICE_MS), PHASE_IO, "durable", resolve);
    });
    if (this.#pending === pending) this.#pending = null;
    if (isFull) throw new DiskFullError();
    if (this.#failure) throw this.#failure;
  }
}
