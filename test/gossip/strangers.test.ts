import { describe, expect, it } from "vitest";
import type { IndirectPing, Message, Ping } from "../../gossip/wire/messages.ts";
import { actor, alive, at, NO_BYTES, OneMember, packetBytes, row, tags } from "./one-member.ts";

// Item 19: every packet is hostile, and its sender may be forged.

const SOURCE = { sourceAddr: "10.0.0.77", sourcePort: 7946, sourceNode: "x" } as const;
const NO_SOURCE = { sourceAddr: "", sourcePort: 0, sourceNode: "" } as const;
const PING: Ping = { type: "ping", seq: 9, node: "me", ...SOURCE };
const RELAYED: IndirectPing = { type: "indirect-ping", seq: 9, node: "m2", target: at(2), nack: true, ...SOURCE };
const many = (message: Message): Message[] => Array.from({ length: 100 }, (_, seq) => ({ ...message, seq }) as Message);
const later = (node: string): Uint8Array => tags({ actor: actor(node, 9000), client: "10.0.0.77:80", region: "eu" });

/** A member that knows others, some of them gone, and has news waiting that goes out behind anything. */
function settled(): OneMember {
  const me = new OneMember({ meta: { actor: actor("me", 5000) } });
  for (const n of [2, 3, 4, 5]) me.hear(n, alive(`m${n}`, n, 5, tags({ actor: actor(`m${n}`, 1000) })));
  me.hear(2, { type: "dead", node: "m4", incarnation: 5, from: "m2" });
  me.hear(2, { type: "dead", node: "m5", incarnation: 5, from: "m2" });
  me.forget();
  return me;
}

describe("item 19: an address that no member has", () => {
  const sizeOf = (me: OneMember, n: number): number =>
    me.packets.filter(({ to }) => to.host === at(n).host).reduce((sum, { messages }) => sum + packetBytes(messages), 0);

  const said: [string, Message[]][] = [
    ["a ping", [PING]],
    ["a ping that names nobody", [{ ...PING, ...NO_SOURCE, node: "" }]],
    ["a hundred pings", many(PING)],
    ["a hundred pings to be relayed", many(RELAYED)],
    ["pings to be relayed to somebody unknown", many({ ...RELAYED, node: "nobody" })],
    ["an accusation of the one it talks to", [PING, { type: "suspect", node: "me", incarnation: 99, from: "x" }]],
    ["a refuted accusation", [PING, { type: "suspect", node: "m3", incarnation: 4, from: "x" }]],
    ["first itself, then a hundred pings", [alive("x", 77, 1), ...many(PING)]],
    [
      "first itself, then accusations",
      [alive("x", 77, 1), { type: "suspect", node: "me", incarnation: 99, from: "x" }],
    ],
    ["the dead, alive there", [alive("m4", 77, 5), alive("m5", 77, 5)]],
    ["the living, started again there", [alive("m2", 77, 6, later("m2")), alive("m3", 77, 6, later("m3"))]],
    ["ourselves, started earlier there", [alive("me", 77, 6, tags({ actor: actor("me", 4000) }))]],
    [
      "a name claimed there, and taken at once",
      [alive("m2", 77, 6, later("m2")), alive("y", 77, 1), alive("m4", 77, 5)],
    ],
    [
      "ourselves, started earlier there, and then a member",
      [alive("me", 77, 6, tags({ actor: actor("me", 4000) })), alive("y", 77, 1), alive("m4", 77, 5)],
    ],
  ];
  it.each(said)("is sent no more than came from it, and one packet at once and one later: %s", (_, messages) => {
    const me = settled();
    const roomBytes = packetBytes(messages);
    me.step({ kind: "packet", from: at(77), messages, roomBytes });
    expect(sizeOf(me, 77)).toBeLessThanOrEqual(roomBytes);
    expect(me.packets.filter(({ to }) => to.host === at(77).host).length).toBeLessThanOrEqual(1);
    expect(me.packets.length).toBeLessThanOrEqual(2);
    for (const packet of me.packets) expect(packetBytes(packet.messages)).toBeLessThanOrEqual(roomBytes);
    // Later: a relay's nack. Whom the packet made known as a member gets a member's probes from now on.
    if (me.swim.members().some(({ address }) => address.host === at(77).host)) return;
    me.pass(510);
    expect(sizeOf(me, 77)).toBeLessThanOrEqual(roomBytes);
  });

  it("gets its ack, and one that would be longer than its packet is a reject, however it was packed", () => {
    const me = new OneMember().meet(2);
    me.hear(77, PING);
    expect(me.packets).toMatchObject([{ to: at(77), messages: [{ type: "ack", seq: 9 }] }]);
    me.forget();
    me.hear(77, { ...PING, ...NO_SOURCE, node: "" });
    me.step({ kind: "packet", from: at(77), messages: [PING], roomBytes: 14 });
    expect(me.others).toEqual(Array(2).fill({ kind: "reject", reason: "stranger" }));
    expect(me.packets).toEqual([]);
  });

  it("gets an ack that is as long as its packet, and none that is a byte longer", () => {
    const me = new OneMember().meet(2);
    const ackBytes = packetBytes([{ type: "ack", seq: 9, payload: NO_BYTES }]);
    const hear = (roomBytes: number) => me.step({ kind: "packet", from: at(77), messages: [PING], roomBytes });
    expect(hear(ackBytes - 1)).toEqual([{ kind: "reject", reason: "stranger" }]);
    expect(hear(ackBytes)).toMatchObject([{ kind: "send", to: at(77), messages: [{ type: "ack" }] }]);
  });

  it("is one of all that are answered 256 times a second together", () => {
    const me = new OneMember().meet(2);
    for (let n = 0; n < 1000; n++) me.hear(50 + (n % 50), { ...PING, seq: n });
    expect(me.packets.length).toBe(256);
    me.pass(1000);
    me.hear(77, PING);
    expect(me.sent("ack").length).toBe(257);
    for (let n = 0; n < 1000; n++) me.hear(2, { ...PING, seq: n });
    expect(me.sent("ack").length).toBe(1257);
  });

  it("gets relays for a ping that isn't shorter than what is relayed", () => {
    const me = new OneMember().meet(2);
    me.hear(77, RELAYED);
    expect(me.packets).toMatchObject([{ to: at(2), messages: [{ type: "ping", node: "m2" }] }]);
    me.forget();
    me.hear(77, { ...RELAYED, ...NO_SOURCE });
    expect(me.packets).toEqual([]);
    expect(me.swim.sizes().relays).toBe(1);
  });
});

describe("item 19: whoever knows the label may say a lot, and it is held within bounds", () => {
  it("a member accused and cleared by turns arms no timer for each turn", () => {
    const me = new OneMember().meet(2, 3, 4, 5);
    const before = me.openTimers;
    for (let i = 0; i < 200; i++) {
      me.hear(3, { type: "suspect", node: "m2", incarnation: 10 + i, from: "m3" });
      for (const from of ["m4", "m5"]) me.hear(3, { type: "suspect", node: "m2", incarnation: 10 + i, from });
      me.hear(3, alive("m2", 2, 11 + i));
    }
    expect(me.openTimers - before).toBeLessThanOrEqual(4);
    me.hear(3, { type: "suspect", node: "m2", incarnation: 300, from: "m3" });
    me.pass(3000);
    expect(me.stateOf("m2")).toBe("suspect");
    me.pass(22_000);
    expect(me.stateOf("m2")).toBe("dead");
  });

  it("one that dies and comes back by turns is gossiped to as one of the dead", () => {
    const me = new OneMember().meet(2, 3, 4);
    me.hear(3, { type: "dead", node: "m4", incarnation: 5, from: "m3" });
    for (let i = 0; i < 200; i++) {
      me.hear(3, { type: "dead", node: "m2", incarnation: 10 + i, from: "m3" });
      me.hear(3, alive("m2", 2, 11 + i));
    }
    expect(me.swim.sizes().deaths).toBeLessThanOrEqual(2 * 4 + 1);
    const alone = new OneMember().meet(2, 3);
    alone.hear(3, { type: "dead", node: "m2", incarnation: 5, from: "m3" });
    alone.hear(2, alive("m2", 2, 6));
    alone.pass(1000);
    expect(alone.swim.sizes().deaths).toBe(0); // it came back: none of the dead
  });

  it("answered relays count as open for as long as unanswered ones: no more timers than relays", () => {
    const me = new OneMember().meet(2, 3);
    const before = me.openTimers;
    for (let seq = 0; seq < 400; seq++) {
      me.hear(3, { ...RELAYED, seq });
      for (const { to, message } of me.sent("ping"))
        if (to.host === at(2).host) me.hear(2, { type: "ack", seq: message.seq, payload: NO_BYTES });
    }
    expect(me.sent("ack").length).toBe(256);
    expect([me.swim.sizes().relays, me.openTimers - before]).toEqual([256, 256]);
    expect(me.others).toContainEqual({ kind: "reject", reason: "too-many-relays" });
    me.pass(410);
    expect([me.swim.sizes().relays, me.sent("nack").length]).toEqual([0, 0]);
  });

  it("a claim that is settled is not opened again before it would have been due", () => {
    const me = settled();
    for (let i = 0; i < 100; i++) {
      me.hear(3, alive("m2", 3, 20 + i, later("m2")));
      for (const { to, message } of me.sent("ping"))
        if (to.host === at(2).host) me.hear(2, { type: "ack", seq: message.seq, payload: NO_BYTES });
    }
    expect(me.sent("ping").length).toBe(2);
    expect(me.swim.sizes().claims).toBe(1);
    me.pass(300);
    expect(me.swim.sizes().claims).toBe(0);
  });

  it("a table from a stranger, on a stream, makes a bounded number of packets go elsewhere", () => {
    const me = new OneMember({ membersMax: 1000 });
    for (let n = 0; n < 200; n++) {
      me.hear(2, { ...alive(`x${n}`, 2, 5), address: { host: "10.1.0.1", port: 1000 + n } });
      me.hear(2, { type: "dead", node: `x${n}`, incarnation: 5, from: "m" });
    }
    me.forget();
    me.table(...Array.from({ length: 200 }, (_, n) => row(`x${n}`, 77, 5, "alive")));
    expect(me.packets.length).toBeLessThanOrEqual(32);
  });
});
