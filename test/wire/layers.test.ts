import { describe, expect, it } from "vitest";
import { KEYS_MAX } from "../../gossip/wire/keyring.ts";
import { compress, decompress } from "../../gossip/wire/lzw.ts";
import type { Message } from "../../gossip/wire/messages.ts";
import { decodePacket, encodePacket, PACKET_BYTES, roomForMessages } from "../../gossip/wire/packet.ts";
import { encodeStream, StreamDecoder, type StreamMessage } from "../../gossip/wire/stream.ts";
import { concatBytes, toHex, utf8 } from "../../src/kernel/bytes.ts";
import { seededRng } from "../../src/kernel/rng.ts";
import { BARE, keyOf, keyring, labelled } from "../gossip/envelopes.ts";
import { alive, row } from "../gossip/one-member.ts";
import { slugOf } from "./slug.ts";

const NEWS: readonly Message[] = Array.from({ length: 8 }, (_, n) => alive(`member-${n}`, n, n));
const TABLE: StreamMessage = {
  type: "push-pull",
  join: true,
  nodes: Array.from({ length: 40 }, (_, n) => row(`member-${n}`, n, n, "alive")),
  userState: utf8("state"),
};
const LIMITS = { messageBytes: 100_000, nodes: 100 };

describe("item 19: LZW", () => {
  it("bytes of every kind and length come back, across many full tables", () => {
    const rng = seededRng(1);
    for (const length of [0, 1, 2, 3, 255, 256, 700, 1_800, 3_838, 3_839, 3_840, 9_000, 70_000])
      for (const kinds of [1, 2, 5, 40, 256]) {
        const bytes = Uint8Array.from({ length }, () => rng.below(kinds));
        expect(toHex(decompress(compress(bytes), length))).toBe(toHex(bytes));
      }
  });

  it("a table that is full and never cleared is read on with", () => {
    // Codes of 9 to 12 bits as an encoder writes them that never starts over (GIF allows it): 5,000 literals.
    const bytes = Uint8Array.from({ length: 5_000 }, (_, at) => (at * 7 + (at >> 8)) & 255);
    let next = 257;
    let [held, bits, width] = [0, 0, 9];
    const out: number[] = [];
    const write = (code: number): void => {
      held |= code << bits;
      for (bits += width; bits >= 8; bits -= 8) {
        out.push(held & 255);
        held >>>= 8;
      }
    };
    write(256);
    for (const byte of bytes) {
      write(byte);
      if (next < 4_095) next += 1;
      if (next === 1 << width) width += 1;
    }
    write(257);
    out.push(held & 255);
    expect(toHex(decompress(Uint8Array.from(out), 5_000))).toBe(toHex(bytes));
  });

  it("is bounded: a bomb is refused at the first byte too many", () => {
    const bomb = compress(new Uint8Array(1_000_000));
    expect(bomb.length).toBeLessThan(4_000);
    expect(slugOf(() => decompress(bomb, 999_999))).toBe("too-large");
    expect(decompress(bomb, 1_000_000).length).toBe(1_000_000);
  });

  it("codes that nobody gave out, and an end before the end, are refused", () => {
    const bits = (...codes: number[]): Uint8Array => {
      const out = new Uint8Array(Math.ceil((codes.length * 9) / 8));
      for (const [at, code] of codes.entries())
        for (let bit = 0; bit < 9; bit++)
          if (code & (1 << bit))
            out[(at * 9 + bit) >> 3] = (out[(at * 9 + bit) >> 3] ?? 0) | (1 << ((at * 9 + bit) & 7));
      return out;
    };
    expect([...decompress(bits(256, 65, 258, 257), 9)]).toEqual([65, 65, 65]);
    expect(slugOf(() => decompress(bits(256, 258, 257), 9))).toBe("bad-compression");
    expect(slugOf(() => decompress(bits(256, 65, 259, 257), 9))).toBe("bad-compression");
    expect(slugOf(() => decompress(bits(256, 65, 66, 256, 258, 257), 9))).toBe("bad-compression");
    expect(slugOf(() => decompress(bits(256, 65), 9))).toBe("bad-compression");
    expect(slugOf(() => decompress(new Uint8Array(0), 9))).toBe("bad-compression");
  });
});

describe("item 20: a keyring", () => {
  it("opens with all keys and seals with the first, through a rotation", () => {
    const [a, b] = [keyOf(1), keyOf(2)];
    const mine = keyring(a);
    const theirs = keyring(b, a);
    const opens = (): string => toHex(theirs.open(mine.seal(utf8("x"), utf8("label")), utf8("label")));
    expect(opens()).toBe("78");
    expect(slugOf(() => mine.open(theirs.seal(utf8("x"), utf8("label")), utf8("label")))).toBe("undecipherable");
    mine.install(b);
    expect(slugOf(() => mine.remove(a))).toBe("gossip-key-in-use");
    mine.use(b);
    mine.remove(a);
    expect(mine.keys).toEqual([b]);
    theirs.remove(a);
    expect(opens()).toBe("78");
  });

  it("refuses keys of a wrong size, unknown ones, more than its bound and none at all, and is unchanged", () => {
    const ring = keyring(keyOf(1));
    expect(slugOf(() => ring.install(new Uint8Array(20)))).toBe("bad-gossip-key");
    expect(slugOf(() => ring.use(keyOf(9)))).toBe("unknown-gossip-key");
    expect(ring.keys).toEqual([keyOf(1)]);
    for (let n = 2; n <= KEYS_MAX; n++) ring.install(keyOf(n));
    expect(slugOf(() => ring.install(keyOf(99)))).toBe("too-many-gossip-keys");
    expect(slugOf(() => keyring())).toBe("no-gossip-key");
  });

  it("reads and writes both versions, with keys of all three sizes", () => {
    for (const sizeBytes of [16, 24, 32])
      for (const version of [0, 1] as const)
        for (let length = 0; length < 40; length++) {
          const ring = keyring(new Uint8Array(sizeBytes).fill(7));
          const plain = new Uint8Array(length).fill(3);
          const sealed = ring.seal(plain, utf8("a"), version);
          expect(sealed.length).toBe(29 + length + (version === 0 ? 16 - (length % 16) : 0));
          expect(toHex(ring.open(sealed, utf8("a")))).toBe(toHex(plain));
          expect(slugOf(() => ring.open(sealed, utf8("b")))).toBe("undecipherable");
        }
  });
});

describe("items 19 and 20: layers", () => {
  const secret = { keyring: keyring(keyOf(1)) };

  it("any of them together come off again, of packets and of streams in any chunks", () => {
    for (const label of ["", "shop"])
      for (const compressed of [false, true])
        for (const keys of [{}, secret]) {
          const envelope = labelled(label, { compress: compressed, ...keys });
          const packet = encodePacket(NEWS, envelope, true);
          expect(decodePacket(packet, envelope)).toMatchObject({ messages: NEWS, rejects: [] });
          const stream = encodeStream(TABLE, envelope);
          for (const step of [1, 7, 1000, stream.length]) {
            const decoder = new StreamDecoder(envelope, LIMITS);
            let got: StreamMessage | undefined;
            for (let at = 0; at < stream.length; at += step) got ??= decoder.push(stream.subarray(at, at + step));
            expect(got).toEqual(TABLE);
          }
        }
  });

  it("compression makes packets and tables smaller, and leaves alone what would grow", () => {
    const packed = labelled("shop", { compress: true });
    expect(encodePacket(NEWS, packed, true).length).toBeLessThan(
      0.7 * encodePacket(NEWS, labelled("shop"), true).length,
    );
    expect(encodeStream(TABLE, packed).length).toBeLessThan(0.5 * encodeStream(TABLE, labelled("shop")).length);
    const rng = seededRng(9);
    const noise = Uint8Array.from({ length: 600 }, () => rng.below(256));
    const user: Message = { type: "user", payload: noise };
    expect(encodePacket([user], packed, false).length).toBe(encodePacket([user], labelled("shop"), false).length);
  });

  it("a full encrypted packet fits the agreed size", () => {
    const envelope = labelled("shop", secret);
    const user: Message = { type: "user", payload: new Uint8Array(roomForMessages(envelope) / 2 - 3) };
    expect(encodePacket([user, user], envelope, true).length).toBeLessThanOrEqual(PACKET_BYTES);
  });

  it("with keys, nothing of what is plain, sealed by another key or for another label is looked at", () => {
    const ours = labelled("shop", secret);
    const others = [
      labelled("shop"),
      labelled("shop", { keyring: keyring(keyOf(2)) }),
      labelled("shop", { ...secret, verifyOutgoing: false }),
    ];
    for (const theirs of others) {
      expect(decodePacket(encodePacket(NEWS, theirs, true), ours)).toEqual({
        messages: [],
        rejects: ["undecipherable"],
      });
      const slug = slugOf(() => new StreamDecoder(ours, LIMITS).push(encodeStream(TABLE, theirs)));
      expect(["unencrypted", "undecipherable"]).toContain(slug);
    }
    // The label is authenticated too: a packet of another pool with the same keys can't be passed off as ours.
    const foreign = encodePacket(NEWS, labelled("shoq", secret), true);
    const relabelled = concatBytes([ours.header, foreign.subarray(ours.header.length)]);
    expect(decodePacket(relabelled, ours)).toEqual({ messages: [], rejects: ["undecipherable"] });
    const stream = encodeStream(TABLE, labelled("shoq", secret));
    const forged = concatBytes([ours.header, stream.subarray(ours.header.length)]);
    expect(slugOf(() => new StreamDecoder(ours, LIMITS).push(forged))).toBe("undecipherable");
  });

  it("while a pool goes over to encryption, members with keys take both", () => {
    const lenient = labelled("shop", { ...secret, verifyIncoming: false });
    for (const theirs of [labelled("shop"), labelled("shop", secret)]) {
      expect(decodePacket(encodePacket(NEWS, theirs, true), lenient).messages).toEqual(NEWS);
      expect(new StreamDecoder(lenient, LIMITS).push(encodeStream(TABLE, theirs))).toEqual(TABLE);
    }
    expect(decodePacket(encodePacket(NEWS, lenient, true), labelled("shop")).messages).not.toEqual(NEWS);
  });

  it("a flipped bit anywhere in a sealed packet or stream loses it whole", () => {
    const envelope = labelled("", secret);
    const packet = encodePacket(NEWS.slice(0, 1), envelope, true);
    for (let at = 0; at < packet.length; at++) {
      const flipped = packet.slice();
      flipped[at] = (flipped[at] ?? 0) ^ 4;
      expect(decodePacket(flipped, envelope).messages).toEqual([]);
    }
  });

  it("layers twice or in the wrong order are refused", () => {
    const packed = labelled("", { compress: true });
    const once = encodePacket(NEWS, packed, false);
    expect(once[0]).toBe(9);
    const twice = packed.compressed(concatBytes([once, new Uint8Array(300)]));
    expect(decodePacket(twice, packed)).toEqual({ messages: [], rejects: ["nested"] });
    expect(slugOf(() => new StreamDecoder(packed, LIMITS).push(twice))).toBe("nested");
    const sealed = encodeStream(TABLE, labelled("", secret));
    const wrapped = packed.compressed(concatBytes([sealed, new Uint8Array(sealed.length)]));
    expect(wrapped[0]).toBe(9);
    const lenient = labelled("", { ...secret, verifyIncoming: false });
    expect(slugOf(() => new StreamDecoder(lenient, LIMITS).push(wrapped))).toBe("nested");
  });

  it("a packet that would become larger than any packet is refused", () => {
    const packed = labelled("", { compress: true });
    const user = (bytes: number): Uint8Array =>
      packed.compressed(concatBytes([Uint8Array.of(8), new Uint8Array(bytes)]));
    expect(decodePacket(user(65_534), packed)).toMatchObject({ messages: [{ type: "user" }], rejects: [] });
    expect(decodePacket(user(65_535), packed)).toEqual({ messages: [], rejects: ["too-large"] });
  });

  it("a whole layer around half a message is refused, not waited for", () => {
    const half = encodeStream(TABLE, BARE).subarray(0, 900);
    const wrapped = labelled("", { compress: true }).compressed(half);
    expect(slugOf(() => new StreamDecoder(BARE, LIMITS).push(wrapped))).toBe("truncated");
  });
});
