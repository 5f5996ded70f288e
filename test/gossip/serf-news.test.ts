import { describe, expect, it } from "vitest";
import type { User } from "../../gossip/wire/messages.ts";
import { alive, NO_BYTES, OneMember, packetBytes, tags } from "./one-member.ts";
import { query, told, user, withAgent } from "./serf-words.ts";

describe("events and queries of others", () => {
  it("are passed on once each, as often as news, however often they come", () => {
    const me = withAgent();
    const event = user({ type: "user-event", lTime: 3, name: "deploy", payload: NO_BYTES, coalesce: true });
    for (let i = 0; i < 5; i++) me.hear(2, event, user(query("uptime")));
    me.pass(10_000);
    const [events, queries] = [told(me, "user-event").length, told(me, "query").length];
    expect(events).toBeGreaterThan(1);
    expect(queries).toBeGreaterThan(1);
    me.hear(2, event, user(query("uptime")));
    me.pass(10_000);
    expect([told(me, "user-event").length, told(me, "query").length]).toEqual([events, queries]);
  });

  it("that ask not to be passed on aren't, and old ones neither", () => {
    const me = withAgent();
    me.hear(2, user(query("uptime", NO_BYTES, { flags: 2, lTime: 5000 })));
    me.hear(2, user(query("uptime", NO_BYTES, { id: 78, lTime: 4000 })));
    me.pass(5000);
    expect(told(me, "query")).toEqual([]);
  });

  it("are remembered in a bounded number: the oldest is news again after a thousand others", () => {
    const me = withAgent();
    const event = (name: string): User =>
      user({ type: "user-event", lTime: 3, name, payload: NO_BYTES, coalesce: true });
    const isPassedOn = (name: string): boolean => {
      me.pass(5000);
      me.forget();
      me.hear(2, event(name));
      me.pass(5000);
      return told(me, "user-event").some((one) => one.name === name);
    };
    expect([isPassedOn("first"), isPassedOn("first")]).toEqual([true, false]);
    for (let n = 1; n < 1024; n++) me.hear(2, event(`e${n}`));
    expect(isPassedOn("first")).toBe(false);
    me.hear(2, event("e1024"));
    expect(isPassedOn("first")).toBe(true);
  });

  it("go out behind news of members, and no packet is longer than it may be", () => {
    const me = new OneMember();
    me.answers = () => true;
    for (let n = 2; n < 90; n++) me.hear(n, alive(`m${n}`, n, 5, tags({ region: "x".repeat(n) })));
    for (let n = 0; n < 100; n++)
      me.hear(2, user({ type: "user-event", lTime: 3, name: `e${n}`, payload: new Uint8Array(n), coalesce: true }));
    me.pass(20_000);
    const both = me.packets.filter(({ messages }) => new Set(messages.map(({ type }) => type)).size > 1);
    expect(both.length).toBeGreaterThan(10);
    const longestBytes = Math.max(...me.packets.map(({ messages }) => packetBytes(messages)));
    expect(longestBytes).toBeLessThanOrEqual(1390 + 2); // the compound's head
    expect(longestBytes).toBeGreaterThan(1200);
  });

  it("wait in a bounded queue", () => {
    const me = withAgent();
    for (let n = 0; n < 200; n++)
      me.hear(2, user({ type: "user-event", lTime: 3 + n, name: `e${n}`, payload: NO_BYTES, coalesce: true }));
    expect(me.others.filter((effect) => effect.kind === "reject")).toHaveLength(200 - 128);
  });

  it("an ack is sent to who asks for one, if a member is there", () => {
    const me = withAgent();
    me.hear(2, user(query("uptime", NO_BYTES, { flags: 3 })));
    me.hear(2, user(query("uptime", NO_BYTES, { flags: 3, id: 78, addr: Uint8Array.of(192, 0, 2, 1) })));
    me.hear(2, user(query("uptime", NO_BYTES, { flags: 3, id: 79, filters: [Uint8Array.of(0, 0x91, 0xa1, 0x78)] })));
    // By tag, which we don't read: not for us.
    me.hear(2, user(query("uptime", NO_BYTES, { flags: 3, id: 80, filters: [Uint8Array.of(1, 0x80)] })));
    expect(told(me, "query-response")).toMatchObject([{ id: 77, from: "me", flags: 1 }]);
  });
});
