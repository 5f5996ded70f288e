import { InputError } from "../../src/kernel/assert.ts";
import { concatBytes, EMPTY_BYTES, utf8 } from "../../src/kernel/bytes.ts";
import { crc32 } from "./crc32.ts";
import { decodeMessage, encodeMessage, type Message, TYPE } from "./messages.ts";
import { reject } from "./msgpack.ts";

/** memberlist's UDPBufferSize: fits an Ethernet frame with room for tunnels. Larger packets are fragmented, and one lost
 *  fragment loses all; smaller ones spread news more slowly. */
export const PACKET_BYTES = 1400;
const CRC_BYTES = 5;
/** What a message costs in a compound besides itself: its u16 length. */
export const COMPOUND_PART_BYTES = 2;
const COMPOUND_HEAD_BYTES = 2;
/** The count is one byte. */
const MAX_PARTS = 255;

export interface DecodedPacket {
  readonly messages: readonly Message[];
  /** Why the rest was dropped: one slug each. */
  readonly rejects: readonly string[];
}

/** What goes in front of every packet and stream: byte 244, length, the cluster's name. Empty for no name.
 *  Throws InputError for a label of more than 255 bytes. */
export function labelHeader(label: string): Uint8Array {
  if (label === "") return EMPTY_BYTES;
  const bytes = utf8(label);
  if (bytes.length > 255)
    throw new InputError("label-too-long", `the gossip label has ${bytes.length} bytes; at most 255`);
  return concatBytes([Uint8Array.of(TYPE.label, bytes.length), bytes]);
}

/** How many bytes of messages fit one packet behind this header, with a checksum and the compound's head. */
export function roomForMessages(header: Uint8Array): number {
  return PACKET_BYTES - header.length - CRC_BYTES - COMPOUND_HEAD_BYTES;
}

/** [label] [CRC] [compound] messages. The caller keeps count and size within bounds (`roomForMessages`). */
export function encodePacket(messages: readonly Message[], header: Uint8Array, crc: boolean): Uint8Array {
  const parts = messages.map(encodeMessage);
  const body = parts.length === 1 ? (parts[0] as Uint8Array) : compound(parts);
  if (!crc) return concatBytes([header, body]);
  const sum = crc32(body);
  const wrapper = Uint8Array.of(TYPE.crc, sum >>> 24, (sum >>> 16) & 255, (sum >>> 8) & 255, sum & 255);
  return concatBytes([header, wrapper, body]);
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

/** Takes a packet apart. Total: whatever the bytes are, it returns; each part that can't be used is a reject, the others
 *  still count. A packet without our label is not looked into (pools merge by accident when addresses are reused). */
export function decodePacket(packet: Uint8Array, header: Uint8Array): DecodedPacket {
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
  attempt(() => {
    const body = withoutCrc(withoutLabel(packet, header));
    if (body[0] !== TYPE.compound) messages.push(decodeMessage(body));
    else for (const part of compoundParts(body, rejects)) attempt(() => messages.push(decodeMessage(part)));
  });
  return { messages, rejects };
}

function withoutLabel(packet: Uint8Array, header: Uint8Array): Uint8Array {
  const ours = header.every((byte, at) => packet[at] === byte);
  if (!ours || (header.length === 0 && packet[0] === TYPE.label))
    throw reject("foreign-label", "the packet is of another cluster");
  return packet.subarray(header.length);
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
