import { describe, expect, it } from "vitest";
import { alive, nextPing, OneMember, row, tags } from "./one-member.ts";

describe("what a member tells of the others", () => {
  it("who accuses them, until they refute, and who held them for dead", () => {
    const me = new OneMember().meet(2, 3, 4, 5, 6);
    const accusers = () => me.swim.member("m2")?.accusers;
    expect(accusers()).toEqual([]);
    const first = me.swim.member("m2")?.incarnation ?? 0;
    me.hear(3, { type: "suspect", node: "m2", incarnation: first, from: "m3" });
    me.hear(4, { type: "suspect", node: "m2", incarnation: first, from: "m4" });
    expect(accusers()).toEqual(["m3", "m4"]);
    me.hear(2, alive("m2", 2, first + 1));
    expect(accusers()).toEqual([]);
    me.hear(3, { type: "suspect", node: "m2", incarnation: first + 1, from: "m3" });
    me.hear(5, { type: "dead", node: "m2", incarnation: first + 1, from: "m5" });
    expect(accusers()).toEqual(["m3", "m5"]);
    me.hear(2, alive("m2", 2, first + 2));
    expect(accusers()).toEqual([]);
  });

  it("the share of probes that it did not answer directly, an answer through a relay included", () => {
    const me = new OneMember().meet(2, 3);
    const loss = (name: string) => me.swim.member(name)?.directLoss;
    expect(loss("m2")).toBeNull();
    me.answers = () => true;
    me.pass(20_000);
    expect([loss("m2"), loss("m3")]).toEqual([0, 0]);
    me.answers = () => false;
    const { message, n } = nextPing(me);
    const [silent, relay] = n === 2 ? (["m2", 3] as const) : (["m3", 2] as const);
    me.passUntilSent("indirect-ping");
    me.hear(relay, { type: "ack", seq: message.seq, payload: new Uint8Array(0) });
    me.pass(1000);
    expect(loss(silent)).toBeCloseTo(1 / 8, 9);
    expect(me.swim.member(silent)?.state).toBe("alive");
    me.answers = () => true;
    me.pass(60_000);
    expect(loss(silent)).toBeLessThan(0.01);
  });

  it("nothing measured of a life that ended, or of another place", () => {
    const me = new OneMember({ meta: { region: "eu" } }).meet(2, 3);
    me.answers = () => true;
    me.pass(5000);
    const measured = (): unknown => {
      const { rttMs, directLoss } = me.swim.member("m2") ?? {};
      return [rttMs, directLoss];
    };
    expect(measured()).toEqual([0, 0]);
    me.hear(2, alive("m2", 2, 6, tags({ "at.eu": "10.0.0.9:7946" })));
    expect(measured()).toEqual([null, null]);
    me.pass(5000);
    me.hear(3, { type: "dead", node: "m2", incarnation: 6, from: "m3" });
    me.hear(2, alive("m2", 2, 7, tags({ "at.eu": "10.0.0.9:7946" })));
    expect(me.swim.member("m2")?.directLoss).toBeNull();
  });

  it("how often it asked, in vain, and what came of it", () => {
    const me = new OneMember().meet(2);
    me.pass(40_000);
    expect(me.swim.member("m2")?.state).toBe("dead");
    expect(me.swim.counts).toMatchObject({ suspicions: 1, deaths: 1, refutations: 0 });
    const { probes, probeTimeouts, probeFailures } = me.swim.counts;
    expect(probes).toBeGreaterThanOrEqual(probeTimeouts);
    expect(probeTimeouts).toBeGreaterThanOrEqual(probeFailures);
    expect(probeFailures).toBeGreaterThan(0);
    me.hear(2, { type: "suspect", node: "me", incarnation: 10, from: "m2" });
    expect(me.swim.counts.refutations).toBe(1);
  });

  it("that it accuses somebody itself only if it did not reach it, and not because another's table says so", () => {
    const me = new OneMember().meet(2, 3, 4);
    me.answers = () => true;
    const { incarnation = 0 } = me.swim.member("m2") ?? {};
    me.table(row("m2", 2, incarnation, "dead"));
    expect(me.swim.member("m2")).toMatchObject({ state: "suspect", accusers: [] });
    const alone = new OneMember().meet(2);
    alone.pass(3000);
    expect(alone.swim.member("m2")).toMatchObject({ state: "suspect", accusers: ["me"] });
  });

  it("how long they are as they are; a death is counted and told once, a leave is none", () => {
    const me = new OneMember().meet(2, 3);
    expect(me.swim.self.stateChangedMs).toBe(1000);
    for (let i = 0; i < 3; i++) me.hear(3, { type: "dead", node: "m2", incarnation: 5, from: "m3" });
    me.hear(3, { type: "dead", node: "m3", incarnation: 5, from: "m3" });
    expect(me.swim.counts.deaths).toBe(1);
    expect(me.eventKinds).toEqual(["member-dead m2", "member-left m3"]);
  });

  it("a member that took over the address of one who is suspected stays known by it", () => {
    const me = new OneMember({ profile: { reclaimMs: 60_000 } }).meet(2);
    me.hear(2, alive("later", 2, 7));
    me.answers = () => true;
    me.hear(2, { type: "suspect", node: "m2", incarnation: 5, from: "later" });
    me.pass(40_000);
    expect(me.stateOf("m2")).toBe("dead");
    me.pass(240_000);
    expect(me.stateOf("m2")).toBeUndefined();
    expect(me.stateOf("later")).toBe("alive");
    me.forget();
    // To a member the ack carries where we are; to a stranger it is as short as its question.
    me.hear(2, { type: "ping", seq: 5, node: "me", sourceAddr: "", sourcePort: 0, sourceNode: "later" });
    expect(me.sent("ack")[0]?.message.payload.length).toBeGreaterThan(0);
  });
});
