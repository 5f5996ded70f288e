import { Swim } from "../../gossip/swim/machine.ts";
import { LAN, type Profile } from "../../gossip/swim/profile.ts";
import type { Effect, MemberEvent, SwimEvent, TimerToken } from "../../gossip/swim/protocol.ts";
import type { Endpoint } from "../../gossip/wire/address.ts";
import type { Keyring } from "../../gossip/wire/keyring.ts";
import type { Alive, Message, NodeState, Ping } from "../../gossip/wire/messages.ts";
import { encodePacket } from "../../gossip/wire/packet.ts";
import { encodeTags } from "../../gossip/wire/tags.ts";
import type { Sha256 } from "../../src/kernel/hashing.ts";
import { seededRng } from "../../src/kernel/rng.ts";
import { BARE } from "./envelopes.ts";

export const VSN = Uint8Array.of(1, 5, 2, 2, 5, 4);
export const NO_BYTES = new Uint8Array(0);

export function at(n: number): Endpoint {
  return { host: `10.0.0.${n}`, port: 7946 };
}

export function tags(entries: Record<string, string>): Uint8Array {
  return encodeTags(new Map(Object.entries(entries)));
}

export function actor(node: string, startMs: number): string {
  return `${node}@${startMs.toString(36)}.00000000`;
}

export function alive(node: string, n: number, incarnation: number, meta: Uint8Array = tags({})): Alive {
  return { type: "alive", node, incarnation, address: at(n), meta, vsn: VSN };
}

export function row(node: string, n: number, incarnation: number, state: NodeState["state"]): NodeState {
  return { node, incarnation, state, address: at(n), meta: tags({}), vsn: VSN };
}

/** How long the messages are together, nothing around them. */
export function packetBytes(messages: readonly Message[]): number {
  return encodePacket(messages, BARE, false).length;
}

type Send = Extract<Effect, { kind: "send" }>;
type OpenStream = Extract<Effect, { kind: "open-stream" }>;

/** One machine, "me" at 10.0.0.1, and time by hand. What it does is collected until asked for. */
export class OneMember {
  readonly swim: Swim;
  nowMs = 1000;
  /** Whose acks come at once. */
  answers: (n: number) => boolean = () => false;
  #timers: { atMs: number; token: TimerToken }[] = [];
  #sent: Send[] = [];
  #opened: OpenStream[] = [];
  #other: Effect[] = [];
  #events: MemberEvent[] = [];

  constructor(
    options: {
      profile?: Partial<Profile>;
      meta?: Record<string, string>;
      membersMax?: number;
      keyring?: Keyring;
      sha256?: Sha256;
    } = {},
  ) {
    const profile = { ...LAN, ...options.profile };
    const meta = new Map(Object.entries(options.meta ?? {}));
    const { keyring, sha256, membersMax = 100 } = options;
    const config = { profile, packetBytes: 1390, membersMax, keyring, ...(sha256 && { sha256 }) };
    this.swim = new Swim(config, { name: "me", address: at(1), meta, incarnation: 10 }, seededRng(7));
    this.step({ kind: "start" });
  }

  step(event: SwimEvent): Effect[] {
    const effects = this.swim.step(event, this.nowMs);
    for (const effect of effects) {
      if (effect.kind === "set-timer") this.#timers.push({ atMs: this.nowMs + effect.delayMs, token: effect.token });
      else if (effect.kind === "send") this.#sent.push(effect);
      else if (effect.kind === "open-stream") this.#opened.push(effect);
      else if (effect.kind === "notify") this.#events.push(effect.event);
      else this.#other.push(effect);
    }
    for (const effect of effects) if (effect.kind === "send") this.#answer(effect);
    return effects;
  }

  #answer({ to, messages }: Send): void {
    const n = Number(to.host.split(".")[3]);
    if (!this.answers(n)) return;
    for (const message of messages)
      if (message.type === "ping") this.hear(n, { type: "ack", seq: message.seq, payload: NO_BYTES });
  }

  hear(from: number, ...messages: Message[]): Effect[] {
    return this.step({ kind: "packet", from: at(from), messages, roomBytes: packetBytes(messages) });
  }

  /** As `hear`, from a holder of the keys. */
  hearSealed(from: number, ...messages: Message[]): Effect[] {
    return this.step({ kind: "packet", from: at(from), messages, roomBytes: packetBytes(messages), sealed: true });
  }

  /** Members "m2" … at 10.0.0.2 …, alive with incarnation 5. */
  meet(...numbers: number[]): this {
    for (const n of numbers) this.hear(n, alive(`m${n}`, n, 5));
    this.forget();
    return this;
  }

  /** Another's whole table arrives. */
  table(...nodes: NodeState[]): Effect[] {
    const message = { type: "push-pull", join: false, nodes, userState: NO_BYTES } as const;
    return this.step({ kind: "stream-request", id: 1, message });
  }

  /** Time passes, timers fire in order. */
  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      const next = this.#timers.filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      this.step({ kind: "timer", token: next.token });
    }
    this.nowMs = endMs;
  }

  /** Time passes until a message of this type (about `node`, if given) was sent. Throws after `withinMs`. */
  passUntilSent<T extends Message["type"]>(
    type: T,
    node?: string,
    withinMs = 10_000,
  ): { to: Endpoint; message: Extract<Message, { type: T }>; packet: Send } {
    for (let ms = 0; ms <= withinMs; ms += 10) {
      const found = this.sent(type).find(
        ({ message }) => node === undefined || ("node" in message && message.node === node),
      );
      if (found) return found;
      this.pass(10);
    }
    throw new Error(`no ${type} was sent within ${withinMs} ms`);
  }

  /** Messages of a type in what was sent since `forget`. */
  sent<T extends Message["type"]>(type: T): { to: Endpoint; message: Extract<Message, { type: T }>; packet: Send }[] {
    return this.#sent.flatMap((packet) =>
      packet.messages
        .filter((message): message is Extract<Message, { type: T }> => message.type === type)
        .map((message) => ({ to: packet.to, message, packet })),
    );
  }

  /** Armed and not fired, those too whose token means nothing any more. */
  get openTimers(): number {
    return this.#timers.length;
  }

  get packets(): readonly Send[] {
    return this.#sent;
  }

  get streams(): readonly OpenStream[] {
    return this.#opened;
  }

  get others(): readonly Effect[] {
    return this.#other;
  }

  get events(): readonly MemberEvent[] {
    return this.#events;
  }

  get eventKinds(): string[] {
    return this.#events.map(({ kind, name }) => `${kind} ${name}`);
  }

  forget(): void {
    this.#sent = [];
    this.#opened = [];
    this.#other = [];
    this.#events = [];
  }

  stateOf(name: string): string | undefined {
    return this.swim.member(name)?.state;
  }

  incarnationOf(name: string): number | undefined {
    return this.swim.member(name)?.incarnation;
  }
}

/** Until the machine pings; everything sent before is forgotten. */
export function nextPing(me: OneMember): { n: number; message: Ping } {
  me.forget();
  const { to, message } = me.passUntilSent("ping");
  return { n: Number(to.host.split(".")[3]), message };
}
