// Laws of the decisions about a partition: what waits, what may be cut, dropped, copied, healed, closed. Each says the
// sentence of data.md once more, over a handful of actors and small numbers.

import fc from "fast-check";
import type { Law } from "../../crdt/contract.test-kit.ts";
import type { Dot, Entry, PartitionState } from "../../crdt/index.ts";
import {
  admitEntry,
  adoptVector,
  applyEntry,
  CLOSED,
  copyHeals,
  copyPartition,
  dotKey,
  EMPTY_ROW,
  emptyPartition,
  holdEarly,
  includes,
  lastSeq,
  mayCut,
  mayDrop,
  mayHeal,
  openRow,
  takeReady,
  VersionVector,
  wantsCopy,
} from "../../crdt/index.ts";
import { closeActor, holdings, MAX_EARLY, MAX_EARLY_REMOVES, poolVerdict } from "../../crdt/partition.ts";
import { InternalError } from "../../src/kernel/assert.ts";
import type { ActorId } from "../../src/kernel/ids.ts";
import { makeActorId, parseNodeId } from "../../src/kernel/ids.ts";
import { seededRng, shuffle } from "../../src/kernel/rng.ts";

const ACTORS = ["a", "b", "c"].map((name, i) => makeActorId(parseNodeId(name), i + 1, i));
const actor: fc.Arbitrary<ActorId> = fc.constantFrom(...ACTORS);
const seq = fc.integer({ min: 1, max: 4 });
const vector = fc.array(fc.tuple(actor, seq), { maxLength: 3 }).map((entries) => new VersionVector(entries));
const vectors = fc.array(vector, { maxLength: 3 });
const dot: fc.Arbitrary<Dot> = fc.record({ actor, seq });

function entryOf(by: ActorId, first: number, adds: number, removes: readonly Dot[] = [], key = "k"): Entry {
  const add = { path: [], content: { kind: "flag" } as const };
  const stamp = { hlc: { ms: first, counter: 0 }, author: by, suspect: false };
  return { actor: by, first, bucket: "b", key, adds: Array(adds).fill(add), removes, stamp };
}

const entry = fc
  .record({ by: actor, first: seq, adds: fc.nat(2), removes: fc.array(dot, { maxLength: 2 }) })
  .map(({ by, first, adds, removes }) => entryOf(by, first, adds, removes));

function partition(known: VersionVector, floor = new VersionVector()): PartitionState {
  return { ...emptyPartition(), vector: known.copy(), floor: floor.copy() };
}

function same(a: unknown, b: unknown, claim: string): void {
  if (JSON.stringify(a) !== JSON.stringify(b))
    throw new Error(`${claim}:\n  ${JSON.stringify(a)}\n  ${JSON.stringify(b)}`);
}

function law<T extends [unknown, ...unknown[]]>(
  claim: string,
  arbitraries: { [K in keyof T]: fc.Arbitrary<T[K]> },
  body: (...values: T) => void,
): Law {
  const property = fc.property(fc.tuple<T>(...arbitraries), (values) => body(...values));
  return {
    claim,
    check: (runs, more) => fc.assert(property, { ...more, numRuns: runs }),
  };
}

const covers = (v: VersionVector, d: Dot): boolean => v.seq(d.actor) >= d.seq;
const reaches = (v: VersionVector, o: VersionVector): boolean => ACTORS.every((a) => v.seq(a) >= o.seq(a));

/** Entries of one actor that follow each other, of these lengths. */
function chain(by: ActorId, lengths: readonly number[]): Entry[] {
  let first = 1;
  return lengths.map((adds) => {
    const made = entryOf(by, first, adds);
    first = lastSeq(made) + 1;
    return made;
  });
}

const lengths = fc.array(fc.nat(3), { minLength: 1, maxLength: 6 });

/** Applies what is ready; gives what was applied, in order. */
function drain(p: PartitionState): Entry[] {
  const applied: Entry[] = [];
  for (let next = takeReady(p); next; next = takeReady(p)) {
    if (applied.push(next) > 99) throw new Error("takeReady never ends");
    applyEntry(p, openRow(EMPTY_ROW), next);
  }
  return applied;
}

/** One case is a thousand: a few are enough. */
const fullBuffer = law("the early buffer is bounded and says when it is full", [fc.nat(3)], (extra) => {
  const p = emptyPartition();
  const held = (first: number): boolean => holdEarly(p, entryOf(ACTORS[0] as ActorId, first, 1));
  for (let i = 0; i < MAX_EARLY; i++) same(held(2 * i + 3), true, "room");
  for (let i = 0; i <= extra; i++) same(held(9999 + i), false, "no room");
  same([held(3), p.early.length], [true, MAX_EARLY], "what is held already is held");
  const [by] = ACTORS as [ActorId];
  const removes = Array.from({ length: MAX_EARLY_REMOVES + 1 }, (_, i) => ({ actor: by, seq: i + 1 }));
  const holds = (most: number): boolean => holdEarly(emptyPartition(), entryOf(by, 9999, 0, removes.slice(0, most)));
  same([holds(MAX_EARLY_REMOVES), holds(MAX_EARLY_REMOVES + 1)], [true, false], "what removes very much");
});
const boundedBuffer: Law = { ...fullBuffer, check: (runs, more) => fullBuffer.check(Math.min(runs, 10), more) };

const ofEntries: Law[] = [
  law(
    "after a copy only what its vector doesn't cover still waits",
    [fc.array(entry, { maxLength: 8 }), vector, vector],
    (entries, known, copied) => {
      const p = partition(known);
      for (const e of entries) if (admitEntry(p, e) === "early") holdEarly(p, e);
      const waiting = p.early.filter((e) => !includes(copied, e));
      adoptVector(p, copied);
      same(p.early, waiting, "what waits");
    },
  ),
  law("an entry takes a seq for each dot it adds, and one if it adds none", [entry, vector], (e, v) => {
    same(lastSeq(e), e.first + Math.max(0, e.adds.length - 1), "its last");
    same(includes(v, e), v.seq(e.actor) >= lastSeq(e), "included");
  }),
  law("an entry is known, next or early by its actor's vector alone", [vector, entry], (v, e) => {
    const have = v.seq(e.actor);
    const expected = have >= lastSeq(e) ? "known" : have + 1 === e.first ? "next" : "early";
    same(admitEntry(partition(v), e), expected, "admitted");
  }),
  law("entries of one actor are applied in order, however they arrive", [lengths, fc.nat()], (sizes, dice) => {
    const p = emptyPartition();
    const entries = chain(ACTORS[0] as ActorId, sizes);
    const applied: Entry[] = [];
    for (const e of shuffle([...entries, ...entries], seededRng(dice))) {
      const admitted = admitEntry(p, e);
      if (admitted === "next") applyEntry(p, openRow(EMPTY_ROW), e);
      if (admitted === "next") applied.push(e);
      if (admitted === "early") same(holdEarly(p, e), true, "room");
      applied.push(...drain(p));
      same(p.early.length, new Set(p.early).size, "held once");
    }
    same(
      applied.map((e) => e.first),
      entries.map((e) => e.first),
      "applied",
    );
    same(p.early.length, 0, "nothing waits");
  }),
  law("an entry that is applied twice is a bug that stops us", [entry], (e) => {
    const p = partition(new VersionVector(e.first > 1 ? [[e.actor, e.first - 1]] : []));
    applyEntry(p, openRow(EMPTY_ROW), e);
    try {
      applyEntry(p, openRow(EMPTY_ROW), e);
    } catch (error) {
      if (error instanceof InternalError) return; // as it should
      throw error;
    }
    throw new Error("applied twice");
  }),
  law("awaited dots are the removed ones that are still to come", [vector, entry], (v, e) => {
    if (v.seq(e.actor) >= e.first) return;
    const p = partition(v);
    const row = openRow(EMPTY_ROW);
    applyEntry(p, row, e);
    const removes = [...new Set(e.removes.filter((d) => !covers(p.vector, d)).map(dotKey))].sort();
    same([...row.stubs.keys()].sort(), removes, "stubs");
    same([...p.awaited.keys()].sort(), removes, "awaited");
    const copy = copyPartition(p);
    copy.awaited.clear();
    copy.vector.join(new VersionVector([[ACTORS[0] as ActorId, 9]]));
    same([...p.awaited.keys()].sort(), removes, "a copied partition is another");
    same(p.vector.seq(ACTORS[0] as ActorId) < 9, true, "and so is its vector");
  }),
];

const ofLogs: Law[] = [
  law(
    "an entry is cut once another owner has it and all it removed has come",
    [vector, entry, vectors],
    (v, e, acks) => {
      const acknowledged = acks.length === 0 || acks.some((ack) => ack.seq(e.actor) >= lastSeq(e));
      same(mayCut(partition(v), e, acks), acknowledged && e.removes.every((d) => covers(v, d)), "may be cut");
    },
  ),
  law("a guest drops the partition when every owner has all of it", [vector, vectors], (v, acks) => {
    same(
      mayDrop(partition(v), acks),
      acks.every((ack) => reaches(ack, v)),
      "may drop",
    );
  }),
  law("a copy is wanted only below the floor of its log", [vector, vector], (v, floor) => {
    same(wantsCopy(partition(v), floor), !reaches(v, floor), "wanted");
  }),
  law(
    "a leaf heals from a vector between its damage and now",
    [vector, vector, vector, vector],
    (v, floor, at, theirs) => {
      const p = partition(v, floor);
      const isAbove = reaches(theirs, at) && reaches(theirs, floor);
      same(mayHeal(p, at, theirs), isAbove && reaches(v, theirs), "by rows");
      same(copyHeals(p, at, theirs), isAbove, "by a copy");
    },
  ),
];

const ofClosing: Law[] = [
  law(
    "closing an actor: everybody ends with all that anybody held of it, in order",
    [lengths, fc.nat()],
    (sizes, dice) => {
      const rng = seededRng(dice);
      const [gone, other] = ACTORS as [ActorId, ActorId];
      const entries = chain(gone, sizes);
      const members = [0, 1, 2].map(() => {
        const p = emptyPartition();
        const arriving = entries.filter(() => rng.below(3) > 0);
        for (const e of shuffle([...arriving, ...arriving], rng)) {
          const admitted = admitEntry(p, e);
          if (admitted === "next") applyEntry(p, openRow(EMPTY_ROW), e);
          else if (admitted === "early") holdEarly(p, e);
        }
        holdEarly(p, entryOf(other, 5, 1));
        return p;
      });
      const have = members.map((p) => p.vector.seq(gone));
      const held = entries.filter(
        (e, i) => lastSeq(e) <= Math.max(...have) || members.some((p) => p.early.includes(entries[i] as Entry)),
      );
      const all = members.map((p) => holdings(p, gone));
      for (const [i, h] of all.entries()) {
        same(h.have, have[i], "what I have");
        same(
          h.waiting.every((e) => e.actor === gone && lastSeq(e) > h.have),
          true,
          "only what waits, only of it",
        );
      }
      const verdict = poolVerdict(all);
      same(verdict.upTo, Math.max(...have), "up to");
      same(
        verdict.later.map((e) => e.first),
        held.filter((e) => e.first > verdict.upTo).map((e) => e.first),
        "later",
      );
      for (const [i, p] of members.entries()) {
        closeActor(p, gone, verdict);
        const applied = drain(p);
        for (const e of held) {
          if (e.first > verdict.upTo || admitEntry(p, e) !== "next") continue;
          applyEntry(p, openRow(EMPTY_ROW), e); // by the log
          applied.push(e, ...drain(p));
        }
        same(
          applied.map((e) => e.first),
          held.filter((e) => e.first > (have[i] ?? 0)).map((e) => e.first),
          "applied",
        );
        same(p.vector.seq(gone), CLOSED, "closed");
        same(
          p.early.map((e) => e.actor),
          [other],
          "what else waits still waits",
        );
        for (const e of entries) same(admitEntry(p, e), "known", "refused from then on");
      }
    },
  ),
  law(
    "a verdict takes no seq twice",
    [fc.array(fc.tuple(seq, fc.nat(3)), { maxLength: 6 }), fc.nat(3)],
    (spans, have) => {
      const waiting = spans.map(([first, adds]) => entryOf(ACTORS[0] as ActorId, first, adds));
      const { upTo, later } = poolVerdict([
        { have, waiting },
        { have: 0, waiting: [] },
      ]);
      same(upTo, have, "up to");
      for (const [i, e] of later.entries()) {
        same(lastSeq(e) > have, true, "above");
        same(i === 0 || lastSeq(later[i - 1] as Entry) < e.first, true, "in order, apart");
      }
      const taken = (e: Entry): boolean => later.some((l) => l.first <= lastSeq(e) && e.first <= lastSeq(l));
      same(waiting.filter((e) => lastSeq(e) > have).every(taken), true, "all that is held");
      same(poolVerdict([]).upTo, 0, "of nobody");
    },
  ),
];

export const partitionLaws: readonly Law[] = [boundedBuffer, ...ofEntries, ...ofLogs, ...ofClosing];
