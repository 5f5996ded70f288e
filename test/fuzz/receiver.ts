import { Swim } from "../../gossip/swim/machine.ts";
import { kitHash } from "../../gossip/swim/pool.test-kit.ts";
import { LAN } from "../../gossip/swim/profile.ts";
import type { Effect, SwimEvent, TimerToken } from "../../gossip/swim/protocol.ts";
import { DIGEST_TAG, DIGEST_WAY } from "../../gossip/swim/table-digest.ts";
import { type Endpoint, endpointKey } from "../../gossip/wire/address.ts";
import type { Envelope } from "../../gossip/wire/envelope.ts";
import type { Message } from "../../gossip/wire/messages.ts";
import { decodePacket, encodePacket, roomForMessages } from "../../gossip/wire/packet.ts";
import { StreamDecoder, type StreamMessage } from "../../gossip/wire/stream.ts";
import { toHex } from "../../src/kernel/bytes.ts";
import { seededRng } from "../../src/kernel/rng.ts";
import { actor, alive, at, NO_BYTES, tags } from "../gossip/one-member.ts";
import { unlessRefused } from "./target.ts";

export const MEMBERS_MAX = 16;
/** Who lives in the pool and answers pings; m5 has failed there, m6 has left. */
const LIVING = [2, 3, 4];
const STREAM_LIMITS = { messageBytes: 16_384, nodes: 40 };
/** Hours of virtual time pass in a run: who is gone makes room soon. */
const PROFILE = { ...LAN, pushPullIntervalMs: 10_000, reclaimMs: 60_000 };

export interface Sent {
  readonly to: Endpoint;
  readonly bytes: number;
}

/** A whole receiving member as the driver makes it of its parts (gossip-host.ts), in a settled small pool whose others
 *  answer pings, with time by hand. */
export class Receiver {
  readonly swim: Swim;
  readonly #envelope: Envelope;
  #nowMs = 1000;
  #timers: { readonly atMs: number; readonly token: TimerToken }[] = [];
  /** Streams of ours that wait for an answer. */
  #asked: number[] = [];
  #sent: Sent[] = [];
  /** Acks of living members that are on their way. */
  #acks: { readonly n: number; readonly seq: number }[] = [];
  #lastRequest = 0;
  replies = 0;

  constructor(envelope: Envelope) {
    this.#envelope = envelope;
    const config = {
      profile: PROFILE,
      packetBytes: roomForMessages(envelope),
      membersMax: MEMBERS_MAX,
      keyring: envelope.keyring,
      sha256: kitHash,
    };
    const meta = new Map([["actor", actor("me", 5000)]]);
    this.swim = new Swim(config, { name: "me", address: at(1), meta, incarnation: 10 }, seededRng(7));
    this.#step({ kind: "start" });
    for (const n of [...LIVING, 5, 6])
      this.#hear(n, alive(`m${n}`, n, 5, tags({ actor: actor(`m${n}`, 1000), [DIGEST_TAG]: DIGEST_WAY })));
    this.#hear(5, { type: "dead", node: "m5", incarnation: 5, from: "m2" });
    this.#hear(6, { type: "dead", node: "m6", incarnation: 5, from: "m6" });
    this.#step({ kind: "join", seeds: [at(2)] });
    this.takeSent();
  }

  /** Timers that the driver holds, those too whose token means nothing any more. */
  get driverTimers(): number {
    return this.#timers.length;
  }

  isMember(address: Endpoint): boolean {
    return this.swim.members().some((member) => endpointKey(member.address) === endpointKey(address));
  }

  /** Whether anything in it was understood. */
  packet(bytes: Uint8Array, from: Endpoint): boolean {
    const { messages, sealed = false } = decodePacket(bytes, this.#envelope);
    if (messages.length === 0) return false;
    this.#step({ kind: "packet", from, messages, roomBytes: bytes.length - this.#envelope.overheadBytes, sealed });
    return true;
  }

  /** The bytes answer a stream of ours, where one waits, or open one. */
  stream(bytes: Uint8Array): boolean {
    const decoder = new StreamDecoder(this.#envelope, STREAM_LIMITS);
    const message = unlessRefused(() => ({ read: decoder.push(bytes) }))?.read;
    if (!message) return false;
    const id = this.#asked.pop();
    this.#step(this.#streamEvent(id, message));
    return true;
  }

  #streamEvent(id: number | undefined, message: StreamMessage): SwimEvent {
    if (id !== undefined) return { kind: "stream-reply", id, remote: at(2), message };
    this.#lastRequest += 1;
    return { kind: "stream-request", id: this.#lastRequest, message };
  }

  /** Pings that were sent to living members are answered, streams of ours fail, and time passes. */
  pass(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (const { n, seq } of this.#acks.splice(0)) this.#hear(n, { type: "ack", seq, payload: NO_BYTES });
    for (const id of this.#asked.splice(0)) this.#step({ kind: "stream-failed", id, reason: "refused" });
    for (;;) {
      const next = this.#timers.filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      this.#step({ kind: "timer", token: next.token });
    }
    this.#nowMs = endMs;
  }

  /** What living members do when they hear that they were accused. */
  refute(): void {
    for (const n of LIVING) {
      const name = `m${n}`;
      const known = this.swim.member(name);
      const incarnation = Math.min(0xffff_ffff, (known?.incarnation ?? 4) + 1);
      if (known?.state !== "alive") this.#hear(n, alive(name, n, incarnation, tags({ actor: actor(name, 1000) })));
    }
  }

  takeSent(): readonly Sent[] {
    return this.#sent.splice(0);
  }

  /** All that a packet could change. */
  fingerprint(): string {
    const { swim } = this;
    const members = swim.members().map((member) => ({ ...member, meta: [...member.meta] }));
    const keys = this.#envelope.keyring?.keys.map(toHex);
    return JSON.stringify([members, swim.sizes(), swim.awareness, keys, this.#timers.length, this.#asked, this.#acks]);
  }

  #hear(n: number, ...messages: Message[]): void {
    this.#step({ kind: "packet", from: at(n), messages, roomBytes: 1400 });
  }

  #step(event: SwimEvent): void {
    const effects = this.swim.step(event, this.#nowMs);
    for (const effect of effects) this.#perform(effect);
    for (const effect of effects) if (effect.kind === "send") this.#answer(effect);
  }

  #perform(effect: Effect): void {
    if (effect.kind === "set-timer") this.#timers.push({ atMs: this.#nowMs + effect.delayMs, token: effect.token });
    else if (effect.kind === "open-stream") this.#asked.push(effect.id);
    else if (effect.kind === "reply") this.replies += 1;
    else if (effect.kind === "send")
      this.#sent.push({ to: effect.to, bytes: encodePacket(effect.messages, this.#envelope, effect.crc).length });
  }

  #answer({ to, messages }: Extract<Effect, { kind: "send" }>): void {
    const n = LIVING.find((one) => endpointKey(at(one)) === endpointKey(to));
    if (n === undefined) return;
    for (const message of messages)
      if (message.type === "ping" && message.node === `m${n}`) this.#acks.push({ n, seq: message.seq });
  }
}
