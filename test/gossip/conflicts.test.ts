import { describe, expect, it } from "vitest";
import type { Ping } from "../../gossip/wire/messages.ts";
import { actor, alive, at, NO_BYTES, OneMember, tags } from "./one-member.ts";

// Item 11: one name at two addresses.

const EARLIER = tags({ actor: actor("m2", 1000) });
const LATER = tags({ actor: actor("m2", 2000) });

function answer(me: OneMember, from: number): void {
  for (const { to, message } of me.sent("ping"))
    if (to.host === at(from).host) me.hear(from, { type: "ack", seq: message.seq, payload: NO_BYTES });
}

describe("item 11: another address for a known name", () => {
  it("a later start takes over within a probe timeout when the old address is silent and the new one answers", () => {
    const me = new OneMember();
    me.hear(2, alive("m2", 2, 5, EARLIER));
    me.forget();
    me.hear(3, alive("m2", 3, 6, LATER));
    expect(me.sent("ping").map(({ to, message }) => [to.host, message.node])).toEqual([
      [at(2).host, "m2"],
      [at(3).host, "m2"],
    ]);
    answer(me, 3);
    me.pass(510);
    expect(me.swim.member("m2")).toMatchObject({ address: at(3), incarnation: 6, state: "alive" });
    expect(me.eventKinds).toEqual(["member-update m2"]);
    expect(me.swim.sizes().claims).toBe(0);
  });

  it("a later start that doesn't answer changes nothing", () => {
    const me = new OneMember();
    me.hear(2, alive("m2", 2, 5, EARLIER));
    me.forget();
    me.hear(3, alive("m2", 3, 6, LATER));
    me.pass(510);
    expect(me.swim.member("m2")?.address).toEqual(at(2));
    expect(me.events).toEqual([]);
  });

  it("of two that both answer the first is kept and the conflict reported, not with each rumour", () => {
    const me = new OneMember();
    me.hear(2, alive("m2", 2, 5, EARLIER));
    me.forget();
    for (let i = 0; i < 10; i++) {
      me.hear(3, alive("m2", 3, 6 + i, LATER));
      answer(me, 3);
      answer(me, 2);
      me.pass(1000);
    }
    expect(me.swim.member("m2")?.address).toEqual(at(2));
    expect(me.events.filter(({ kind }) => kind === "conflict")).toEqual([
      { kind: "conflict", name: "m2", kept: at(2), refused: at(3), role: "observer" },
    ]);
  });

  it("an earlier start, or one that tells no start, is refused and reported", () => {
    for (const meta of [EARLIER, tags({})]) {
      const me = new OneMember();
      me.hear(2, alive("m2", 2, 5, LATER));
      me.forget();
      me.hear(3, alive("m2", 3, 6, meta));
      expect(me.sent("ping")).toEqual([]);
      expect(me.eventKinds).toEqual(["conflict m2"]);
      expect(me.swim.member("m2")?.address).toEqual(at(2));
    }
  });

  it("the name of one who is dead or has left is free for a higher incarnation at once", () => {
    for (const from of ["m3", "m2"]) {
      const me = new OneMember().meet(2);
      me.hear(3, { type: "dead", node: "m2", incarnation: 5, from });
      me.hear(4, alive("m2", 4, 6));
      expect(me.swim.member("m2")).toMatchObject({ address: at(4), state: "alive" });
    }
  });

  it("old news of the old address causes no conflict after the change", () => {
    const me = new OneMember();
    me.hear(3, alive("m2", 3, 6, LATER));
    me.forget();
    me.hear(2, alive("m2", 2, 5, EARLIER));
    expect(me.events).toEqual([]);
  });

  it("is reported again after half a minute, not before", () => {
    const me = new OneMember();
    me.answers = () => true;
    me.hear(2, alive("m2", 2, 5, LATER));
    const conflicts = (): number => {
      me.hear(3, alive("m2", 3, 6, EARLIER));
      return me.events.filter(({ kind }) => kind === "conflict").length;
    };
    expect(conflicts()).toBe(1);
    me.pass(29_900);
    expect(conflicts()).toBe(1);
    me.pass(200);
    expect(conflicts()).toBe(2);
  });

  it("each address is asked a second time: one lost packet doesn't decide", () => {
    for (const silent of [2, 3]) {
      const me = new OneMember().meet(4);
      me.hear(2, alive("m2", 2, 5, EARLIER));
      me.hear(4, alive("m2", 3, 6, LATER));
      if (silent === 3) answer(me, 3);
      me.forget();
      me.pass(260);
      answer(me, silent === 3 ? 2 : 3);
      me.pass(260);
      expect(me.eventKinds).toEqual([silent === 3 ? "conflict m2" : "member-update m2"]);
    }
  });

  it("only an answer from the address that was asked counts, and news that came meanwhile wins", () => {
    for (const { from, news, kept } of [
      { from: [4, 3], news: [], kept: 3 },
      { from: [2, 4], news: [], kept: 2 },
      { from: [4, 4], news: [], kept: 2 },
      { from: [4, 3], news: [alive("m2", 2, 20, EARLIER)], kept: 2 },
    ]) {
      const me = new OneMember().meet(4);
      me.hear(2, alive("m2", 2, 5, EARLIER));
      me.forget();
      me.hear(4, alive("m2", 3, 6, LATER));
      const pings = me.sent("ping");
      me.hear(4, ...news);
      for (const [i, n] of from.entries())
        me.hear(n, { type: "ack", seq: pings[i]?.message.seq ?? 0, payload: NO_BYTES });
      me.pass(510);
      expect(me.swim.member("m2")?.address).toEqual(at(kept));
    }
  });

  it("while we stood still nobody could answer: that time is given back", () => {
    const me = new OneMember();
    me.hear(2, alive("m2", 2, 5, EARLIER));
    me.forget();
    me.hear(3, alive("m2", 3, 6, LATER));
    me.nowMs += 5000;
    me.step({ kind: "stalled", byMs: 5000 });
    me.pass(400);
    answer(me, 3);
    me.pass(110);
    expect(me.swim.member("m2")?.address).toEqual(at(3));
  });

  it("examines a bounded number of claims at once", () => {
    const me = new OneMember({ membersMax: 1000 });
    for (let n = 0; n < 100; n++) {
      me.hear(2, alive(`x${n}`, 2, 5, tags({ actor: actor(`x${n}`, 1) })));
      me.hear(3, alive(`x${n}`, 3, 6, tags({ actor: actor(`x${n}`, 2) })));
    }
    expect(me.swim.sizes().claims).toBe(64);
  });
});

describe("item 11: our own name at another address", () => {
  const mine = { actor: actor("me", 5000) };

  it("an earlier life that is silent is refuted", () => {
    const me = new OneMember({ meta: mine }).meet(2);
    me.hear(2, alive("me", 9, 30, tags({ actor: actor("me", 4000) })));
    expect(me.sent("ping")[0]).toMatchObject({ to: at(9), message: { node: "me" } });
    me.pass(510);
    expect(me.swim.self.incarnation).toBe(31);
    me.forget();
    me.hear(2, alive("me", 9, 40, tags({ actor: actor("me", 4000) }))); // asked once, believed since
    expect(me.swim.self.incarnation).toBe(41);
    expect(me.events.some(({ kind }) => kind === "conflict")).toBe(false);
  });

  it("one that was silent is asked again after five minutes: it may have been paused", () => {
    const me = new OneMember({ meta: mine }).meet(2);
    const earlier = (incarnation: number) => alive("me", 9, incarnation, tags({ actor: actor("me", 4000) }));
    const asked = (): number => me.sent("ping").filter(({ to }) => to.host === at(9).host).length;
    me.hear(2, earlier(30));
    me.pass(510);
    me.forget();
    me.pass(5 * 60_000 - 1000);
    me.hear(2, earlier(40));
    expect(asked()).toBe(0);
    me.pass(1000);
    me.hear(2, earlier(50));
    expect(asked()).toBe(1);
    answer(me, 9);
    expect(me.events.at(-1)).toMatchObject({ kind: "conflict", kept: at(9), role: "second" });
  });

  it("of silent addresses sixteen are remembered; a further one is asked each time", () => {
    const me = new OneMember({ meta: mine }).meet(2);
    const numbers = Array.from({ length: 17 }, (_, i) => 20 + i);
    const hearAll = (incarnation: number): void => {
      for (const n of numbers) {
        me.hear(2, alive("me", n, incarnation + n, tags({ actor: actor("me", 4000) })));
        me.pass(510);
      }
    };
    const asked = (): Set<string> =>
      new Set(me.sent("ping").flatMap(({ to, message }) => (message.node === "me" ? [to.host] : [])));
    hearAll(100);
    expect(asked().size).toBe(17);
    me.forget();
    hearAll(200);
    expect([...asked()]).toEqual([at(36).host]);
  });

  it("an earlier one that answers makes us the second, who neither refutes nor signs a leave in its name", () => {
    const me = new OneMember({ meta: mine }).meet(2);
    me.hear(2, alive("me", 9, 30, tags({ actor: actor("me", 4000) })));
    answer(me, 9);
    expect(me.events).toEqual([{ kind: "conflict", name: "me", kept: at(9), refused: at(1), role: "second" }]);
    me.pass(300);
    // It hears from us that its name has a second process.
    const told = me.sent("alive").filter(({ to }) => to.host === at(9).host);
    expect(told).toMatchObject([{ message: { node: "me", address: at(1) } }]);
    expect(me.swim.self.incarnation).toBe(10);
    me.forget();
    me.step({ kind: "leave" });
    me.pass(6000);
    expect(me.others).toContainEqual({ kind: "leave-done" });
    me.hear(2, { type: "ping", seq: 1, node: "me", sourceAddr: "", sourcePort: 0, sourceNode: "me" });
    expect(me.sent("dead")).toEqual([]);
  });

  it("a later one is refuted: who is first stays", () => {
    const me = new OneMember({ meta: mine }).meet(2);
    me.hear(2, alive("me", 9, 30, tags({ actor: actor("me", 6000) })));
    expect(me.swim.self.incarnation).toBe(31);
    expect(me.events[0]).toEqual({ kind: "conflict", name: "me", kept: at(1), refused: at(9), role: "first" });
  });

  it("our own ping that comes back to us shows that the other address leads here too: no conflict", () => {
    const me = new OneMember({ meta: mine }).meet(2);
    me.hear(2, alive("me", 9, 30, tags({ actor: actor("me", 4000) })));
    const ping = me.sent("ping")[0]?.message as Ping;
    me.forget();
    me.hear(1, ping);
    expect(me.sent("ack")).toEqual([]);
    expect(me.eventKinds).toEqual(["refuted me"]);
    expect(me.swim.self.incarnation).toBe(31);
    // That is judged; another's ping that happens to have its number is another's.
    me.hear(9, { type: "ack", seq: ping.seq, payload: NO_BYTES });
    expect(me.eventKinds).toEqual(["refuted me"]);
    me.hear(2, { ...ping, sourceNode: "m2" });
    expect(me.sent("ack")).toMatchObject([{ to: at(2) }]);
  });
});

describe("item 11: a member behind NAT has an address for each side", () => {
  const inside = { host: "192.168.0.2", port: 7946 };
  const outside = { host: "203.0.113.9", port: 9946 };
  const behindNat = (incarnation: number) => ({
    ...alive("m2", 2, incarnation, tags({ region: "us", "at.eu": "203.0.113.9:9946", "at.ap": "not an address" })),
    address: inside,
  });

  it("which members of that region send to and know it by, and pass on what all are told", () => {
    const me = new OneMember({ meta: { region: "eu" } });
    me.hear(3, behindNat(5));
    const { to, message } = me.passUntilSent("ping", "m2");
    expect(to).toEqual(outside);
    me.step({
      kind: "packet",
      from: outside,
      messages: [{ type: "ack", seq: message.seq, payload: NO_BYTES }],
      roomBytes: 100,
    });
    me.pass(1000);
    expect(me.swim.member("m2")).toMatchObject({ address: inside, directLoss: 0 });
    expect(me.passUntilSent("alive", "m2").message.address).toEqual(inside);
  });

  it("what it tells others may be, where we are, the address of somebody else, who stays known by it", () => {
    const me = new OneMember({ meta: { region: "eu" } });
    me.hear(2, alive("m2", 2, 5));
    me.hear(2, { ...alive("m9", 2, 5, tags({ "at.eu": "203.0.113.9:9946" })) });
    me.hear(2, { type: "dead", node: "m9", incarnation: 5, from: "m9" });
    me.step({ kind: "join", seeds: [at(2)] });
    expect(me.streams).toEqual([]); // that seed is there
  });

  it("and those of others don't; what is no address is as if it weren't there", () => {
    for (const region of ["us", "ap"]) {
      const me = new OneMember({ meta: { region } });
      me.hear(3, behindNat(5));
      expect(me.passUntilSent("ping", "m2").to).toEqual(inside);
    }
  });

  it("and one that we are asked to ping for others we ping where we reach it", () => {
    const me = new OneMember({ meta: { region: "eu" } }).meet(3);
    me.hear(3, behindNat(5));
    me.forget();
    const source = { sourceAddr: "10.0.0.3", sourcePort: 7946, sourceNode: "m3" };
    me.hear(3, { type: "indirect-ping", seq: 1, node: "m2", target: inside, nack: true, ...source });
    expect(me.sent("ping").map(({ to }) => to)).toEqual([outside]);
  });

  it("and a relay is asked about the address that all know", () => {
    const me = new OneMember({ meta: { region: "eu" } }).meet(3, 4);
    me.hear(3, behindNat(5));
    expect(me.passUntilSent("indirect-ping", "m2").message.target).toEqual(inside);
  });
});
