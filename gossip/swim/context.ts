import { assert } from "../../src/kernel/assert.ts";
import { parseActorId, startOfActor } from "../../src/kernel/ids.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import { type Endpoint, sameEndpoint } from "../wire/address.ts";
import { type Ack, type Alive, encodeMessage, type Message } from "../wire/messages.ts";
import { COMPOUND_PART_BYTES } from "../wire/packet.ts";
import { encodeCoordinate } from "../wire/serf.ts";
import { decodeTags, encodeTags } from "../wire/tags.ts";
import { Awareness } from "./awareness.ts";
import { BroadcastQueue } from "./broadcasts.ts";
import { contactOf, contactTag } from "./contact.ts";
import { Vivaldi } from "./coordinate.ts";
import { type MemberRecord, MemberTable } from "./member-table.ts";
import { type Profile, retransmitLimit } from "./profile.ts";
import type { Effect, MemberEvent, StreamId, SwimConfig, SwimCounts, SwimSelf, TimerToken } from "./protocol.ts";
import { DIGEST_TAG, DIGEST_WAY } from "./table-digest.ts";

/** memberlist's protocol 1–5, of which we speak 2 (as serf does), and serf's delegate protocol 2–5. */
const VSN = Uint8Array.of(1, 5, 2, 2, 5, 4);
/** From these protocols on a member answers pings on TCP, says "no answer" as a relay, and reads checksums. */
const TCP_PING_PROTOCOL = 3;
const NACK_PROTOCOL = 4;
const CRC_PROTOCOL = 5;

/** What strangers' packets make us send at most: to send is what costs most in a flood. Fewer: who joins and isn't known here
 *  yet is answered with its next question only, or when a member has told of it. */
const STRANGER_PACKETS_PER_SECOND = 256;

/** What a timer was for. */
export type Purpose =
  | { readonly kind: "probe-tick" }
  | { readonly kind: "probe-timeout"; readonly seq: number }
  | { readonly kind: "suspicion"; readonly name: string }
  | { readonly kind: "gossip" }
  | { readonly kind: "push-pull" }
  | { readonly kind: "seeds" }
  | { readonly kind: "reconnect" }
  | { readonly kind: "relay"; readonly seq: number }
  | { readonly kind: "claim"; readonly name: string }
  | { readonly kind: "leave-intent" }
  | { readonly kind: "leave" }
  | { readonly kind: "key-query"; readonly query: number };

/** What the parts of the machine share: the time of this step, the table, the queue, and the effects that a step
 *  gathers. */
export class SwimContext {
  readonly config: SwimConfig;
  readonly rng: Rng;
  readonly table: MemberTable;
  readonly broadcasts: BroadcastQueue = new BroadcastQueue();
  /** Serf's messages: they go out in what room news of members leaves. */
  readonly serfNews: BroadcastQueue = new BroadcastQueue();
  readonly awareness: Awareness;
  readonly vivaldi: Vivaldi;
  readonly self: MemberRecord;
  nowMs = 0;
  /** We have told the others that we go: nothing revives us. */
  leaving = false;
  /** Our name belongs to another process that lives: what we say about it would be taken for its word. */
  isSecond = false;
  readonly counts: SwimCounts = {
    probes: 0,
    probeTimeouts: 0,
    probeFailures: 0,
    suspicions: 0,
    deaths: 0,
    refutations: 0,
    tableComparisons: 0,
    tableDifferences: 0,
  };
  #effects: Effect[] = [];
  readonly #timers = new Map<TimerToken, Purpose>();
  #lastToken = 0;
  #lastSeq: number;
  #lastStream = 0;
  #gossipArmed = false;
  /** While a stranger's packet is worked on: how long what we send may be. */
  #strangerRoom: number | undefined;
  #sentToMember = false;
  #sentElsewhere: Endpoint | undefined;
  #strangersSinceMs = Number.NEGATIVE_INFINITY;
  #sentForStrangers = 0;

  constructor(config: SwimConfig, self: SwimSelf, rng: Rng) {
    this.config = config;
    this.rng = rng;
    this.awareness = new Awareness(config.profile.awarenessMax);
    this.vivaldi = new Vivaldi(rng);
    this.#lastSeq = rng.u32();
    this.table = new MemberTable(self.name, self.meta.get("region"), rng);
    const { name, address, incarnation } = self;
    this.self = this.table.add({ name, address, incarnation, meta: this.tagsOf(self.meta), vsn: VSN }, 0);
    this.self.rttMs = 0;
  }

  /** What is told of us: the host's tags, and what the machine itself can do. Throws InputError above 512 bytes. */
  tagsOf(meta: ReadonlyMap<string, string>): Uint8Array {
    return encodeTags(this.config.sha256 ? new Map([...meta, [DIGEST_TAG, DIGEST_WAY]]) : meta);
  }

  get profile(): Profile {
    return this.config.profile;
  }

  emit(effect: Effect): void {
    this.#effects.push(effect);
  }

  notify(event: MemberEvent): void {
    this.#effects.push({ kind: "notify", event });
  }

  takeEffects(): Effect[] {
    const effects = this.#effects;
    this.#effects = [];
    this.#strangerRoom = undefined;
    return effects;
  }

  /** This step is about a packet of an address that no member has (nor gets by what the packet itself says). Whoever forges
   *  senders must not have more sent to anybody than it sends itself: one packet to an address of a member, one to any
   *  other, and neither longer than what came. */
  heardStranger(roomBytes: number): void {
    this.#strangerRoom = roomBytes;
    this.#sentToMember = false;
    this.#sentElsewhere = undefined;
  }

  get fromStranger(): boolean {
    return this.#strangerRoom !== undefined;
  }

  /** Whole milliseconds, rounded up: a rest that rounding left over must not fire again and again at one moment. */
  setTimer(purpose: Purpose, delayMs: number): TimerToken {
    const token = ++this.#lastToken;
    this.#timers.set(token, purpose);
    this.emit({ kind: "set-timer", token, delayMs: Math.max(0, Math.ceil(delayMs)) });
    return token;
  }

  /** The driver's timer still fires; its token means nothing any more. */
  dropTimer(token: TimerToken): void {
    this.#timers.delete(token);
  }

  /** What a timer was for, undefined for a stale token. Each fires once. */
  takeTimer(token: TimerToken): Purpose | undefined {
    const purpose = this.#timers.get(token);
    this.#timers.delete(token);
    return purpose;
  }

  get timerCount(): number {
    return this.#timers.size;
  }

  nextSeq(): number {
    this.#lastSeq = (this.#lastSeq + 1) >>> 0;
    return this.#lastSeq;
  }

  nextStream(): StreamId {
    this.#lastStream += 1;
    return this.#lastStream;
  }

  /** Sends messages, and as much queued news as fits behind them. */
  send(to: Endpoint, messages: readonly Message[], crc = false): void {
    assert(!this.fromStranger, "news goes to members, and to whom they name");
    let room = this.config.packetBytes;
    if (this.hasNews) for (const message of messages) room -= encodeMessage(message).length + COMPOUND_PART_BYTES;
    this.emit({ kind: "send", to, messages: [...messages, ...this.takeNews(room)], crc });
  }

  /** Without news. False when it is not sent: a stranger's packet may not make us send it. */
  sendAlone(to: Endpoint, message: Message): boolean {
    if (this.#strangerRoom !== undefined && !this.#mayCause(to, encodeMessage(message).length, this.#strangerRoom)) {
      this.emit({ kind: "reject", reason: "stranger" });
      return false;
    }
    this.emit({ kind: "send", to, messages: [message], crc: false });
    return true;
  }

  #mayCause(to: Endpoint, sizeBytes: number, roomBytes: number): boolean {
    if (sizeBytes > roomBytes || this.#strangersHadEnough()) return false;
    const elsewhere = this.#sentElsewhere;
    if (!this.table.at(to)) {
      this.#sentElsewhere ??= to;
      return elsewhere === undefined;
    }
    // It may have become a member's between two messages of this packet.
    const isFirst = !this.#sentToMember && !(elsewhere && sameEndpoint(elsewhere, to));
    this.#sentToMember = true;
    return isFirst;
  }

  #strangersHadEnough(): boolean {
    if (this.nowMs - this.#strangersSinceMs >= 1000) {
      this.#strangersSinceMs = this.nowMs;
      this.#sentForStrangers = 0;
    }
    this.#sentForStrangers += 1;
    return this.#sentForStrangers > STRANGER_PACKETS_PER_SECOND;
  }

  takeNews(roomBytes: number): Message[] {
    if (!this.hasNews) return [];
    const limit = retransmitLimit(this.profile.retransmitMultiplier, this.table.poolSize);
    const news = this.broadcasts.take(roomBytes, COMPOUND_PART_BYTES, limit);
    if (this.serfNews.size === 0) return news;
    let room = roomBytes;
    for (const message of news) room -= encodeMessage(message).length + COMPOUND_PART_BYTES;
    return [...news, ...this.serfNews.take(room, COMPOUND_PART_BYTES, limit)];
  }

  get hasNews(): boolean {
    return this.broadcasts.size > 0 || this.serfNews.size > 0;
  }

  /** Queues news about a member and wakes gossiping, which sleeps while there is none. */
  broadcast(about: string, message: Message): void {
    this.tell(this.broadcasts, about, message);
  }

  tell(queue: BroadcastQueue, about: string, message: Message): void {
    queue.put(about, message);
    if (this.#gossipArmed) return;
    // As if a free-running ticker had been met at a random moment.
    this.armGossip(this.profile.gossipIntervalMs * this.rng.unit());
  }

  armGossip(delayMs: number): void {
    this.#gossipArmed = true;
    this.setTimer({ kind: "gossip" }, delayMs);
  }

  gossipFired(): void {
    this.#gossipArmed = false;
  }

  /** With where we are, as serf's. */
  ackOf(seq: number): Ack {
    return { type: "ack", seq, payload: encodeCoordinate(this.vivaldi.mine) };
  }

  aliveAboutSelf(): Alive {
    return aliveOf(this.self);
  }

  /** Where we would reach who says this of itself. */
  contactOf({ address, meta }: Alive): Endpoint {
    return contactOf(address, decodeTags(meta), this.regionOf(this.self));
  }

  /** Any that we tell anybody. */
  isOurs(address: Endpoint): boolean {
    const { address: told, meta } = this.self;
    const texts = [...meta]
      .filter(([tag]) => tag.startsWith(contactTag("")))
      .map(([tag]) => tag.slice(contactTag("").length));
    return [told, ...texts.map((region) => contactOf(told, meta, region))].some((one) => sameEndpoint(one, address));
  }

  regionOf(record: MemberRecord): string | undefined {
    return record.meta.get("region");
  }
}

export function aliveOf(record: MemberRecord): Alive {
  const { name, incarnation, address, metaBytes, vsn } = record;
  return { type: "alive", node: name, incarnation, address, meta: metaBytes, vsn };
}

/** How a member that we hold for suspect or gone is told so: what lets it refute. */
export function verdictOn(record: MemberRecord, self: string): Message {
  const { name: node, incarnation } = record;
  if (record.state === "suspect") return { type: "suspect", node, incarnation, from: self };
  return { type: "dead", node, incarnation, from: record.state === "left" ? node : self };
}

export function readsCrc(record: MemberRecord): boolean {
  return protocolOf(record) >= CRC_PROTOCOL;
}

export function sendsNacks(record: MemberRecord): boolean {
  return protocolOf(record) >= NACK_PROTOCOL;
}

export function answersOnTcp(record: MemberRecord): boolean {
  return protocolOf(record) >= TCP_PING_PROTOCOL;
}

/** The highest that it understands. */
function protocolOf({ vsn }: MemberRecord): number {
  return vsn[1] ?? 0;
}

/** When the life behind these tags started, in wall ms; undefined when they name no actor (a serf agent's don't). */
export function startOf(meta: ReadonlyMap<string, string>): number | undefined {
  const actor = meta.get("actor");
  if (actor === undefined) return undefined;
  try {
    return startOfActor(parseActorId(actor));
  } catch {
    return undefined; // hearsay that names no actor we could compare
  }
}
