import { InputError } from "../../src/kernel/assert.ts";
import { concatBytes } from "../../src/kernel/bytes.ts";
import { crc32 } from "./crc32.ts";
import { type Envelope, readCompressed } from "./envelope.ts";
import { decodeMessage, encodeMessage, type Message, TYPE } from "./messages.ts";
import { MsgpackReader, reject } from "./msgpack.ts";

/** memberlist's UDPBufferSize: fits an Ethernet frame with room for tunnels. Larger packets are fragmented, and one lost
 *  fragment loses all; smaller ones spread news more slowly. */
export const PACKET_BYTES = 1400;
const CRC_BYTES = 5;
/** What a message costs in a compound besides itself: its u16 length. */
export const COMPOUND_PART_BYTES = 2;
const COMPOUND_HEAD_BYTES = 2;
/** The count is one byte. */
const MAX_PARTS = 255;
/** No packet is larger, so none was that came to us compressed. */
const UNPACKED_BYTES_MAX = 65_535;

export interface DecodedPacket {
  readonly messages: readonly Message[];
  /** Why the rest was dropped: one slug each. */
  readonly rejects: readonly string[];
  /** It was encrypted, by a holder of the keys. */
  readonly sealed?: true;
}

/** How many bytes of messages fit one packet in this envelope, with a checksum and the compound's head. */
export function roomForMessages(envelope: Envelope): number {
  return PACKET_BYTES - envelope.overheadBytes - CRC_BYTES - COMPOUND_HEAD_BYTES;
}

/** [label] [encryption] [CRC] [compression] [compound] messages. The caller keeps count and size within bounds
 *  (`roomForMessages`). */
export function encodePacket(messages: readonly Message[], envelope: Envelope, crc: boolean): Uint8Array {
  const parts = messages.map(encodeMessage);
  const body = envelope.compressed(parts.length === 1 ? (parts[0] as Uint8Array) : compound(parts));
  return envelope.sealedPacket(crc ? withCrc(body) : body);
}

function withCrc(body: Uint8Array): Uint8Array {
  const sum = crc32(body);
  return concatBytes([Uint8Array.of(TYPE.crc, sum >>> 24, (sum >>> 16) & 255, (sum >>> 8) & 255, sum & 255), body]);
}

function compound(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length > MAX_PARTS) throw new InputError("too-large", `a packet holds at most ${MAX_PARTS} messages`);
  const head = new Uint8Array(COMPOUND_HEAD_BYTES + COMPOUND_PART_BYTES * parts.length);
  head[0] = TYPE.compound;
  head[1] = parts.length;
  for (const [at, part] of parts.entries()) {
    head[2 + 2 * at] = part.length >> 8;
    head[3 + 2 * at] = part.length & 255;
  }
  return concatBytes([head, ...parts]);
}

/** Most of a flood ends here: one object for all. */
const FOREIGN: DecodedPacket = { messages: [], rejects: ["foreign-label"] };

/** Takes a packet apart. Total: whatever the bytes are, it returns; each part that can't be used is a reject, the others
 *  still count. Nothing of a packet without our label, or that our keys don't open, is looked at. */
export function decodePacket(packet: Uint8Array, envelope: Envelope): DecodedPacket {
  if (!envelope.isOurs(packet)) return FOREIGN;
  const messages: Message[] = [];
  const rejects: string[] = [];
  const attempt = (decode: () => void): void => {
    try {
      decode();
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      rejects.push(error.slug);
    }
  };
  let sealed = false;
  attempt(() => {
    const opened = envelope.openPacket(packet);
    sealed = opened.sealed;
    const body = decompressed(withoutCrc(opened.body));
    if (body[0] !== TYPE.compound) messages.push(decodeMessage(body));
    else for (const part of compoundParts(body, rejects)) attempt(() => messages.push(decodeMessage(part)));
  });
  return sealed ? { messages, rejects, sealed } : { messages, rejects };
}

function decompressed(body: Uint8Array): Uint8Array {
  if (body[0] !== TYPE.compress) return body;
  return readCompressed(new MsgpackReader(body, 1), UNPACKED_BYTES_MAX);
}

function withoutCrc(bytes: Uint8Array): Uint8Array {
  if (bytes[0] !== TYPE.crc) return bytes;
  if (bytes.length <= CRC_BYTES) throw reject("truncated", "nothing behind the checksum");
  const body = bytes.subarray(CRC_BYTES);
  const announced = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
  if (announced !== crc32(body)) throw reject("bad-crc", "the checksum does not match");
  return body;
}

/** The parts that are wholly there; a cut-off rest is one reject. */
function compoundParts(bytes: Uint8Array, rejects: string[]): Uint8Array[] {
  const count = bytes[1];
  const start = COMPOUND_HEAD_BYTES + COMPOUND_PART_BYTES * (count ?? 0);
  if (count === undefined || start > bytes.length) throw reject("truncated", "compound without its lengths");
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const parts: Uint8Array[] = [];
  let at = start;
  for (let i = 0; i < count; i++) {
    const end = at + view.getUint16(COMPOUND_HEAD_BYTES + COMPOUND_PART_BYTES * i);
    if (end > bytes.length) {
      rejects.push("truncated");
      break;
    }
    parts.push(bytes.subarray(at, end));
    at = end;
  }
  return parts;
}
