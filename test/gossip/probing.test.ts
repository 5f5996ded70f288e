import { describe, expect, it } from "vitest";
import { GEO } from "../../gossip/swim/profile.ts";
import type { IndirectPing, Message, Ping } from "../../gossip/wire/messages.ts";
import { alive, at, NO_BYTES, nextPing, OneMember, tags } from "./one-member.ts";

function ack(seq: number): Message {
  return { type: "ack", seq, payload: NO_BYTES };
}

describe("item 7: an ack", () => {
  it("counts only for its number and from the member that was probed", () => {
    const me = new OneMember().meet(2, 3);
    const { n, message } = nextPing(me);
    const other = n === 2 ? 3 : 2;
    me.hear(other, ack(message.seq));
    me.hear(n, ack(message.seq + 1));
    me.pass(1050);
    expect(me.stateOf(`m${n}`)).toBe("suspect");
  });

  it("from the probed member counts, also late in the period, and so does one from a relay that was asked", () => {
    for (const viaRelay of [false, true]) {
      const me = new OneMember().meet(2, 3);
      const { n, message } = nextPing(me);
      const relay = n === 2 ? 3 : 2;
      me.pass(900);
      expect(me.sent("indirect-ping")).toHaveLength(1);
      me.hear(viaRelay ? relay : n, ack(message.seq));
      me.pass(200);
      expect(me.stateOf(`m${n}`)).toBe("alive");
    }
  });

  it("to a ping for another name is not given, on UDP and TCP: the address was somebody else's", () => {
    const me = new OneMember().meet(2);
    const ping: Ping = { type: "ping", seq: 1, node: "m9", sourceAddr: "", sourcePort: 0, sourceNode: "m2" };
    me.hear(2, ping);
    expect(me.sent("ack")).toEqual([]);
    expect(me.others).toContainEqual({ kind: "reject", reason: "foreign-ping" });
    me.forget();
    me.step({ kind: "stream-request", id: 4, message: ping });
    expect(me.others).toEqual([{ kind: "close-stream", id: 4 }]);
    me.hear(2, { ...ping, node: "me" });
    expect(me.sent("ack")).toMatchObject([{ to: at(2), message: { seq: 1 } }]);
    for (const node of ["me", ""]) {
      me.forget();
      me.step({ kind: "stream-request", id: 5, message: { ...ping, node } });
      expect(me.others).toEqual([{ kind: "reply", id: 5, message: ack(1) }]);
    }
  });

  it("pings name whom they are for", () => {
    const me = new OneMember().meet(2);
    expect(nextPing(me).message).toMatchObject({
      node: "m2",
      sourceNode: "me",
      sourceAddr: "10.0.0.1",
      sourcePort: 7946,
    });
  });
});

describe("item 8: relays", () => {
  it("are neither the target nor suspects", () => {
    const me = new OneMember().meet(2, 3, 4, 5);
    me.hear(5, { type: "suspect", node: "m4", incarnation: 5, from: "m5" });
    for (let round = 0; round < 8; round++) {
      const { n, message } = nextPing(me);
      me.passUntilSent("indirect-ping");
      const relays = me.sent("indirect-ping").map(({ to }) => to.host);
      expect(relays).not.toContain(at(n).host);
      expect(relays).not.toContain(at(4).host);
      me.hear(n, ack(message.seq));
    }
  });

  const request: IndirectPing = {
    type: "indirect-ping",
    seq: 77,
    node: "m3",
    target: at(3),
    nack: true,
    sourceAddr: "10.0.0.2",
    sourcePort: 7946,
    sourceNode: "m2",
  };

  it("ping with their own number and answer with the asker's", () => {
    const me = new OneMember().meet(2, 3);
    me.hear(2, request);
    const ping = me.sent("ping")[0];
    expect(ping).toMatchObject({ to: at(3), message: { node: "m3", sourceNode: "me" } });
    expect(ping?.message.seq).not.toBe(77);
    me.hear(2, ack(ping?.message.seq ?? 0)); // not the target: doesn't count
    expect(me.sent("ack")).toEqual([]);
    me.hear(3, ack(ping?.message.seq ?? 0));
    expect(me.sent("ack")).toMatchObject([{ to: at(2), message: { seq: 77 } }]);
    me.pass(450);
    expect(me.sent("nack")).toEqual([]);
  });

  it("say nothing to an asker that wants no nack", () => {
    const me = new OneMember().meet(2, 3);
    me.hear(2, { ...request, nack: false });
    me.pass(450);
    expect([me.sent("nack"), me.swim.sizes().relays]).toEqual([[], 0]);
  });

  it("answer nack before the asker's deadline, which is a probe timeout away", () => {
    const me = new OneMember().meet(2, 3);
    me.hear(2, request);
    me.pass(399);
    expect(me.sent("nack")).toEqual([]);
    me.pass(2);
    expect(me.sent("nack")).toMatchObject([{ to: at(2), message: { seq: 77 } }]);
    expect(me.swim.sizes().relays).toBe(0);
  });

  it("send nothing to addresses that no member has", () => {
    const me = new OneMember().meet(2, 3);
    me.hear(2, { ...request, target: { host: "192.0.2.1", port: 53 } });
    me.hear(2, { ...request, node: "nobody" });
    expect(me.sent("ping")).toEqual([]);
  });

  it("have a bound on open requests (item 19)", () => {
    const me = new OneMember().meet(2, 3);
    for (let seq = 0; seq < 300; seq++) me.hear(2, { ...request, seq });
    expect(me.swim.sizes().relays).toBe(256);
    expect(me.others.filter((effect) => effect.kind === "reject")).toHaveLength(300 - 256);
    me.pass(1000);
    expect(me.swim.sizes().relays).toBe(0);
  });

  it("in the geo profile include one of the target's region, and gossip goes to another region", () => {
    const me = new OneMember({ profile: { ...GEO, indirectProbes: 2, gossipFanOut: 2 }, meta: { region: "eu" } });
    const isFar = ({ to }: { to: { host: string } }): boolean => Number(to.host.split(".")[3]) > 57;
    for (let n = 2; n <= 60; n++) me.hear(n, alive(`m${n}`, n, 5, tags({ region: n > 57 ? "us" : "eu" })));
    me.answers = (n) => n !== 58;
    const asked = me.passUntilSent("indirect-ping", "m58", 600_000);
    expect(asked.message.node).toBe("m58");
    expect(me.sent("indirect-ping").some(isFar)).toBe(true);
    expect(me.sent("indirect-ping")).toHaveLength(2);
    const told: string[] = [];
    for (let incarnation = 6; incarnation < 26; incarnation++) {
      me.forget();
      me.hear(2, alive("m2", 2, incarnation, tags({ region: "eu" })));
      me.passUntilSent("alive", "m2");
      const toldTo = me.sent("alive").filter(({ packet }) => packet.messages[0]?.type !== "ping");
      expect(toldTo.length).toBeLessThanOrEqual(2);
      told.push(...toldTo.filter(isFar).map(({ to }) => to.host));
      me.pass(600);
      expect(me.packets.some((packet) => packet.messages[0]?.type !== "ping" && isFar(packet))).toBe(true);
    }
    for (const n of [58, 59, 60]) expect(told.filter((host) => host === at(n).host).length).toBeLessThan(12); // of 20
  });
});

describe("item 13: buddy", () => {
  it("a suspected member hears of it with our next ping to it", () => {
    const me = new OneMember().meet(2);
    me.hear(3, { type: "suspect", node: "m2", incarnation: 5, from: "m3" });
    me.pass(2000); // the queue may have run dry
    me.forget();
    const { packet } = me.passUntilSent("ping");
    expect(packet.messages.slice(0, 2)).toMatchObject([
      { type: "ping", node: "m2" },
      { type: "suspect", node: "m2", incarnation: 5 },
    ]);
  });

  it("who accuses us hears the refutation before anything else, though the queue is full of other news", () => {
    const me = new OneMember().meet(...Array.from({ length: 50 }, (_, i) => i + 2));
    const ping: Ping = { type: "ping", seq: 9, node: "me", sourceAddr: "", sourcePort: 0, sourceNode: "m2" };
    me.hear(2, ping, { type: "suspect", node: "me", incarnation: 10, from: "m2" });
    expect(me.packets.map(({ to, messages }) => [to.host, messages[0]?.type])).toEqual([
      [at(2).host, "alive"],
      [at(2).host, "ack"],
    ]);
    expect(me.sent("alive")[0]?.message).toMatchObject({ node: "me", incarnation: 11 });
  });

  it("who repeats an accusation that we refuted before hears the refutation again", () => {
    const me = new OneMember().meet(2, 3);
    me.hear(2, { type: "suspect", node: "me", incarnation: 10, from: "m2" });
    me.pass(3000);
    me.forget();
    me.hear(3, { type: "suspect", node: "me", incarnation: 10, from: "m2" });
    expect(me.packets).toMatchObject([{ to: at(3), messages: [{ type: "alive", node: "me", incarnation: 11 }] }]);
    expect(me.swim.self.incarnation).toBe(11);
  });

  it("a flood of accusations is answered 32 times a second, not more", () => {
    const me = new OneMember().meet(2);
    for (let i = 0; i < 1000; i++) me.hear(2, { type: "suspect", node: "me", incarnation: 10 + i, from: "m2" });
    expect(me.packets).toHaveLength(32);
    me.pass(1000);
    me.forget();
    for (let i = 0; i < 1000; i++) me.hear(2, { type: "suspect", node: "me", incarnation: 5, from: "m2" });
    expect(me.packets).toHaveLength(32);
  });

  it("an accusation from an address that no member has is answered to nobody in particular", () => {
    const me = new OneMember().meet(2);
    me.hear(77, { type: "suspect", node: "me", incarnation: 10, from: "m2" });
    expect(me.packets).toEqual([]);
  });

  it("one whom we hold for dead hears of it when it pings us", () => {
    const me = new OneMember().meet(2);
    me.hear(3, { type: "dead", node: "m2", incarnation: 5, from: "m3" });
    me.pass(3000);
    me.forget();
    me.hear(2, { type: "ping", seq: 9, node: "me", sourceAddr: "", sourcePort: 0, sourceNode: "m2" });
    expect(me.packets[0]?.messages).toMatchObject([{ type: "ack" }, { type: "dead", node: "m2", incarnation: 5 }]);
  });
});

describe("item 15: probe order", () => {
  it("is a round robin: each member once per round, in an order that changes", () => {
    const me = new OneMember();
    const numbers = [2, 3, 4, 5, 6, 7, 8, 9];
    me.meet(...numbers);
    const round = (): number[] =>
      numbers.map(() => {
        const { n, message } = nextPing(me);
        me.hear(n, ack(message.seq));
        return n;
      });
    round(); // the round in which they joined
    const rounds = [round(), round(), round()];
    for (const order of rounds) expect([...order].sort()).toEqual(numbers);
    expect(new Set(rounds.map(String)).size).toBeGreaterThan(1);
  });

  it("a joiner is inserted at a random place", () => {
    const behind = new Set<number>();
    for (let joiners = 0; joiners < 12; joiners++) {
      const me = new OneMember().meet(...Array.from({ length: 20 + joiners }, (_, i) => i + 2));
      me.meet(99);
      for (let place = 0; place < 40; place++) {
        const { n, message } = nextPing(me);
        me.hear(n, ack(message.seq));
        if (n === 99) {
          behind.add(20 + joiners - place);
          break;
        }
      }
    }
    expect(behind.size).toBeGreaterThan(4);
  });

  it("who died and came back, again and again, is probed once per round all the same", () => {
    const me = new OneMember().meet(2, 3, 4, 5);
    for (let incarnation = 5; incarnation < 25; incarnation++) {
      me.hear(3, { type: "dead", node: "m2", incarnation, from: "m3" });
      me.hear(2, alive("m2", 2, incarnation + 1));
    }
    const probed = Array.from({ length: 16 }, () => {
      const { n, message } = nextPing(me);
      me.hear(n, ack(message.seq));
      return n;
    });
    expect(probed.filter((n) => n === 2).length).toBeLessThanOrEqual(5); // four rounds, and a part of one
    expect(me.swim.sizes().toProbe).toBe(4);
  });

  it("who was reclaimed is in the order no more", () => {
    const me = new OneMember({ profile: { reclaimMs: 10_000, pushPullIntervalMs: 1000 } }).meet(2);
    me.answers = () => true;
    for (let n = 3; n < 60; n++) {
      me.hear(2, alive(`m${n}`, n, 5));
      me.hear(2, { type: "dead", node: `m${n}`, incarnation: 5, from: `m${n}` });
    }
    me.pass(60_000);
    expect(me.swim.sizes()).toMatchObject({ members: 2, toProbe: 1 });
  });

  it("the dead and the left are not probed", () => {
    const me = new OneMember().meet(2, 3, 4);
    me.hear(
      2,
      { type: "dead", node: "m2", incarnation: 5, from: "m3" },
      { type: "dead", node: "m3", incarnation: 5, from: "m3" },
    );
    for (let i = 0; i < 5; i++) {
      const { n, message } = nextPing(me);
      expect(n).toBe(4);
      me.hear(n, ack(message.seq));
    }
  });
});

describe("item 16: stalls", () => {
  it("push the probe's deadlines back: an ack that waited in our own socket still counts", () => {
    const me = new OneMember().meet(2);
    const { message } = nextPing(me);
    me.nowMs += 5000;
    me.step({ kind: "stalled", byMs: 5000 });
    me.pass(20);
    expect(me.streams).toEqual([]);
    me.hear(2, ack(message.seq));
    me.pass(400);
    expect(me.stateOf("m2")).toBe("alive");
  });

  it("give those whom we ask for others their time back", () => {
    const me = new OneMember().meet(2, 3);
    const source = { sourceAddr: "10.0.0.2", sourcePort: 7946, sourceNode: "m2" };
    me.hear(2, { type: "indirect-ping", seq: 77, node: "m3", target: at(3), nack: true, ...source });
    const seq = me.sent("ping")[0]?.message.seq ?? 0;
    me.nowMs += 5000;
    me.step({ kind: "stalled", byMs: 5000 });
    me.pass(390);
    expect(me.sent("nack")).toEqual([]);
    me.hear(3, ack(seq));
    expect(me.sent("ack")).toMatchObject([{ to: at(2), message: { seq: 77 } }]);
    me.pass(20);
    expect([me.swim.sizes().relays, me.sent("nack")]).toEqual([0, []]);
  });

  it("give suspects back the time in which we could not hear them", () => {
    const me = new OneMember().meet(2);
    me.hear(3, { type: "suspect", node: "m2", incarnation: 5, from: "m3" });
    me.pass(1000);
    me.nowMs += 60_000;
    me.step({ kind: "stalled", byMs: 60_000 });
    me.pass(2500);
    expect(me.stateOf("m2")).toBe("suspect");
    me.pass(600);
    expect(me.stateOf("m2")).toBe("dead");
  });
});
