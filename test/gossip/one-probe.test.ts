import { describe, expect, it } from "vitest";
import type { Message } from "../../gossip/wire/messages.ts";
import { alive, at, NO_BYTES, nextPing, OneMember } from "./one-member.ts";

function ack(seq: number): Message {
  return { type: "ack", seq, payload: NO_BYTES };
}

describe("probing", () => {
  it("an unanswered ping is followed by relays and a TCP ping after the timeout, and by suspicion after the period", () => {
    const me = new OneMember().meet(2, 3, 4, 5, 6);
    const { n, message } = nextPing(me);
    me.pass(480);
    expect(me.sent("indirect-ping")).toEqual([]);
    me.pass(30);
    expect(me.sent("indirect-ping")).toHaveLength(3);
    expect(me.streams).toMatchObject([{ to: at(n), message: { type: "ping", seq: message.seq, node: `m${n}` } }]);
    expect(me.stateOf(`m${n}`)).toBe("alive");
    me.pass(500);
    expect(me.stateOf(`m${n}`)).toBe("suspect");
  });

  it("an ack on TCP alone keeps a member from suspicion, and a failed stream doesn't", () => {
    for (const answer of ["right", "of another ping", "none"]) {
      const me = new OneMember().meet(2);
      const { n, message } = nextPing(me);
      me.pass(510);
      const id = me.streams[0]?.id ?? -1;
      const seq = answer === "right" ? message.seq : message.seq + 1;
      if (answer === "none") me.step({ kind: "stream-failed", id, reason: "refused" });
      else me.step({ kind: "stream-reply", id, remote: at(n), message: { type: "ack", seq, payload: NO_BYTES } });
      me.pass(600);
      expect(me.stateOf(`m${n}`)).toBe(answer === "right" ? "alive" : "suspect");
    }
  });

  it("who came back with a protocol before 3 is not pinged on TCP any more: it would not answer", () => {
    const me = new OneMember().meet(2);
    me.hear(2, { ...alive("m2", 2, 6), vsn: Uint8Array.of(1, 2, 2, 2, 5, 4) }); // since its restart
    me.passUntilSent("ping", "m2");
    me.pass(900);
    expect([me.swim.counts.probeTimeouts, me.streams]).toEqual([1, []]);
  });

  it("the round trip of a direct ack is measured, once, and later ones move it by an eighth", () => {
    const me = new OneMember().meet(2);
    const rttMs = (): number => me.swim.member("m2")?.rttMs ?? Number.NaN;
    const { message } = nextPing(me);
    me.pass(30);
    me.hear(2, ack(message.seq));
    const firstMs = rttMs();
    expect(firstMs).toBeGreaterThanOrEqual(30);
    expect(firstMs).toBeLessThanOrEqual(40);
    me.pass(300);
    me.hear(2, ack(message.seq)); // a network may bring it twice
    expect(rttMs()).toBe(firstMs);
    const again = nextPing(me);
    me.pass(430);
    me.hear(2, ack(again.message.seq));
    expect(rttMs()).toBeGreaterThanOrEqual(firstMs + (430 - firstMs) / 8);
    expect(rttMs()).toBeLessThanOrEqual(firstMs + (440 - firstMs) / 8);
  });

  it("and is never less than nothing, whatever a stall moved", () => {
    const me = new OneMember().meet(2);
    const { message } = nextPing(me);
    me.step({ kind: "stalled", byMs: 5000 });
    me.hear(2, ack(message.seq));
    expect(me.swim.member("m2")?.rttMs).toBe(0);
  });

  it("a probe ends once, also when there is nobody left to probe", () => {
    const me = new OneMember().meet(2);
    nextPing(me);
    me.hear(2, { type: "dead", node: "m2", incarnation: 5, from: "m2" });
    me.pass(20_000);
    expect(me.swim.counts).toMatchObject({ probes: 1, probeFailures: 1 });
    expect(me.swim.awareness).toBe(1);
  });

  it("a restart during the probe makes the accusation void", () => {
    const me = new OneMember().meet(2);
    nextPing(me);
    me.hear(2, alive("m2", 2, 900));
    me.pass(1100);
    expect(me.stateOf("m2")).toBe("alive");
  });
});
