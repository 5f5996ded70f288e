import { assert, InputError } from "../../src/kernel/assert.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import { type MemoryStore, openMemoryStore, type StoreImage } from "../../src/storage/memory.ts";
import { MemoryRaftStore, type RaftImage } from "../../src/storage/memory-raft.ts";
import type { RaftStore } from "../../src/storage/raft-store.ts";
import { type Commit, DiskFullError, type Store, type StoreCopy } from "../../src/storage/store.ts";
import { unknownState } from "../../src/storage/store-errors.ts";
import type { Disk } from "../../src/world/world.ts";
import { COMMIT_MS, type DiskPace, NOTICE_MS, OPEN_MS, READ_MS } from "./disk-pace.ts";
import type { Life } from "./life.ts";
import { SimRaftStore } from "./raft-disk.ts";
import { PHASE_IO } from "./scheduler.ts";
import { hashBytes } from "./trace.ts";

const DISK_BYTES = 2 ** 36;

/** What a machine keeps while its processes come and go: a store per data directory. */
export class SimDisk implements DiskPace {
  readonly #rng: Rng;
  readonly #stores = new Map<string, MemoryStore>();
  readonly #images = new Map<string, StoreImage>();
  readonly #rafts = new Map<string, MemoryRaftStore>();
  readonly #inUse = new Set<string>();
  #failNextCommit: "any" | "data" | null = null;
  #hasFailed = false;
  /** How many times longer everything takes. */
  slowness = 1;
  /** No room: commits are refused, and nothing of them is written. */
  isFull = false;

  constructor(rng: Rng) {
    this.#rng = rng;
  }

  /** What is on disk now; undefined when nothing ever was. */
  snapshot(dataDir: string): StoreImage | undefined {
    return this.#stores.get(dataDir)?.image() ?? this.#images.get(dataDir);
  }

  /** Puts an older (or damaged) image in place: a backup restored, a virtual machine rolled back. Not while it is open. */
  restore(dataDir: string, image: StoreImage): void {
    assert(!this.#inUse.has(dataDir), "an image is put back while nobody has the store open");
    this.#stores.delete(dataDir);
    this.#images.set(dataDir, image);
  }

  /** As if nothing had ever been there. Not while it is open. */
  empty(dataDir: string): void {
    assert(
      !this.#inUse.has(dataDir) && !this.#inUse.has(raftOf(dataDir)),
      "a directory is emptied while nobody has it open",
    );
    this.#stores.delete(dataDir);
    this.#images.delete(dataDir);
    this.#rafts.delete(dataDir);
  }

  /** What a member's Raft state is on disk now; undefined when nobody opened one. */
  raftImage(dataDir: string): RaftImage | undefined {
    return this.#rafts.get(dataDir)?.image;
  }

  /** Puts another one in place. Not while it is open. */
  restoreRaft(dataDir: string, image: RaftImage): void {
    assert(!this.#inUse.has(raftOf(dataDir)), "an image is put back while nobody has the store open");
    this.#rafts.set(dataDir, new MemoryRaftStore(image));
  }

  /** The next commit fails after it was written, durable or not: whoever called must not go on (data.md, SQLite).
   *  @param of whichever comes first, or the data's alone */
  failNextCommit(of: "any" | "data" = "any"): void {
    this.#failNextCommit = of;
  }

  /** If none has failed yet since it was told to, none will. */
  spareNextCommit(): void {
    this.#failNextCommit = null;
  }

  /** Has a commit of the process that was started last failed as told? That process may not have heard of it yet. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** The disk as one life sees it: the last one, from now on. */
  of(life: Life): Disk {
    this.#hasFailed = false;
    return {
      openStore: (dataDir) => this.#open(life, dataDir),
      openRaftStore: (dataDir) => this.#openRaft(life, dataDir),
      readText: (path) => Promise.reject(new Error(`cannot read ${path}: there are no files in the simulation`)),
    };
  }

  #open(life: Life, dataDir: string): Promise<Store> {
    return this.#opened(life, dataDir, (release) => {
      const image = this.snapshot(dataDir);
      const inner = openMemoryStore(image === undefined ? {} : { image });
      this.#stores.set(dataDir, inner);
      return new SimStore(life, inner, this, release);
    });
  }

  #openRaft(life: Life, dataDir: string): Promise<RaftStore> {
    return this.#opened(life, raftOf(dataDir), (release) => {
      const inner = new MemoryRaftStore(this.raftImage(dataDir));
      this.#rafts.set(dataDir, inner);
      return new SimRaftStore(life, inner, this, release);
    });
  }

  /** A file has one user at a time. */
  #opened<T>(life: Life, file: string, make: (release: () => void) => T): Promise<T> {
    return life.promise((resolve, reject) => {
      const open = (): void => {
        if (this.#inUse.has(file)) {
          reject(new InputError("data-dir-in-use", `${file} is in use by another process; stop it first`));
          return;
        }
        this.#inUse.add(file);
        resolve(make(() => void this.#inUse.delete(file)));
      };
      life.later(this.between(OPEN_MS), PHASE_IO, "read", open, `open ${file}`);
    });
  }

  // ---- for SimStore

  between([least, most]: readonly [number, number]): number {
    return this.slowness * (least + this.#rng.unit() * (most - least));
  }

  heads(): boolean {
    return this.#rng.below(2) === 0;
  }

  takeFailure(of: "data" | "raft"): boolean {
    const fails = this.#failNextCommit === "any" || this.#failNextCommit === of;
    if (!fails) return false;
    this.#failNextCommit = null;
    this.#hasFailed = true;
    return true;
  }
}

const raftOf = (dataDir: string): string => `${dataDir}/consensus`;

/** A store whose operations take time, and whose commits can be lost or kept when the process dies in the middle. */
class SimStore implements Store {
  readonly #life: Life;
  readonly #inner: MemoryStore;
  readonly #disk: SimDisk;
  readonly #release: () => void;
  #pending: { readonly commit: Commit; written: boolean } | undefined;
  #onIdle: (() => void) | undefined;
  #broken = false;
  /** Never: this disk garbles rows and records, not what holds them together. */
  readonly failed = new Promise<Error>(() => {});

  constructor(life: Life, inner: MemoryStore, disk: SimDisk, release: () => void) {
    this.#life = life;
    this.#inner = inner;
    this.#disk = disk;
    this.#release = release;
    life.onDeath.add(this.#die);
  }

  /** Its process is gone: a commit under way is on disk whole, or not at all. */
  readonly #die = (): void => {
    const { core, index } = this.#life;
    if (this.#pending?.written === false && this.#disk.heads()) {
      core.trace.record(core.scheduler.nowMs, index, "durable", 0, "kept at the crash");
      void this.#inner.commit(this.#pending.commit);
    }
    this.#pending = undefined;
    this.#release();
  };

  commit(commit: Commit): Promise<void> {
    return this.#life.promise((resolve, reject) => {
      if (!this.#life.alive) return;
      assert(this.#pending === undefined, "one commit at a time");
      if (this.#broken) {
        reject(unknownState("an earlier commit failed"));
        return;
      }
      const pending = { commit, written: false };
      this.#pending = pending;
      const { core, index } = this.#life;
      core.trace.record(core.scheduler.nowMs, index, "commit", hashCommit(commit));
      // The disk works on while the process is stalled: this is no event of its.
      const { scheduler } = core;
      scheduler.at(scheduler.nowMs + this.#disk.between(COMMIT_MS), PHASE_IO, () => {
        if (this.#pending !== pending) return false;
        void this.#write(pending).then(resolve, reject);
        return true;
      });
    });
  }

  async #write(pending: { readonly commit: Commit; written: boolean }): Promise<void> {
    if (this.#disk.isFull) {
      await this.#settled();
      throw new DiskFullError();
    }
    const fails = this.#disk.takeFailure("data");
    if (!fails || this.#disk.heads()) await this.#inner.commit(pending.commit);
    pending.written = true;
    this.#broken = fails;
    await this.#settled();
    if (fails) throw unknownState(new Error("disk I/O error: fsync failed"));
  }

  /** Its caller hears of it. */
  async #settled(): Promise<void> {
    await this.#life.promise<void>((resolve) =>
      this.#life.later(this.#disk.between(NOTICE_MS), PHASE_IO, "durable", () => resolve()),
    );
    this.#pending = undefined;
    this.#onIdle?.();
  }

  /** A read takes its time, then sees the last commit of that moment. */
  #later<T>(what: string, read: () => Promise<T>): Promise<T> {
    return this.#life.promise((resolve, reject) => {
      const answer = (): void => void read().then(resolve, reject);
      this.#life.later(this.#disk.between(READ_MS), PHASE_IO, "read", answer, what);
    });
  }

  load: Store["load"] = () => this.#later("load", () => this.#inner.load());
  readRows: Store["readRows"] = (keys) => this.#later("rows", () => this.#inner.readRows(keys));
  scanKeys: Store["scanKeys"] = (range) => this.#later("keys", () => this.#inner.scanKeys(range));
  scanSlots: Store["scanSlots"] = (from, to) => this.#later("slots", () => this.#inner.scanSlots(from, to));
  buckets: Store["buckets"] = () => this.#later("buckets", () => this.#inner.buckets());
  scanConflicts: Store["scanConflicts"] = (range) => this.#later("conflicts", () => this.#inner.scanConflicts(range));
  countConflicts: Store["countConflicts"] = () => this.#later("conflicts", () => this.#inner.countConflicts());
  readLog: Store["readLog"] = (...range) => this.#later("log", () => this.#inner.readLog(...range));
  readLogOf: Store["readLogOf"] = (...range) => this.#later("log of", () => this.#inner.readLogOf(...range));
  logSize: Store["logSize"] = () => this.#later("log size", () => this.#inner.logSize());
  readDeletion: Store["readDeletion"] = (key) => this.#later("deletion", () => this.#inner.readDeletion(key));
  readJournal: Store["readJournal"] = (filter) => this.#later("journal", () => this.#inner.readJournal(filter));
  usage: Store["usage"] = () =>
    this.#later("usage", async () => {
      const usage = await this.#inner.usage();
      return this.#disk.isFull ? { ...usage, freeBytes: 0, totalBytes: DISK_BYTES } : usage;
    });

  openCopy(from: number, to: number): Promise<StoreCopy> {
    return this.#later("copy", async () => {
      const copy = await this.#inner.openCopy(from, to);
      return {
        rows: copy.rows,
        read: (offset, maxBytes) => this.#later("copy", () => copy.read(offset, maxBytes)),
        close: () => this.#later("copy", () => copy.close()),
      };
    });
  }

  async close(): Promise<void> {
    if (this.#pending !== undefined) {
      await this.#life.promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    await this.#later("close", () => this.#inner.close());
    this.#life.onDeath.delete(this.#die);
    this.#release();
  }
}

/** What decides about a later run: rows and log. */
function hashCommit(commit: Commit): number {
  let hash = commit.rows.length * 31 + commit.log.length;
  for (const row of commit.rows) hash = Math.imul(hash, 31) ^ (row.body === null ? 7 : hashBytes(row.body));
  for (const record of commit.log) hash = Math.imul(hash, 31) ^ hashBytes(record.body);
  return hash >>> 0;
}
