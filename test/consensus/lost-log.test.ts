import { describe, expect, it } from "vitest";
import { founded, type Saved } from "../../src/consensus/core/core.ts";
import { type Entry, LostLogError } from "../../src/consensus/core/log.ts";
import type { Message } from "../../src/consensus/core/messages.ts";
import { Raft } from "../../src/consensus/core/raft.ts";
import { seededRng } from "../../src/kernel/rng.ts";
import { LIMITS } from "./stage.ts";
import { textBytes } from "./words.ts";

const entry = (index: number): Entry => ({ index, term: 2, payload: { kind: "nothing" } });

/** A follower in term 2 whose log reaches to entry 4, of which 3 are committed. */
function follower(): Raft {
  const { snapshot }: Saved = founded(["a", "b", "c"], textBytes(""));
  const saved = { hardState: { term: 2, vote: null, committed: 3 }, snapshot, entries: [2, 3, 4].map(entry) };
  return new Raft({ ...LIMITS, id: "b" }, saved, seededRng(1));
}

const beat = (term: number, committed: number): Message => ({
  type: "heartbeat",
  from: "a",
  to: "b",
  term,
  committed,
  read: 0,
});

const all = ({ role, term, leader, indexes, hasReady }: Raft) => ({ role, term, leader, indexes, hasReady });

describe("a heartbeat that knows of more than our log has", () => {
  it.each([2, 3])("says that the log lost its end, and changes nothing (term %i)", (term) => {
    const raft = follower();
    const before = all(raft);
    expect(() => raft.step(beat(term, 5))).toThrow(LostLogError);
    expect(() => raft.step(beat(term, 5))).toThrow(/ends at entry 4, and its leader knows that it had entry 5/);
    expect(all(raft)).toEqual(before);
  });

  it("of an earlier term says nothing, nor one that knows of just what is there", () => {
    const raft = follower();
    raft.step(beat(1, 5));
    raft.step(beat(2, 4));
    expect(raft.indexes.committed).toBe(4);
  });

  it("of a follower in replication, and its refusals, leave the leader as it is", () => {
    const { snapshot } = founded(["a", "b"], textBytes(""));
    const saved = { hardState: { term: 2, vote: null, committed: 4 }, snapshot, entries: [2, 3, 4].map(entry) };
    const raft = new Raft({ ...LIMITS, id: "a" }, saved, seededRng(1));
    const carryOut = (): readonly Message[] => {
      const sent: Message[] = [];
      while (raft.hasReady) {
        const { messages, afterDurable } = raft.ready();
        raft.durable();
        sent.push(...messages, ...afterDurable.filter(({ to }) => to !== "a"));
      }
      return sent;
    };
    raft.campaign();
    const head = { from: "b", to: "a" } as const;
    const vote = { ...head, type: "vote-reply", granted: true, committed: { index: 1, term: 1 } } as const;
    carryOut();
    raft.step({ ...vote, term: 3, pre: true });
    carryOut();
    raft.step({ ...vote, term: 3, pre: false });
    carryOut();
    const reply = { ...head, type: "append-reply", term: 3 } as const;
    raft.step({ ...reply, index: 5, accepted: true, hint: null });
    carryOut();
    expect(raft.progress().get("b")).toMatchObject({ state: "replicate", match: 5 });
    raft.propose([{ kind: "command", data: textBytes("x") }]);
    carryOut();
    // It has 3 entries now, and says so to whatever it is sent; what it once acknowledged stays as it was counted.
    for (let i = 0; i < 5; i++) {
      for (const message of carryOut())
        if (message.type === "append")
          raft.step({ ...reply, index: message.prevIndex, accepted: false, hint: { index: 3, term: 2 } });
      raft.step({ ...reply, index: 5, accepted: false, hint: { index: 3, term: 2 } });
      raft.step({ ...head, type: "heartbeat-reply", term: 3, read: 0 });
      raft.tick();
    }
    expect(raft.role).toBe("leader");
    expect(raft.progress().get("b")?.match).toBe(5);
    expect(raft.indexes).toMatchObject({ committed: 5, last: 6 });
  });
});
