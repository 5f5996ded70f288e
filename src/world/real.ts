import { hash, randomBytes } from "node:crypto";
import { open } from "node:fs/promises";
import { assert } from "../kernel/assert.ts";
import type { Rng } from "../kernel/rng.ts";
import { seededRng } from "../kernel/rng.ts";
import { makeAead } from "./real-aead.ts";
import { bindRealDatagrams } from "./real-datagrams.ts";
import { resolveReal, resolveRealServices } from "./real-dns.ts";
import { getReal } from "./real-get.ts";
import { serveRealHttp } from "./real-http.ts";
import { connectReal, listenReal } from "./real-streams.ts";
import type { Clock, Disk, Log, Timer, Timers, World } from "./world.ts";

/** The machine we run on. What a node may use of Node.js besides is in the `real-*` files here and in storage/sqlite. */
export function makeRealWorld(parts: { readonly log: Log }): World {
  const { log } = parts;
  return {
    clock,
    timers,
    rng: systemRng(),
    network: {
      bindDatagrams: (local, onPacket) => bindRealDatagrams(local, onPacket, log),
      listen: (local, onStream) => listenReal(local, onStream, log),
      connect: connectReal,
      serveHttp: (local, handler, limits) => serveRealHttp(local, handler, limits, log),
      resolve: resolveReal,
      resolveServices: resolveRealServices,
      httpGet: getReal,
    },
    disk,
    sha256,
    aead: makeAead(() => randomBytes(12)),
    secretBytes: (length) => new Uint8Array(randomBytes(length)),
    log,
  };
}

const SHA256_BYTES = 32;

// By way of a string: a Buffer for each hash has memory outside the heap, whose making and collecting take longer than
// the hash (measured: 1.2 to 2.4 µs instead of 0.6).
export function sha256(bytes: Uint8Array): Uint8Array {
  const text = hash("sha256", bytes, "binary");
  const out = new Uint8Array(SHA256_BYTES);
  for (let i = 0; i < SHA256_BYTES; i++) out[i] = text.charCodeAt(i);
  return out;
}

const clock: Clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() };

/** setTimeout takes 32 bits; more would fire at once. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

const timers: Timers = {
  after(delayMs: number, call: () => void): Timer {
    assert(delayMs >= 0, "a timer's delay is a number that is not negative");
    const dueMs = performance.now() + delayMs;
    let handle: NodeJS.Timeout;
    // libuv counts in whole ms of its loop's time, so a timeout may fire a fraction early: ask again.
    const wait = (): void => {
      const leftMs = dueMs - performance.now();
      if (leftMs <= 0) call();
      else handle = setTimeout(wait, Math.min(Math.ceil(leftMs), TIMEOUT_MS_MAX));
    };
    handle = setTimeout(wait, Math.min(Math.ceil(delayMs), TIMEOUT_MS_MAX));
    return { cancel: () => clearTimeout(handle) };
  },
  soon(call: () => void): void {
    setImmediate(call);
  },
};

const disk: Disk = {
  // Loaded when needed: the CLI and tests of the network have no use for SQLite's native part.
  async openStore(dataDir: string) {
    const { openSqliteStore } = await import("../storage/sqlite.ts");
    return openSqliteStore({ dataDir, nowMs: clock.wallMs });
  },
  async openRaftStore(dataDir: string) {
    const { openSqliteRaft } = await import("../storage/sqlite-raft.ts");
    return openSqliteRaft(dataDir);
  },
  async readText(path: string, bytesMax: number) {
    const file = await open(path).catch((error: NodeJS.ErrnoException) => {
      throw new Error(`cannot read ${path}: ${error.code ?? error.message}`);
    });
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(bytesMax + 1), 0, bytesMax + 1, 0);
      if (bytesRead > bytesMax) throw new Error(`${path} has more than ${bytesMax} bytes`);
      return buffer.toString("utf8", 0, bytesRead);
    } finally {
      await file.close();
    }
  },
};

function systemRng(): Rng {
  const seed = randomBytes(8);
  return seededRng(seed.readUInt32LE(0) + (seed.readUInt32LE(4) % 2 ** 21) * 2 ** 32);
}
