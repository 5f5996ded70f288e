import { describe, expect, it } from "vitest";
import type { Message } from "../../gossip/wire/messages.ts";
import type { StreamMessage } from "../../gossip/wire/stream.ts";
import { alive, at, NO_BYTES, OneMember, row } from "./one-member.ts";

function ack(seq: number): Message {
  return { type: "ack", seq, payload: NO_BYTES };
}

describe("item 18: finding each other again", () => {
  it("news still goes to the recently dead, so that one who isn't can refute", () => {
    const me = new OneMember().meet(2, 3);
    me.hear(3, { type: "dead", node: "m2", incarnation: 5, from: "m3" });
    const told = me.passUntilSent("dead", "m2", 2000);
    expect(told.message).toMatchObject({ node: "m2" });
    me.pass(2000);
    expect(me.sent("dead").some(({ to }) => to.host === at(2).host)).toBe(true);
    me.pass(30_000);
    me.forget();
    me.hear(3, alive("m3", 3, 6));
    me.pass(2000);
    expect(me.packets.filter(({ to, messages }) => to.host === at(2).host && messages.length > 0)).toEqual([]);
  });

  it("seeds are tried for ever, and not any more when they are alive members", () => {
    const me = new OneMember();
    me.step({ kind: "join", seeds: [at(2), at(1)] });
    expect(me.streams).toMatchObject([{ to: at(2), message: { type: "push-pull", join: true } }]);
    for (let hour = 0; hour < 3; hour++) {
      me.forget();
      me.pass(3_600_000 - 1);
      expect(me.streams).toEqual([]); // the one that is under way has not failed yet
    }
    const fail = (id: number): void => void me.step({ kind: "stream-failed", id, reason: "refused" });
    fail(1);
    for (let i = 0; i < 500; i++) {
      me.forget();
      me.pass(15_000);
      expect(me.streams.length).toBeGreaterThanOrEqual(1);
      for (const { id } of me.streams) fail(id);
    }
    me.hear(2, alive("m2", 2, 5));
    me.forget();
    for (let i = 0; i < 100; i++) {
      me.pass(1000);
      for (const { message } of me.sent("ping")) me.hear(2, ack(message.seq));
    }
    expect(me.streams.filter(({ message }) => message.type === "push-pull" && message.join)).toEqual([]);
  });

  it("seeds that are all there are looked at at the slowest pace", () => {
    const me = new OneMember().meet(2);
    const effects = me.step({ kind: "join", seeds: [at(2), at(1)] });
    expect(effects).toMatchObject([{ kind: "set-timer" }]);
    expect(effects[0]?.kind === "set-timer" && effects[0].delayMs).toBeGreaterThan(10_000);
  });

  it("no node dials itself: not at the address of another region, and not where a name led back to it", () => {
    const outside = { host: "203.0.113.9", port: 9946 };
    const me = new OneMember({ meta: { region: "eu", "at.us": "203.0.113.9:9946" } });
    const named = { host: "pool.example", port: 9946 };
    me.step({ kind: "join", seeds: [at(1), outside, named] });
    expect(me.streams.map(({ to }) => to)).toEqual([named]);
    const message = { type: "push-pull", join: true, nodes: [], userState: NO_BYTES } as const;
    me.step({ kind: "stream-reply", id: me.streams[0]?.id ?? 0, remote: outside, message });
    me.forget();
    me.pass(600_000);
    expect(me.streams).toEqual([]);
  });

  it("nor at its own address when another said that it is there, and died", () => {
    const me = new OneMember();
    me.hear(2, alive("m2", 1, 5));
    me.hear(2, { type: "dead", node: "m2", incarnation: 5, from: "m2" });
    me.step({ kind: "join", seeds: [at(1)] });
    me.pass(60_000);
    expect(me.streams).toEqual([]);
  });

  it("a seed that died is tried again", () => {
    const me = new OneMember().meet(2);
    me.step({ kind: "join", seeds: [at(2)] });
    expect(me.streams).toEqual([]);
    me.hear(3, { type: "dead", node: "m2", incarnation: 5, from: "m3" });
    me.pass(16_000);
    expect(me.streams[0]).toMatchObject({ to: at(2), message: { join: true } });
  });

  it("a seed that is a name is resolved anew each time, and counts as there while it answers as an alive member", () => {
    const me = new OneMember();
    const seed = { host: "seed.example", port: 7946 };
    me.step({ kind: "join", seeds: [seed] });
    const first = me.streams[0];
    expect(first?.to).toEqual(seed);
    const nodes = [row("m2", 2, 5, "alive")];
    const message = { type: "push-pull", join: true, nodes, userState: NO_BYTES } as const;
    me.step({ kind: "stream-reply", id: first?.id ?? 0, remote: at(2), message });
    me.forget();
    me.hear(2, { type: "dead", node: "m2", incarnation: 5, from: "m2" });
    me.pass(16_000);
    expect(me.streams[0]?.to).toEqual(seed);
  });

  it("a changed list tries who is new, and leaves those that stay as they were: tried, or there", () => {
    const me = new OneMember().meet(2);
    const named = { host: "seed.example", port: 7946 };
    me.step({ kind: "join", seeds: [named, at(2)] });
    const first = me.streams[0];
    expect(first?.to).toEqual(named);
    me.forget();
    me.step({ kind: "join", seeds: [at(2), named, at(5)] });
    expect(me.streams.map(({ to }) => to)).toEqual([at(5)]); // the name's stream is still under way
    const message = { type: "push-pull", join: true, nodes: [], userState: NO_BYTES } as const;
    // Where the network doesn't say what a name led to, it counts as there for a while after its answer.
    me.step({ kind: "stream-reply", id: first?.id ?? 0, remote: named, message });
    me.forget();
    me.step({ kind: "join", seeds: [named, at(2)] });
    expect(me.streams).toEqual([]);
  });

  it("a seed that only has a name counts as there for one push/pull interval after it answered", () => {
    const me = new OneMember().meet(2);
    me.answers = () => true;
    const named = { host: "seed.example", port: 7946 };
    me.step({ kind: "join", seeds: [named] });
    const message = { type: "push-pull", join: true, nodes: [], userState: NO_BYTES } as const;
    me.step({ kind: "stream-reply", id: me.streams[0]?.id ?? 0, remote: named, message });
    me.forget();
    const tried = (): number => me.streams.filter(({ to }) => to.host === named.host).length;
    me.pass(29_000);
    expect(tried()).toBe(0);
    me.pass(17_000);
    expect(tried()).toBe(1);
  });

  it("a changed list is tried as if it were the first: at a quick pace, and on one timer", () => {
    const me = new OneMember();
    const failAll = (): void => {
      for (const { id } of me.streams) me.step({ kind: "stream-failed", id, reason: "refused" });
    };
    me.step({ kind: "join", seeds: [at(2)] });
    for (let i = 0; i < 30; i++) {
      failAll();
      me.pass(15_000);
    }
    failAll();
    const { timers } = me.swim.sizes();
    for (let i = 0; i < 10; i++) me.step({ kind: "join", seeds: [at(3)] });
    expect(me.swim.sizes().timers).toBe(timers);
    failAll();
    me.forget();
    me.pass(1000);
    expect(me.streams.map(({ to }) => to)).toEqual([at(3)]);
  });

  it("who leaves the pool joins nobody any more", () => {
    const me = new OneMember().meet(2);
    me.answers = () => true;
    me.step({ kind: "join", seeds: [at(9)] });
    for (const { id } of me.streams) me.step({ kind: "stream-failed", id, reason: "refused" });
    me.step({ kind: "leave" });
    me.forget();
    me.pass(60_000);
    expect(me.streams).toEqual([]);
  });

  it("alone, all seeds are tried; with company, one: what it knows spreads", () => {
    const tried = (me: OneMember): number => {
      me.step({ kind: "join", seeds: [at(5), at(6), at(7)] });
      return me.streams.length;
    };
    expect([tried(new OneMember()), tried(new OneMember().meet(2))]).toEqual([3, 1]);
  });

  it("alone and a seed itself, who was remembered is tried at a quick pace", () => {
    const me = new OneMember();
    me.step({ kind: "join", seeds: [at(1)], remembered: [at(2)] });
    for (const { id } of me.streams) me.step({ kind: "stream-failed", id, reason: "refused" });
    me.forget();
    me.pass(1000);
    expect(me.streams.map(({ to }) => to)).toEqual([at(2)]);
  });

  it("the pace is quick again for a seed that was there and is gone", () => {
    const me = new OneMember().meet(3);
    me.answers = () => true;
    const failAll = (): void => {
      for (const { id, to } of me.streams)
        if (to.host === at(2).host) me.step({ kind: "stream-failed", id, reason: "refused" });
      me.forget();
    };
    me.step({ kind: "join", seeds: [at(2)] });
    for (let i = 0; i < 10; i++) {
      failAll();
      me.pass(15_000);
    }
    me.hear(2, alive("m2", 2, 5));
    failAll();
    me.pass(16_000);
    me.hear(3, { type: "dead", node: "m2", incarnation: 5, from: "m3" });
    const tried = (): number => me.streams.filter(({ message }) => message.type === "push-pull" && message.join).length;
    for (let ms = 0; tried() === 0 && ms < 15_000; ms += 10) me.pass(10);
    expect(tried()).toBe(1);
    failAll();
    me.pass(1000);
    expect(tried()).toBe(1);
  });

  it("what a seed answers is told: that it took us in, or why it did not", () => {
    const me = new OneMember();
    me.step({ kind: "join", seeds: [at(2), at(3), at(4)] });
    const reply = (n: number, message: StreamMessage): void => {
      const id = me.streams.find(({ to }) => to.host === at(n).host)?.id ?? -1;
      me.step({ kind: "stream-reply", id, remote: at(n), message });
    };
    const table = (name: string): StreamMessage => ({
      ...{ type: "push-pull", join: true, userState: NO_BYTES },
      nodes: [row(name, 2, 5, "alive")],
    });
    reply(2, table("m2"));
    reply(3, { type: "error", text: "no room" });
    reply(4, { type: "ack", seq: 1, payload: NO_BYTES });
    expect(me.others).toMatchObject([
      { kind: "joined", seed: at(2), members: 2 },
      { kind: "join-failed", seed: at(3), reason: "no room" },
      { kind: "join-failed", seed: at(4), reason: "it answered with ack" },
    ]);
    reply(2, table("late")); // to a question that was answered before
    expect(me.stateOf("late")).toBeUndefined();
  });

  it("who leaves the list is tried no more", () => {
    const me = new OneMember();
    me.step({ kind: "join", seeds: [at(2), at(3)] });
    for (const { id } of me.streams) me.step({ kind: "stream-failed", id, reason: "refused" });
    me.step({ kind: "join", seeds: [at(3)] });
    me.forget();
    me.pass(60_000);
    expect(me.streams.map(({ to }) => to.host)).not.toContain(at(2).host);
  });

  it("some dead member is tried again now and then, for as long as it is in the table", () => {
    const me = new OneMember().meet(2);
    me.hear(3, { type: "dead", node: "m2", incarnation: 5, from: "m3" });
    me.pass(600_000);
    expect(me.streams.filter(({ to }) => to.host === at(2).host).length).toBeGreaterThan(3);
  });

  it("by the whole pool about once per interval: each of fifty tries it rarely", () => {
    const me = new OneMember().meet(...Array.from({ length: 49 }, (_, i) => i + 2));
    me.answers = (n) => n !== 2;
    me.hear(3, { type: "dead", node: "m2", incarnation: 5, from: "m3" });
    me.pass(1_800_000); // sixty intervals
    const tries = me.streams.filter(({ to }) => to.host === at(2).host).length;
    expect(tries).toBeGreaterThan(0);
    expect(tries).toBeLessThanOrEqual(6);
  });

  it("tables are compared with the alive, not with suspects", () => {
    const me = new OneMember({ profile: { pushPullIntervalMs: 100, suspicionMultiplier: 100 } }).meet(2, 3);
    me.answers = (n) => n !== 2;
    me.hear(3, { type: "suspect", node: "m2", incarnation: 5, from: "m3" });
    me.pass(5000);
    const partners = me.streams.flatMap(({ to, message }) => (message.type === "push-pull" ? [to.host] : []));
    expect(me.stateOf("m2")).toBe("suspect");
    expect(partners.length).toBeGreaterThan(40);
    expect(new Set(partners)).toEqual(new Set([at(3).host]));
  });

  it("where all of many are suspects, none is compared with, and looking for one ends", () => {
    const me = new OneMember({ profile: { pushPullIntervalMs: 100, suspicionMultiplier: 100 } });
    me.meet(...Array.from({ length: 20 }, (_, i) => i + 2));
    for (let n = 2; n < 22; n++) me.hear(3, { type: "suspect", node: `m${n}`, incarnation: 5, from: "m3" });
    me.pass(1000);
    expect(me.streams.filter(({ message }) => message.type === "push-pull")).toEqual([]);
  });

  it("as long as nobody is there, addresses of an earlier life are tried beside the seeds, one at a time", () => {
    const me = new OneMember();
    me.step({ kind: "join", seeds: [at(9)], remembered: [at(2), at(3)] });
    const tried = new Set<string>();
    for (let round = 0; round < 20; round++) {
      const others = me.streams.filter(({ to }) => to.host !== at(9).host);
      expect(others.length).toBeLessThanOrEqual(me.streams.length - others.length);
      for (const { to } of others) tried.add(to.host);
      for (const { id } of me.streams) me.step({ kind: "stream-failed", id, reason: "refused" });
      me.forget();
      me.pass(15_000);
    }
    expect([...tried].sort()).toEqual([at(2).host, at(3).host]);
    me.meet(4);
    me.answers = () => true;
    me.forget();
    me.pass(60_000);
    expect(me.streams.filter(({ to }) => to.host === at(2).host || to.host === at(3).host)).toEqual([]);
  });

  it("without seeds, too", () => {
    const me = new OneMember();
    me.step({ kind: "join", seeds: [], remembered: [at(2)] });
    expect(me.streams).toMatchObject([{ to: at(2), message: { type: "push-pull" } }]);
    me.forget();
    me.pass(60_000); // the first is still under way
    expect(me.streams).toEqual([]);
    me.step({ kind: "stream-failed", id: 1, reason: "refused" });
    for (let second = 0; second < 120; second++) {
      me.pass(1_000);
      for (const { id } of me.streams) me.step({ kind: "stream-failed", id, reason: "refused" });
    }
    expect(me.streams.length).toBeGreaterThanOrEqual(6); // at most 15 s apart
    expect(me.streams.length).toBeLessThanOrEqual(12);
  });
});
