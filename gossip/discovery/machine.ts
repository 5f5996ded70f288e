import { assert, assertNever, present } from "../../src/kernel/assert.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import { type Endpoint, endpointKey } from "../wire/address.ts";

/** Seeds that are handed on. More are of no use: one that answers knows all members. Also the bound on what a hostile
 *  answer can make us connect to. */
export const SEEDS_MAX = 64;
/** The pause after a first failure; doubles from there. Longer: a pool whose registry comes up with it forms later.
 *  Shorter: a registry that is down hears more from each node. */
const RETRY_MS_MIN = 1_000;
/** Between two looks at a source that answers, and the longest pause after failures: a broken source gets no more questions
 *  than a sound one, and none is given up. Longer: who moved is found later. Shorter: more load on registry and DNS. */
const REFRESH_MS = 30_000;

export type AskId = number;
/** Addresses by preference, the best first: of too many, the last are dropped. */
export type Ranked = readonly (readonly Endpoint[])[];

export type DiscoveryEvent =
  /** Once, first. */
  | { readonly kind: "start" }
  /** A source named these; naming nobody is a failure. */
  | { readonly kind: "found"; readonly ask: AskId; readonly named: Ranked }
  | { readonly kind: "failed"; readonly ask: AskId; readonly reason: string }
  | { readonly kind: "timer"; readonly token: number };

export type DiscoveryEffect =
  /** To be answered once, by `found` or `failed` with the same id. */
  | { readonly kind: "ask"; readonly ask: AskId; readonly source: number }
  | { readonly kind: "set-timer"; readonly token: number; readonly delayMs: number }
  /** The list of seeds is another one now. */
  | { readonly kind: "seeds"; readonly seeds: readonly Endpoint[] }
  /** A source names others than before, or answers again. */
  | { readonly kind: "answered"; readonly source: number; readonly addresses: readonly Endpoint[] }
  /** A source fails, for another reason than the last time. */
  | { readonly kind: "unanswered"; readonly source: number; readonly reason: string; readonly kept: number };

/** How a source stands. */
export interface SourceView {
  readonly state: "idle" | "asking" | "found" | "failed";
  /** Since it last answered; null when it did then. */
  readonly lastError: string | null;
  /** Its last good answer, also while it fails. */
  readonly addresses: readonly Endpoint[];
  /** In the machine's time; null while it is being asked. */
  readonly nextTryMs: number | null;
  readonly answers: number;
  readonly failures: number;
}

interface Source {
  ask: AskId | null;
  token: number | null;
  nextTryMs: number | null;
  /** Failures in a row. */
  misses: number;
  lastError: string | null;
  addresses: readonly Endpoint[];
  answers: number;
  failures: number;
}

/** Where the first members are, asked of DNS and registries again and again: a cut of any length must end unattended. No
 *  clock, no sockets: events in, effects out. Total: late answers and stale timers yield no effects. */
export class Discovery {
  readonly #fixed: readonly Endpoint[];
  readonly #sources: readonly Source[];
  readonly #rng: Rng;
  #seedKeys: string;
  #lastId = 0;
  #nowMs = 0;
  #effects: DiscoveryEffect[] = [];

  /** @param fixed seeds that nobody has to be asked for; the host has them already
   *  @param sources how many there are to ask, by number from 0 */
  constructor(fixed: readonly Endpoint[], sources: number, rng: Rng) {
    this.#fixed = fixed;
    this.#rng = rng;
    this.#sources = Array.from({ length: sources }, () => ({
      ask: null,
      token: null,
      nextTryMs: null,
      misses: 0,
      lastError: null,
      addresses: [],
      answers: 0,
      failures: 0,
    }));
    this.#seedKeys = keysOf(this.#union());
  }

  step(event: DiscoveryEvent, nowMs: number): DiscoveryEffect[] {
    this.#nowMs = nowMs;
    switch (event.kind) {
      case "start":
        assert(this.#lastId === 0, "start is the first event and comes once");
        for (const source of this.#sources) this.#ask(source);
        break;
      case "timer":
        this.#timer(event.token);
        break;
      case "found":
        this.#found(event.ask, event.named);
        break;
      case "failed":
        this.#failed(event.ask, event.reason);
        break;
      default:
        assertNever(event);
    }
    return this.#effects.splice(0);
  }

  view(source: number): SourceView {
    const { ask, misses, lastError, addresses, nextTryMs, answers, failures } = this.#at(source);
    const state = ask !== null ? "asking" : misses > 0 ? "failed" : answers > 0 ? "found" : "idle";
    return { state, lastError, addresses, nextTryMs, answers, failures };
  }

  #at(source: number): Source {
    return present(this.#sources[source], "sources are known by their numbers");
  }

  #ask(source: Source): void {
    this.#lastId += 1;
    source.ask = this.#lastId;
    source.token = null;
    source.nextTryMs = null;
    this.#effects.push({ kind: "ask", ask: source.ask, source: this.#sources.indexOf(source) });
  }

  #timer(token: number): void {
    const source = this.#sources.find((one) => one.token === token);
    if (source) this.#ask(source);
  }

  #found(ask: AskId, named: Ranked): void {
    const source = this.#sources.find((one) => one.ask === ask);
    if (!source) return;
    const addresses = orderly(named);
    // An empty answer is what a registry gives that was just restarted, or that has lost us all behind a cut: forgetting
    // everybody then would be the end of finding them again.
    if (addresses.length === 0) {
      this.#failed(ask, "it names nobody");
      return;
    }
    const isNews = source.answers === 0 || source.misses > 0 || keysOf(addresses) !== keysOf(source.addresses);
    source.ask = null;
    source.answers += 1;
    source.misses = 0;
    source.lastError = null;
    source.addresses = addresses;
    if (isNews) this.#effects.push({ kind: "answered", source: this.#sources.indexOf(source), addresses });
    this.#wait(source, REFRESH_MS);
    this.#tellSeeds();
  }

  #failed(ask: AskId, reason: string): void {
    const source = this.#sources.find((one) => one.ask === ask);
    if (!source) return;
    const kept = source.addresses.length;
    if (source.lastError !== reason)
      this.#effects.push({ kind: "unanswered", source: this.#sources.indexOf(source), reason, kept });
    source.ask = null;
    source.failures += 1;
    source.lastError = reason;
    this.#wait(source, Math.min(REFRESH_MS, RETRY_MS_MIN * 2 ** Math.min(16, source.misses)));
    source.misses += 1;
  }

  /** Jittered downwards by up to a half: nodes that were started by one command ask at times of their own soon. */
  #wait(source: Source, ms: number): void {
    const delayMs = ms * (0.5 + 0.5 * this.#rng.unit());
    this.#lastId += 1;
    source.token = this.#lastId;
    source.nextTryMs = this.#nowMs + delayMs;
    this.#effects.push({ kind: "set-timer", token: source.token, delayMs });
  }

  #tellSeeds(): void {
    const seeds = this.#union();
    const keys = keysOf(seeds);
    if (keys === this.#seedKeys) return;
    this.#seedKeys = keys;
    this.#effects.push({ kind: "seeds", seeds });
  }

  /** What is written down first, then by source: a registry that names thousands pushes no other out. */
  #union(): readonly Endpoint[] {
    const all = new Map(this.#fixed.map((address) => [endpointKey(address), address]));
    const longest = Math.max(0, ...this.#sources.map(({ addresses }) => addresses.length));
    for (let rank = 0; rank < longest; rank++)
      for (const { addresses } of this.#sources) {
        const address = addresses[rank];
        if (address && !all.has(endpointKey(address))) all.set(endpointKey(address), address);
      }
    return [...all.values()].slice(0, SEEDS_MAX);
  }
}

/** Each once, at most SEEDS_MAX, and both which and their order the same whatever the order of the answer: DNS servers
 *  rotate theirs. */
function orderly(named: Ranked): readonly Endpoint[] {
  const unique = new Map<string, Endpoint>();
  for (const rank of named)
    for (const address of sorted(rank)) if (unique.size < SEEDS_MAX) unique.set(endpointKey(address), address);
  return sorted([...unique.values()]);
}

function sorted(addresses: readonly Endpoint[]): readonly Endpoint[] {
  return [...addresses].sort((a, b) => (endpointKey(a) < endpointKey(b) ? -1 : 1));
}

function keysOf(addresses: readonly Endpoint[]): string {
  return addresses.map(endpointKey).join("\n");
}
