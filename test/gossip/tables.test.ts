import { describe, expect, it } from "vitest";
import { kitHash, Pool } from "../../gossip/swim/pool.test-kit.ts";
import { DIGEST_TAG, DIGEST_WAY, digestMessage, digestOf } from "../../gossip/swim/table-digest.ts";
import type { NodeState } from "../../gossip/wire/messages.ts";
import type { PushPull, StreamMessage } from "../../gossip/wire/stream.ts";
import { actor, alive, at, NO_BYTES, OneMember, row, tags } from "./one-member.ts";

const MINUTE_MS = 60_000;
const KNOWS_HASHES = tags({ [DIGEST_TAG]: DIGEST_WAY });

/** A member that has met m2, which knows hashes of tables, or doesn't. */
function withNeighbour({ meta = KNOWS_HASHES, sha256 = kitHash as typeof kitHash | null } = {}): OneMember {
  const me = new OneMember({ ...(sha256 && { sha256 }) });
  me.answers = () => true;
  me.hear(2, alive("m2", 2, 5, meta));
  me.forget();
  return me;
}

/** Time passes until it compares tables. */
function nextStream(me: OneMember): OneMember["streams"][number] {
  me.forget();
  for (let s = 0; me.streams.length === 0 && s < 300; s++) me.pass(1000);
  return me.streams[0] as OneMember["streams"][number];
}

function answer(me: OneMember, message: StreamMessage): void {
  const { id } = nextStream(me);
  me.forget();
  me.step({ kind: "stream-reply", id, remote: at(2), message });
}

describe("tables are compared by their hashes first", () => {
  it("and where these are the same no table is sent", () => {
    const me = withNeighbour();
    const { message } = nextStream(me);
    expect(message).toMatchObject({ type: "user" });
    answer(me, message);
    expect(me.streams).toEqual([]);
    expect(me.swim.counts).toMatchObject({ tableComparisons: 2, tableDifferences: 0 });
  });

  it.each([
    ["another hash", digestMessage(new Uint8Array(16))],
    ["something else", { type: "user", payload: Uint8Array.of(200) }],
    ["an error", { type: "error", text: "what is that?" }],
    ["a table", { type: "push-pull", join: false, nodes: [], userState: NO_BYTES }],
  ] as [string, StreamMessage][])("but whole when the answer is %s", (_, message) => {
    const me = withNeighbour();
    answer(me, message);
    expect(me.streams).toMatchObject([{ to: at(2), message: { type: "push-pull", join: false } }]);
    expect(me.swim.counts).toMatchObject({ tableComparisons: 1, tableDifferences: 1 });
  });

  it("but whole when the same bytes come as another kind of message", () => {
    const me = withNeighbour();
    const { message } = nextStream(me);
    const payload = message.type === "user" ? message.payload.slice() : NO_BYTES;
    payload[0] = 201;
    answer(me, { type: "user", payload });
    expect(me.streams).toMatchObject([{ message: { type: "push-pull" } }]);
  });

  it("and whole when there is no answer: it may not know hashes after all", () => {
    const me = withNeighbour();
    const { id } = nextStream(me);
    me.forget();
    me.step({ kind: "stream-failed", id, reason: "closed before the answer" });
    expect(me.streams).toMatchObject([{ to: at(2), message: { type: "push-pull" } }]);
    const [whole] = me.streams;
    me.forget();
    me.step({ kind: "stream-failed", id: whole?.id ?? 0, reason: "refused" });
    expect(me.streams).toEqual([]);
  });

  it("not by who goes: nobody is told any more what it knows", () => {
    const me = withNeighbour();
    const { id } = nextStream(me);
    me.forget();
    me.step({ kind: "leave" });
    me.step({ kind: "stream-reply", id, remote: at(2), message: digestMessage(new Uint8Array(16)) });
    expect(me.streams).toEqual([]);
  });

  it("never with an agent, which would log an unknown message", () => {
    const me = withNeighbour({ meta: tags({ role: "web" }) });
    expect(nextStream(me).message).toMatchObject({ type: "push-pull" });
    expect(me.swim.counts).toMatchObject({ tableComparisons: 1, tableDifferences: 1 });
  });

  it("nor with a member that hashes them in a later way", () => {
    const me = withNeighbour({ meta: tags({ [DIGEST_TAG]: "2" }) });
    expect(nextStream(me).message).toMatchObject({ type: "push-pull" });
  });

  it("nor where the host gave no hash function", () => {
    const me = withNeighbour({ sha256: null });
    expect(nextStream(me).message).toMatchObject({ type: "push-pull" });
    expect(me.swim.self.meta.has(DIGEST_TAG)).toBe(false);
  });
});

describe("whoever is asked", () => {
  it("answers with its own hash, whoever asks", () => {
    const me = withNeighbour();
    const { message } = nextStream(me);
    me.forget();
    me.step({ kind: "stream-request", id: 9, message: digestMessage(new Uint8Array(16)) });
    expect(me.others).toEqual([{ kind: "reply", id: 9, message }]);
  });

  it.each([
    ["a message of somebody else's", Uint8Array.of(4, 1, 2)],
    ["too short a hash", Uint8Array.of(200, ...new Uint8Array(15))],
    ["too long a hash", Uint8Array.of(200, ...new Uint8Array(17))],
    ["a hash of another kind", Uint8Array.of(201, ...new Uint8Array(16))],
    ["nothing", NO_BYTES],
  ])("closes the stream for %s", (_, payload) => {
    const me = withNeighbour();
    me.step({ kind: "stream-request", id: 9, message: { type: "user", payload } });
    expect(me.others).toEqual([{ kind: "close-stream", id: 9 }]);
  });

  it("closes the stream when it has no hash function", () => {
    const me = withNeighbour({ sha256: null });
    me.step({ kind: "stream-request", id: 9, message: digestMessage(new Uint8Array(16)) });
    expect(me.others).toEqual([{ kind: "close-stream", id: 9 }]);
  });

  it("says in a tag that it knows hashes, also after its tags changed", () => {
    const me = withNeighbour();
    expect(me.swim.self.meta.get(DIGEST_TAG)).toBe(DIGEST_WAY);
    me.step({ kind: "update-meta", meta: new Map([["role", "web"]]) });
    expect([...me.swim.self.meta]).toEqual([
      ["role", "web"],
      [DIGEST_TAG, DIGEST_WAY],
    ]);
  });
});

describe("the hash of a table", () => {
  const table = (...nodes: NodeState[]): PushPull => ({ type: "push-pull", join: false, nodes, userState: NO_BYTES });
  const one = row("m2", 2, 5, "alive");
  const changes: [string, PushPull][] = [
    ["name", table({ ...one, node: "m3" })],
    ["incarnation", table({ ...one, incarnation: 6 })],
    ["state", table({ ...one, state: "suspect" })],
    ["address", table({ ...one, address: at(3) })],
    ["port", table({ ...one, address: { ...one.address, port: 1 } })],
    ["tags", table({ ...one, meta: tags({ a: "b" }) })],
    ["protocols", table({ ...one, vsn: Uint8Array.of(1, 5, 2, 2, 5, 5) })],
    ["number of rows", table(one, one)],
    ["application's state", { ...table(one), userState: Uint8Array.of(2) }],
  ];

  it.each(changes)("is another with another %s", (_, changed) => {
    expect(digestOf(changed, kitHash)).not.toEqual(digestOf(table(one), kitHash));
  });

  it("is the same for whoever met the members in another order", () => {
    const hashAfter = (...order: number[]): unknown => {
      const me = withNeighbour();
      for (const n of order) me.hear(n, alive(`m${n}`, n, 5, tags({ actor: actor(`m${n}`, 5) })));
      me.forget();
      me.step({ kind: "stream-request", id: 9, message: digestMessage(new Uint8Array(16)) });
      return me.others;
    };
    expect(hashAfter(3, 4, 5)).toEqual(hashAfter(5, 3, 4));
    expect(hashAfter(3, 4, 5)).not.toEqual(hashAfter(3, 4, 6));
  });
});

describe("in a pool", () => {
  it("of members who know hashes no table is sent as long as nothing happens; what gossip missed still gets through", () => {
    let tables = 0;
    let gossips = true;
    const meter = {
      packet() {},
      stream: (_: string, { type }: StreamMessage) => (tables += Number(type === "push-pull")),
    };
    const pool = Pool.settled(8, {
      seed: 3,
      meter,
      // Without gossip news reaches nobody; probing goes on.
      sends: (messages) => (gossips ? messages : messages.filter(({ type }) => type !== "alive")),
    });
    pool.run(5 * MINUTE_MS);
    tables = 0;
    pool.run(10 * MINUTE_MS);
    expect(tables).toBe(0);

    gossips = false;
    pool.swim("n3").step({ kind: "update-meta", meta: new Map([["role", "new"]]) }, pool.nowMs);
    const everyoneKnows = (): boolean =>
      pool.names.every((name) => pool.swim(name).member("n3")?.meta.get("role") === "new");
    expect(everyoneKnows()).toBe(false);
    pool.until(everyoneKnows, 10 * MINUTE_MS, "all know of the new tag");
    expect(tables).toBeGreaterThan(0);
  });

  it("with agents, which know none, all know all", () => {
    const pool = new Pool({ seed: 4 });
    for (let i = 0; i < 6; i++)
      pool.start(`n${i}`, { seeds: ["n0"].slice(0, i), ...(i % 2 === 1 && { sha256: null }) });
    pool.until(() => pool.everyoneSees("alive"), MINUTE_MS, "all know all");
    pool.crash("n4");
    pool.run(5 * MINUTE_MS);
    expect(pool.everyoneSees("dead", ["n4"])).toBe(true);
    expect(pool.swim("n1").counts.tableDifferences).toBe(pool.swim("n1").counts.tableComparisons);
  });
});
