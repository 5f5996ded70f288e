import { describe, expect, it } from "vitest";
import type { Message } from "../../gossip/wire/messages.ts";
import { decodePacket, encodePacket } from "../../gossip/wire/packet.ts";
import { BARE, keyOf, keyring, labelled } from "./envelopes.ts";
import { actor, alive, at, OneMember, row, tags } from "./one-member.ts";

// The items are those of design/gossip.md, "Things that are easily wrong".

describe("item 1: refuting", () => {
  it("takes the accused incarnation + 1 when that is ahead of ours", () => {
    const me = new OneMember().meet(2);
    me.hear(2, { type: "suspect", node: "me", incarnation: 50, from: "m2" });
    expect(me.swim.self.incarnation).toBe(51);
    expect(me.eventKinds).toEqual(["refuted me"]);
    expect(me.passUntilSent("alive", "me").message).toMatchObject({ incarnation: 51 });
  });

  it("takes our own + 1 when the accusation names ours, and ignores older accusations", () => {
    const me = new OneMember().meet(2);
    me.hear(2, { type: "dead", node: "me", incarnation: 9, from: "m2" });
    expect(me.swim.self.incarnation).toBe(10);
    me.hear(2, { type: "dead", node: "me", incarnation: 10, from: "m2" });
    expect(me.swim.self.incarnation).toBe(11);
    expect(me.swim.self.state).toBe("alive");
  });

  it("stops at the end of the field instead of starting over at zero", () => {
    const me = new OneMember().meet(2);
    me.hear(2, { type: "suspect", node: "me", incarnation: 2 ** 32 - 1, from: "m2" });
    expect(me.swim.self.incarnation).toBe(2 ** 32 - 1);
  });
});

describe("item 2: equal incarnations", () => {
  it("suspect wins over alive, dead over suspect, and the same alive revives neither", () => {
    const me = new OneMember().meet(2, 3);
    me.hear(3, { type: "suspect", node: "m2", incarnation: 5, from: "m3" });
    expect(me.stateOf("m2")).toBe("suspect");
    me.hear(2, alive("m2", 2, 5));
    expect(me.stateOf("m2")).toBe("suspect");
    me.hear(3, { type: "dead", node: "m2", incarnation: 5, from: "m3" });
    expect(me.stateOf("m2")).toBe("dead");
    me.hear(3, { type: "suspect", node: "m2", incarnation: 5, from: "m3" });
    me.hear(2, alive("m2", 2, 5));
    expect(me.stateOf("m2")).toBe("dead");
  });

  it("a higher incarnation revives the suspect and the dead", () => {
    const me = new OneMember().meet(2, 3);
    me.hear(3, { type: "suspect", node: "m2", incarnation: 5, from: "m3" });
    me.hear(2, alive("m2", 2, 6));
    expect(me.stateOf("m2")).toBe("alive");
    me.hear(3, { type: "dead", node: "m2", incarnation: 6, from: "m3" });
    me.hear(2, alive("m2", 2, 7));
    expect(me.stateOf("m2")).toBe("alive");
    expect(me.eventKinds).toEqual(["member-suspect m2", "refuted m2", "member-dead m2", "member-up m2"]);
  });

  it("who refuted stays alive when its suspicion would have ended", () => {
    const me = new OneMember().meet(2, 3);
    me.answers = () => true;
    me.hear(3, { type: "suspect", node: "m2", incarnation: 5, from: "m3" });
    me.hear(2, alive("m2", 2, 6));
    me.pass(60_000);
    expect(me.eventKinds).toEqual(["member-suspect m2", "refuted m2"]);
  });

  it("a lower incarnation neither accuses nor changes metadata", () => {
    const me = new OneMember().meet(2, 3);
    me.hear(3, { type: "suspect", node: "m2", incarnation: 4, from: "m3" });
    me.hear(3, { type: "dead", node: "m2", incarnation: 4, from: "m3" });
    me.hear(3, alive("m2", 2, 4, tags({ region: "old" })));
    expect(me.stateOf("m2")).toBe("alive");
    expect(me.events).toEqual([]);
  });
});

describe("who repeats what was refuted", () => {
  it("is told what has become of it, at most once a second per member", () => {
    const me = new OneMember().meet(2, 3);
    me.answers = () => true;
    const correction = { to: at(3), messages: [{ type: "alive", node: "m2", incarnation: 5 }] };
    for (let i = 0; i < 5; i++) me.hear(3, { type: "dead", node: "m2", incarnation: 4, from: "m3" });
    expect(me.packets).toHaveLength(1);
    expect(me.packets).toMatchObject([correction]);
    me.pass(1000);
    me.forget();
    me.hear(3, { type: "dead", node: "m2", incarnation: 4, from: "m3" });
    expect(me.packets).toMatchObject([correction]);
    me.pass(1000);
    me.forget();
    me.hear(77, { type: "dead", node: "m2", incarnation: 4, from: "m3" }); // no member is there
    expect(me.packets).toEqual([]);
  });
});

describe("item 3: an alive message about ourselves", () => {
  it("with our incarnation but other metadata is from an earlier life and refuted", () => {
    const me = new OneMember({ meta: { region: "eu" } }).meet(2);
    me.hear(2, alive("me", 1, 10, tags({ region: "us" })));
    expect(me.swim.self.incarnation).toBe(11);
    expect(me.swim.self.meta.get("region")).toBe("eu");
  });

  it("that is our own, or older than it, changes nothing", () => {
    const me = new OneMember({ meta: { region: "eu" } }).meet(2);
    me.hear(2, alive("me", 1, 10, tags({ region: "eu" })));
    me.hear(2, alive("me", 1, 9, tags({ region: "us" })));
    expect(me.swim.self.incarnation).toBe(10);
    expect(me.events).toEqual([]);
  });
});

describe("item 4: accusations about someone unknown", () => {
  it("create nobody", () => {
    const me = new OneMember().meet(2);
    me.hear(2, { type: "suspect", node: "ghost", incarnation: 1, from: "m2" });
    me.hear(2, { type: "dead", node: "ghost", incarnation: 1, from: "m2" });
    me.table(row("ghost2", 9, 1, "dead"), row("ghost3", 9, 1, "left"), row("ghost4", 9, 1, "suspect"));
    expect(me.swim.members().map(({ name }) => name)).toEqual(["me", "m2"]);
  });
});

describe("item 5: dead on push/pull", () => {
  it("is taken as suspect, so that a live member can still refute it", () => {
    const me = new OneMember().meet(2);
    me.table(row("m2", 2, 5, "dead"));
    expect(me.stateOf("m2")).toBe("suspect");
    me.hear(2, alive("m2", 2, 6));
    expect(me.stateOf("m2")).toBe("alive");
  });

  it("left is taken as left", () => {
    const me = new OneMember().meet(2);
    me.table(row("m2", 2, 5, "left"));
    expect(me.stateOf("m2")).toBe("left");
  });

  it("about ourselves is refuted in the very answer", () => {
    const me = new OneMember().meet(2);
    me.table(row("me", 1, 30, "dead"));
    const reply = me.others.find((effect) => effect.kind === "reply");
    expect(reply).toMatchObject({ message: { nodes: [{ node: "me", incarnation: 31, state: "alive" }, {}] } });
  });
});

describe("item 6: confirmations", () => {
  /** How long m2 stays suspect. */
  function suspectedMs(accusers: string[]): number {
    const me = new OneMember().meet(2, 3, 4, 5, 6);
    for (const from of accusers) me.hear(3, { type: "suspect", node: "m2", incarnation: 5, from });
    me.answers = (n) => n !== 2;
    const startMs = me.nowMs;
    while (me.stateOf("m2") === "suspect") me.pass(100);
    return me.nowMs - startMs;
  }

  it("of different members shorten a suspicion, more than one of the same does not", () => {
    const alone = suspectedMs(["m3"]);
    expect(suspectedMs(["m3", "m3", "m3", "m3"])).toBe(alone);
    expect(suspectedMs(["m3", "m4"])).toBeLessThan(alone);
    expect(suspectedMs(["m3", "m4", "m5"])).toBe(4000);
  });

  it("of names that are no members, or of the suspect itself, count for nothing", () => {
    const alone = suspectedMs(["m3"]);
    expect(suspectedMs(["m3", "made-up-1", "made-up-2", "m2"])).toBe(alone);
  });

  it("that are news are passed on, repeated ones are not", () => {
    const me = new OneMember().meet(2, 3, 4, 5, 6);
    me.hear(3, { type: "suspect", node: "m2", incarnation: 5, from: "m3" });
    me.pass(3000);
    me.forget();
    me.hear(3, { type: "suspect", node: "m2", incarnation: 5, from: "m3" });
    expect(me.swim.sizes().queued).toBe(0);
    me.hear(4, { type: "suspect", node: "m2", incarnation: 5, from: "m4" });
    expect(me.swim.sizes().queued).toBe(1);
  });

  it("a suspicion of a higher incarnation starts anew: the lower one was refuted", () => {
    const me = new OneMember().meet(2, 3, 4, 5, 6);
    me.answers = (n) => n !== 2;
    for (const from of ["m3", "m4", "m5"]) me.hear(3, { type: "suspect", node: "m2", incarnation: 5, from });
    me.pass(3900);
    me.hear(3, { type: "suspect", node: "m2", incarnation: 6, from: "m3" });
    me.pass(4000);
    expect(me.stateOf("m2")).toBe("suspect");
    expect([me.swim.counts.suspicions, me.eventKinds]).toEqual([1, ["member-suspect m2"]]);
  });
});

describe("item 9: leaving", () => {
  it("is a dead message signed by oneself, sent until it is spread, and then done", () => {
    const me = new OneMember().meet(2, 3);
    me.step({ kind: "leave" });
    me.pass(5000);
    const dead = me.sent("dead");
    expect(dead.length).toBeGreaterThanOrEqual(4);
    for (const { message } of dead) expect(message).toEqual({ type: "dead", node: "me", incarnation: 10, from: "me" });
    expect(me.others.filter(({ kind }) => kind === "leave-done")).toHaveLength(1);
    expect(me.swim.self.state).toBe("left");
  });

  it("alone is done at once", () => {
    const me = new OneMember();
    me.step({ kind: "leave" });
    expect(me.others).toContainEqual({ kind: "leave-done" });
  });

  it("a leaver neither refutes nor probes any more", () => {
    const me = new OneMember().meet(2, 3);
    me.step({ kind: "leave" });
    me.hear(2, { type: "dead", node: "me", incarnation: 10, from: "me" });
    me.hear(2, { type: "suspect", node: "me", incarnation: 10, from: "m2" });
    expect(me.packets).toEqual([]);
    me.pass(10_000);
    expect(me.swim.self).toMatchObject({ state: "left", incarnation: 10 });
    expect(me.sent("ping")).toEqual([]);
  });

  it("a leaver's changed metadata are told to nobody: they would bring it back", () => {
    const me = new OneMember();
    me.hear(2, alive("m2", 2, 5, tags({ actor: actor("m2", 1) })));
    me.pass(200);
    me.forget();
    me.step({ kind: "leave" });
    me.step({ kind: "update-meta", meta: new Map([["region", "eu"]]) });
    me.pass(6000);
    expect(me.sent("alive").filter(({ message }) => message.node === "me")).toEqual([]);
    expect(me.sent("dead").length).toBeGreaterThan(0);
  });

  it("is done after five seconds at the latest, however slowly news is sent", () => {
    const me = new OneMember({ profile: { gossipIntervalMs: 60_000 } });
    me.hear(2, alive("m2", 2, 5, tags({ actor: actor("m2", 1) })));
    me.step({ kind: "leave" });
    me.pass(4900);
    expect(me.others).toEqual([]);
    me.pass(200);
    expect(me.others).toEqual([{ kind: "leave-done" }]);
  });

  it("of another is not turned into a failure, and nobody reconnects to a leaver", () => {
    const me = new OneMember().meet(2);
    me.hear(2, { type: "dead", node: "m2", incarnation: 5, from: "m2" });
    me.hear(3, { type: "dead", node: "m2", incarnation: 5, from: "m3" });
    me.hear(3, { type: "suspect", node: "m2", incarnation: 5, from: "m3" });
    me.table(row("m2", 2, 5, "dead"));
    expect(me.stateOf("m2")).toBe("left");
    me.pass(600_000);
    expect(me.streams).toEqual([]);
    expect(me.eventKinds).toEqual(["member-left m2"]);
  });

  it("that comes after the failure it looked like still makes it a leave", () => {
    const me = new OneMember().meet(2);
    me.hear(3, { type: "dead", node: "m2", incarnation: 5, from: "m3" });
    me.hear(3, { type: "dead", node: "m2", incarnation: 5, from: "m2" });
    expect(me.stateOf("m2")).toBe("left");
  });

  it("is undone only by a higher incarnation, and one who came back with a lower is told so", () => {
    const me = new OneMember().meet(2);
    me.hear(2, { type: "dead", node: "m2", incarnation: 5, from: "m2" });
    me.forget();
    me.hear(2, alive("m2", 2, 1));
    expect(me.stateOf("m2")).toBe("left");
    expect(me.sent("dead")[0]).toMatchObject({ to: at(2), message: { node: "m2", incarnation: 5, from: "m2" } });
    me.hear(2, alive("m2", 2, 6));
    expect(me.stateOf("m2")).toBe("alive");
  });
});

describe("item 10: incarnation from the start", () => {
  it("a restarted member is alive for others at once, with its new metadata, and no refutation", () => {
    const me = new OneMember().meet(2);
    me.hear(2, alive("m2", 2, 900, tags({ actor: "m2@1.00000000" })));
    expect(me.incarnationOf("m2")).toBe(900);
    expect(me.eventKinds).toEqual(["member-update m2"]);
    me.hear(3, { type: "dead", node: "m2", incarnation: 900, from: "m3" });
    me.hear(2, alive("m2", 2, 1800, tags({ actor: "m2@2.00000000" })));
    expect(me.eventKinds).toEqual(["member-update m2", "member-dead m2", "member-up m2"]);
  });
});

describe("item 14: the queue", () => {
  it("never holds more than one message per member", () => {
    const me = new OneMember().meet(2, 3, 4);
    for (let i = 0; i < 50; i++) {
      me.hear(3, { type: "suspect", node: "m2", incarnation: 5 + i, from: "m3" });
      me.hear(2, alive("m2", 2, 6 + i));
    }
    expect(me.swim.sizes().queued).toBeLessThanOrEqual(me.swim.sizes().members);
  });
});

describe("item 17: labels", () => {
  it("packets of another cluster, or with no label, are dropped before parsing", () => {
    const ours = labelled("shop");
    const ping = { type: "suspect", node: "a", incarnation: 1, from: "b" } as const;
    expect(decodePacket(encodePacket([ping], ours, true), ours).messages).toEqual([ping]);
    for (const theirs of [BARE, labelled("shop2"), labelled("sho")])
      expect(decodePacket(encodePacket([ping], theirs, true), ours)).toEqual({
        messages: [],
        rejects: ["foreign-label"],
      });
    expect(decodePacket(encodePacket([ping], ours, false), BARE)).toEqual({
      messages: [],
      rejects: ["foreign-label"],
    });
  });
});

describe("item 20: a replayed packet", () => {
  it("is at worst a suspicion, which its member refutes", () => {
    const me = new OneMember({ keyring: keyring(keyOf(1)) }).meet(2, 3);
    const accusations = [5, 6].map((incarnation): Message => ({ type: "dead", node: "m2", incarnation, from: "m3" }));
    me.hearSealed(3, accusations[0] as Message);
    me.hearSealed(2, alive("m2", 2, 7));
    for (const message of accusations) me.hearSealed(3, message); // of before the refutation
    me.hearSealed(2, alive("m2", 2, 5, tags({ region: "old" })));
    expect(me.swim.member("m2")).toMatchObject({ state: "alive", incarnation: 7, meta: new Map() });
    me.hearSealed(3, { type: "suspect", node: "me", incarnation: 10, from: "m3" });
    me.hearSealed(3, { type: "suspect", node: "me", incarnation: 10, from: "m3" });
    expect(me.swim.self).toMatchObject({ state: "alive", incarnation: 11 });
  });
});

describe("bounds", () => {
  it("a full table takes no new names, counts them, and still follows those it knows", () => {
    const me = new OneMember({ membersMax: 3 }).meet(2, 3);
    me.hear(4, alive("m4", 4, 1));
    expect(me.others).toContainEqual({ kind: "reject", reason: "table-full" });
    me.hear(2, alive("m2", 2, 6, tags({ region: "eu" })));
    expect(me.swim.member("m2")?.meta.get("region")).toBe("eu");
    expect(me.swim.sizes().members).toBe(3);
  });

  it("the dead and the left are reclaimed after a day, which makes room again", () => {
    const me = new OneMember({ membersMax: 3 }).meet(2, 3);
    me.hear(2, { type: "dead", node: "m2", incarnation: 5, from: "m2" });
    me.hear(3, { type: "dead", node: "m3", incarnation: 5, from: "m2" });
    me.pass(86_400_000 - 60_000);
    expect(me.swim.sizes().members).toBe(3);
    me.pass(120_000);
    expect(me.swim.members().map(({ name }) => name)).toEqual(["me"]);
    me.hear(2, alive("m2", 2, 1));
    expect(me.stateOf("m2")).toBe("alive");
  });

  it("a stale timer has no effects", () => {
    const me = new OneMember().meet(2);
    expect(me.step({ kind: "timer", token: 999_999 })).toEqual([]);
  });

  it("metadata over 512 bytes are refused and change nothing", () => {
    const me = new OneMember({ meta: { region: "eu" } });
    const meta = new Map([["about", "x".repeat(600)]]);
    expect(() => me.step({ kind: "update-meta", meta })).toThrow(/at most 512/);
    expect(me.swim.self).toMatchObject({ incarnation: 10 });
    expect(me.swim.self.meta.get("region")).toBe("eu");
  });

  it("changed metadata are told with a higher incarnation", () => {
    const me = new OneMember().meet(2);
    me.step({ kind: "update-meta", meta: new Map([["region", "eu"]]) });
    expect(me.passUntilSent("alive", "me").message).toMatchObject({ incarnation: 11, meta: tags({ region: "eu" }) });
    me.forget();
    me.step({ kind: "update-meta", meta: new Map([["region", "eu"]]) }); // the same
    expect([me.incarnationOf("me"), me.events]).toEqual([11, []]);
  });
});
