import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ActorId, NodeId } from "../kernel/ids.ts";
import { type Commit, commitOf, type LogRecord, type RowKey, type Store } from "./store.ts";
import { BUCKETS, KEYS, NaiveStore, type Question, sortedState } from "./store-naive.test-kit.ts";
import { bytesOf, EU, recordOf, rowOf, type StoreSubject, US } from "./store-subject.test-kit.ts";

const ACTORS = [EU, US];

const place = fc.record({ bucket: fc.constantFrom(...BUCKETS), key: fc.constantFrom(...KEYS) });
const small = fc.nat({ max: 3 });
const body = fc.string({ maxLength: 30 }).map(bytesOf);
const bodyOrNone = fc.option(body, { freq: 3 });

/** A commit without its log, whose seqs depend on what came before. */
const changes: fc.Arbitrary<Partial<Commit>> = fc.record({
  rows: fc.array(
    fc.tuple(place, bodyOrNone, fc.boolean()).map(([{ bucket, key }, value, conflict]) => {
      return rowOf(bucket, key, value, { slot: (key.length * 0x5555_5555) % 2 ** 32, conflict });
    }),
    { maxLength: 6 },
  ),
  vectors: fc.array(fc.record({ partition: small, actor: fc.constantFrom(...ACTORS), seq: small }), { maxLength: 2 }),
  floors: fc.array(fc.record({ partition: small, actor: fc.constantFrom(...ACTORS), seq: small }), { maxLength: 2 }),
  acks: fc.array(
    fc.record({ peer: fc.constantFrom("eu" as NodeId, "us" as NodeId), partition: small, vector: bodyOrNone }),
    {
      maxLength: 2,
    },
  ),
  sums: fc.array(fc.record({ partition: small, pos: small, body }), { maxLength: 2 }),
  damaged: fc.array(fc.record({ partition: small, leaf: small, vector: bodyOrNone }), { maxLength: 2 }),
  deletions: fc.array(
    fc.tuple(place, small, bodyOrNone).map(([key, atMs, value]) => ({ ...key, atMs, body: value })),
    { maxLength: 2 },
  ),
  settings: fc.array(fc.record({ name: fc.constantFrom("x", "y\0"), value: fc.string({ maxLength: 4 }) }), {
    maxLength: 1,
  }),
});

/** What one commit changes; positions and seqs are filled in when it is made. */
interface Step {
  readonly changes: Partial<Commit>;
  readonly log: readonly { partition: number; actor: ActorId; run: number; awaits: boolean; body: Uint8Array }[];
  readonly journal: readonly { key: RowKey; atMs: number; body: Uint8Array }[];
  readonly cutShare: number;
  readonly forget: { deletions: number; journal: number } | null;
  readonly reopen: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  changes,
  log: fc.array(
    fc.record({ partition: small, actor: fc.constantFrom(...ACTORS), run: small, awaits: fc.boolean(), body }),
    {
      maxLength: 3,
    },
  ),
  journal: fc.array(fc.record({ key: place, atMs: small, body }), { maxLength: 2 }),
  cutShare: fc.constantFrom(0, 0, 0.3, 1),
  forget: fc.option(fc.record({ deletions: small, journal: small }), { freq: 4 }),
  reopen: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
});

const question: fc.Arbitrary<Question> = fc.record({
  bucket: fc.constantFrom(...BUCKETS),
  prefix: fc.constantFrom("", "a", "z", "\u{10000}", "none"),
  after: fc.option(fc.constantFrom(...KEYS, "", "b"), { nil: undefined }),
  limit: fc.integer({ min: 1, max: 8 }),
  maxBytes: fc.integer({ min: 1, max: 60 }),
  slots: fc.tuple(fc.nat({ max: 2 ** 32 - 1 }), fc.nat({ max: 2 ** 32 })),
  partition: small,
  actor: fc.constantFrom(...ACTORS),
  seq: fc.nat({ max: 20 }),
});

export function randomClaims(subject: StoreSubject): void {
  describe("any commits", () => {
    it("give what a naive list of everything gives, over any number of lives", { timeout: 60_000 }, () =>
      fc.assert(
        fc.asyncProperty(
          fc.array(step, { maxLength: 12 }),
          fc.array(question, { minLength: 3, maxLength: 3 }),
          async (steps, questions) => {
            const dataDir = await subject.newDir();
            const naive = new NaiveStore();
            let store = await subject.open(dataDir);
            for (const [index, each] of steps.entries()) {
              const commit = makeCommit(each, naive);
              await store.commit(commit);
              naive.commit(commit);
              if (each.reopen) {
                await store.close();
                store = await subject.open(dataDir);
              }
              const asked = questions[index % questions.length];
              if (asked) expect(await answers(store, asked)).toEqual(naive.answers(asked));
            }
            await store.close();
          },
        ),
        { numRuns: 20 },
      ),
    );
  });
}

/** Positions and seqs that go on from what was committed before. */
function makeCommit(each: Step, naive: NaiveStore): Commit {
  let pos = naive.lastPos;
  const nextSeq = new Map<string, number>();
  const log = each.log.map(({ partition, actor, run, awaits, body: value }): LogRecord => {
    pos += 1 + (run % 2);
    const name = `${partition} ${actor}`;
    const first = (nextSeq.get(name) ?? naive.lastSeqOf(partition, actor)) + 1;
    nextSeq.set(name, first + run);
    return recordOf(pos, { partition, actor, first, last: first + run, awaits, body: value });
  });
  const known = naive.log.map((record) => record.pos);
  const journal = each.journal.map(({ key, atMs, body: value }, i) => ({
    ...key,
    seq: naive.lastJournalSeq + 1 + i,
    atMs,
    body: value,
  }));
  return commitOf({
    ...each.changes,
    log,
    journal,
    cutLog: known.filter((_, i) => i < known.length * each.cutShare),
    ...(each.forget ? { forgetBeforeMs: each.forget } : {}),
  });
}

/** Every way to ask, in a form that two stores can be compared by. */
async function answers(store: Store, asked: Question) {
  const { bucket, prefix, after, limit, maxBytes, slots, partition, actor, seq } = asked;
  const everyKey = BUCKETS.flatMap((each) => KEYS.map((key) => ({ bucket: each, key })));
  const copy = await store.openCopy(...slots);
  const copied = await copy.read(0, Number.POSITIVE_INFINITY);
  await copy.close();
  const afterKey = after === undefined ? undefined : { bucket, key: after };
  const range = { bucket, prefix, limit, maxBytes, ...(after === undefined ? {} : { after }) };
  return {
    rows: await store.readRows(everyKey),
    keys: await store.scanKeys(range),
    slots: await store.scanSlots(...slots),
    copied,
    buckets: await store.buckets(),
    conflicts: await store.scanConflicts({ limit, ...(afterKey ? { after: afterKey } : {}) }),
    conflictsOfBucket: await store.scanConflicts({ bucket, limit, ...(afterKey ? { after: afterKey } : {}) }),
    countConflicts: await store.countConflicts(),
    log: await store.readLog(seq, limit, maxBytes),
    logOf: await store.readLogOf(partition, actor, seq, limit, maxBytes),
    logSize: await store.logSize(),
    deletions: await Promise.all(everyKey.map((key) => store.readDeletion(key))),
    journal: await store.readJournal({ limit, beforeSeq: seq }),
    journalOfKey: await store.readJournal({ limit, key: { bucket, key: after ?? "a" } }),
    state: sortedState(await store.load()),
  };
}
