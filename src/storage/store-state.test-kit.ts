import { describe, expect, it } from "vitest";
import type { NodeId } from "../kernel/ids.ts";
import { commitOf, type Store } from "./store.ts";
import {
  bytesOf,
  EU,
  recordOf,
  rowOf,
  type StoreSubject,
  US,
  withReopened,
  withStore,
} from "./store-subject.test-kit.ts";

const PEER = "ap" as NodeId;

export function stateClaims(subject: StoreSubject): void {
  describe("state", () => {
    loadClaims(subject);
    deletionClaims(subject);
    journalClaims(subject);
    lifeClaims(subject);
  });
}

/** What `load` gives, in an order of its own: the interface promises none. */
async function loaded(store: Store) {
  const { settings, vectors, floors, acks, sums, damaged, ...rest } = await store.load();
  const sorted = <T>(items: readonly T[]) =>
    [...items].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  return {
    settings: Object.fromEntries(settings),
    vectors: sorted(vectors),
    floors: sorted(floors),
    acks: sorted(acks),
    sums: sorted(sums),
    damaged: sorted(damaged),
    ...rest,
  };
}

const EMPTY_STATE = {
  settings: {},
  vectors: [],
  floors: [],
  acks: [],
  sums: [],
  lostSums: [],
  damaged: [],
  awaiting: [],
  lastPos: 0,
  lastJournalSeq: 0,
};

function loadClaims(subject: StoreSubject): void {
  it("is empty at first", () =>
    withStore(subject, async (store) => {
      expect(await loaded(store)).toEqual(EMPTY_STATE);
    }));

  it("is as committed last, in this life and the next", () => {
    const state = {
      ...EMPTY_STATE,
      settings: { cluster: "c1", name: "Zürich\0", "": "" },
      vectors: [
        { partition: 0, actor: EU, seq: 2 ** 48 },
        { partition: 0, actor: US, seq: 1 },
        { partition: 1, actor: EU, seq: 3 },
      ],
      floors: [{ partition: 1, actor: EU, seq: 2 }],
      acks: [{ peer: PEER, partition: 1, vector: bytesOf("v2") }],
      sums: [
        { partition: 0, pos: 2 ** 33, body: bytesOf("") },
        { partition: 5, pos: 9, body: bytesOf("sums") },
      ],
      damaged: [{ partition: 3, leaf: 1000, vector: bytesOf("at the damage") }],
    };
    return withReopened(
      subject,
      async (store) => {
        await store.commit(
          commitOf({
            settings: [
              { name: "cluster", value: "c0" },
              { name: "name", value: "Zürich\0" },
              { name: "", value: "" },
              { name: "cluster", value: "c1" },
            ],
            vectors: [
              { partition: 0, actor: EU, seq: 1 },
              { partition: 0, actor: EU, seq: 2 ** 48 },
              { partition: 0, actor: US, seq: 1 },
            ],
            acks: [
              { peer: PEER, partition: 0, vector: bytesOf("v1") },
              { peer: PEER, partition: 1, vector: bytesOf("v1") },
            ],
            sums: [{ partition: 5, pos: 8, body: bytesOf("older sums") }],
            damaged: [
              { partition: 3, leaf: 0, vector: bytesOf("") },
              { partition: 3, leaf: 1000, vector: bytesOf("") },
            ],
          }),
        );
        await store.commit(
          commitOf({
            vectors: [{ partition: 1, actor: EU, seq: 3 }],
            floors: state.floors,
            acks: [{ peer: PEER, partition: 0, vector: null }, ...state.acks],
            sums: state.sums,
            damaged: [
              { partition: 3, leaf: 0, vector: null },
              { partition: 9, leaf: 9, vector: null },
              ...state.damaged,
            ],
          }),
        );
        expect(await loaded(store)).toEqual(state);
      },
      async (store) => expect(await loaded(store)).toEqual(state),
    );
  });

  it("names a partition whose saved sums are damaged, until they are saved again", () => {
    const sums = [5, 6].map((partition) => ({ partition, pos: 1, body: bytesOf(`sums of ${partition}`) }));
    return withReopened(
      subject,
      (store) => store.commit(commitOf({ log: [recordOf(1)], sums })),
      async (store) => {
        expect(await loaded(store)).toEqual({ ...EMPTY_STATE, lastPos: 1, sums: sums.slice(1), lostSums: [5] });
        await store.commit(commitOf({ sums: sums.slice(0, 1) }));
        expect(await loaded(store)).toEqual({ ...EMPTY_STATE, lastPos: 1, sums });
      },
      (dataDir) => subject.damageSums(dataDir, 5),
    );
  });

  it("commits together: rows, log and vector of one change", () => {
    const parts = {
      rows: [rowOf("b", "k", "v")],
      log: [recordOf(1)],
      vectors: [{ partition: 0, actor: EU, seq: 1 }],
      sums: [{ partition: 0, pos: 1, body: bytesOf("s") }],
    };
    return withReopened(
      subject,
      (store) => store.commit(commitOf(parts)),
      async (store) => {
        expect(await store.readRows(parts.rows)).toEqual(parts.rows);
        expect(await store.readLog(0, 9, 999)).toEqual(parts.log);
        expect(await loaded(store)).toEqual({ ...EMPTY_STATE, vectors: parts.vectors, sums: parts.sums, lastPos: 1 });
      },
    );
  });
}

function deletionClaims(subject: StoreSubject): void {
  const key = { bucket: "b", key: "k\0ü" };

  it("remembers who deleted a key until told otherwise", () =>
    withReopened(
      subject,
      async (store) => {
        expect(await store.readDeletion(key)).toBeUndefined();
        await store.commit(commitOf({ deletions: [{ ...key, atMs: 5, body: bytesOf("by anna") }] }));
        expect(await store.readDeletion(key)).toEqual(bytesOf("by anna"));
        await store.commit(commitOf({ deletions: [{ ...key, atMs: 6, body: bytesOf("by bert") }] }));
      },
      async (store) => {
        expect(await store.readDeletion(key)).toEqual(bytesOf("by bert"));
        expect(await store.readDeletion({ bucket: "b", key: "k" })).toBeUndefined();
        await store.commit(commitOf({ deletions: [{ ...key, atMs: 7, body: null }] }));
        expect(await store.readDeletion(key)).toBeUndefined();
      },
    ));

  it("forgets deletions older than told, and keeps those of that time", () =>
    withStore(subject, async (store) => {
      const deletions = [4, 5, 6].map((atMs) => ({ bucket: "b", key: `at ${atMs}`, atMs, body: bytesOf("x") }));
      await store.commit(commitOf({ deletions }));
      await store.commit(commitOf({ forgetBeforeMs: { deletions: 5, journal: 0 } }));
      const left = await Promise.all(deletions.map((deletion) => store.readDeletion(deletion)));
      expect(left).toEqual([undefined, bytesOf("x"), bytesOf("x")]);
    }));
}

function journalClaims(subject: StoreSubject): void {
  const records = [1, 2, 5, 6, 7].map((seq) => ({
    seq,
    bucket: "b",
    key: seq % 2 === 0 ? "even" : "odd\0",
    atMs: seq * 10,
    body: bytesOf(`record ${seq}`),
  }));
  const newestFirst = [...records].reverse();

  it("is a journal read newest first, of all or of one key, before any seq", () =>
    withStore(subject, async (store) => {
      await store.commit(commitOf({ journal: records.slice(0, 2) }));
      await store.commit(commitOf({ journal: records.slice(2) }));
      expect(await store.readJournal({ limit: 10 })).toEqual(newestFirst);
      expect(await store.readJournal({ limit: 2 })).toEqual(newestFirst.slice(0, 2));
      expect(await store.readJournal({ limit: 10, beforeSeq: 5 })).toEqual(newestFirst.slice(3));
      const odd = newestFirst.filter(({ seq }) => seq % 2 === 1);
      expect(await store.readJournal({ key: { bucket: "b", key: "odd\0" }, limit: 10 })).toEqual(odd);
      expect(await store.readJournal({ key: { bucket: "b", key: "odd\0" }, limit: 1, beforeSeq: 7 })).toEqual(
        odd.slice(1, 2),
      );
      expect(await store.readJournal({ key: { bucket: "b", key: "odd" }, limit: 10 })).toEqual([]);
    }));

  it("forgets the journal older than told, and never takes a seq twice", () =>
    withReopened(
      subject,
      async (store) => {
        await store.commit(commitOf({ journal: records }));
        await store.commit(commitOf({ forgetBeforeMs: { deletions: 0, journal: 60 } }));
        expect(await store.readJournal({ limit: 10 })).toEqual(newestFirst.slice(0, 2));
        await store.commit(commitOf({ forgetBeforeMs: { deletions: 0, journal: 1000 } }));
      },
      async (store) => {
        expect((await store.load()).lastJournalSeq).toBe(7);
        await expect(store.commit(commitOf({ journal: records }))).rejects.toThrow("comes after 7");
      },
    ));
}

function lifeClaims(subject: StoreSubject): void {
  it("closes after the pending commit, any number of times, and then refuses", async () => {
    const dataDir = await subject.newDir();
    const store = await subject.open(dataDir);
    const commit = store.commit(commitOf({ rows: [rowOf("b", "k", "v")] }));
    await Promise.all([commit, store.close(), store.close()]);
    await expect(store.readRows([{ bucket: "b", key: "k" }])).rejects.toThrow("closed");
    await expect(store.commit(commitOf({}))).rejects.toThrow("closed");
    await expect(store.openCopy(0, 1)).rejects.toThrow("closed");
    const again = await subject.open(dataDir);
    expect(await again.readRows([{ bucket: "b", key: "k" }])).toEqual([rowOf("b", "k", "v")]);
    await again.close();
  });

  it("refuses a commit while another is pending", () =>
    withStore(subject, async (store) => {
      const first = store.commit(commitOf({ rows: [rowOf("b", "k", "v")] }));
      await expect(store.commit(commitOf({ rows: [rowOf("b", "l", "v")] }))).rejects.toThrow("one commit at a time");
      await first;
      expect(await store.buckets()).toEqual([{ bucket: "b", rows: 1 }]);
    }));

  it("says how much room it takes and has", () =>
    withStore(subject, async (store) => {
      await store.commit(commitOf({ rows: [rowOf("b", "k", "some bytes")] }));
      const { dataBytes, freeBytes, totalBytes } = await store.usage();
      expect(dataBytes).toBeGreaterThanOrEqual(10);
      expect(freeBytes).toBeGreaterThan(0);
      expect(totalBytes).toBeGreaterThanOrEqual(freeBytes);
    }));
}
