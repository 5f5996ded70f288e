import { crc32 } from "../../gossip/wire/crc32.ts";
import type { Envelope } from "../../gossip/wire/envelope.ts";
import { compress, decompress } from "../../gossip/wire/lzw.ts";
import { encodeMessage, MAX_META_BYTES, TYPE } from "../../gossip/wire/messages.ts";
import { REJECT_KINDS } from "../../gossip/wire/msgpack.ts";
import { decodePacket, encodePacket } from "../../gossip/wire/packet.ts";
import { encodeStream, StreamDecoder, type StreamMessage } from "../../gossip/wire/stream.ts";
import { decodeTags, encodeTags } from "../../gossip/wire/tags.ts";
import { concatBytes, EMPTY_BYTES, equalBytes, toHex, utf8 } from "../../src/kernel/bytes.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import { BARE, keyOf, keyring, labelled } from "../gossip/envelopes.ts";
import { alive, row, tags, VSN } from "../gossip/one-member.ts";
import { pick } from "./mutate.ts";
import { claim, type Target, unlessRefused } from "./target.ts";
import { mutated, toMsgpack, treeOf } from "./tree.ts";

const KINDS: ReadonlySet<string> = new Set(REJECT_KINDS);
const SHOP = labelled("shop");
const PACKED = labelled("shop", { compress: true });
const SECRET = labelled("shop", { compress: true, keyring: keyring(keyOf(1), keyOf(2)) });
const SOURCE = { sourceAddr: "10.0.0.2", sourcePort: 7946, sourceNode: "m2" };
const META = tags({ client: "127.0.0.1:7001", region: "eu" });
const MESSAGES = [
  alive("m1", 1, 3, META),
  { type: "suspect", node: "m1", incarnation: 2, from: "m2" },
  { type: "dead", node: "m1", incarnation: 2 ** 32 - 1, from: "m1" },
  { type: "ping", seq: 300, node: "me", ...SOURCE },
  { type: "ping", seq: 0, node: "", sourceAddr: "", sourcePort: 0, sourceNode: "" },
  { type: "indirect-ping", seq: 70_000, node: "m3", target: { host: "::1", port: 1 }, nack: true, ...SOURCE },
  { type: "ack", seq: 1, payload: utf8("coordinate") },
  { type: "nack", seq: 2 },
  { type: "user", payload: utf8("not ours") },
  { type: "error", text: "no" },
] as const;

/** The maps of the messages, by type byte, as they stand on the wire. */
const ip = Uint8Array.of(10, 0, 0, 9);
const source = { SourceAddr: ip, SourceNode: "m2", SourcePort: 7946 };
const state = { Addr: ip, Incarnation: 4, Meta: META, Name: "m4", Port: 7946, State: 1, Vsn: VSN };
const MAPS = [
  { type: TYPE.ping, tree: treeOf({ Node: "me", SeqNo: 300, ...source }) },
  { type: TYPE.indirectPing, tree: treeOf({ Nack: true, Node: "m3", Port: 7946, SeqNo: 7, Target: ip, ...source }) },
  { type: TYPE.ack, tree: treeOf({ Payload: null, SeqNo: 7 }) },
  { type: TYPE.nack, tree: treeOf({ SeqNo: 7 }) },
  { type: TYPE.suspect, tree: treeOf({ From: "m1", Incarnation: 9, Node: "m2" }) },
  { type: TYPE.dead, tree: treeOf({ From: "m1", Incarnation: 9, Node: "m1" }) },
  { type: TYPE.alive, tree: treeOf({ Addr: ip, Incarnation: 1, Meta: META, Node: "m1", Port: 1, Vsn: VSN }) },
  { type: TYPE.error, tree: treeOf({ Error: "no" }) },
];

function message(rng: Rng): Uint8Array {
  const { type, tree } = pick(rng, MAPS);
  return concatBytes([Uint8Array.of(type), toMsgpack(mutated(rng, [tree]), true)]);
}

/** Wrong messages in a right compound, behind a right checksum and label. */
function packet(rng: Rng): Uint8Array {
  const parts = Array.from({ length: 1 + rng.below(4) }, () => message(rng)).filter((part) => part.length < 65_536);
  const lengths = parts.flatMap((part) => [part.length >> 8, part.length & 255]);
  const body = concatBytes([Uint8Array.of(TYPE.compound, parts.length, ...lengths), ...parts]);
  const sum = crc32(body);
  const crc = Uint8Array.of(TYPE.crc, sum >>> 24, sum >>> 16, sum >>> 8, sum);
  return concatBytes([rng.below(2) === 0 ? SHOP.header : EMPTY_BYTES, rng.below(2) === 0 ? crc : EMPTY_BYTES, body]);
}

/** Labelled input is for a member that has the label. */
const envelopeOf = (input: Uint8Array): Envelope => (input[0] === TYPE.label ? SHOP : BARE);

function parsePacket(input: Uint8Array): boolean {
  const { messages, rejects } = decodePacket(input, envelopeOf(input));
  for (const slug of rejects) claim(KINDS.has(slug), `is rejected for ${slug}, which no counter has`);
  claim(messages.length + rejects.length <= 256, "has more parts than a compound holds");
  for (const one of messages) {
    const encoded = encodeMessage(one);
    const again = decodePacket(encoded, BARE).messages[0];
    claim(again !== undefined && equalBytes(encodeMessage(again), encoded), "changes when it is passed on");
    if (one.type === "alive") claim(one.meta.length <= MAX_META_BYTES && one.node !== "", "has a record out of bounds");
  }
  return rejects.length === 0;
}

const LIMITS = { messageBytes: 3000, nodes: 40 };
const STREAMS: readonly StreamMessage[] = [
  { type: "push-pull", join: true, nodes: [row("m1", 1, 1, "alive"), row("m2", 2, 2, "left")], userState: utf8("u") },
  { type: "push-pull", join: false, nodes: [], userState: EMPTY_BYTES },
  MESSAGES[3],
  MESSAGES[6],
  MESSAGES[9],
];

function stream(rng: Rng): Uint8Array {
  const rows = Array.from({ length: rng.below(4) }, () => toMsgpack(mutated(rng, [treeOf(state)]), true));
  const head = treeOf({ Join: true, Nodes: rows.length, UserStateLen: rng.below(3) });
  const headBytes = toMsgpack(rng.below(3) === 0 ? mutated(rng, [head]) : head, true);
  const label = rng.below(2) === 0 ? SHOP.header : EMPTY_BYTES;
  return concatBytes([label, Uint8Array.of(TYPE.pushPull), headBytes, ...rows, Uint8Array.of(1, 2)]);
}

/** The message, "refused" or "more", however the bytes are cut. */
function read(input: Uint8Array, step: number): StreamMessage | "refused" | "more" {
  const decoder = new StreamDecoder(envelopeOf(input), LIMITS);
  const found = unlessRefused(() => {
    for (let from = 0; from < input.length; from += step) {
      const done = decoder.push(input.subarray(from, from + step));
      if (done) return { done };
    }
    return { done: "more" as const };
  });
  return found?.done ?? "refused";
}

function parseStream(input: Uint8Array): boolean {
  const whole = read(input, 4096);
  const cut = read(input, 1 + ((input[1] ?? 0) % 16));
  // In pieces the message may be whole before the piece that is too much arrives.
  if (whole === "refused" && input.length > LIMITS.messageBytes) return false;
  if (typeof whole === "string" || typeof cut === "string") {
    claim(whole === cut, `is ${typeof whole === "string" ? whole : "whole"} in one piece, otherwise in many`);
    return false;
  }
  const encoded = encodeStream(whole, BARE);
  claim(equalBytes(encodeStream(cut, BARE), encoded), "reads differently in pieces");
  if (whole.type === "push-pull") claim(whole.nodes.length <= LIMITS.nodes, "has more rows than the limit");
  return true;
}

/** What the holders of the keys really sent; anything else must come to nothing. */
const SEALED = [
  ...MESSAGES.map((one) => encodePacket([one], SECRET, false)),
  encodePacket(MESSAGES, SECRET, true),
  ...STREAMS.map((one) => encodeStream(one, SECRET)),
];
const GENUINE: ReadonlySet<string> = new Set(SEALED.map(toHex));

function parseSealed(input: Uint8Array): boolean {
  const genuine = GENUINE.has(toHex(input));
  const { messages } = decodePacket(input, SECRET);
  claim(messages.length === 0 || genuine, "is taken for a packet of a member, and none sent it");
  const message = unlessRefused(() => ({ read: new StreamDecoder(SECRET, LIMITS).push(input) }))?.read;
  // What follows a whole message on a stream is ignored.
  const begun = SEALED.some((sent) => sent.length < input.length && equalBytes(sent, input.subarray(0, sent.length)));
  claim(!message || genuine || begun, "is taken for a stream of a member, and none opened it");
  return genuine;
}

const LZW_BYTES_MAX = 20_000;

function parseLzw(input: Uint8Array): boolean {
  const plain = unlessRefused(() => ({ bytes: decompress(input, LZW_BYTES_MAX) }))?.bytes;
  if (!plain) return false;
  claim(plain.length <= LZW_BYTES_MAX, "becomes larger than its bound");
  claim(equalBytes(decompress(compress(plain), plain.length), plain), "doesn't come back when it is compressed again");
  return true;
}

export const GOSSIP_TARGETS: readonly Target[] = [
  {
    name: "gossip-packet",
    seeds: () => [
      ...MESSAGES.map((one) => encodePacket([one], BARE, false)),
      encodePacket(MESSAGES, SHOP, true),
      encodePacket(MESSAGES.slice(0, 5), BARE, true),
      encodePacket([alive("m9", 9, 9), alive("m8", 8, 8)], SHOP, false),
      encodePacket(MESSAGES, PACKED, true),
    ],
    structured: packet,
    parse: parsePacket,
  },
  {
    name: "gossip-stream",
    seeds: () => STREAMS.flatMap((one) => [encodeStream(one, BARE), encodeStream(one, PACKED)]),
    structured: stream,
    parse: parseStream,
  },
  {
    name: "gossip-sealed",
    seeds: () => SEALED,
    structured: (rng) =>
      rng.below(4) === 0 ? pick(rng, SEALED) : concatBytes([pick(rng, [SHOP.header, EMPTY_BYTES]), message(rng)]),
    parse: parseSealed,
  },
  {
    name: "gossip-lzw",
    seeds: () => [EMPTY_BYTES, ...MESSAGES.map(encodeMessage), utf8("ab".repeat(3000))].map(compress),
    structured: (rng) => compress(Uint8Array.from({ length: rng.below(600) }, () => rng.below(4))),
    parse: parseLzw,
  },
  {
    name: "gossip-tags",
    seeds: () => [META, utf8("role"), encodeTags(new Map([["k", "v".repeat(300)]])), alive("m", 1, 1).meta],
    structured: (rng) => concatBytes([Uint8Array.of(0xff), toMsgpack(mutated(rng, [treeOf({ a: "b", c: "" })]), true)]),
    parse: (input) => {
      const found = decodeTags(input);
      claim(found.size <= 128, "has more than 128 tags");
      return found.size > 0;
    },
  },
];
