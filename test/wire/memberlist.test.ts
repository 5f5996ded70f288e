import { describe, expect, it } from "vitest";
import { canonicalHost, ipToBytes, ipToText, isLoopback, isWildcard } from "../../gossip/wire/address.ts";
import { crc32 } from "../../gossip/wire/crc32.ts";
import type { Envelope } from "../../gossip/wire/envelope.ts";
import { decodeMessage, encodeMessage, type Message } from "../../gossip/wire/messages.ts";
import { MsgpackReader, MsgpackWriter } from "../../gossip/wire/msgpack.ts";
import { decodePacket, encodePacket, PACKET_BYTES, roomForMessages } from "../../gossip/wire/packet.ts";
import { encodeStream, StreamDecoder, type StreamMessage } from "../../gossip/wire/stream.ts";
import { decodeTags, encodeTags } from "../../gossip/wire/tags.ts";
import { concatBytes, fromHex, toHex, utf8 } from "../../src/kernel/bytes.ts";
import { BARE, labelled } from "../gossip/envelopes.ts";
import { slugOf } from "./slug.ts";

const NONE = new Uint8Array(0);
const source = { sourceAddr: "10.0.0.1", sourcePort: 7946, sourceNode: "a" };
const meta = encodeTags(new Map([["region", "eu"]]));
const vsn = Uint8Array.of(1, 5, 2, 2, 5, 4);

const EACH: Message[] = [
  { type: "ping", seq: 1, node: "b", ...source },
  { type: "ping", seq: 2 ** 32 - 1, node: "b", sourceAddr: "", sourcePort: 0, sourceNode: "" },
  { type: "indirect-ping", seq: 300, node: "b", target: { host: "10.0.0.2", port: 1 }, nack: true, ...source },
  { type: "ack", seq: 70_000, payload: NONE },
  { type: "ack", seq: 7, payload: Uint8Array.of(1, 2, 3) },
  { type: "nack", seq: 128 },
  { type: "suspect", node: "b", incarnation: 4_000_000_000, from: "a" },
  { type: "dead", node: "b", incarnation: 0, from: "b" },
  { type: "alive", node: "b", incarnation: 1, address: { host: "10.0.0.2", port: 65_535 }, meta, vsn },
  { type: "alive", node: "ü".repeat(100), incarnation: 1, address: { host: "2001:db8::1", port: 7946 }, meta, vsn },
  { type: "user", payload: Uint8Array.of(9, 8, 7) },
  { type: "error", text: "no" },
];

describe("messages", () => {
  it("each kind decodes to what was encoded", () => {
    for (const message of EACH) expect(decodeMessage(encodeMessage(message))).toEqual(message);
  });

  it("golden bytes: a ping as upstream writes it", () => {
    expect(toHex(encodeMessage({ type: "ping", seq: 5, node: "b", ...source }))).toBe(
      "0085a44e6f6465a162a55365714e6f05aa536f7572636541646472a40a000001aa536f757263654e6f6465a161aa536f75726365506f7274cd1f0a",
    );
  });

  it("a key that we don't know is skipped, nested or not; a missing one is zero, as in Go", () => {
    const nested = fromHex("82a161920182a16201a163cb3ff0000000000000a16dc0");
    const body = new MsgpackWriter().plainByte(2).map(3).text("New").plain(nested).text("SeqNo").uint(9);
    const bytes = body.text("More").plain(fromHex("d3ffffffffffffffff")).finish();
    expect(decodeMessage(bytes)).toEqual({ type: "ack", seq: 9, payload: NONE });
    expect(decodeMessage(Uint8Array.of(11, 0x80))).toEqual({ type: "nack", seq: 0 });
  });

  it("the newer str8 and bin forms are read too", () => {
    const bytes = concatBytes([
      Uint8Array.of(2, 0x82, 0xd9, 7),
      utf8("Payload"),
      Uint8Array.of(0xc4, 2, 1, 2, 0xa5),
      utf8("SeqNo"),
      Uint8Array.of(9),
    ]);
    expect(decodeMessage(bytes)).toEqual({ type: "ack", seq: 9, payload: Uint8Array.of(1, 2) });
  });

  it("what is no message is refused by kind", () => {
    const alive = (fields: (out: MsgpackWriter) => MsgpackWriter): Uint8Array =>
      fields(new MsgpackWriter().plainByte(4)).finish();
    const named = (out: MsgpackWriter, host: Uint8Array, port: number): MsgpackWriter =>
      out.text("Addr").raw(host).text("Node").text("b").text("Port").uint(port);
    const ip = Uint8Array.of(10, 0, 0, 1);
    const cases: [string, Uint8Array][] = [
      ["truncated", NONE],
      ["truncated", Uint8Array.of(0)],
      ["truncated", Uint8Array.of(0, 0x82, 0xa5)],
      ["malformed", Uint8Array.of(0, 0x90)],
      ["malformed", Uint8Array.of(0, 0xc1)],
      ["unknown-type", Uint8Array.of(99, 0x80)],
      ["nested", Uint8Array.of(9, 0x80)],
      ["nested", Uint8Array.of(10, 0x80)],
      ["nested", Uint8Array.of(7, 1, 0, 0)],
      ["nested", Uint8Array.of(12, 0, 0, 0, 0)],
      ["malformed", Uint8Array.of(3, 0x80)], // nobody is accused
      ["malformed", alive((out) => named(out.map(3), Uint8Array.of(1, 2, 3), 1))],
      ["malformed", alive((out) => named(out.map(3), ip, 0))],
      ["malformed", alive((out) => named(out.map(3), ip, 70_000))],
      ["malformed", alive((out) => named(out.map(4), ip, 1).text("Meta").raw(new Uint8Array(513)))],
      [
        "malformed",
        alive((out) =>
          named(out.map(4), ip, 1)
            .text("Incarnation")
            .uint(2 ** 32),
        ),
      ],
      ["malformed", alive((out) => named(out.map(4), ip, 1).text("Incarnation").text("7"))],
      ["malformed", new MsgpackWriter().plainByte(3).map(1).text("Node").raw(Uint8Array.of(0xff)).finish()],
      ["malformed", new MsgpackWriter().plainByte(3).map(1).text("Node").text("x".repeat(256)).finish()],
      ["malformed", new MsgpackWriter().plainByte(3).map(33).finish()],
      ["malformed", Uint8Array.of(3, 0x81, 0xa1, 0x78, 0xdd, 0xff, 0xff, 0xff, 0xff)], // 4 billion items announced
      ["malformed", concatBytes([Uint8Array.of(3, 0x81, 0xa1, 0x78), new Uint8Array(99).fill(0x91)])], // nests too deep
      ["malformed", fromHex("0b81a55365714e6fcfffffffffffffffff")],
    ];
    for (const [slug, bytes] of cases)
      expect([toHex(bytes).slice(0, 40), slugOf(() => decodeMessage(bytes))]).toEqual([
        toHex(bytes).slice(0, 40),
        slug,
      ]);
  });

  it("integers and lengths take their shortest form on both sides of each boundary", () => {
    const hexOf = (value: number): string => toHex(new MsgpackWriter().uint(value).finish());
    expect([127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32].map(hexOf)).toEqual([
      "7f",
      "cc80",
      "ccff",
      "cd0100",
      "cdffff",
      "ce00010000",
      "ceffffffff",
      "cf0000000100000000",
    ]);
    for (const length of [31, 32, 65_535, 65_536]) {
      const bytes = new MsgpackWriter().raw(new Uint8Array(length)).finish();
      expect((new MsgpackReader(bytes).scalar() as Uint8Array).length).toBe(length);
    }
    expect(toHex(new MsgpackWriter().raw(new Uint8Array(32)).finish()).slice(0, 6)).toBe("da0020");
  });
});

/** A short text as a raw value. */
function text(value: string): Uint8Array {
  return new MsgpackWriter().text(value).finish();
}

describe("packets", () => {
  it("labels, checksums and compounds wrap in this order and come off again", () => {
    for (const label of ["", "shop", "x".repeat(255)])
      for (const crc of [false, true])
        for (const messages of [EACH.slice(0, 1), EACH]) {
          const header = labelled(label);
          const packet = encodePacket(messages, header, crc);
          expect(decodePacket(packet, header)).toEqual({ messages, rejects: [] });
          if (label !== "") expect(packet[0]).toBe(244);
          expect(packet[header.header.length]).toBe(crc ? 12 : messages.length > 1 ? 7 : 0);
        }
  });

  it("a full packet fits the agreed size", () => {
    const header = labelled("shop");
    const room = roomForMessages(header);
    const user: Message = { type: "user", payload: new Uint8Array(room / 2 - 3) };
    expect(encodePacket([user, user], header, true).length).toBeLessThanOrEqual(PACKET_BYTES);
  });

  it("a damaged packet is one reject", () => {
    const packet = encodePacket(EACH, BARE, true);
    packet[40] = (packet[40] ?? 0) ^ 1;
    expect(decodePacket(packet, BARE)).toEqual({ messages: [], rejects: ["bad-crc"] });
    expect(decodePacket(NONE, BARE).rejects).toEqual(["truncated"]);
    expect(decodePacket(Uint8Array.of(12, 1, 2), BARE).rejects).toEqual(["truncated"]);
  });

  it("a damaged part costs only itself, and what was cut off counts once (item 19)", () => {
    const good = encodeMessage({ type: "nack", seq: 1 });
    const head = Uint8Array.of(7, 3, 0, good.length, 0, 1, 0, 200);
    const packet = concatBytes([head, good, Uint8Array.of(99), good]);
    expect(decodePacket(packet, BARE)).toEqual({
      messages: [{ type: "nack", seq: 1 }],
      rejects: ["truncated", "unknown-type"],
    });
    const unknownFirst = concatBytes([Uint8Array.of(7, 2, 0, 1, 0, good.length, 99), good]);
    expect(decodePacket(unknownFirst, BARE)).toEqual({
      messages: [{ type: "nack", seq: 1 }],
      rejects: ["unknown-type"],
    });
    expect(decodePacket(Uint8Array.of(7, 200, 0), BARE).rejects).toEqual(["truncated"]);
  });

  it("CRC-32 is IEEE's", () => {
    expect(crc32(utf8("123456789"))).toBe(0xcbf43926);
  });
});

describe("streams", () => {
  const limits = { messageBytes: 10_000, nodes: 10 };
  const node = {
    node: "b",
    incarnation: 3,
    state: "suspect",
    address: { host: "10.0.0.2", port: 1 },
    meta,
    vsn,
  } as const;
  const table: StreamMessage = {
    type: "push-pull",
    join: true,
    nodes: [node, { ...node, node: "c", state: "left" }],
    userState: utf8("xyz"),
  };
  const each: StreamMessage[] = [
    table,
    { type: "push-pull", join: false, nodes: [], userState: NONE },
    { type: "ping", seq: 1, node: "b", ...source },
    { type: "ack", seq: 1, payload: NONE },
    { type: "error", text: "no" },
    { type: "user", payload: Uint8Array.of(4, 1, 2) },
  ];

  it("each message comes out whole, however the stream was cut into chunks", () => {
    for (const header of [BARE, labelled("shop")])
      for (const message of each) {
        const bytes = encodeStream(message, header);
        for (const step of [1, 2, 7, bytes.length]) {
          const decoder = new StreamDecoder(header, limits);
          let got: StreamMessage | undefined;
          for (let i = 0; i < bytes.length; i += step) {
            expect(got).toBeUndefined();
            got = decoder.push(bytes.subarray(i, i + step));
          }
          expect(got).toEqual(message);
        }
      }
  });

  it("what is too large is refused by its announcement, before it came (item 19)", () => {
    const bytes = encodeStream({ ...table, userState: new Uint8Array(20_000) }, BARE);
    expect(slugOf(() => new StreamDecoder(BARE, limits).push(bytes.subarray(0, 60)))).toBe("too-large");
    const many = new MsgpackWriter().plainByte(6).map(1).text("Nodes").uint(11).finish();
    expect(slugOf(() => new StreamDecoder(BARE, limits).push(many))).toBe("too-large");
    expect(slugOf(() => new StreamDecoder(BARE, limits).push(new Uint8Array(10_001)))).toBe("too-large");
  });

  it("foreign labels, encryption without a key and unknown types are refused by kind", () => {
    const slug = (header: Envelope, bytes: Uint8Array): string =>
      slugOf(() => new StreamDecoder(header, limits).push(bytes));
    expect(slug(labelled("shop"), encodeStream(table, BARE))).toBe("foreign-label");
    expect(slug(labelled("shop"), encodeStream(table, labelled("shoq")))).toBe("foreign-label");
    expect(slug(BARE, encodeStream(table, labelled("shop")))).toBe("foreign-label");
    expect(slug(BARE, Uint8Array.of(10))).toBe("undecipherable");
    expect(slug(BARE, Uint8Array.of(99))).toBe("unknown-type");
    expect(slug(BARE, Uint8Array.of(6, 0x93))).toBe("malformed");
  });

  it("Go's signed integers are read as numbers, negative ones refuse the message", () => {
    const table = (...uint: number[]): Uint8Array =>
      concatBytes([
        Uint8Array.of(6, 0x83),
        text("Join"),
        Uint8Array.of(0xc2),
        text("Nodes"),
        Uint8Array.of(0xd0, 0),
        text("UserStateLen"),
        Uint8Array.of(...uint),
        new Uint8Array(300).fill(7),
      ]);
    const read = new StreamDecoder(BARE, limits).push(table(0xd1, 1, 44));
    expect(read?.type === "push-pull" && read.userState.length).toBe(300);
    expect(slugOf(() => new StreamDecoder(BARE, limits).push(table(0xd1, 0xff, 0xff)))).toBe("malformed");
  });

  it("what nobody asked for is skipped within bounds: a stream is read again with each chunk", () => {
    const items = (count: number): Uint8Array =>
      concatBytes([
        Uint8Array.of(6, 0x81),
        text("x"),
        Uint8Array.of(0xdc, count >> 8, count & 255),
        new Uint8Array(count),
      ]);
    expect(new StreamDecoder(BARE, { ...limits, messageBytes: 9_000 }).push(items(1_000))).toBeDefined();
    expect(slugOf(() => new StreamDecoder(BARE, { ...limits, messageBytes: 9_000 }).push(items(2_000)))).toBe(
      "malformed",
    );
    const packed = concatBytes([Uint8Array.of(9, 0x81), text("x"), Uint8Array.of(1)]);
    expect(slugOf(() => new StreamDecoder(BARE, limits).push(packed))).toBe("malformed");
  });

  it("a map that never ends is refused, not kept", () => {
    const decoder = new StreamDecoder(BARE, { messageBytes: 1_000_000, nodes: 10 });
    expect(slugOf(() => decoder.push(Uint8Array.of(6, 0x81, 0xa1, 0x61, 0xdb, 0, 0, 0xff, 0xff)))).toBe("truncated");
  });
});

describe("tags and addresses", () => {
  it("tags are serf's: ff and a map, in its order", () => {
    expect(toHex(encodeTags(new Map()))).toBe("ff80");
    expect(toHex(encodeTags(new Map([["role", "web"]])))).toBe("ff81a4726f6c65a3776562");
    const tags = new Map(Array.from({ length: 20 }, (_, i) => [`t${i}`, `v${i}`]));
    expect([...decodeTags(encodeTags(tags))]).toEqual([...tags]);
  });

  it("metadata that can't be read give no tags, a bare role of old is one", () => {
    expect([...decodeTags(NONE)]).toEqual([]);
    expect([...decodeTags(utf8("web"))]).toEqual([["role", "web"]]);
    for (const hex of ["ff", "ff82a161", "ff81a16193", "fe", "ffde0fff"])
      expect([...decodeTags(fromHex(hex))]).toEqual([]);
  });

  it("a key named __proto__ is a tag like any other", () => {
    expect(decodeTags(encodeTags(new Map([["__proto__", "x"]]))).get("__proto__")).toBe("x");
  });

  it("more than 512 bytes of metadata are refused with a sentence", () => {
    expect(encodeTags(new Map([["a", "x".repeat(505)]])).length).toBe(512);
    expect(() => encodeTags(new Map([["a", "x".repeat(506)]]))).toThrow(/513 bytes; at most 512/);
  });

  it("addresses have one spelling", () => {
    const same: [string, string][] = [
      ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
      ["::ffff:10.0.0.1", "10.0.0.1"],
      ["0:0:0:0:0:0:0:0", "::"],
      ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
      ["1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7:0"],
      ["::1", "::1"],
      ["Seed.Example", "seed.example"],
    ];
    for (const [a, b] of same) expect(canonicalHost(a)).toBe(b);
    for (const bad of [
      "1.2.3",
      "1.2.3.256",
      "01.2.3.4",
      "1:2:3",
      "1::2::3",
      "1:2:3:4:5:6:7:8:9",
      ":::",
      "12345::",
      "g::",
    ])
      expect(ipToBytes(bad)).toBeUndefined();
    expect(ipToText(new Uint8Array(5))).toBeUndefined();
    expect([isLoopback("127.9.9.9"), isLoopback("::1"), isLoopback("10.0.0.1")]).toEqual([true, true, false]);
    expect([isWildcard("0.0.0.0"), isWildcard("::"), isWildcard("localhost")]).toEqual([true, true, false]);
  });
});
