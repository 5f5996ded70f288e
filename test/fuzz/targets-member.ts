import { createDecipheriv } from "node:crypto";
import { digestMessage } from "../../gossip/swim/table-digest.ts";
import { type Endpoint, endpointKey } from "../../gossip/wire/address.ts";
import { Envelope } from "../../gossip/wire/envelope.ts";
import type { Message } from "../../gossip/wire/messages.ts";
import { encodePacket } from "../../gossip/wire/packet.ts";
import { encodeSerf, QUERY_ACK } from "../../gossip/wire/serf.ts";
import { encodeStream, type StreamMessage } from "../../gossip/wire/stream.ts";
import { concatBytes, utf8 } from "../../src/kernel/bytes.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import { keyOf, keyring, labelled } from "../gossip/envelopes.ts";
import { actor, alive, at, NO_BYTES, row, tags } from "../gossip/one-member.ts";
import { mutateBytes, pick } from "./mutate.ts";
import { MEMBERS_MAX, Receiver, type Sent } from "./receiver.ts";
import type { Target } from "./target.ts";

// Inputs for a whole member: a byte that says who sends it and how, then what stands on the wire.

const LABEL = "shop";
const KEYS = [keyOf(1), keyOf(2)];
/** Before it starts anew: growth over so many inputs would show. */
const LIFE_INPUTS = 50_000;
const REFUTE_EVERY = 16;
/** 1 probe, periodic timers, retries; a claim, a relay and two suspicions' worth of timers are counted beside. */
const OTHER_TIMERS = 24;
/** Superseded timers stay with the driver until they fire: per member as many as a suspicion can be shortened within the
 *  longest (rumours.ts). */
const SUSPICION_TIMERS = 24;

interface Sender {
  readonly from: Endpoint;
  readonly isStream: boolean;
  /** How long it is quiet afterwards. */
  readonly passMs: number;
}

const STRANGER_PORT = 40_007;
const stranger = (n: number): Endpoint => ({ host: `198.51.100.${n}`, port: STRANGER_PORT });
/** Nobody ever names it: what goes there answers what came from there. */
const UNNAMED: Endpoint = { host: "203.0.113.77", port: 11_213 };
const NAMED: readonly Endpoint[] = [at(2), at(3), at(5), at(1), stranger(1), stranger(2)];
const FROM: readonly Endpoint[] = [...NAMED, UNNAMED];

function senderOf(byte: number): Sender {
  const from = FROM[byte & 7];
  const passMs = byte < 128 ? 1 : byte < 192 ? 30 : byte < 240 ? 300 : 2500;
  return { from: from ?? UNNAMED, isStream: from === undefined, passMs };
}

const SOURCE = { sourceAddr: "198.51.100.1", sourcePort: STRANGER_PORT, sourceNode: "x" };
const NAMES = ["me", "m2", "m3", "m4", "m5", "m6", "x", "y"];

function someMessage(rng: Rng): Message {
  const [node, from] = [pick(rng, NAMES), pick(rng, NAMES)];
  const [incarnation, seq] = [rng.below(30), rng.u32()];
  const n = NAMES.indexOf(node) + 1;
  const address = rng.below(3) === 0 ? pick(rng, NAMED) : at(n);
  const source = rng.below(2) === 0 ? SOURCE : { sourceAddr: "", sourcePort: 0, sourceNode: "" };
  const meta = tags(rng.below(2) === 0 ? { actor: actor(node, rng.below(9000)) } : {});
  return pick<() => Message>(rng, [
    () => ({ ...alive(node, n, incarnation, meta), address }),
    () => ({ type: "suspect", node, incarnation, from }),
    () => ({ type: "dead", node, incarnation, from }),
    () => ({ type: "ping", seq, node: pick(rng, ["me", "", node]), ...source }),
    () => ({ type: "indirect-ping", seq, node, target: rng.below(2) === 0 ? at(n) : address, nack: true, ...source }),
    () => ({ type: "ack", seq, payload: NO_BYTES }),
    () => ({ type: "nack", seq }),
    () => ({ type: "user", payload: someSerf(rng, node) }),
  ])();
}

function someSerf(rng: Rng, node: string): Uint8Array {
  const lTime = rng.below(2000);
  const name = pick(rng, ["_serf_list-keys", "_serf_install-key", "_serf_use-key", "_serf_remove-key", "uptime"]);
  const query = { id: rng.u32(), addr: Uint8Array.of(10, 0, 0, 2), port: 7946, sourceNode: "m2", filters: [] };
  const rest = { flags: rng.below(2) * QUERY_ACK, relayFactor: 0, timeoutNs: 1e9, name, payload: keyRequest(rng) };
  return pick(rng, [
    () => encodeSerf({ type: "join-intent", lTime, node }),
    () => encodeSerf({ type: "leave-intent", lTime, node, prune: false }),
    () => encodeSerf({ type: "user-event", lTime, name, payload: utf8(`${rng.u32()}`), coalesce: false }),
    () => encodeSerf({ type: "query", lTime, ...query, ...rest }),
  ])();
}

/** Type 7, {"Key": …}: a key that is held, or another. */
function keyRequest(rng: Rng): Uint8Array {
  return concatBytes([Uint8Array.of(7, 0x81, 0xa3), utf8("Key"), Uint8Array.of(0xda, 0, 32), keyOf(1 + rng.below(12))]);
}

/** What whoever knows the label can make one packet do: introduce its own sender, then ask a lot; ask for relays; claim
 *  names that live elsewhere, ours among them. */
const TRICKS: readonly (readonly Message[])[] = [
  [
    { ...alive("x", 9, 1), address: stranger(1) },
    ...Array.from({ length: 40 }, (_, seq): Message => ({ type: "ping", seq, node: "me", ...SOURCE })),
  ],
  Array.from({ length: 60 }, (_, seq) => ({
    ...{ type: "indirect-ping", seq, node: "m2", target: at(2), nack: true },
    ...{ sourceAddr: "", sourcePort: 0, sourceNode: "" },
  })),
  NAMES.map((node, n) => ({
    ...alive(node, n, 20, tags({ actor: actor(node, 1500) })),
    address: stranger(2),
  })),
  Array.from({ length: 50 }, (_, i): Message[] => [
    { type: "suspect", node: "m2", incarnation: 50 + i, from: "m3" },
    alive("m2", 2, 51 + i),
    { type: "dead", node: "m3", incarnation: 50 + i, from: "m2" },
    alive("m3", 3, 51 + i),
  ]).flat(),
];
const STREAMS: readonly StreamMessage[] = [
  digestMessage(new Uint8Array(16)),
  { type: "push-pull", join: true, nodes: [row("m2", 2, 7, "dead"), row("me", 1, 99, "left")], userState: NO_BYTES },
  { type: "push-pull", join: false, nodes: [row("m5", 5, 9, "alive"), row("y", 9, 2, "suspect")], userState: NO_BYTES },
  { type: "ping", seq: 300, node: "me", ...SOURCE },
  { type: "ack", seq: 1, payload: utf8("coordinate") },
  { type: "error", text: "no" },
];

const OPTIONS = { label: LABEL, compress: true };
const PLAIN = labelled(LABEL, { compress: false });
const PACKED = labelled(LABEL, { compress: true });
const sealing = (first: number): Envelope => labelled(LABEL, { compress: true, keyring: keyring(keyOf(first)) });
const OURS = [sealing(1), sealing(2)];
/** Another pool's key, another pool's label, and none of both. */
const NOT_OURS = [sealing(3), labelled("bank", { compress: true, keyring: keyring(keyOf(1)) }), PLAIN, PACKED];

/** A packet or stream in one of the envelopes, and who sends it. */
function talk(rng: Rng, envelopes: readonly Envelope[]): Uint8Array {
  const envelope = pick(rng, envelopes);
  const who = rng.u32() & 255;
  if (senderOf(who).isStream) {
    const nodes = NAMES.map((name, n) =>
      row(name, n + 1, rng.below(30), pick(rng, ["alive", "suspect", "dead", "left"])),
    );
    const table: StreamMessage = {
      type: "push-pull",
      join: false,
      nodes: nodes.slice(rng.below(8)),
      userState: NO_BYTES,
    };
    return concatBytes([Uint8Array.of(who), encodeStream(rng.below(3) === 0 ? pick(rng, STREAMS) : table, envelope)]);
  }
  const messages =
    rng.below(8) === 0 ? pick(rng, TRICKS) : Array.from({ length: 1 + rng.below(5) }, () => someMessage(rng));
  return concatBytes([Uint8Array.of(who), encodePacket(messages, envelope, rng.below(2) === 0)]);
}

function seedsIn(envelopes: readonly Envelope[]): readonly Uint8Array[] {
  const packets = [...TRICKS, ...TRICKS.map((messages) => messages.slice(0, 1))];
  return envelopes.flatMap((envelope) => [
    ...packets.flatMap((messages) =>
      [0, 4, 132].map((who) => concatBytes([Uint8Array.of(who), encodePacket(messages, envelope, true)])),
    ),
    ...STREAMS.map((message) => concatBytes([Uint8Array.of(7), encodeStream(message, envelope)])),
  ]);
}

/** Whether a held key opens it: asked of OpenSSL, not of the code that is tested. On a stream a type and a length precede
 *  what is sealed, and are sealed with it. */
function isSealedBy(keys: readonly Uint8Array[], bytes: Uint8Array, isStream: boolean): boolean {
  const label = utf8(LABEL);
  const labelEnd = 2 + label.length;
  if (bytes[0] !== 244 || bytes[1] !== label.length) return false;
  if (Buffer.compare(bytes.subarray(2, labelEnd), label) !== 0) return false;
  const head = isStream ? bytes.subarray(labelEnd, labelEnd + 5) : new Uint8Array(0);
  const end = isStream && head.length === 5 ? labelEnd + 5 + Buffer.from(head).readUInt32BE(1) : bytes.length;
  const sealed = bytes.subarray(labelEnd + head.length, end);
  if (end > bytes.length || sealed.length < 29) return false;
  return keys.some((key) => {
    const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(1, 13));
    decipher.setAAD(concatBytes([head, label])).setAuthTag(sealed.subarray(-16));
    decipher.update(sealed.subarray(13, -16));
    try {
      decipher.final();
      return true;
    } catch {
      return false; // another key's, or nobody's
    }
  });
}

interface Mode {
  readonly makeEnvelope: () => Envelope;
  /** Only what a held key seals may change anything. */
  readonly sealedOnly: boolean;
}

function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(`a member must hold: ${what}`);
}

/** One mode's member, and what it has been sent by whom. */
class Trial {
  readonly #mode: Mode;
  #envelope: Envelope;
  #receiver: Receiver;
  #given = 0;
  /** Bytes that came from UNNAMED and didn't go back. */
  #balance = 0;

  constructor(mode: Mode) {
    this.#mode = mode;
    this.#envelope = mode.makeEnvelope();
    this.#receiver = new Receiver(this.#envelope);
  }

  give(input: Uint8Array): boolean {
    this.#given += 1;
    if (this.#given % LIFE_INPUTS === 0) this.#renew();
    const { from, isStream, passMs } = senderOf(input[0] ?? 0);
    const understood = this.#hear(input.subarray(1), from, isStream);
    this.#receiver.pass(passMs);
    if (this.#given % REFUTE_EVERY === 0) this.#receiver.refute();
    // Before the next input is heard: what refuting members are told (that of 2³² − 1 nobody can refute) isn't its doing.
    this.#settle(this.#receiver.takeSent());
    this.#checkBounds();
    return understood;
  }

  #renew(): void {
    this.#envelope = this.#mode.makeEnvelope();
    this.#receiver = new Receiver(this.#envelope);
    this.#balance = 0;
  }

  #hear(bytes: Uint8Array, from: Endpoint, isStream: boolean): boolean {
    const receiver = this.#receiver;
    const isSealed = isSealedBy(this.#envelope.keyring?.keys ?? [], bytes, isStream);
    const mayChange = !this.#mode.sealedOnly || isSealed;
    const before = mayChange ? "" : receiver.fingerprint();
    const keysBefore = this.#keys();
    const isStranger = !isStream && !receiver.isMember(from);
    if (!isStream && from === UNNAMED) this.#balance += bytes.length;
    const understood = isStream ? receiver.stream(bytes) : receiver.packet(bytes, from);
    const sent = receiver.takeSent();
    if (!mayChange) {
      must(!understood && sent.length === 0, "what no held key seals is not looked into");
      must(receiver.fingerprint() === before, "what no held key seals changes nothing");
    }
    if (!isSealed) must(this.#keys() === keysBefore, "keys change by sealed packets only");
    if (isStranger) this.#checkAnswers(bytes.length, from, sent);
    this.#settle(sent);
    return understood;
  }

  /** Streams are left out: whoever has shaken hands is where it says, so that its table of all members reflects nothing. */
  #checkAnswers(requestBytes: number, from: Endpoint, sent: readonly Sent[]): void {
    const back = sent.filter(({ to }) => endpointKey(to) === endpointKey(from));
    must(back.length <= 1, "a stranger's packet is answered by one");
    for (const { bytes } of sent)
      must(bytes <= requestBytes, "nothing that a stranger causes is longer than its packet");
    must(
      new Set(sent.map(({ to }) => endpointKey(to))).size === sent.length,
      "nobody gets two packets for a stranger's",
    );
    must(sent.length <= 2, "a stranger's packet causes one to a member and one elsewhere");
  }

  /** Also of what comes later (a relay's answer, a claim's second question). */
  #settle(sent: readonly Sent[]): void {
    for (const { to, bytes } of sent) if (endpointKey(to) === endpointKey(UNNAMED)) this.#balance -= bytes;
    must(this.#balance >= 0, "an address that nobody named gets no more than came from it");
  }

  #keys(): string {
    return this.#envelope.keyring?.keys.map((key) => key[0]).join() ?? "";
  }

  #checkBounds(): void {
    const { swim, driverTimers } = this.#receiver;
    const { members, queued, deaths, relays, claims, timers } = swim.sizes();
    must(members <= MEMBERS_MAX, `${members} rows; at most ${MEMBERS_MAX}`);
    must(queued <= members, `${queued} pieces of news about ${members} members`);
    must(deaths <= 2 * MEMBERS_MAX + 1, `${deaths} deaths of ${members} members`);
    must(relays <= 256, `${relays} relays; at most 256`);
    must(claims <= 64, `${claims} claims; at most 64`);
    must(timers <= OTHER_TIMERS + relays + claims + members, `${timers} timers`);
    must(driverTimers <= timers + SUSPICION_TIMERS * MEMBERS_MAX, `${driverTimers} timers with the driver`);
    must(swim.self.state === "alive", "it lives, whatever is said");
  }
}

function target(name: string, mode: Mode, envelopes: readonly Envelope[]): Target {
  let trial: Trial | undefined;
  return {
    name,
    inputsInTest: 10_000,
    seeds: () => seedsIn(envelopes),
    structured: (rng) => (rng.below(4) === 0 ? mutateBytes(rng, [talk(rng, envelopes)]) : talk(rng, envelopes)),
    parse: (input) => {
      trial ??= new Trial(mode);
      return trial.give(input);
    },
  };
}

const held = () => ({ ...OPTIONS, keyring: keyring(...KEYS) });

export const MEMBER_TARGETS: readonly Target[] = [
  target("gossip-member-plain", { makeEnvelope: () => new Envelope(OPTIONS), sealedOnly: false }, [PLAIN, PACKED]),
  target("gossip-member-sealed", { makeEnvelope: () => new Envelope(held()), sealedOnly: true }, [
    ...OURS,
    ...NOT_OURS,
  ]),
  // As long as a pool goes over to encryption.
  target(
    "gossip-member-mixed",
    { makeEnvelope: () => new Envelope({ ...held(), verifyIncoming: false }), sealedOnly: false },
    [...OURS, PLAIN, PACKED],
  ),
];
