import { Swim } from "../../gossip/swim/machine.ts";
import { incarnationOfStart, LAN, type Profile } from "../../gossip/swim/profile.ts";
import type { Effect, MemberEvent, MemberState, SwimEvent, TimerToken } from "../../gossip/swim/protocol.ts";
import { type Endpoint, endpointKey } from "../../gossip/wire/address.ts";
import { PACKET_BYTES } from "../../gossip/wire/packet.ts";
import { present } from "../../src/kernel/assert.ts";
import { type Rng, seededRng } from "../../src/kernel/rng.ts";
import { actor } from "./one-member.ts";

export interface PoolOptions {
  readonly seed: number;
  readonly profile?: Partial<Profile>;
  /** Of datagrams, each way. */
  readonly lossPercent?: number;
}

interface Life {
  readonly name: string;
  readonly address: Endpoint;
  readonly swim: Swim;
  readonly startMs: number;
  up: boolean;
  stalledUntilMs: number;
}

type OpenStream = Extract<Effect, { kind: "open-stream" }>;

const WALL_AT_START_MS = Date.UTC(2027, 0, 1);

/** Many bare machines in virtual time, with losses, cuts, crashes and stalls. The same seed gives the same run. */
export class Pool {
  nowMs = 0;
  steps = 0;
  /** With false no stream connects: neither TCP pings nor push/pull save anybody. */
  streams = true;
  readonly log: { readonly atMs: number; readonly by: string; readonly event: MemberEvent }[] = [];
  readonly #options: PoolOptions;
  readonly #profile: Profile;
  readonly #rng: Rng;
  readonly #agenda = new Agenda();
  readonly #lives = new Map<string, Life>();
  readonly #byAddress = new Map<string, Life>();
  #isCut: (a: string, b: string) => boolean = () => false;
  #lastStream = 0;
  readonly #asked = new Map<number, (reply: SwimEvent) => void>();

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#profile = { ...LAN, ...options.profile };
    this.#rng = seededRng(options.seed);
  }

  /** Starts a member, or starts it again. */
  start(
    name: string,
    options: { seeds?: readonly string[]; address?: Endpoint; meta?: Record<string, string> } = {},
  ): void {
    const before = this.#lives.get(name);
    const address = options.address ?? before?.address ?? addressOf(this.#lives.size + 1);
    const startMs = WALL_AT_START_MS + this.nowMs;
    const meta = new Map(Object.entries({ actor: actor(name, startMs), ...options.meta }));
    const config = { profile: this.#profile, packetBytes: 1390, membersMax: 8192 };
    const self = { name, address, meta, incarnation: incarnationOfStart(startMs) };
    const swim = new Swim(config, self, this.#rng.fork());
    const life = { name, address, swim, startMs: this.nowMs, up: true, stalledUntilMs: 0 };
    this.#lives.set(name, life);
    this.#byAddress.set(endpointKey(address), life);
    this.#step(life, { kind: "start" });
    const seeds = (options.seeds ?? []).map((seed) => this.addressOf(seed));
    this.#step(life, { kind: "join", seeds });
  }

  /** `n0` … join `n0` and each other, and all know all when this returns. */
  static settled(count: number, options: PoolOptions, seeds: readonly string[] = ["n0"]): Pool {
    const pool = new Pool(options);
    for (let i = 0; i < count; i++) pool.start(`n${i}`, { seeds: seeds.slice(0, i) });
    pool.until(() => pool.everyoneSees("alive"), 60_000, "all know all");
    return pool;
  }

  addressOf(name: string): Endpoint {
    return this.#life(name).address;
  }

  swim(name: string): Swim {
    return this.#life(name).swim;
  }

  get names(): string[] {
    return [...this.#lives.keys()];
  }

  get upNames(): string[] {
    return this.names.filter((name) => this.#life(name).up);
  }

  crash(name: string): void {
    const life = this.#life(name);
    life.up = false;
    if (this.#byAddress.get(endpointKey(life.address)) === life) this.#byAddress.delete(endpointKey(life.address));
  }

  leave(name: string): void {
    this.#step(this.#life(name), { kind: "leave" });
  }

  /** Its event loop does nothing for so long; then it acts as the driver does (LateTimers). */
  stall(name: string, ms: number): void {
    this.#life(name).stalledUntilMs = this.nowMs + ms;
  }

  cut(isCut: (a: string, b: string) => boolean): void {
    this.#isCut = isCut;
  }

  heal(): void {
    this.#isCut = () => false;
  }

  run(ms: number): void {
    const endMs = this.nowMs + ms;
    for (let next = this.#agenda.next(endMs); next; next = this.#agenda.next(endMs)) {
      this.nowMs = next.atMs;
      next.call();
    }
    this.nowMs = endMs;
  }

  /** How long it took. */
  until(isMet: () => boolean, withinMs: number, what: string): number {
    const startMs = this.nowMs;
    while (!isMet()) {
      if (this.nowMs - startMs > withinMs)
        throw new Error(`seed ${this.#options.seed}: not within ${withinMs} ms: ${what}`);
      this.run(100);
    }
    return this.nowMs - startMs;
  }

  /** True when all who are up see all of `whom` (all names) in this state. */
  everyoneSees(state: MemberState, whom: readonly string[] = this.names): boolean {
    return this.upNames.every((by) => whom.every((name) => this.swim(by).member(name)?.state === state));
  }

  events(kind: MemberEvent["kind"], about?: string): typeof this.log {
    return this.log.filter(({ event }) => event.kind === kind && (about === undefined || event.name === about));
  }

  #life(name: string): Life {
    return present(this.#lives.get(name), `${name} was started`);
  }

  #step(life: Life, event: SwimEvent): void {
    if (!life.up) return;
    this.steps += 1;
    for (const effect of life.swim.step(event, this.nowMs)) this.#perform(life, effect);
  }

  #perform(life: Life, effect: Effect): void {
    if (effect.kind === "set-timer") this.#setTimer(life, effect.token, effect.delayMs);
    else if (effect.kind === "send") this.#send(life, effect);
    else if (effect.kind === "open-stream") this.#openStream(life, effect);
    else if (effect.kind === "notify") this.log.push({ atMs: this.nowMs, by: life.name, event: effect.event });
    else if (effect.kind === "reply") {
      const { id, message } = effect;
      this.#asked.get(id)?.({ kind: "stream-reply", id, remote: life.address, message });
    } else if (effect.kind === "close-stream") {
      this.#asked.get(effect.id)?.({ kind: "stream-failed", id: effect.id, reason: "closed" });
    }
  }

  /** A timer that becomes due in a stall is late: the machine is told of the stall, what waited in the sockets comes in,
   *  then the timer fires. */
  #setTimer(life: Life, token: TimerToken, delayMs: number): void {
    const dueMs = this.nowMs + delayMs;
    this.#agenda.at(dueMs, () => {
      if (life.stalledUntilMs <= this.nowMs) this.#step(life, { kind: "timer", token });
      else this.#wakeLate(life, dueMs, token);
    });
  }

  readonly #stallTold = new Map<Life, number>();

  #wakeLate(life: Life, dueMs: number, token: TimerToken): void {
    const wakeMs = life.stalledUntilMs;
    if (this.#stallTold.get(life) !== wakeMs) {
      this.#stallTold.set(life, wakeMs);
      this.#agenda.at(wakeMs, () => this.#step(life, { kind: "stalled", byMs: wakeMs - dueMs }), Order.stalled);
    }
    this.#agenda.at(wakeMs, () => this.#step(life, { kind: "timer", token }), Order.lateTimer);
  }

  #arrive(to: Endpoint, event: (life: Life) => SwimEvent): void {
    const life = this.#byAddress.get(endpointKey(to));
    if (!life) return;
    if (life.stalledUntilMs <= this.nowMs) this.#step(life, event(life));
    else this.#agenda.at(life.stalledUntilMs, () => this.#step(life, event(life)), Order.latePacket);
  }

  #send(life: Life, { to, messages }: Extract<Effect, { kind: "send" }>): void {
    if (this.#lost(life, to)) return;
    const from = life.address;
    const roomBytes = PACKET_BYTES; // nobody forges senders here
    this.#agenda.at(this.nowMs + this.#delayMs(), () =>
      this.#arrive(to, () => ({ kind: "packet", from, messages, roomBytes })),
    );
  }

  #lost(life: Life, to: Endpoint): boolean {
    const target = this.#byAddress.get(endpointKey(to));
    if (this.#rng.unit() * 100 < (this.#options.lossPercent ?? 0)) return true;
    return !target || this.#isCut(life.name, target.name);
  }

  #delayMs(): number {
    return 0.2 + this.#rng.unit() * 5;
  }

  #openStream(life: Life, { id: ownId, to, message, timeoutMs }: OpenStream): void {
    this.#lastStream += 1;
    const id = this.#lastStream;
    const end = (event: SwimEvent): void => {
      if (!this.#asked.delete(id)) return;
      this.#arrive(life.address, () => ({ ...event, id: ownId }) as SwimEvent);
    };
    this.#asked.set(id, end);
    this.#agenda.at(this.nowMs + timeoutMs, () => end({ kind: "stream-failed", id, reason: "no answer in time" }));
    const target = this.#byAddress.get(endpointKey(to));
    if (!this.streams || (target && this.#isCut(life.name, target.name))) return;
    this.#agenda.at(this.nowMs + 2 * this.#delayMs(), () => {
      if (target?.up) this.#arrive(to, () => ({ kind: "stream-request", id, message }));
      else end({ kind: "stream-failed", id, reason: "refused" });
    });
  }
}

function addressOf(n: number): Endpoint {
  return { host: `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`, port: 7946 };
}

/** At the same moment: ordinary things in the order in which they were planned, then what a stall held back. */
const Order = { normal: 0, stalled: 1, latePacket: 2, lateTimer: 3 } as const;

interface Item {
  readonly atMs: number;
  readonly order: number;
  readonly serial: number;
  readonly call: () => void;
}

/** A binary heap. */
class Agenda {
  readonly #items: Item[] = [];
  #serial = 0;

  at(atMs: number, call: () => void, order: number = Order.normal): void {
    this.#serial += 1;
    const item = { atMs, order, serial: this.#serial, call };
    let i = this.#items.push(item) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (isBefore(this.#items[parent] as Item, item)) break;
      this.#items[i] = this.#items[parent] as Item;
      i = parent;
    }
    this.#items[i] = item;
  }

  next(endMs: number): Item | undefined {
    const first = this.#items[0];
    if (!first || first.atMs > endMs) return undefined;
    const last = this.#items.pop() as Item;
    if (this.#items.length > 0) this.#sink(last);
    return first;
  }

  #sink(item: Item): void {
    const size = this.#items.length;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= size) break;
      if (child + 1 < size && isBefore(this.#items[child + 1] as Item, this.#items[child] as Item)) child += 1;
      if (isBefore(item, this.#items[child] as Item)) break;
      this.#items[i] = this.#items[child] as Item;
      i = child;
    }
    this.#items[i] = item;
  }
}

function isBefore(a: Item, b: Item): boolean {
  return a.atMs !== b.atMs ? a.atMs < b.atMs : a.order !== b.order ? a.order < b.order : a.serial < b.serial;
}
