import { EMPTY_BYTES } from "../../src/kernel/bytes.ts";
import { type Endpoint, endpointKey, sameEndpoint } from "../wire/address.ts";
import type { Ack, IndirectPing, Message, Nack, Ping } from "../wire/messages.ts";
import { decodeCoordinate } from "../wire/serf.ts";
import { answersOnTcp, readsCrc, type SwimContext, sendsNacks, verdictOn } from "./context.ts";
import type { MemberRecord } from "./member-table.ts";
import { probeTimeoutMs } from "./profile.ts";
import type { StreamId } from "./protocol.ts";
import type { Rumours } from "./rumours.ts";

/** Pings relayed for others within the time that a nack takes; more are refused. A pool of 8,192 at 10 % loss asks for a
 *  handful. */
const RELAYS_MAX = 256;
/** A relay says "no answer" after this part of its own probe timeout, so that its nack is there before the asker's
 *  deadline, which is one timeout away or more (Lifeguard, §IV-A). */
const NACK_PART = 0.8;
/** Weight of the newest round trip (as TCP's), and of the newest probe in the share that went unanswered. */
const RTT_WEIGHT = 1 / 8;
const LOSS_WEIGHT = 1 / 8;

/** One protocol period's question to one member. */
interface Probe {
  readonly seq: number;
  readonly name: string;
  /** What all are told, and where we reach it. */
  readonly address: Endpoint;
  readonly contact: Endpoint;
  /** The incarnation that would be suspected: news that comes in meanwhile makes the accusation void. */
  readonly incarnation: number;
  sentMs: number;
  readonly timeoutMs: number;
  readonly periodMs: number;
  answered: boolean;
  /** By the member itself, on the packet that it was sent. */
  direct: boolean;
  relays: ReadonlySet<string>;
  /** Relays that will say so when they got no answer either, and those that said it. */
  nacksExpected: number;
  readonly nacks: Set<string>;
  stream: StreamId | undefined;
}

/** A ping sent for another member. */
interface Relay {
  readonly asker: Endpoint;
  readonly askerSeq: number;
  readonly target: Endpoint | undefined;
  readonly nack: boolean;
  dueMs: number;
  /** Kept until it is due all the same: so many relays a second, and no more timers than relays. */
  answered: boolean;
}

/** SWIM's failure detector: each period one member is pinged; without an ack in time, through relays and on TCP; without
 *  any by the period's end it is suspected. */
export class Prober {
  readonly #context: SwimContext;
  readonly #rumours: Rumours;
  #probe: Probe | undefined;
  readonly #relays = new Map<number, Relay>();

  constructor(context: SwimContext, rumours: Rumours) {
    this.#context = context;
    this.#rumours = rumours;
  }

  get relayCount(): number {
    return this.#relays.size;
  }

  start(): void {
    const { profile, rng } = this.#context;
    this.#context.setTimer({ kind: "probe-tick" }, profile.probeIntervalMs * rng.unit());
  }

  tick(): void {
    const { nowMs, leaving } = this.#context;
    if (leaving) return;
    const before = this.#probe;
    const deadlineMs = before ? before.sentMs + before.periodMs : nowMs;
    // A stall moved the deadline, or we distrust ourselves and wait longer.
    if (before && !before.answered && nowMs < deadlineMs) {
      this.#context.setTimer({ kind: "probe-tick" }, deadlineMs - nowMs);
      return;
    }
    if (before) this.#ended(before);
    this.#begin();
    this.#context.setTimer({ kind: "probe-tick" }, this.#context.profile.probeIntervalMs);
  }

  timeout(seq: number): void {
    const probe = this.#probe;
    if (!probe || probe.seq !== seq || probe.answered || this.#context.leaving) return;
    const dueMs = probe.sentMs + probe.timeoutMs;
    const { nowMs } = this.#context;
    if (nowMs < dueMs) this.#context.setTimer({ kind: "probe-timeout", seq }, dueMs - nowMs);
    else this.#askOthers(probe);
  }

  /** An ack counts only for its number and from the member that was asked, or a relay. */
  ack(ack: Ack, from: Endpoint): void {
    const probe = this.#probe;
    if (probe?.seq === ack.seq) {
      const direct = sameEndpoint(from, probe.contact);
      if (direct && !probe.answered) this.#measure(probe, ack);
      probe.direct ||= direct;
      if (direct || probe.relays.has(endpointKey(from))) probe.answered = true;
      return;
    }
    const relay = this.#relays.get(ack.seq);
    if (!relay) {
      this.#rumours.claims.ack(ack.seq, from);
      return;
    }
    if (relay.answered || !relay.target || !sameEndpoint(from, relay.target)) return;
    relay.answered = true;
    this.#context.sendAlone(relay.asker, { type: "ack", seq: relay.askerSeq, payload: EMPTY_BYTES });
  }

  /** A relay got no answer either: it is not we who are deaf. */
  nack({ seq }: Nack, from: Endpoint): void {
    const key = endpointKey(from);
    if (this.#probe?.seq === seq && this.#probe.relays.has(key)) this.#probe.nacks.add(key);
  }

  /** True when the stream was a probe's. */
  streamEnded(id: StreamId, ackSeq: number | undefined): boolean {
    const probe = this.#probe;
    if (!probe || probe.stream !== id) return false;
    if (ackSeq === probe.seq) probe.answered = true;
    return true;
  }

  ping(ping: Ping, from: Endpoint): void {
    const { self, table, fromStranger } = this.#context;
    // Whoever has got another's address since must not answer for it.
    if (ping.node !== "" && ping.node !== self.name) {
      this.#context.emit({ kind: "reject", reason: "foreign-ping" });
      return;
    }
    if (this.#rumours.claims.isOwnPing(ping)) return;
    if (fromStranger) {
      this.#context.sendAlone(from, { type: "ack", seq: ping.seq, payload: EMPTY_BYTES });
      return;
    }
    const answer: Message[] = [this.#context.ackOf(ping.seq)];
    const source = table.get(ping.sourceNode);
    // One that we hold for suspect or gone and that asks us hears it at once, and refutes.
    if (source && source.state !== "alive" && source !== self) answer.push(verdictOn(source, self.name));
    this.#context.send(from, answer);
  }

  /** A ping for another member. Only members that we know are pinged, at the address that we know: nobody can use us to
   *  send packets elsewhere. For others the asker hears after the usual time that there was no answer, if it is a member. */
  relay(request: IndirectPing, asker: Endpoint): void {
    if (this.#relays.size >= RELAYS_MAX) {
      this.#context.emit({ kind: "reject", reason: "too-many-relays" });
      return;
    }
    const { table, nowMs, profile, fromStranger } = this.#context;
    const record = table.get(request.node);
    const known = record && sameEndpoint(record.address, request.target) ? record : undefined;
    const seq = this.#context.nextSeq();
    if (known && !this.#context.sendAlone(known.contact, this.#pingOf(seq, known.name))) return;
    if (!known && fromStranger) {
      this.#context.emit({ kind: "reject", reason: "stranger" });
      return;
    }
    const delayMs = NACK_PART * profile.probeTimeoutMsMax;
    this.#relays.set(seq, {
      asker,
      askerSeq: request.seq,
      target: known?.contact,
      nack: request.nack,
      dueMs: nowMs + delayMs,
      answered: false,
    });
    this.#context.setTimer({ kind: "relay", seq }, delayMs);
  }

  relayTimer(seq: number): void {
    const relay = this.#relays.get(seq);
    if (!relay) return;
    const { nowMs } = this.#context;
    if (nowMs < relay.dueMs) {
      this.#context.setTimer({ kind: "relay", seq }, relay.dueMs - nowMs);
      return;
    }
    this.#relays.delete(seq);
    if (relay.nack && !relay.answered) this.#context.sendAlone(relay.asker, { type: "nack", seq: relay.askerSeq });
  }

  postpone(byMs: number): void {
    if (this.#probe) this.#probe.sentMs += byMs;
    for (const relay of this.#relays.values()) relay.dueMs += byMs;
  }

  #begin(): void {
    this.#probe = undefined;
    const record = this.#context.table.nextToProbe();
    if (!record) return;
    const { nowMs, self, profile, awareness } = this.#context;
    this.#context.counts.probes += 1;
    const seq = this.#context.nextSeq();
    const timeoutMs = awareness.stretched(probeTimeoutMs(profile, record.rttMs));
    const { name, address, contact, incarnation } = record;
    this.#probe = {
      seq,
      name,
      address,
      contact,
      incarnation,
      sentMs: nowMs,
      timeoutMs,
      periodMs: awareness.stretched(profile.probeIntervalMs),
      answered: false,
      direct: false,
      relays: new Set(),
      nacksExpected: 0,
      nacks: new Set(),
      stream: undefined,
    };
    const ping = this.#pingOf(seq, name);
    // Buddy system (Lifeguard, §IV-C): a suspect hears of it from the very ping that it answers.
    if (record.state === "suspect") this.#context.send(contact, [ping, verdictOn(record, self.name)], readsCrc(record));
    else this.#context.send(contact, [ping]);
    this.#context.setTimer({ kind: "probe-timeout", seq }, timeoutMs);
  }

  #askOthers(probe: Probe): void {
    const { self, nowMs } = this.#context;
    const source = { sourceAddr: self.address.host, sourcePort: self.address.port, sourceNode: self.name };
    const { seq, name: node, address: target } = probe;
    this.#context.counts.probeTimeouts += 1;
    const relays = this.#pickRelays(node);
    probe.relays = new Set(relays.map((relay) => endpointKey(relay.contact)));
    probe.nacksExpected = relays.filter(sendsNacks).length;
    for (const relay of relays)
      this.#context.send(relay.contact, [
        { type: "indirect-ping", seq, node, target, nack: sendsNacks(relay), ...source },
      ]);
    const record = this.#context.table.get(node);
    if (!record || !answersOnTcp(record)) return;
    // At the same time on TCP: where only UDP is lost or filtered, nobody is taken for dead.
    const timeoutMs = probe.sentMs + probe.periodMs - nowMs;
    probe.stream = this.#context.nextStream();
    const message = this.#pingOf(seq, node);
    this.#context.emit({ kind: "open-stream", id: probe.stream, to: probe.contact, message, timeoutMs });
  }

  /** Neither the target nor suspects; where regions matter, one of them in the target's own. */
  #pickRelays(target: string): MemberRecord[] {
    const { table, profile } = this.#context;
    const usable = (record: MemberRecord): boolean => record.state === "alive" && record.name !== target;
    const relays = table.sampleLive(profile.indirectProbes, usable);
    const record = table.get(target);
    const region = record && this.#context.regionOf(record);
    if (!profile.regionAware || region === undefined) return relays;
    const isNear = (relay: MemberRecord): boolean => this.#context.regionOf(relay) === region;
    if (relays.some(isNear)) return relays;
    const near = table.findLive((relay) => usable(relay) && isNear(relay));
    return near ? [near, ...relays].slice(0, profile.indirectProbes) : relays;
  }

  #pingOf(seq: number, node: string): Ping {
    const { name: sourceNode, address } = this.#context.self;
    return { type: "ping", seq, node, sourceAddr: address.host, sourcePort: address.port, sourceNode };
  }

  #measure(probe: Probe, ack: Ack): void {
    const record = this.#context.table.get(probe.name);
    if (!record) return;
    const rttMs = Math.max(0, this.#context.nowMs - probe.sentMs);
    record.coordinate = decodeCoordinate(ack.payload) ?? record.coordinate;
    if (record.coordinate) this.#context.vivaldi.learn(probe.name, record.coordinate, rttMs);
    this.#context.self.coordinate = this.#context.vivaldi.mine;
    record.rttMs = record.rttMs === null ? rttMs : record.rttMs + RTT_WEIGHT * (rttMs - record.rttMs);
  }

  /** Relays that are silent as well, or no relay at all to ask: perhaps it is us. */
  #ended(probe: Probe): void {
    this.#note(probe);
    const { name: node, incarnation, nacksExpected, nacks } = probe;
    this.#context.awareness.change(probe.answered ? -1 : nacksExpected > 0 ? nacksExpected - nacks.size : 1);
    if (probe.answered) return;
    this.#context.counts.probeFailures += 1;
    this.#rumours.suspect({ type: "suspect", node, incarnation, from: this.#context.self.name });
  }

  /** For routing and for people; SWIM itself only asks whether a member answers anybody. */
  #note({ name, direct, answered }: Probe): void {
    const record = this.#context.table.get(name);
    if (!record) return;
    record.unreached = !answered;
    const before = record.directLoss ?? 0;
    record.directLoss = before + LOSS_WEIGHT * ((direct ? 0 : 1) - before);
  }
}
