import { describe, expect, it } from "vitest";
import { sizeOf } from "../../src/consensus/core/log.ts";
import type { Append, AppendReply, Message } from "../../src/consensus/core/messages.ts";
import { coalesced } from "../../src/consensus/driver/coalesce.ts";

const BYTES_MAX = 1_000;

/** With entries from `prevIndex + 1` up to `last`, all of term 2. */
function append(to: string, prevIndex: number, last: number, more: Partial<Append> = {}): Append {
  const entries = Array.from({ length: last - prevIndex }, (_, i) => ({
    term: 2,
    index: prevIndex + 1 + i,
    payload: { kind: "command", data: Uint8Array.of(i) } as const,
  }));
  return { type: "append", from: "a", to, term: 2, prevIndex, prevTerm: 2, entries, committed: 1, ...more };
}

function reply(index: number, more: Partial<AppendReply> = {}): AppendReply {
  return { type: "append-reply", from: "b", to: "a", term: 2, index, accepted: true, hint: null, ...more };
}

const BEAT: Message = { type: "heartbeat", from: "a", to: "b", term: 2, committed: 1, read: 0 };

describe("messages that go at once", () => {
  it("to one member, appends that continue each other are one, with the newest commit", () => {
    const all = [
      append("b", 4, 5),
      append("c", 4, 5),
      append("b", 5, 7),
      append("c", 5, 7),
      append("b", 7, 7, { committed: 6 }),
    ];
    expect(coalesced(all, BYTES_MAX)).toEqual(
      [append("b", 4, 7, { committed: 6 }), append("c", 4, 7)].map(withData(all)),
    );
  });

  it("others stay as they are, in their order", () => {
    for (const two of [
      [append("b", 4, 5), append("b", 6, 7)],
      [append("b", 4, 5), append("b", 4, 5)],
      [append("b", 4, 5), append("b", 5, 6, { prevTerm: 1 })],
      [append("b", 4, 5), append("b", 5, 6, { term: 3 })],
      [append("b", 4, 5), BEAT, append("b", 5, 6)],
      [reply(5), BEAT],
      [reply(5), reply(4)],
      [reply(5), reply(6, { term: 3 })],
      [reply(5), reply(6, { accepted: false })],
      [reply(5, { accepted: false }), reply(6)],
    ])
      expect(coalesced(two, BYTES_MAX)).toEqual(two);
  });

  it("no message grows beyond the limit by it", () => {
    const one = append("b", 4, 5);
    const bytes = one.entries.reduce((sum, entry) => sum + sizeOf(entry), 0);
    const three = [one, append("b", 5, 6), append("b", 6, 7)];
    expect(coalesced(three, 2 * bytes).map((message) => (message as Append).entries.length)).toEqual([2, 1]);
    expect(coalesced(three, bytes - 1)).toEqual(three);
  });

  it("of replies that say how far a log reaches the last one goes", () => {
    expect(coalesced([reply(5), reply(5), reply(7)], BYTES_MAX)).toEqual([reply(7)]);
  });
});

/** Entries as they were in the messages that they came in. */
function withData(all: readonly Append[]): (append: Append) => Append {
  return (one) => ({
    ...one,
    entries: all.filter(({ to }) => to === one.to).flatMap(({ entries }) => entries),
  });
}
