import { present } from "../../src/kernel/assert.ts";
import { EMPTY_BYTES } from "../../src/kernel/bytes.ts";
import { fnv1a, type Sha256 } from "../../src/kernel/hashing.ts";
import { type Rng, seededRng } from "../../src/kernel/rng.ts";
import type { Endpoint } from "../wire/address.ts";
import type { Message, NodeState } from "../wire/messages.ts";
import { PACKET_BYTES } from "../wire/packet.ts";
import type { PushPull, StreamMessage } from "../wire/stream.ts";
import { Agenda, Order } from "./agenda.test-kit.ts";
import { Swim } from "./machine.ts";
import { incarnationOfStart, LAN, type Profile } from "./profile.ts";
import type { Effect, MemberEvent, MemberState, SwimEvent, TimerToken } from "./protocol.ts";

export interface PoolOptions {
  readonly seed: number;
  readonly profile?: Partial<Profile>;
  /** Of datagrams, each way. */
  readonly lossPercent?: number;
  /** Tags besides the actor. */
  readonly metaOf?: (name: string) => Readonly<Record<string, string>>;
  /** What of a packet really leaves the sender; all of it, unless told. */
  readonly sends?: (messages: readonly Message[], from: string, to: string) => readonly Message[];
  /** Sees what is put on the wire, lost or not. */
  readonly meter?: PoolMeter;
  /** For hashes of tables; null as agents are, who know none. */
  readonly sha256?: Sha256 | null;
}

export interface PoolMeter {
  packet(from: string, messages: readonly Message[], crc: boolean): void;
  stream(from: string, message: StreamMessage): void;
}

export interface StartOptions {
  readonly seeds?: readonly string[];
  readonly address?: Endpoint;
  readonly meta?: Readonly<Record<string, string>>;
  /** Where this one differs from the pool. */
  readonly profile?: Partial<Profile>;
  readonly membersMax?: number;
  readonly sha256?: Sha256 | null;
}

interface Life {
  readonly name: string;
  readonly address: Endpoint;
  readonly swim: Swim;
  up: boolean;
  stalledUntilMs: number;
  /** Until then nothing gets into it or out of it, though its timers fire. */
  cloggedUntilMs: number;
}

type OpenStream = Extract<Effect, { kind: "open-stream" }>;
type Send = Extract<Effect, { kind: "send" }>;

/** 2027-01-01T00:00Z. */
const WALL_AT_START_MS = 1_798_761_600_000;
const NOTHING_KNOWN: PushPull = { type: "push-pull", join: false, nodes: [], userState: EMPTY_BYTES };
/** No stream of the pool's has it. */
const NO_STREAM = 0;

/** In place of SHA-256, which pure folders don't have: nobody forges hashes here. */
export const kitHash: Sha256 = (bytes) => {
  const hash = new Uint8Array(32);
  new DataView(hash.buffer).setUint32(0, fnv1a(bytes));
  return hash;
};

/** Many bare machines in virtual time, with losses, cuts, crashes and stalls. The same seed gives the same run. */
export class Pool {
  nowMs = 0;
  steps = 0;
  /** With false no stream connects: neither TCP pings nor push/pull save anybody. */
  streams = true;
  readonly log: { readonly atMs: number; readonly by: string; readonly event: MemberEvent }[] = [];
  readonly #options: PoolOptions;
  readonly #profile: { -readonly [Knob in keyof Profile]: Profile[Knob] };
  readonly #rng: Rng;
  readonly #agenda = new Agenda();
  readonly #lives = new Map<string, Life>();
  /** By host alone: nobody shares one here, and the whole address would have to be written down for each packet. */
  readonly #byHost = new Map<string, Life>();
  #lossPercent: number;
  #filling = false;
  #isCut: ((a: string, b: string) => boolean) | undefined;
  #lastStream = NO_STREAM;
  readonly #asked = new Map<number, (reply: SwimEvent) => void>();

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#profile = { ...LAN, ...options.profile };
    this.#lossPercent = options.lossPercent ?? 0;
    this.#rng = seededRng(options.seed);
  }

  /** Starts a member, or starts it again. */
  start(name: string, options: StartOptions = {}): void {
    const before = this.#lives.get(name);
    const address = options.address ?? before?.address ?? addressOf(this.#lives.size + 1);
    const startMs = WALL_AT_START_MS + this.nowMs;
    const actor = `${name}@${startMs.toString(36)}.00000000`;
    const meta = new Map(Object.entries({ actor, ...this.#options.metaOf?.(name), ...options.meta }));
    const profile = options.profile ? { ...this.#profile, ...options.profile } : this.#profile;
    const config = { profile, packetBytes: 1390, membersMax: options.membersMax ?? 8192 };
    const standard = this.#options.sha256 === undefined ? kitHash : this.#options.sha256;
    const hash = options.sha256 === undefined ? standard : options.sha256;
    const self = { name, address, meta, incarnation: incarnationOfStart(startMs) };
    const swim = new Swim(hash ? { ...config, sha256: hash } : config, self, this.#rng.fork());
    const life = { name, address, swim, up: true, stalledUntilMs: 0, cloggedUntilMs: 0 };
    this.#lives.set(name, life);
    this.#byHost.set(address.host, life);
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

  /** As `settled`, for many members: nobody joins, each is handed the whole table. */
  static full(count: number, options: PoolOptions, seeds: readonly string[] = ["n0"]): Pool {
    const pool = new Pool(options);
    for (let i = 0; i < count; i++) pool.start(`n${i}`);
    const { names } = pool;
    pool.fill(() => names);
    for (const life of pool.#lives.values())
      pool.#step(life, { kind: "join", seeds: seeds.map((seed) => pool.addressOf(seed)) });
    return pool;
  }

  /** Hands each member the rows of those that it is to know, and waits until nobody has news left. Meanwhile nothing is
   *  lost, and news goes out once and gets nowhere: what so many arrivals at once have to say, and all know, would keep a
   *  large pool busy for minutes. */
  fill(known: (name: string) => readonly string[]): void {
    const { retransmitMultiplier } = this.#profile;
    const lossPercent = this.#lossPercent;
    this.#filling = true;
    this.#profile.retransmitMultiplier = 0;
    this.#lossPercent = 0;
    const rows = new Map([...this.#lives.values()].map((life) => [life.name, this.#rowOf(life)]));
    for (const life of this.#lives.values()) {
      const nodes = known(life.name).map((name) => present(rows.get(name), `${name} was started`));
      this.#step(life, { kind: "stream-request", id: NO_STREAM, message: { ...NOTHING_KNOWN, nodes } });
    }
    const isQuiet = (life: Life): boolean => life.swim.sizes().queued === 0;
    this.until(() => [...this.#lives.values()].every(isQuiet), 300_000, "nobody has news left");
    this.#profile.retransmitMultiplier = retransmitMultiplier;
    this.#lossPercent = lossPercent;
    this.#filling = false;
    this.log.length = 0;
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
    if (this.#byHost.get(life.address.host) === life) this.#byHost.delete(life.address.host);
  }

  leave(name: string): void {
    this.#step(this.#life(name), { kind: "leave" });
  }

  /** Its event loop does nothing for so long; then it acts as the driver does (LateTimers). */
  stall(name: string, ms: number): void {
    this.#life(name).stalledUntilMs = this.nowMs + ms;
  }

  /** What it sends and what it is sent waits for so long while its timers fire on time: the slow message processing that
   *  Lifeguard was made for, which no timer that fires late betrays. */
  clog(name: string, ms: number): void {
    this.#life(name).cloggedUntilMs = this.nowMs + ms;
  }

  cut(isCut: (a: string, b: string) => boolean): void {
    this.#isCut = isCut;
  }

  heal(): void {
    this.#isCut = undefined;
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

  /** What it says of itself, as it would answer one that joins. */
  #rowOf(life: Life): NodeState {
    const request = { kind: "stream-request", id: NO_STREAM, message: NOTHING_KNOWN } as const;
    const [answer] = life.swim.step(request, this.nowMs);
    const nodes = answer?.kind === "reply" && answer.message.type === "push-pull" ? answer.message.nodes : [];
    return present(
      nodes.find(({ node }) => node === life.name),
      "a member's table has its own row",
    );
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
      if (id === NO_STREAM) return;
      this.#options.meter?.stream(life.name, message);
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

  #arrive(to: Endpoint, event: SwimEvent): void {
    const life = this.#byHost.get(to.host);
    if (!life) return;
    const readsFromMs = Math.max(life.stalledUntilMs, life.cloggedUntilMs);
    if (readsFromMs <= this.nowMs) this.#step(life, event);
    else this.#agenda.at(readsFromMs, () => this.#step(life, event), Order.latePacket);
  }

  #send(life: Life, { to, messages, crc }: Send): void {
    const { sends, meter } = this.#options;
    const target = this.#byHost.get(to.host);
    if (this.#filling && messages[0]?.type === "alive") return;
    const sent = sends && target ? sends(messages, life.name, target.name) : messages;
    meter?.packet(life.name, sent, crc);
    if (this.#rng.unit() * 100 < this.#lossPercent || !target || this.#isCut?.(life.name, target.name)) return;
    const roomBytes = PACKET_BYTES; // nobody forges senders here
    const event = { kind: "packet", from: life.address, messages: sent, roomBytes } as const;
    this.#agenda.at(this.#leavesAtMs(life) + this.#delayMs(), () => this.#arrive(to, event));
  }

  #leavesAtMs(life: Life): number {
    return Math.max(this.nowMs, life.cloggedUntilMs);
  }

  #delayMs(): number {
    return 0.2 + this.#rng.unit() * 5;
  }

  #openStream(life: Life, { id: ownId, to, message, timeoutMs }: OpenStream): void {
    this.#lastStream += 1;
    const id = this.#lastStream;
    const end = (event: SwimEvent): void => {
      if (this.#asked.delete(id)) this.#arrive(life.address, { ...event, id: ownId } as SwimEvent);
    };
    this.#asked.set(id, end);
    this.#agenda.at(this.nowMs + timeoutMs, () => end({ kind: "stream-failed", id, reason: "no answer in time" }));
    const target = this.#byHost.get(to.host);
    if (!this.streams || (target && this.#isCut?.(life.name, target.name))) return;
    this.#options.meter?.stream(life.name, message);
    this.#agenda.at(this.#leavesAtMs(life) + 2 * this.#delayMs(), () => {
      if (target?.up) this.#arrive(to, { kind: "stream-request", id, message });
      else end({ kind: "stream-failed", id, reason: "refused" });
    });
  }
}

function addressOf(n: number): Endpoint {
  return { host: `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`, port: 7946 };
}
