import { assert } from "../../src/kernel/assert.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import { type Rng, seededRng } from "../../src/kernel/rng.ts";
import { sha256 } from "../../src/world/real.ts";
import { makeAead } from "../../src/world/real-aead.ts";
import type { Address, Log, World } from "../../src/world/world.ts";
import { SimDisk } from "./disk.ts";
import { guardThisTurn, installGuards, realSetImmediate } from "./guards.ts";
import { type ClientResponse, HttpExchange, type PlainRequest } from "./http.ts";
import { Core, type Death, Life, NodeClock } from "./life.ts";
import { Links } from "./links.ts";
import { Machine } from "./machine.ts";
import { LifeNetwork, Machines } from "./network.ts";
import { type Decision, PHASE_TIMERS } from "./scheduler.ts";
import { hashText, NOBODY, type TraceEvent } from "./trace.ts";

export interface NodeOptions {
  readonly name: string;
  readonly region: string;
  /** An address of its own is given when it has none. */
  readonly host?: string;
  readonly clock?: { readonly offsetMs?: number; readonly driftPpm?: number };
}

/** One run of a process on a machine, and what can be done to it. */
export interface SimNode {
  readonly world: World;
  readonly name: string;
  readonly host: string;
  readonly alive: boolean;
  /** Outlive the process: */
  readonly clock: NodeClock;
  readonly disk: SimDisk;
  /** Ends it here and now. Promises of its World never resolve, nothing calls it again. */
  crash(how?: Death): void;
  /** Its event loop does nothing for so long. */
  stall(ms: number): void;
  readonly stalled: boolean;
}

interface MachineParts {
  readonly machine: Machine;
  readonly disk: SimDisk;
}

/** A simulation: machines, the ways between them, virtual time. Everything that happens follows from the seed and from
 *  what `run` does; the trace hash says whether two runs were the same. */
export class SimKernel {
  readonly seed: number;
  readonly links: Links;
  readonly #core = new Core();
  readonly #rng: Rng;
  readonly #machines = new Machines();
  #nonces = 0;
  #secrets = 0;
  readonly #aead = makeAead(() => {
    const nonce = new Uint8Array(12);
    new DataView(nonce.buffer).setUint32(0, ++this.#nonces);
    return nonce;
  });
  readonly #parts = new Map<string, MachineParts>();
  #waiters: { readonly isMet: () => boolean; readonly resolve: () => void }[] = [];

  constructor(options: { readonly seed: number }) {
    this.seed = options.seed;
    this.#rng = seededRng(options.seed);
    this.links = new Links(this.#rng.fork());
  }

  /** Hears every event from now on. */
  set onEvent(hear: (event: TraceEvent) => void) {
    const names: (string | undefined)[] = [];
    this.#core.trace.onEvent = (index, event) => {
      if (index >= 0 && names[index] === undefined)
        for (const { machine } of this.#parts.values()) names[machine.index] = machine.name;
      hear({ ...event, node: names[index] ?? null });
    };
  }

  get nowMs(): number {
    return this.#core.scheduler.nowMs;
  }

  /** How many events there have been. */
  get events(): number {
    return this.#core.trace.events;
  }

  traceHash(): string {
    return this.#core.trace.hash();
  }

  /** Known to whoever knows the seed, and drawn from nobody's chance: what else happens stays as it is. */
  #secret(length: number): Uint8Array {
    assert(length <= 32, "secrets of the simulation are hashes");
    return sha256(utf8(`secret ${this.seed} ${++this.#secrets}`)).slice(0, length);
  }

  /** Starts a process: on a new machine, or on that of this name when its last process is dead. */
  makeWorld(options: NodeOptions): SimNode {
    const { machine, disk } = this.#parts.get(options.name) ?? this.#makeMachine(options);
    assert(machine.life === undefined, `${options.name} has a living process: crash it first`);
    const core = this.#core;
    const life = new Life(core, machine.name, machine.index, machine.clock);
    machine.life = life;
    machine.isUp = true;
    core.trace.record(this.nowMs, machine.index, "start", 0, options.name);
    const world: World = {
      clock: machine.clock,
      timers: life.timers,
      rng: this.#rng.fork(),
      network: new LifeNetwork(life, machine, this.#machines, this.links),
      disk: disk.of(life),
      sha256,
      aead: this.#aead,
      secretBytes: (length) => this.#secret(length),
      log: traceLog(life, {}),
    };
    return {
      world,
      name: machine.name,
      host: machine.host,
      clock: machine.clock,
      disk,
      get alive() {
        return life.alive;
      },
      crash: (how = "process") => {
        if (machine.life === life) machine.crash(how);
      },
      stall: (ms) => {
        if (life.alive) core.trace.record(this.nowMs, machine.index, "stall", 0, `${ms.toFixed(1)} ms`);
        life.stall(ms);
      },
      get stalled() {
        return life.alive && life.stalled;
      },
    };
  }

  #makeMachine({ name, region, host, clock: faults }: NodeOptions): MachineParts {
    const index = this.#parts.size;
    const bootMs = this.#rng.below(10_000_000);
    const clock = new NodeClock(this.#core.scheduler, bootMs, faults?.offsetMs ?? 0, faults?.driftPpm ?? 0);
    const address = host ?? `10.0.${index >> 8}.${index & 255}`;
    const machine = new Machine({ name, region, host: address, index, clock });
    const parts = { machine, disk: new SimDisk(this.#rng.fork()) };
    this.#machines.add(machine);
    this.#parts.set(name, parts);
    return parts;
  }

  /** Cuts regions or nodes off from each other (`EVERYONE`: from all), in both directions unless one way. */
  cut(from: string, to: string, options: { readonly oneWay?: boolean } = {}): void {
    const what = `cut ${from} ${to}${options.oneWay === true ? " one-way" : ""}`;
    this.#core.trace.record(this.nowMs, NOBODY, "network", hashText(`${from} ${to}`), what);
    this.links.cutOneWay(from, to);
    if (options.oneWay !== true) this.links.cutOneWay(to, from);
  }

  /** Puts what was done to a node (or to all), or found, on record. */
  note(kind: "fault" | "violation", text: string, name?: string): void {
    const machine = name === undefined ? undefined : this.#parts.get(name)?.machine;
    this.#core.trace.record(this.nowMs, machine?.index ?? NOBODY, kind, 0, text);
  }

  /** Heals what was cut by these names, or everything. */
  heal(...names: [] | [string, string]): void {
    this.#core.trace.record(this.nowMs, NOBODY, "network", hashText(names.join(" ")), `heal ${names.join(" ")}`);
    this.links.heal(names.length === 0 ? undefined : names);
  }

  /** A client's request from a region (the node's own by default). Rejects when refused, reset, or when nothing is heard
   *  for `timeoutMs` (30 s by default); the request may have been carried out all the same. */
  httpFetch(
    to: Address,
    request: Request | PlainRequest,
    options: { readonly from?: string; readonly timeoutMs?: number } = {},
  ): Promise<ClientResponse> {
    const target = this.#machines.find(to.host);
    if (target === undefined) return Promise.reject(new Error(`no machine has the address ${to.host}`));
    const from = { name: "client", region: options.from ?? target.region };
    return new HttpExchange(this.#core, this.links, from, target, to, options.timeoutMs ?? 30_000).start(request);
  }

  /** Virtual time passes. For clients, in `run`. */
  sleep(ms: number): Promise<void> {
    const { scheduler } = this.#core;
    return new Promise((resolve) => {
      scheduler.at(scheduler.nowMs + ms, PHASE_TIMERS, () => this.#core.call(undefined, "timer", 0, resolve));
    });
  }

  /** Waits until something holds; asked after every event. Rejects after `withinMs`. */
  until(isMet: () => boolean, withinMs: number, what = String(isMet)): Promise<void> {
    const { scheduler } = this.#core;
    return new Promise((resolve, reject) => {
      const waiter = { isMet, resolve: () => settle(resolve) };
      const giveUp = (): void => settle(() => reject(new Error(`not within ${withinMs} ms: ${what}`)));
      const timeout = scheduler.at(scheduler.nowMs + withinMs, PHASE_TIMERS, () =>
        this.#core.call(undefined, "timer", 0, giveUp),
      );
      const settle = (how: () => void): void => {
        scheduler.cancel(timeout);
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        how();
      };
      this.#waiters.push(waiter);
    });
  }

  /** Lets the simulation go on until `body` has ended, and gives its result. `body` waits with `sleep`, `until` and
   *  `httpFetch`. While it runs, real time and chance throw. Rejects when a node throws and nobody catches it. */
  async run<T>(body: () => Promise<T>): Promise<T> {
    await new Promise((resolve) => realSetImmediate(resolve)); // a turn of our own: the caller's is not simulated
    const removeGuards = installGuards();
    guardThisTurn(true);
    const core = this.#core;
    const onRejection = (error: unknown): void => core.fail(error);
    process.on("unhandledRejection", onRejection);
    let outcome: { readonly value: T } | { readonly error: unknown } | undefined;
    body().then(
      (value) => {
        outcome = { value };
      },
      (error: unknown) => {
        outcome = { error };
      },
    );
    try {
      await core.scheduler.run(() => this.#decide(outcome !== undefined));
    } finally {
      process.off("unhandledRejection", onRejection);
      removeGuards();
    }
    assert(outcome !== undefined, "a run ends when its body has");
    if ("error" in outcome) throw outcome.error;
    return outcome.value;
  }

  runFor(ms: number): Promise<void> {
    return this.run(() => this.sleep(ms));
  }

  #decide(isOver: boolean): Decision {
    const { failure } = this.#core;
    if (failure !== undefined) {
      this.#core.failure = undefined;
      throw new Error(this.report(failure.life?.name, String(failure.error)), { cause: failure.error });
    }
    if (isOver) return "stop";
    if (this.#waiters.length === 0) return "go on";
    const met = this.#waiters.filter((waiter) => waiter.isMet());
    for (const waiter of met) waiter.resolve();
    return met.length > 0 ? "drain" : "go on";
  }

  /** What a failing run prints: seed, time, the last events of a node (or of all). */
  report(name: string | undefined, message: string): string {
    const lines = [`seed ${this.seed}, at ${this.nowMs} ms${name === undefined ? "" : `, ${name}`}: ${message}`];
    for (const { machine } of this.#parts.values()) {
      if (name !== undefined && machine.name !== name) continue;
      lines.push(`last events of ${machine.name}:`, ...this.#core.trace.lines(machine.index).slice(-20));
    }
    return lines.join("\n");
  }
}

/** Log lines are events of the trace like any other. */
function traceLog(life: Life, bound: Record<string, unknown>): Log {
  const { core, index } = life;
  const line = (level: string) => (event: string, fields?: Record<string, unknown>) => {
    const detail = { level, event, ...bound, ...fields };
    core.trace.record(core.scheduler.nowMs, index, "log", hashText(level + event), detail);
  };
  return {
    info: line("info"),
    warn: line("warn"),
    error: line("error"),
    debug: line("debug"),
    child: (fields) => traceLog(life, { ...bound, ...fields }),
  };
}
