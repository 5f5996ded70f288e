import { describe, expect, it } from "vitest";
import { commitOf } from "./store.ts";
import {
  ALL,
  bytesOf,
  EU,
  positionsIn,
  recordOf,
  type StoreSubject,
  US,
  withReopened,
  withStore,
} from "./store-subject.test-kit.ts";

export function logClaims(subject: StoreSubject): void {
  describe("log", () => {
    readClaims(subject);
    actorClaims(subject);
    cutClaims(subject);
    positionClaims(subject);
    damageClaims(subject);
  });
}

function readClaims(subject: StoreSubject): void {
  it("keeps every field of a record", () =>
    withStore(subject, async (store) => {
      const records = [
        recordOf(1),
        recordOf(2, {
          partition: 16_383,
          actor: US,
          first: 2 ** 40,
          last: 2 ** 50,
          slot: 2 ** 32 - 1,
          recordDelta: -1,
        }),
        recordOf(2 ** 45, {
          recordDelta: 1,
          awaits: true,
          atMs: 1_700_000_000_000.25,
          body: new Uint8Array(0),
          last: 2 ** 45,
        }),
      ];
      await store.commit(commitOf({ log: records }));
      expect(await store.readLog(0, 10, ALL.maxBytes)).toEqual(records);
      expect((await store.load()).awaiting).toEqual(records.slice(2));
    }));

  it("is read by position, after any, within limit and bytes, one at least", () =>
    withStore(subject, async (store) => {
      const records = [3, 4, 8, 9].map((pos) => recordOf(pos, { body: bytesOf("0123456789") }));
      await store.commit(commitOf({ log: records.slice(0, 1) }));
      await store.commit(commitOf({ log: records.slice(1) }));
      expect(await store.readLog(0, 10, ALL.maxBytes)).toEqual(records);
      expect(await store.readLog(4, 10, ALL.maxBytes)).toEqual(records.slice(2));
      expect(await store.readLog(5, 1, ALL.maxBytes)).toEqual(records.slice(2, 3));
      expect(await store.readLog(9, 10, ALL.maxBytes)).toEqual([]);
      expect(await store.readLog(0, 10, 1)).toEqual(records.slice(0, 1));
      expect(await store.readLog(0, 10, 29)).toEqual(records.slice(0, 2));
      expect(await store.readLog(0, 10, 30)).toEqual(records.slice(0, 3));
    }));
}

function actorClaims(subject: StoreSubject): void {
  it("is read by partition and actor, from the record that holds a seq", () =>
    withStore(subject, async (store) => {
      const mine = [
        recordOf(1, { first: 1, last: 3 }),
        recordOf(4, { first: 4, last: 4 }),
        recordOf(6, { first: 9, last: 12 }),
      ];
      const others = [recordOf(2, { actor: US, first: 1 }), recordOf(3, { partition: 1, first: 1 })];
      await store.commit(commitOf({ log: [...mine, ...others].sort((a, b) => a.pos - b.pos) }));
      const from = (seq: number, limit = 10, maxBytes = ALL.maxBytes) => store.readLogOf(0, EU, seq, limit, maxBytes);
      expect(await from(0)).toEqual(mine);
      expect(await from(1)).toEqual(mine);
      expect(await from(3)).toEqual(mine);
      expect(await from(4)).toEqual(mine.slice(1));
      expect(await from(5)).toEqual(mine.slice(2));
      expect(await from(9)).toEqual(mine.slice(2));
      expect(await from(12)).toEqual(mine.slice(2));
      expect(await from(13)).toEqual([]);
      expect(await from(5, 1, 1)).toEqual(mine.slice(2));
      expect(await from(2, 2)).toEqual(mine.slice(0, 2));
      expect(await from(2, 10, 1)).toEqual(mine.slice(0, 1));
      expect(await store.readLogOf(1, EU, 1, 10, ALL.maxBytes)).toEqual(others.slice(1));
      expect(await store.readLogOf(1, US, 1, 10, ALL.maxBytes)).toEqual([]);
    }));

  it("holds one record for each (partition, actor, first): a second is an error that ends writing", () =>
    withStore(subject, async (store) => {
      await store.commit(commitOf({ log: [recordOf(1)] }));
      await expect(store.commit(commitOf({ log: [recordOf(2, { first: 1 })] }))).rejects.toThrow();
      await expect(store.commit(commitOf({}))).rejects.toThrow("unknown state");
      expect(await positionsIn(store)).toEqual([1]);
    }));
}

function cutClaims(subject: StoreSubject): void {
  it("loses exactly the positions that are cut", () =>
    withStore(subject, async (store) => {
      await store.commit(commitOf({ log: [1, 2, 3, 4, 5].map((pos) => recordOf(pos)) }));
      await store.commit(commitOf({ cutLog: [1, 3, 77, 3], log: [recordOf(6)] }));
      expect(await positionsIn(store)).toEqual([2, 4, 5, 6]);
      expect((await store.readLogOf(0, EU, 1, 10, ALL.maxBytes)).map(({ pos }) => pos)).toEqual([2, 4, 5, 6]);
    }));

  it("may hold again what was cut from it", () =>
    withStore(subject, async (store) => {
      await store.commit(commitOf({ log: [recordOf(1)] }));
      await store.commit(commitOf({ cutLog: [1] }));
      await store.commit(commitOf({ log: [recordOf(2, { first: 1 })] }));
      expect(await positionsIn(store)).toEqual([2]);
    }));

  it("knows its size, also after a cut and in the next life", () => {
    const sizeNow = { records: 2, bytes: 5, oldestAtMs: 1_700_000_000_002 };
    return withReopened(
      subject,
      async (store) => {
        expect(await store.logSize()).toEqual({ records: 0, bytes: 0, oldestAtMs: null });
        await store.commit(
          commitOf({ log: ["12345", "", "12345"].map((body, i) => recordOf(i + 1, { body: bytesOf(body) })) }),
        );
        expect(await store.logSize()).toEqual({ records: 3, bytes: 10, oldestAtMs: 1_700_000_000_001 });
        await store.commit(commitOf({ cutLog: [1, 9] }));
        expect(await store.logSize()).toEqual(sizeNow);
      },
      async (store) => expect(await store.logSize()).toEqual(sizeNow),
    );
  });

  it("hands out at load the records that await, in order, those not yet cut", () => {
    const records = [1, 2, 3, 4].map((pos) => recordOf(pos, { awaits: pos !== 2 }));
    return withReopened(
      subject,
      (store) => store.commit(commitOf({ log: records })),
      async (store) => {
        expect((await store.load()).awaiting).toEqual([records[0], records[2], records[3]]);
        await store.commit(commitOf({ cutLog: [1, 4] }));
        expect((await store.load()).awaiting).toEqual([records[2]]);
      },
    );
  });
}

function positionClaims(subject: StoreSubject): void {
  it("never takes a position twice, also when its record was cut lives ago", () =>
    withReopened(
      subject,
      async (store) => {
        expect((await store.load()).lastPos).toBe(0);
        await store.commit(commitOf({ log: [recordOf(7)] }));
        await store.commit(commitOf({ cutLog: [7] }));
      },
      async (store) => {
        expect((await store.load()).lastPos).toBe(7);
        await expect(store.commit(commitOf({ log: [recordOf(7)] }))).rejects.toThrow("comes after 7");
        await expect(store.commit(commitOf({ log: [recordOf(9), recordOf(8)] }))).rejects.toThrow("comes after 9");
        expect(await positionsIn(store)).toEqual([]);
        await store.commit(commitOf({ log: [recordOf(8)] }));
      },
    ));
}

function damageClaims(subject: StoreSubject): void {
  it("with a changed byte is not read: the error names the position, records beside it are read", () =>
    withReopened(
      subject,
      (store) => store.commit(commitOf({ log: [1, 2, 3].map((pos) => recordOf(pos, { awaits: pos === 2 })) })),
      async (store) => {
        const error = /position 2 is damaged/;
        await expect(store.readLog(0, 10, ALL.maxBytes)).rejects.toThrow(error);
        await expect(store.readLogOf(0, EU, 2, 10, ALL.maxBytes)).rejects.toThrow(error);
        await expect(store.load()).rejects.toThrow(error);
        expect((await store.readLog(2, 10, ALL.maxBytes)).map(({ pos }) => pos)).toEqual([3]);
        expect((await store.readLogOf(0, EU, 1, 1, ALL.maxBytes)).map(({ pos }) => pos)).toEqual([1]);
        await store.commit(commitOf({ cutLog: [2] }));
        expect(await positionsIn(store)).toEqual([1, 3]);
      },
      (dataDir) => subject.damageLog(dataDir, 2),
    ));
}
