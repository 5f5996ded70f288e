import { describe, expect, it } from "vitest";
import type { Message, User } from "../../gossip/wire/messages.ts";
import {
  decodeKeyResponse,
  decodeSerf,
  encodeKeyResponse,
  encodeSerf,
  type KeyResponse,
} from "../../gossip/wire/serf.ts";
import { toBase64 } from "../../src/kernel/bytes.ts";
import { keyOf, keyring } from "./envelopes.ts";
import { actor, alive, at, NO_BYTES, OneMember, tags } from "./one-member.ts";
import { query, told, user, withAgent } from "./serf-words.ts";

const [K1, K2] = [keyOf(1), keyOf(2)];

describe("leaving a pool with serf agents", () => {
  it("is told in serf's words first, and with a dead message when these are spread", () => {
    const me = withAgent();
    me.step({ kind: "leave" });
    me.pass(100);
    const kinds = (): string[] =>
      me.packets.flatMap(({ messages }) => messages.map((message: Message) => message.type));
    expect(kinds()).not.toContain("dead");
    me.pass(3000);
    expect(told(me, "leave-intent")[0]).toMatchObject({ node: "me", prune: false });
    const sent = kinds();
    expect(sent.lastIndexOf("user")).toBeLessThan(sent.indexOf("dead"));
    expect(me.others).toContainEqual({ kind: "leave-done" });
  });

  it("goes on without serf's word where nobody is who needs it, and says nothing of serf's", () => {
    const me = new OneMember({ meta: { actor: actor("me", 1) } });
    me.hear(3, alive("m3", 3, 5, tags({ actor: actor("m3", 1) })));
    me.step({ kind: "leave" });
    me.pass(3000);
    expect(me.sent("dead").length).toBeGreaterThan(0);
    expect(me.sent("user")).toEqual([]);
  });

  it("of another: who announced it and is silent then has left, and isn't failed", () => {
    for (const announced of [true, false]) {
      const me = withAgent();
      if (announced) me.hear(2, user({ type: "leave-intent", lTime: 9, node: "m2", prune: false }));
      me.hear(3, { type: "dead", node: "m2", incarnation: 5, from: "m3" });
      expect(me.stateOf("m2")).toBe(announced ? "left" : "dead");
    }
  });

  it("of another, who stayed and proved that it lives, is void: when it falls silent later, it has failed", () => {
    const me = withAgent();
    me.hear(2, user({ type: "leave-intent", lTime: 9, node: "m2", prune: false }));
    me.hear(2, alive("m2", 2, 6));
    me.hear(3, { type: "dead", node: "m2", incarnation: 6, from: "m3" });
    expect(me.stateOf("m2")).toBe("dead");
  });

  it("declared by an operator for a failed member makes it one who left, and is passed on once", () => {
    const me = withAgent();
    me.hear(3, { type: "dead", node: "m2", incarnation: 5, from: "m3" });
    me.pass(5000);
    me.forget();
    for (let i = 0; i < 3; i++) me.hear(3, user({ type: "leave-intent", lTime: 9, node: "m2", prune: false }));
    expect(me.stateOf("m2")).toBe("left");
    expect(me.eventKinds).toEqual(["member-left m2"]);
    me.pass(5000);
    const passedOn = told(me, "leave-intent").length;
    expect(passedOn).toBeGreaterThan(0);
    me.hear(3, user({ type: "leave-intent", lTime: 9, node: "m2", prune: false }));
    me.pass(5000);
    expect(told(me, "leave-intent")).toHaveLength(passedOn);
  });

  it("an older word counts for nothing, and a newer one about joining takes it back", () => {
    const me = withAgent();
    me.hear(3, user({ type: "join-intent", lTime: 9, node: "m2" }));
    me.hear(3, user({ type: "leave-intent", lTime: 8, node: "m2", prune: false }));
    me.hear(3, user({ type: "leave-intent", lTime: 10, node: "m2", prune: false }));
    me.hear(3, user({ type: "join-intent", lTime: 11, node: "m2" }));
    me.hear(3, { type: "dead", node: "m2", incarnation: 5, from: "m3" });
    expect(me.stateOf("m2")).toBe("dead");
  });

  it("said of us while we stay is refuted with a later time", () => {
    const me = withAgent();
    me.hear(2, user({ type: "leave-intent", lTime: 40, node: "me", prune: false }));
    me.pass(1000);
    expect(told(me, "join-intent")[0]).toMatchObject({ node: "me", lTime: 41 });
    expect(told(me, "leave-intent")).toEqual([]);
  });
});

it("an earlier life's words, however they are told, are followed by a later one that we are here", () => {
  for (const leftMembers of [["me"], []]) {
    const me = withAgent();
    const state = { lTime: 22, eventLTime: 1, queryLTime: 1, leftMembers, statusLTimes: new Map([["me", 20]]) };
    const userState = encodeSerf({ type: "state", ...state });
    me.step({ kind: "stream-request", id: 1, message: { type: "push-pull", join: false, nodes: [], userState } });
    me.pass(1000);
    expect(told(me, "join-intent")[0]).toMatchObject({ node: "me", lTime: 22 });
    me.hear(2, user({ type: "join-intent", lTime: 22, node: "me" }));
    me.pass(5000);
    expect(new Set(told(me, "join-intent").map(({ lTime }) => lTime))).toEqual(new Set([22]));
  }
});

it("forged times bring no clock to its end, and what fits no packet isn't kept", () => {
  const me = withAgent();
  const far = Number.MAX_SAFE_INTEGER - 1;
  const state = { lTime: far, eventLTime: 1, queryLTime: 1, leftMembers: [], statusLTimes: new Map([["me", 20]]) };
  const userState = encodeSerf({ type: "state", ...state });
  me.step({ kind: "stream-request", id: 1, message: { type: "push-pull", join: false, nodes: [], userState } });
  me.hear(2, user({ type: "join-intent", lTime: far, node: "me" }));
  expect(me.others.filter(({ kind }) => kind === "reject")).toHaveLength(2);
  me.forget();
  me.hear(2, user({ type: "user-event", lTime: 3, name: "big", payload: new Uint8Array(1_380), coalesce: true }));
  expect(me.others).toEqual([{ kind: "reject", reason: "bad-serf-message" }]);
  expect(me.swim.sizes().queued).toBe(0);
  me.table();
  expect(me.others.filter(({ kind }) => kind === "reply")).toHaveLength(1);
});

describe("serf's state on push/pull", () => {
  it("is sent where an agent can read it, with who left", () => {
    const me = withAgent();
    me.hear(3, user({ type: "leave-intent", lTime: 6, node: "m3", prune: false }));
    me.hear(3, { type: "dead", node: "m3", incarnation: 5, from: "m3" });
    me.table();
    const [reply] = me.others.filter((effect) => effect.kind === "reply");
    const message = reply?.kind === "reply" ? reply.message : undefined;
    const state = message?.type === "push-pull" ? decodeSerf(message.userState) : undefined;
    expect(state).toMatchObject({ type: "state", lTime: 7, leftMembers: ["m3"] });
    expect(state?.type === "state" && [...state.statusLTimes]).toEqual([["m3", 6]]);
  });

  it("brings the words that were missed, and the clocks", () => {
    const me = withAgent();
    me.hear(3, { type: "dead", node: "m2", incarnation: 5, from: "m3" });
    const state = {
      lTime: 30,
      eventLTime: 4,
      queryLTime: 90,
      leftMembers: ["m2"],
      statusLTimes: new Map([["m2", 20]]),
    };
    const userState = encodeSerf({ type: "state", ...state });
    me.step({ kind: "stream-request", id: 1, message: { type: "push-pull", join: false, nodes: [], userState } });
    expect(me.stateOf("m2")).toBe("left");
    me.step({ kind: "ask-keys", id: 1, operation: "list", key: NO_BYTES });
    me.pass(1000);
    expect(told(me, "query")[0]?.lTime).toBe(90);
    const since = encodeSerf({ type: "state", ...state, eventLTime: 2000 });
    me.step({
      kind: "stream-request",
      id: 2,
      message: { type: "push-pull", join: false, nodes: [], userState: since },
    });
    me.hear(2, user({ type: "user-event", lTime: 3, name: "of long ago", payload: NO_BYTES, coalesce: true }));
    me.pass(5000);
    expect(told(me, "user-event")).toEqual([]);
  });

  it("that is broken is a reject and changes nothing", () => {
    const me = withAgent();
    const userState = Uint8Array.of(2, 0x81, 1);
    me.step({ kind: "stream-request", id: 1, message: { type: "push-pull", join: false, nodes: [], userState } });
    me.hear(2, { type: "user", payload: NO_BYTES });
    expect(me.others.filter(({ kind }) => kind === "reject")).toEqual([
      { kind: "reject", reason: "bad-serf-message" },
      { kind: "reject", reason: "bad-serf-message" },
    ]);
  });
});

describe("item 20: keys", () => {
  const answersOf = (me: OneMember): KeyResponse[] =>
    told(me, "query-response").map(({ payload }) => decodeKeyResponse(payload));

  it("are installed, used, removed and listed by any member's query", () => {
    const ring = keyring(K1);
    const me = withAgent({ keyring: ring });
    me.hearSealed(2, user(query("_serf_install-key", K2, { id: 1 })));
    me.hearSealed(2, user(query("_serf_use-key", K2, { id: 2 })));
    me.hearSealed(2, user(query("_serf_list-keys", NO_BYTES, { id: 3 })));
    me.hearSealed(2, user(query("_serf_remove-key", K1, { id: 4 })));
    expect(answersOf(me)).toMatchObject([
      { ok: true },
      { ok: true },
      { ok: true, keys: [toBase64(K2), toBase64(K1)], primaryKey: toBase64(K2) },
      { ok: true },
    ]);
    expect(ring.keys).toEqual([K2]);
    expect(me.eventKinds).toEqual(["keys-changed me", "keys-changed me", "keys-changed me"]);
  });

  it("are not changed by whoever holds none, by a wrong key, or where encryption is off", () => {
    const ring = keyring(K1);
    const me = withAgent({ keyring: ring });
    me.hear(2, user(query("_serf_install-key", K2)));
    me.hearSealed(2, user(query("_serf_use-key", K2, { id: 2 })));
    me.hearSealed(2, user(query("_serf_install-key", Uint8Array.of(1, 2), { id: 3 })));
    me.hearSealed(2, user(query("_serf_install-key", K2, { id: 4, payload: NO_BYTES })));
    expect(answersOf(me).map(({ ok }) => ok)).toEqual([false, false, false, false]);
    expect(ring.keys).toEqual([K1]);
    const plain = withAgent();
    plain.hear(2, user(query("_serf_list-keys")));
    expect(answersOf(plain)).toMatchObject([{ ok: false, keys: [], message: expect.stringContaining("not enabled") }]);
    plain.pass(5000);
    expect(told(plain, "query").length).toBeGreaterThan(0); // nothing was sealed, nothing is forged
    me.forget();
    me.step({ kind: "ask-keys", id: 1, operation: "use", key: K2 });
    expect(me.eventKinds).toEqual([]);
  });

  it("in a query that was not encrypted are refused, and the query isn't passed on: we would seal it", () => {
    const me = withAgent({ keyring: keyring(K1) });
    me.hear(2, user(query("_serf_install-key", K2)));
    me.pass(5_000);
    expect(told(me, "query")).toEqual([]);
    me.hearSealed(2, user(query("_serf_install-key", K2, { id: 2 })));
    me.pass(5_000);
    expect(told(me, "query").length).toBeGreaterThan(0);
  });

  it("asked of all members: who is silent at half-time is asked itself, the others are not", () => {
    const me = withAgent({ keyring: keyring(K1) });
    me.answers = () => true;
    me.pass(60_000); // old news is out
    me.forget();
    me.step({ kind: "ask-keys", id: 9, operation: "list", key: NO_BYTES });
    me.pass(1000);
    const { lTime = 0, id = 0 } = told(me, "query")[0] ?? {};
    const payload = encodeKeyResponse({ ok: true, message: "", keys: [], primaryKey: "" });
    // To another question, and that it came at all, are no answers.
    me.hearSealed(3, user({ type: "query-response", lTime: lTime + 1, id, from: "m3", flags: 0, payload }));
    me.hearSealed(3, user({ type: "query-response", lTime, id, from: "m3", flags: 1, payload }));
    me.hearSealed(2, user({ type: "query-response", lTime, id, from: "m2", flags: 0, payload }));
    me.pass(500);
    me.forget();
    me.pass(200);
    expect(told(me, "query")).toMatchObject([{ id }]);
    expect(me.sent("user").map(({ to }) => to)).toEqual([at(3)]);
    me.hearSealed(3, user({ type: "query-response", lTime, id, from: "m3", flags: 0, payload }));
    expect(me.others).toMatchObject([{ kind: "key-report", id: 9, members: 3 }]);
  });

  it("asked of all members: each who is silent at half-time is asked", () => {
    const me = withAgent({ keyring: keyring(K1) });
    me.pass(60_000);
    me.step({ kind: "ask-keys", id: 9, operation: "list", key: NO_BYTES });
    me.pass(1590);
    me.forget();
    me.pass(20);
    expect(new Set(me.sent("user").map(({ to }) => to.host))).toEqual(new Set([at(2).host, at(3).host]));
  });

  it("asked of all members: the report is whole when all have answered, ourselves included", () => {
    const ring = keyring(K1);
    const me = withAgent({ keyring: ring });
    me.step({ kind: "ask-keys", id: 9, operation: "install", key: K2 });
    expect(ring.keys).toEqual([K1, K2]);
    me.pass(1000);
    const asked = told(me, "query")[0];
    expect(asked).toMatchObject({ name: "_serf_install-key", sourceNode: "me", port: 7946 });
    if (asked) me.hearSealed(2, user(asked)); // comes round, and is no news
    expect(me.eventKinds).toEqual(["keys-changed me"]);
    const answer = (from: string, ok: boolean): User => {
      const payload = encodeKeyResponse({ ok, message: ok ? "" : "no", keys: [], primaryKey: "" });
      const { lTime = 0, id = 0 } = asked ?? {};
      return user({ type: "query-response", lTime, id, from, flags: 0, payload });
    };
    me.hear(2, answer("m2", true)); // not encrypted
    me.hearSealed(2, answer("nobody", true));
    me.hearSealed(2, answer("m2", true));
    expect(me.others.filter(({ kind }) => kind === "key-report")).toEqual([]);
    me.hearSealed(3, answer("m3", false));
    const [report] = me.others.filter((effect) => effect.kind === "key-report");
    expect(report).toMatchObject({ id: 9, members: 3 });
    expect([...(report?.answers ?? [])].map(([name, { ok }]) => `${name} ${ok}`).sort()).toEqual([
      "m2 true",
      "m3 false",
      "me true",
    ]);
  });

  it("asked of silent members: the report comes after a while with who answered, and few are open at once", () => {
    const me = withAgent({ keyring: keyring(K1) });
    for (let id = 0; id < 6; id++) me.step({ kind: "ask-keys", id, operation: "list", key: NO_BYTES });
    const reports = (): { id: number; answers: number }[] =>
      me.others.flatMap((effect) =>
        effect.kind === "key-report" ? [{ id: effect.id, answers: effect.answers.size }] : [],
      );
    expect(reports()).toEqual([
      { id: 4, answers: 0 },
      { id: 5, answers: 0 },
    ]);
    me.pass(10_000);
    expect(reports().slice(2)).toEqual([0, 1, 2, 3].map((id) => ({ id, answers: 1 })));
  });
});
