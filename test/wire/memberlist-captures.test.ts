import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Envelope } from "../../gossip/wire/envelope.ts";
import { compress, decompress } from "../../gossip/wire/lzw.ts";
import { type DecodedPacket, decodePacket, encodePacket } from "../../gossip/wire/packet.ts";
import {
  decodeKeyRequest,
  decodeKeyResponse,
  decodeSerf,
  encodeKeyRequest,
  encodeKeyResponse,
  encodeSerf,
} from "../../gossip/wire/serf.ts";
import { encodeStream, StreamDecoder, type StreamMessage } from "../../gossip/wire/stream.ts";
import { decodeTags, encodeTags } from "../../gossip/wire/tags.ts";
import { fromHex, toHex } from "../../src/kernel/bytes.ts";
import { BARE, keyring, labelled } from "../gossip/envelopes.ts";

// Captures of real serf agents: conformance/memberlist/README.md says what is in them.
const DIRECTORY = `${process.env.STARLING_CONFORMANCE ?? new URL("../../../shared/conformance", import.meta.url).pathname}/memberlist`;
const LIMITS = { messageBytes: 100_000, nodes: 100 };
const UNPACKED = labelled("", { compress: false });

function base64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "base64"));
}
// Made only for the capture.
const K1 = base64("5nlL3N3acNoKsyWvpTKmVp+cJIUAkWuirZtnekMFdi4=");
const K2 = base64("GW3SwOXn4CwpuY8E2NmpHm9skZiQn0XcZaAYrg/QZAE=");

interface Line {
  readonly n: number;
  readonly proto: "udp" | "tcp";
  readonly hex: string;
}

function linesOf(capture: string): Line[] {
  const text = readFileSync(`${DIRECTORY}/${capture}.jsonl`, "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
}

function streamOf(bytes: Uint8Array, envelope: Envelope): StreamMessage {
  const message = new StreamDecoder(envelope, LIMITS).push(bytes);
  if (!message) throw new Error("the stream holds no whole message");
  return message;
}

function count(counts: Record<string, number>, what: string): void {
  counts[what] = (counts[what] ?? 0) + 1;
}

/** What a capture's datagrams and streams turn into, by kind, and the lines that don't come back: as the same bytes
 *  where they are plain, with the same content where they are compressed or encrypted. */
function replay(capture: string, envelope: Envelope): { counts: Record<string, number>; different: number[] } {
  const counts: Record<string, number> = {};
  const different: number[] = [];
  for (const { n, proto, hex } of linesOf(capture)) {
    const bytes = fromHex(hex);
    if (proto === "udp") {
      const decoded = decodePacket(bytes, envelope);
      for (const message of decoded.messages) count(counts, message.type);
      for (const reject of decoded.rejects) count(counts, `reject ${reject}`);
      if (!comesBack(bytes, decoded, envelope)) different.push(n);
    } else {
      const message = streamOf(bytes, envelope);
      count(counts, `tcp ${message.type}`);
      const plain = bytes[0] !== 9 && bytes[0] !== 10;
      if (plain && toHex(encodeStream(message, UNPACKED)) !== hex) different.push(n);
      if (JSON.stringify(streamOf(encodeStream(message, envelope), envelope)) !== JSON.stringify(message))
        different.push(n);
    }
  }
  return { counts, different };
}

function comesBack(bytes: Uint8Array, { messages }: DecodedPacket, envelope: Envelope): boolean {
  const crc = bytes[0] === 12;
  const compressed = bytes[crc ? 5 : 0] === 9;
  const again = decodePacket(encodePacket(messages, envelope, crc), envelope);
  if (JSON.stringify([again.messages, again.rejects]) !== JSON.stringify([messages, []])) return false;
  return envelope !== BARE || compressed || toHex(encodePacket(messages, BARE, crc)) === toHex(bytes);
}

describe.skipIf(!existsSync(DIRECTORY))("captures of serf agents (skipped without the conformance data)", () => {
  // The README's table, "after all unwrapping".
  const expected: Record<string, Record<string, number>> = {
    plain: { ping: 17, ack: 17, alive: 24, dead: 5, user: 16, "tcp push-pull": 2 },
    failure: {
      ping: 42,
      "indirect-ping": 6,
      ack: 30,
      suspect: 12,
      alive: 36,
      dead: 8,
      user: 24,
      nack: 6,
      "tcp push-pull": 4,
    },
    refute: {
      ping: 39,
      "indirect-ping": 4,
      ack: 39,
      suspect: 10,
      alive: 48,
      user: 24,
      nack: 4,
      "tcp push-pull": 4,
      "tcp ping": 4,
      "tcp ack": 4,
    },
    events: {
      ping: 58,
      "indirect-ping": 5,
      ack: 48,
      suspect: 12,
      alive: 32,
      dead: 12,
      user: 62,
      nack: 5,
      "tcp push-pull": 10,
    },
  };

  for (const [capture, counts] of Object.entries(expected))
    it(`${capture}: every datagram and stream decodes to the last message and encodes to the same`, () => {
      expect(replay(capture, BARE)).toEqual({ counts, different: [] });
    });

  it("encrypted: with both keys everything decodes and encodes to the same content", () => {
    const counts = { ping: 17, ack: 17, alive: 16, user: 48, "tcp push-pull": 2 };
    const envelope = labelled("", { keyring: keyring(K2, K1), compress: true });
    expect(replay("encrypted", envelope)).toEqual({ counts, different: [] });
  });

  it("encrypted: a key opens what was sent under it, nothing else, and nobody reads without one", () => {
    const udp = linesOf("encrypted").filter(({ proto }) => proto === "udp");
    const readable = (envelope: Envelope): number[] =>
      udp.filter(({ hex }) => decodePacket(fromHex(hex), envelope).rejects.length === 0).map(({ n }) => n);
    const numbers = (from: number, to: number): number[] => udp.map(({ n }) => n).filter((n) => n >= from && n <= to);
    expect(readable(labelled("", { keyring: keyring(K1) }))).toEqual(numbers(1, 43));
    expect(readable(labelled("", { keyring: keyring(K2) }))).toEqual(numbers(44, 79));
    const without = udp.flatMap(({ hex }) => decodePacket(fromHex(hex), BARE).messages);
    expect(without.filter(({ type }) => type !== "user")).toEqual([]);
  });

  it("what serf compressed comes out of our encoder as the same bytes", () => {
    let streams = 0;
    for (const capture of Object.keys(expected))
      for (const { hex } of linesOf(capture)) {
        const bytes = fromHex(hex);
        const body = bytes[0] === 12 ? bytes.subarray(5) : bytes;
        if (body[0] !== 9) continue;
        // Behind the head of a raw value, da and u16 or a0 to bf, which follows the key "Buf".
        const key = toHex(body).indexOf("a3427566") / 2 + 4;
        const packed = body.subarray(key + (body[key] === 0xda ? 3 : 1));
        expect(toHex(compress(decompress(packed, 65_536)))).toBe(toHex(packed));
        streams += 1;
      }
    expect(streams).toBeGreaterThan(60);
  });

  it("serf's own messages are read, and written back as the same bytes", () => {
    const counts: Record<string, number> = {};
    for (const capture of [...Object.keys(expected), "encrypted"]) {
      const envelope = capture === "encrypted" ? labelled("", { keyring: keyring(K1, K2) }) : BARE;
      for (const { proto, hex } of linesOf(capture)) {
        if (proto === "tcp") {
          const message = streamOf(fromHex(hex), envelope);
          if (message.type !== "push-pull") continue;
          const state = decodeSerf(message.userState);
          count(counts, state?.type ?? "unknown");
          if (state) expect(decodeSerf(encodeSerf(state))).toEqual(state); // past events are left out
          continue;
        }
        for (const message of decodePacket(fromHex(hex), envelope).messages) {
          if (message.type !== "user") continue;
          const serf = decodeSerf(message.payload);
          count(counts, serf?.type ?? "unknown");
          if (serf) expect(toHex(encodeSerf(serf))).toBe(toHex(message.payload));
          if (serf?.type === "query-response" && serf.payload[0] === 8)
            expect(toHex(encodeKeyResponse(decodeKeyResponse(serf.payload)))).toBe(toHex(serf.payload));
          if (serf?.type === "query" && serf.name.endsWith("-key"))
            expect(toHex(encodeKeyRequest(decodeKeyRequest(serf.payload)))).toBe(toHex(serf.payload));
        }
      }
    }
    // Two are relays, which we don't pass on.
    expect(counts).toEqual({
      "join-intent": 88,
      "leave-intent": 16,
      "user-event": 16,
      query: 40,
      "query-response": 12,
      state: 22,
      unknown: 2,
    });
  });

  it("tags of real agents are read, and written back as the same bytes", () => {
    const metas = ["plain", "refute", "events"].flatMap((capture) =>
      linesOf(capture)
        .filter(({ proto }) => proto === "udp")
        .flatMap(({ hex }) => decodePacket(fromHex(hex), BARE).messages)
        .flatMap((message) => (message.type === "alive" ? [message.meta] : [])),
    );
    expect(metas.length).toBeGreaterThan(20);
    for (const meta of metas) expect(toHex(encodeTags(decodeTags(meta)))).toBe(toHex(meta));
    expect(metas.some((meta) => decodeTags(meta).get("role") === "db2")).toBe(true);
  });
});
