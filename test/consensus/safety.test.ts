import { describe, expect, it } from "vitest";
import { founded, type Saved } from "../../src/consensus/core/core.ts";
import type { Entry } from "../../src/consensus/core/log.ts";
import { Raft, type Ready } from "../../src/consensus/core/raft.ts";
import { seededRng } from "../../src/kernel/rng.ts";
import { Safety, type Violation } from "./safety.ts";
import { LIMITS } from "./stage.ts";
import { textBytes } from "./words.ts";

const NOTHING: Ready = {
  hardState: null,
  snapshot: null,
  entries: [],
  messages: [],
  afterDurable: [],
  committed: [],
  reads: [],
};
const entry = (index: number, term: number, text = ""): Entry => ({
  index,
  term,
  payload: { kind: "command", data: textBytes(text) },
});

function watched(...ids: string[]): Safety {
  const safety = new Safety(1);
  const saved: Saved = founded(ids, textBytes(""));
  for (const id of ids) safety.started(new Raft({ ...LIMITS, id }, saved, seededRng(1)), saved, 10);
  return safety;
}

function found(act: () => void): string {
  try {
    act();
  } catch (error) {
    return (error as Violation).invariant;
  }
  return "nothing";
}

describe("the checks of safety reject", () => {
  it("two entries of one term and index", () => {
    const safety = watched("a", "b");
    safety.ready("a", { ...NOTHING, entries: [entry(2, 2, "x")] }, 1);
    const other = { ...NOTHING, entries: [entry(2, 2, "y")] };
    expect(found(() => safety.ready("b", other, 1))).toBe("log matching");
  });

  it("one entry after two different ones", () => {
    const safety = watched("a", "b");
    safety.ready("a", { ...NOTHING, entries: [entry(2, 2), entry(3, 4)] }, 1);
    const other = { ...NOTHING, entries: [entry(2, 3), entry(3, 4)] };
    expect(found(() => safety.ready("b", other, 1))).toBe("log matching");
  });

  it("an entry that is applied and was never committed, or out of order, or not durable", () => {
    const apply = (one: Entry, durable: number): string =>
      found(() => watched("a").ready("a", { ...NOTHING, entries: [one], committed: [one] }, durable));
    expect(apply(entry(2, 2), 2)).toBe("state machine safety");
    expect(apply(entry(2, 2), 1)).toBe("durability");
    const gap = { ...NOTHING, entries: [entry(2, 2), entry(3, 2)], committed: [entry(3, 2)] };
    expect(found(() => watched("a").ready("a", gap, 3))).toBe("order");
  });

  it("a vote that changes within a term", () => {
    const safety = watched("a");
    safety.ready("a", { ...NOTHING, hardState: { term: 2, vote: "b", committed: 1 } }, 1);
    const again = { ...NOTHING, hardState: { term: 2, vote: "c", committed: 1 } };
    expect(found(() => safety.ready("a", again, 1))).toBe("one vote");
  });

  it("promises of what the disk does not have", () => {
    const disk = { hardState: { term: 1, vote: null, committed: 1 }, lastIndex: 1 };
    const between = { from: "a", to: "b", term: 2 };
    const committed = { index: 1, term: 1 };
    const vote = { type: "vote-reply", ...between, pre: false, granted: true, committed } as const;
    const ack = { type: "append-reply", ...between, index: 2, accepted: true, hint: null } as const;
    expect(found(() => watched("a").sent(vote, disk))).toBe("durability");
    expect(found(() => watched("a").sent(ack, disk))).toBe("durability");
    expect(found(() => watched("a").sent({ ...vote, pre: true }, disk))).toBe("nothing");
  });
});
