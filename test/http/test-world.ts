import { createHash } from "node:crypto";
import type { HttpDeps } from "../../src/http/deps.ts";
import { seededRng } from "../../src/kernel/rng.ts";
import type { Log, Timer } from "../../src/world/world.ts";

/** A World whose time passes only when a test says so. */
export interface TestWorld {
  readonly world: HttpDeps["world"];
  readonly logged: { readonly level: string; readonly event: string; readonly fields: Record<string, unknown> }[];
  nowMs: number;
  /** Timers that are set. */
  readonly timers: number;
  /** Lets time pass and fires what falls due, in order. */
  advance(ms: number): void;
}

export function makeTestWorld(seed = 1): TestWorld {
  const pending = new Set<{ dueMs: number; call: () => void }>();
  const logged: TestWorld["logged"] = [];
  const log = (base: Record<string, unknown>): Log => {
    const at =
      (level: string) =>
      (event: string, fields: Record<string, unknown> = {}): void => {
        logged.push({ level, event, fields: { ...base, ...fields } });
      };
    return {
      info: at("info"),
      warn: at("warn"),
      error: at("error"),
      debug: at("debug"),
      child: (fields) => log({ ...base, ...fields }),
    };
  };
  let secrets = 0;
  const after = (delayMs: number, call: () => void): Timer => {
    const timer = { dueMs: test.nowMs + delayMs, call };
    pending.add(timer);
    return { cancel: () => pending.delete(timer) };
  };
  const test: TestWorld = {
    nowMs: 1_700_000_000_000,
    logged,
    get timers() {
      return pending.size;
    },
    advance(ms) {
      const end = test.nowMs + ms;
      for (;;) {
        const [next] = [...pending].filter(({ dueMs }) => dueMs <= end).sort((a, b) => a.dueMs - b.dueMs);
        if (!next) break;
        pending.delete(next);
        test.nowMs = next.dueMs;
        next.call();
      }
      test.nowMs = end;
    },
    world: {
      clock: { wallMs: () => test.nowMs, monotonicMs: () => test.nowMs - 1_600_000_000_000 },
      timers: { after, soon: (call) => void after(0, call) },
      rng: seededRng(seed),
      sha256: (bytes) => new Uint8Array(createHash("sha256").update(bytes).digest()),
      log: log({}),
      secretBytes: (length) =>
        new Uint8Array(createHash("sha512").update(`secret ${seed} ${++secrets}`).digest()).slice(0, length),
    },
  };
  return test;
}
