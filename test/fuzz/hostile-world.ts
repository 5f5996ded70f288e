import { InputError, present } from "../../src/kernel/assert.ts";
import { seededRng } from "../../src/kernel/rng.ts";
import type { MemoryRaftStore } from "../../src/storage/memory-raft.ts";
import { sha256 } from "../../src/world/real.ts";
import type { Log, Stream, StreamHandlers, World } from "../../src/world/world.ts";

const SILENT: Log = { info() {}, warn() {}, error() {}, debug() {}, child: () => SILENT };

interface Pending {
  readonly dueMs: number;
  readonly call: () => void;
}

/** A World for one part that is fed by hand: nobody can be reached, the disk is memory, time stands still until told. */
export class HostileWorld {
  nowMs = 1_800_000_000_000;
  readonly raft: MemoryRaftStore;
  readonly world: World;
  #soon: (() => void)[] = [];
  readonly #timers = new Set<Pending>();
  /** Tries to reach somebody: whoever is aside makes none. */
  dials = 0;

  constructor(raft: MemoryRaftStore) {
    this.raft = raft;
    const never = (): never => {
      throw new Error("this world has no such thing");
    };
    this.world = {
      clock: { wallMs: () => this.nowMs, monotonicMs: () => this.nowMs },
      timers: {
        after: (delayMs, call) => {
          const timer = { dueMs: this.nowMs + delayMs, call };
          this.#timers.add(timer);
          return { cancel: () => void this.#timers.delete(timer) };
        },
        soon: (call) => void this.#soon.push(call),
      },
      rng: seededRng(1),
      network: {
        bindDatagrams: never,
        listen: never,
        serveHttp: never,
        resolve: never,
        resolveServices: never,
        httpGet: never,
        connect: () => {
          this.dials += 1;
          return Promise.reject(new InputError("unreachable", "nobody is there"));
        },
      },
      disk: { openStore: never, openRaftStore: () => Promise.resolve(this.raft), readText: never },
      sha256,
      aead: { seal: never, open: never } as unknown as World["aead"],
      secretBytes: (length) => new Uint8Array(length).fill(7),
      log: SILENT,
    };
  }

  get timers(): number {
    return this.#timers.size;
  }

  /** Until nothing more follows from what was done; time stands still. */
  async settle(): Promise<void> {
    for (let idle = 0; idle < 4; ) {
      // Promises that wait for each other: a write's end is a few of them away.
      for (let i = 0; i < 8; i++) await Promise.resolve();
      const calls = this.#soon;
      this.#soon = [];
      idle = calls.length === 0 ? idle + 1 : 0;
      for (const call of calls) call();
    }
  }

  async pass(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(({ dueMs }) => dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs);
      if (!next) break;
      this.#timers.delete(next);
      this.nowMs = Math.max(this.nowMs, next.dueMs);
      next.call();
      await this.settle();
    }
    this.nowMs = untilMs;
  }
}

/** The other end of a link that is taken: bytes in by hand, bytes out kept. */
export class HostileStream implements Stream {
  readonly remote = { host: "10.9.9.9", port: 9 };
  queuedBytes = 0;
  readonly written: Uint8Array[] = [];
  isClosed = false;
  #handlers: StreamHandlers | null = null;

  open(handlers: StreamHandlers): void {
    this.#handlers = handlers;
  }

  send(bytes: Uint8Array): void {
    if (!this.isClosed) present(this.#handlers, "it was accepted").onData(bytes);
  }

  write(bytes: Uint8Array): void {
    if (!this.isClosed) this.written.push(bytes);
  }

  pause(): void {}

  close(): void {
    this.isClosed = true;
  }

  /** The caller hangs up. */
  hangUp(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    present(this.#handlers, "it was accepted").onClose("the caller hung up");
  }
}
