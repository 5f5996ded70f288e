import { describe, expect, it } from "vitest";
import { alive, nextPing, OneMember } from "./one-member.ts";

describe("item 12: awareness", () => {
  const nackFrom = (me: OneMember, seq: number, ...relays: number[]): void => {
    for (const n of relays) me.hear(n, { type: "nack", seq });
  };

  it("worsens by each relay that is silent too (item 8), not by those that say they got no answer either", () => {
    for (const nacks of [0, 1, 3]) {
      const me = new OneMember().meet(2, 3, 4, 5, 6);
      const { message } = nextPing(me);
      me.passUntilSent("indirect-ping");
      const relays = me.sent("indirect-ping").map(({ to }) => Number(to.host.split(".")[3]));
      nackFrom(me, message.seq, ...relays.slice(0, nacks), ...relays.slice(0, nacks));
      nackFrom(me, message.seq + 1, ...relays);
      nackFrom(me, message.seq, 77);
      me.pass(500);
      expect(me.swim.awareness).toBe(3 - nacks);
    }
  });

  it("worsens by one where there is no relay to ask, by a refutation and by a stall (item 16), and never leaves 0 to 8", () => {
    const me = new OneMember().meet(2);
    nextPing(me);
    me.pass(1100);
    expect(me.swim.awareness).toBe(1);
    me.hear(2, { type: "suspect", node: "me", incarnation: 10, from: "m2" });
    expect(me.swim.awareness).toBe(2);
    me.step({ kind: "stalled", byMs: 100 });
    expect(me.swim.awareness).toBe(3);
    for (let i = 0; i < 20; i++) me.step({ kind: "stalled", byMs: 100 });
    expect(me.swim.awareness).toBe(8);
    me.answers = () => true;
    me.hear(2, alive("m2", 2, 900));
    me.pass(30_000);
    expect(me.swim.awareness).toBe(0);
  });

  it("stretches the time to answer a probe, not the time to refute", () => {
    const me = new OneMember().meet(2, 3, 4, 5, 6);
    me.answers = () => true;
    me.pass(5_000);
    for (let i = 0; i < 3; i++) me.step({ kind: "stalled", byMs: 1 });
    me.answers = () => false;
    const { n } = nextPing(me); // the one before ends well
    expect(me.swim.awareness).toBe(2);
    me.pass(1_480); // three times 500 ms
    expect(me.sent("indirect-ping")).toEqual([]);
    me.pass(30);
    expect(me.sent("indirect-ping")).toHaveLength(3);
    me.pass(1_460); // three times 1 s
    expect(me.stateOf(`m${n}`)).toBe("alive");
    me.pass(40);
    expect(me.stateOf(`m${n}`)).toBe("suspect");
    // Without confirmations a pool of six waits six times four probe intervals.
    me.pass(23_500);
    expect(me.stateOf(`m${n}`)).toBe("suspect");
    me.pass(600);
    expect(me.stateOf(`m${n}`)).toBe("dead");
  });

  it("a relay that knows no nacks isn't asked for any and doesn't count, a target that knows no TCP pings gets none", () => {
    const me = new OneMember();
    const old = Uint8Array.of(1, 2, 2, 2, 5, 4);
    for (const n of [2, 3, 4]) me.hear(n, { ...alive(`m${n}`, n, 5), vsn: old });
    me.forget();
    nextPing(me);
    me.pass(510);
    expect(me.sent("indirect-ping").map(({ message }) => message.nack)).toEqual([false, false]);
    expect(me.streams).toEqual([]);
    me.pass(600);
    expect(me.swim.awareness).toBe(1);
  });
});
