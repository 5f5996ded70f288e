import { describe, expect, it } from "vitest";
import type { Message } from "../../src/consensus/core/messages.ts";
import { encodeMessage } from "../../src/consensus/driver/wire.ts";
import { utf8, Writer } from "../../src/kernel/bytes.ts";
import { encodeFrame, FRAME, FrameReader, type Hello } from "../../src/peer/frames.ts";
import { HostilePlane, helloOf, type SeatKind } from "../fuzz/hostile-plane.ts";
import { HostileStream } from "../fuzz/hostile-world.ts";

// What callers of the `control` class can do, by name; whatever else they may say: test/fuzz/targets-plane.ts.

const TERM = 3;
const LAST = 20;

/** Dials, says it, and hears what comes back. */
async function say(
  seat: HostilePlane,
  frame: Uint8Array,
  { node = "b", ...more }: Partial<Hello> = {},
): Promise<{ readonly answers: unknown[]; readonly isClosed: boolean }> {
  const stream = new HostileStream();
  seat.door.accept(stream);
  stream.send(encodeFrame(FRAME.hello, helloOf(node, seat.hostile.world, more)));
  stream.send(frame);
  await seat.hostile.settle();
  const answers = stream.written.flatMap((bytes) => new FrameReader().push(bytes)).map(({ body }) => body);
  return { answers: answers.slice(answers.length > 1 ? 1 : 0), isClosed: stream.isClosed };
}

const tell = (seat: HostilePlane, message: Message, hello: Partial<Hello> = {}): ReturnType<typeof say> =>
  say(seat, encodeFrame(FRAME.note, encodeMessage(message)), hello);

const ask = (seat: HostilePlane, op: string, hello: Partial<Hello> = {}): ReturnType<typeof say> =>
  say(seat, encodeFrame(FRAME.request, { id: 1, op, body: new Uint8Array(0) }), hello);

const vote = (from: string, term = TERM + 1): Message => ({
  type: "vote",
  from,
  to: "a",
  term,
  pre: false,
  transfer: true,
  lastIndex: LAST + 5,
  lastTerm: TERM,
});
const beat = (committed: number, term = TERM): Message => ({
  type: "heartbeat",
  from: "b",
  to: "a",
  term,
  committed,
  read: 0,
});
const proposal = (data: Uint8Array): Message => {
  const framed = new Writer().u8(1).text("b").text("00000000").uint(1).uint(1).raw(data).finish();
  return { type: "propose", from: "b", to: "a", payloads: [{ kind: "command", data: framed }] };
};

describe("a Raft message", () => {
  const isNotTaken = async (kind: SeatKind, message: Message, says: RegExp, hello: Partial<Hello> = {}) => {
    const seat = await HostilePlane.open(kind);
    const before = seat.picture;
    const { answers, isClosed } = await tell(seat, message, hello);
    expect(seat.picture).toBe(before);
    expect(JSON.stringify(answers)).toMatch(says);
    expect(isClosed).toBe(true);
    expect(seat.failure).toBeNull();
  };

  it("of a member is taken", async () => {
    const seat = await HostilePlane.open("follower");
    await tell(seat, vote("b"));
    expect(seat.plane.status().term).toBe(TERM + 1);
  });

  it.each([
    ["of a stranger who knows the salt", vote("nobody"), /no member of this group/, { node: "nobody" }],
    ["of a removed member", vote("gone"), /no member of this group/, { node: "gone" }],
    ["in this node's own name", vote("a"), /two nodes are called a/, { node: "a" }],
    ["of a member in another's name", vote("c"), /from c came from b/, {}],
    ["for another node", { ...vote("b"), to: "c" }, /for c came to a/, {}],
    ["of another incarnation", vote("b"), /incarnation 1 .* incarnation 2/, { epoch: 2 }],
    ["without the salt", vote("b"), /salt differs/, { proof: new Uint8Array(16) }],
    ["of another cluster", vote("b"), /belongs to cluster c-1/, { cluster: "c-2" }],
    ["of a term that no group comes to", vote("b", 2 ** 53 - 1), /of term 9007199254740991/, {}],
    ["about an entry that no log comes to", beat(2 ** 53 - 1), /about entry 9007199254740991/, {}],
  ] as const)("%s is not taken", (_, message, says, hello) => isNotTaken("follower", message, says, hello));

  it.each([
    ["is none", utf8("not a command")],
    ["is half of one", utf8('{"kind":"set-policy"')],
    ["is of a later version", utf8('{"kind":"set-policy","level":9}')],
  ])("that forwards a command that %s is not taken: in the log nobody could leave it out", (_, data) =>
    isNotTaken("leader", proposal(data), /JSON|command|level/),
  );

  it("never reaches who is aside, and that one answers no question that needs a seat", async () => {
    await isNotTaken("aside", vote("b"), /isn't the one that the cluster knows/);
    const seat = await HostilePlane.open("aside");
    for (const op of ["read", "propose", "let-go"])
      expect(JSON.stringify((await ask(seat, op)).answers)).toMatch(/no part in the Raft group/);
    expect(seat.hostile.dials).toBe(0);
  });
});

describe("a question", () => {
  it.each(["read", "propose", "let-go"])("%s is answered to members alone", async (op) => {
    const seat = await HostilePlane.open("leader");
    for (const node of ["nobody", "gone"])
      expect(JSON.stringify((await ask(seat, op, { node })).answers)).toMatch(`${node} is no member`);
  });

  it("for the state is answered to whoever knows the salt, of any incarnation: it must be able to learn of that", async () => {
    const seat = await HostilePlane.open("follower");
    const { answers } = await ask(seat, "state", { node: "nobody", epoch: 7 });
    expect(answers).toMatchObject([{ body: expect.any(Uint8Array) }]);
  });

  it("nobody is let to found another cluster", async () => {
    const seat = await HostilePlane.open("follower");
    expect((await ask(seat, "found")).answers).toMatchObject([{ body: utf8("state") }]);
  });
});

// Raft is for members that fail, not for members that lie: what a caller with the salt and a member's name says as a leader is
// believed. What comes of it, so that nobody finds out by surprise.
describe("a member that lies as a leader", () => {
  const entry = (term: number, data: Uint8Array): Message => ({
    type: "append",
    from: "b",
    to: "a",
    term,
    prevIndex: LAST,
    prevTerm: 2,
    committed: LAST + 1,
    entries: [{ index: LAST + 1, term, payload: { kind: "command", data } }],
  });

  it("about what is committed ends this node's seat, not the node", async () => {
    const seat = await HostilePlane.open("follower");
    await tell(seat, beat(LAST + 9));
    expect(seat.plane.status().state).toBe("damaged");
    expect(seat.failure).toBeNull();
  });

  it("in a term that this node leads stops the node: a term has one leader", async () => {
    const seat = await HostilePlane.open("leader");
    await tell(seat, beat(1, seat.plane.status().term));
    expect(seat.failure).toMatch(/a term has one leader/);
  });

  it("with an entry that is no proposal stops the node", async () => {
    const seat = await HostilePlane.open("follower");
    await tell(seat, entry(TERM, utf8("nothing that was proposed")));
    expect(seat.failure).toMatch(/proposal/);
  });

  it("with a command that this version can't read ends the seat, not the node", async () => {
    const seat = await HostilePlane.open("follower");
    const framed = new Writer().u8(1).text("b").text("00000000").uint(1).uint(1).raw(utf8("{}")).finish();
    await tell(seat, entry(TERM, framed));
    expect(seat.plane.status().state).toBe("failed");
    expect(seat.failure).toBeNull();
  });
});
