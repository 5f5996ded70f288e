import { assert, assertNever } from "../../src/kernel/assert.ts";
import { EMPTY_BYTES } from "../../src/kernel/bytes.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import type { Endpoint } from "../wire/address.ts";
import type { Message } from "../wire/messages.ts";
import type { StreamMessage } from "../wire/stream.ts";
import { type Purpose, readsCrc, SwimContext } from "./context.ts";
import { type MemberRecord, memberOf } from "./member-table.ts";
import { Prober } from "./prober.ts";
import type { Effect, Member, StreamId, SwimConfig, SwimCounts, SwimEvent, SwimSelf } from "./protocol.ts";
import { Rumours } from "./rumours.ts";
import { SerfLayer } from "./serf.ts";
import { Sync } from "./sync.ts";

/** A leave is done when its news was sent as often as news is, or after so long. */
const LEAVE_MS_MAX = 5000;
/** How long serf's word of it goes ahead: long enough for a few hops, for in small pools it is sent only a few times. */
const LEAVE_INTENT_ROUNDS = 5;
const LEAVE_INTENT_MS_MAX = 2000;

/** SWIM as a state machine: who is a member, and who of them lives. No clock, no sockets, no promises: events in,
 *  effects out, randomness and time as handed in. A stale timer token yields no effects. */
export class Swim {
  readonly #context: SwimContext;
  readonly #rumours: Rumours;
  readonly #prober: Prober;
  readonly #serf: SerfLayer;
  readonly #sync: Sync;
  #started = false;
  #leaving: "no" | "intended" | "announced" | "done" = "no";

  /** Throws InputError when the metadata take more than 512 bytes. */
  constructor(config: SwimConfig, self: SwimSelf, rng: Rng) {
    this.#context = new SwimContext(config, self, rng);
    this.#rumours = new Rumours(this.#context);
    this.#prober = new Prober(this.#context, this.#rumours);
    this.#serf = new SerfLayer(this.#context, this.#rumours);
    this.#sync = new Sync(this.#context, this.#rumours, this.#serf);
  }

  /** @param nowMs monotonic; the same or later than in the step before. Throws InputError for metadata that are too
   *  large; nothing has changed then. */
  step(event: SwimEvent, nowMs: number): Effect[] {
    this.#context.nowMs = nowMs;
    switch (event.kind) {
      case "start":
        this.#start();
        break;
      case "join":
        this.#sync.join(event.seeds, event.remembered ?? []);
        break;
      case "packet":
        // Before a word of it is believed: it may introduce its own sender.
        if (!this.#context.table.at(event.from)) this.#context.heardStranger(event.roomBytes);
        this.#packet(event.messages, event.from, event.sealed === true);
        break;
      case "stream-request":
        this.#streamRequest(event.id, event.message);
        break;
      case "stream-reply":
        if (!this.#prober.streamEnded(event.id, event.message.type === "ack" ? event.message.seq : undefined))
          this.#sync.streamReply(event.id, event.remote, event.message);
        break;
      case "stream-failed":
        if (!this.#prober.streamEnded(event.id, undefined)) this.#sync.streamFailed(event.id, event.reason);
        break;
      case "timer": {
        const purpose = this.#context.takeTimer(event.token);
        if (purpose) this.#timer(purpose);
        break;
      }
      case "stalled":
        this.#context.awareness.change(1);
        this.#prober.postpone(event.byMs);
        this.#rumours.postpone(event.byMs);
        break;
      case "update-meta":
        this.#rumours.updateMeta(this.#context.tagsOf(event.meta));
        break;
      case "leave":
        this.#leave();
        break;
      case "ask-keys":
        this.#serf.askKeys(event.id, event.operation, event.key);
        break;
      default:
        assertNever(event);
    }
    return this.#context.takeEffects();
  }

  get self(): Member {
    return this.#view(this.#context.self);
  }

  /** How unwell we are, 0 to 8 (Lifeguard's local health multiplier). */
  get awareness(): number {
    return this.#context.awareness.score;
  }

  get counts(): Readonly<SwimCounts> {
    return this.#context.counts;
  }

  /** Everyone we know, ourselves first, the dead and the left until they are reclaimed. */
  members(): Member[] {
    return [...this.#context.table.records()].map((record) => this.#view(record));
  }

  member(name: string): Member | undefined {
    const record = this.#context.table.get(name);
    return record && this.#view(record);
  }

  #view(record: MemberRecord): Member {
    return memberOf(record, this.#context.self.name);
  }

  /** What is bounded, for metrics and checks: rows ≤ membersMax, queued news and measured members ≤ rows, deaths ≤
   *  2 · rows + 1; who is to be probed, those too who died since the round began. */
  sizes(): Record<"members" | "queued" | "deaths" | "relays" | "claims" | "timers" | "measured" | "toProbe", number> {
    const { table, broadcasts, timerCount, vivaldi } = this.#context;
    return {
      members: table.size,
      queued: broadcasts.size,
      deaths: table.deathCount,
      relays: this.#prober.relayCount,
      claims: this.#rumours.claims.size,
      timers: timerCount,
      measured: vivaldi.size,
      toProbe: table.probeOrderSize,
    };
  }

  #start(): void {
    assert(!this.#started, "start is the first event and comes once");
    this.#started = true;
    this.#context.self.stateChangedMs = this.#context.nowMs;
    this.#context.broadcast(this.#context.self.name, this.#context.aliveAboutSelf());
    this.#prober.start();
    this.#sync.start();
  }

  /** News first, questions then: the ack to a ping goes out behind the refutation of the suspicion that came with it. */
  #packet(messages: readonly Message[], from: Endpoint, sealed: boolean): void {
    const { self, fromStranger, leaving } = this.#context;
    const { incarnation } = self;
    for (const message of messages) {
      if (message.type === "alive") this.#rumours.alive(message);
      else if (message.type === "suspect") this.#rumours.suspect(message, from);
      else if (message.type === "dead") this.#rumours.dead(message, from);
    }
    // Whoever accuses us hears first that we live, also when we have refuted it before: it may have missed that, and may
    // hold us for dead, and then our gossip doesn't reach it.
    const accused = self.incarnation !== incarnation || messages.some((message) => isAccusation(message, self.name));
    if (accused && !leaving && !fromStranger) this.#rumours.defend(from);
    this.#questions(messages, from);
    for (const message of messages) if (message.type === "user") this.#serf.hear(message.payload, sealed);
  }

  /** From a stranger one question a packet: a compound of a hundred pings would be a hundred packets to whoever it names
   *  as its sender. */
  #questions(messages: readonly Message[], from: Endpoint): void {
    let allowed = this.#context.fromStranger ? 1 : messages.length;
    for (const message of messages) {
      const question = message.type === "ping" || message.type === "indirect-ping";
      if (question && allowed-- <= 0) {
        this.#context.emit({ kind: "reject", reason: "stranger" });
        continue;
      }
      if (message.type === "ping") this.#prober.ping(message, from);
      else if (message.type === "ack") this.#prober.ack(message, from);
      else if (message.type === "nack") this.#prober.nack(message, from);
      else if (message.type === "indirect-ping") this.#prober.relay(message, from);
    }
  }

  #streamRequest(id: StreamId, message: StreamMessage): void {
    const { self } = this.#context;
    if (message.type === "push-pull") this.#sync.answer(id, message);
    else if (message.type === "ping" && (message.node === "" || message.node === self.name))
      this.#context.emit({ kind: "reply", id, message: { type: "ack", seq: message.seq, payload: EMPTY_BYTES } });
    else this.#sync.answerDigest(id, message);
  }

  #timer(purpose: Purpose): void {
    switch (purpose.kind) {
      case "probe-tick":
        this.#prober.tick();
        break;
      case "probe-timeout":
        this.#prober.timeout(purpose.seq);
        break;
      case "suspicion":
        this.#rumours.suspicionTimer(purpose.name);
        break;
      case "gossip":
        this.#gossip();
        break;
      case "push-pull":
        this.#sync.pushPullTimer();
        break;
      case "seeds":
        this.#sync.trySeeds();
        break;
      case "reconnect":
        this.#sync.reconnectTimer();
        break;
      case "relay":
        this.#prober.relayTimer(purpose.seq);
        break;
      case "claim":
        this.#rumours.claims.timer(purpose.name);
        break;
      case "leave-intent":
        this.#announceLeave();
        break;
      case "leave":
        this.#endLeave();
        break;
      case "key-query":
        this.#serf.keyQueryTimer(purpose.query);
        break;
      default:
        assertNever(purpose);
    }
  }

  #gossip(): void {
    const { profile, config, broadcasts } = this.#context;
    this.#context.gossipFired();
    for (const record of this.#gossipTargets()) {
      const messages = this.#context.takeNews(config.packetBytes);
      if (messages.length === 0) break;
      this.#context.emit({ kind: "send", to: record.contact, messages, crc: readsCrc(record) });
    }
    if (this.#context.hasNews) this.#context.armGossip(profile.gossipIntervalMs);
    if (this.#leaving === "announced" && !broadcasts.has(this.#context.self.name)) this.#endLeave();
  }

  /** The recently dead too: one who isn't hears of it and refutes. Where regions matter, one outside ours. */
  #gossipTargets(): MemberRecord[] {
    const { table, profile, nowMs, self } = this.#context;
    const targets = table.sampleForGossip(profile.gossipFanOut, nowMs - profile.gossipToTheDeadMs);
    const region = this.#context.regionOf(self);
    if (!profile.regionAware || region === undefined) return targets;
    const isFar = (record: MemberRecord): boolean => this.#context.regionOf(record) !== region;
    if (targets.some(isFar)) return targets;
    const far = table.findLive(isFar);
    return far ? [far, ...targets].slice(0, profile.gossipFanOut) : targets;
  }

  /** Leaving is a dead message signed by oneself; a second process of our name must not sign it. */
  #leave(): void {
    const { self, table, nowMs } = this.#context;
    if (this.#context.leaving) return;
    this.#context.leaving = true;
    table.setState(self, "left", nowMs);
    if (table.liveCount === 0 || this.#context.isSecond) {
      this.#endLeave();
    } else if (this.#serf.hasAgents) {
      // Serf's agents count a leave as a failure, unless they heard of it before.
      this.#leaving = "intended";
      this.#serf.announceLeave();
      const { gossipIntervalMs } = this.#context.profile;
      this.#context.setTimer(
        { kind: "leave-intent" },
        Math.min(LEAVE_INTENT_MS_MAX, LEAVE_INTENT_ROUNDS * gossipIntervalMs),
      );
    } else this.#announceLeave();
  }

  #announceLeave(): void {
    if (this.#leaving === "announced" || this.#leaving === "done") return;
    this.#leaving = "announced";
    const { name, incarnation } = this.#context.self;
    this.#context.broadcast(name, { type: "dead", node: name, incarnation, from: name });
    this.#context.setTimer({ kind: "leave" }, LEAVE_MS_MAX);
  }

  #endLeave(): void {
    if (this.#leaving === "done") return;
    this.#leaving = "done";
    this.#context.emit({ kind: "leave-done" });
  }
}

function isAccusation(message: Message, name: string): boolean {
  return (message.type === "suspect" || message.type === "dead") && message.node === name;
}
