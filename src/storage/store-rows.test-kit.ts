import { describe, expect, it } from "vitest";
import { commitOf } from "./store.ts";
import { ALL, bytesOf, keysIn, rowOf, type StoreSubject, withReopened, withStore } from "./store-subject.test-kit.ts";

/** Keys in the order of their UTF-8 bytes; JavaScript's own order differs. */
const ODD_KEYS = [
  "\0",
  "\0\0",
  "\u0001",
  '"',
  "'; DROP TABLE rows; --",
  "A",
  "__proto__",
  "a",
  "a\0",
  "a\0b",
  "a\u0001",
  "aa",
  "constructor",
  "\u007f",
  "\u0080",
  "é",
  "ÿ",
  "\u07ff",
  "\u0800",
  "\ud7ff",
  "\ue000",
  "\ufdd0",
  "\ufffd",
  "\uffff",
  "\u{10000}",
  "😀",
  "\u{10ffff}",
  "\u{10ffff}\u{10ffff}",
];

export function rowClaims(subject: StoreSubject): void {
  describe("rows", () => {
    changeClaims(subject);
    orderClaims(subject);
    boundClaims(subject);
    slotClaims(subject);
    conflictClaims(subject);
    damageClaims(subject);
    copyClaims(subject);
  });
}

function changeClaims(subject: StoreSubject): void {
  it("are read as they were committed, from the moment the commit resolves", () =>
    withStore(subject, async (store) => {
      const row = rowOf("b", "k", "one", { slot: 0xffff_ffff, conflict: true });
      await store.commit(commitOf({ rows: [row] }));
      expect(await store.readRows([row])).toEqual([row]);
      await store.commit(commitOf({ rows: [rowOf("b", "k", "two", { slot: 0xffff_ffff })] }));
      expect(await store.readRows([row])).toEqual([rowOf("b", "k", "two", { slot: 0xffff_ffff })]);
    }));

  it("come in the order of the keys asked for, and undefined where there is none", () =>
    withStore(subject, async (store) => {
      const [a, b] = [rowOf("b", "a", "1"), rowOf("c", "a", "2")];
      await store.commit(commitOf({ rows: [a, b] }));
      const absent = { bucket: "b", key: "A" };
      expect(await store.readRows([absent, b, a, absent, b])).toEqual([undefined, b, a, undefined, b]);
      expect(await store.readRows([])).toEqual([]);
    }));

  it("asked for at once are each answered with their own", () =>
    withStore(subject, async (store) => {
      const rows = Array.from({ length: 500 }, (_, i) => rowOf("b", `k${i}`, `v${i}`));
      await store.commit(commitOf({ rows }));
      const found = await Promise.all(rows.map((row, i) => store.readRows(i % 7 === 0 ? [row, row] : [row])));
      expect(found).toEqual(rows.map((row, i) => (i % 7 === 0 ? [row, row] : [row])));
    }));

  it("with a null body are gone", () =>
    withStore(subject, async (store) => {
      await store.commit(commitOf({ rows: [rowOf("b", "a", "1", { conflict: true }), rowOf("b", "b", "2")] }));
      await store.commit(commitOf({ rows: [rowOf("b", "a", null), rowOf("b", "never", null)] }));
      expect(await store.readRows([{ bucket: "b", key: "a" }])).toEqual([undefined]);
      expect(await keysIn(store, "b")).toEqual(["b"]);
      expect(await store.scanSlots(0, 2 ** 32)).toEqual([rowOf("b", "b", "2")]);
      expect(await store.countConflicts()).toBe(0);
    }));

  it("named twice in one commit are as the last mention says", () =>
    withStore(subject, async (store) => {
      await store.commit(
        commitOf({
          rows: [
            rowOf("b", "stays", "1"),
            rowOf("b", "goes", "1"),
            rowOf("b", "stays", null),
            rowOf("b", "goes", null),
            rowOf("b", "stays", "2"),
          ],
        }),
      );
      expect(await store.scanKeys({ bucket: "b", prefix: "", ...ALL })).toEqual([rowOf("b", "stays", "2")]);
    }));

  it("keep bodies of no bytes and of a MiB", () =>
    withStore(subject, async (store) => {
      const big = Buffer.alloc(1 << 20, "a MiB of this");
      const bigRows = Array.from({ length: 20 }, (_, i) => rowOf("c", `${i}`, big));
      await store.commit(commitOf({ rows: [...bigRows, rowOf("b", "empty", "")] }));
      expect(await store.readRows([{ bucket: "b", key: "empty" }])).toEqual([rowOf("b", "empty", "")]);
      for (const row of await store.readRows(bigRows)) expect(row?.body && big.equals(row.body)).toBe(true);
      const range = { bucket: "c", prefix: "", limit: 100, maxBytes: (4 << 20) + 10 };
      expect(await store.scanKeys(range)).toHaveLength(4);
    }));

  it("are copied: what the caller does to its bytes later changes nothing", () =>
    withStore(subject, async (store) => {
      const body = bytesOf("before");
      await store.commit(commitOf({ rows: [rowOf("b", "k", body)] }));
      body.fill(0);
      expect(await store.readRows([{ bucket: "b", key: "k" }])).toEqual([rowOf("b", "k", "before")]);
    }));

  it("of a 10,000-row commit are all there", () =>
    withStore(subject, async (store) => {
      const rows = Array.from({ length: 10_000 }, (_, i) => rowOf("b", `k${i}`, `v${i}`));
      await store.commit(commitOf({ rows }));
      await store.commit(commitOf({ rows: rows.slice(5000).map(({ key }) => rowOf("b", key, null)) }));
      expect(await store.buckets()).toEqual([{ bucket: "b", rows: 5000 }]);
      expect(await store.readRows(rows)).toEqual(rows.map((row, i) => (i < 5000 ? row : undefined)));
    }));

  it("with a key that is not Unicode are refused, and nothing changes", () =>
    withStore(subject, async (store) => {
      const commit = commitOf({ rows: [rowOf("b", "fine", "1"), rowOf("b", "\ud800", "2")] });
      await expect(store.commit(commit)).rejects.toThrow("Unicode");
      expect(await store.buckets()).toEqual([]);
      await store.commit(commitOf({ rows: [rowOf("b", "fine", "1")] }));
    }));
}

function orderClaims(subject: StoreSubject): void {
  it("of a bucket come in the order of their keys' UTF-8 bytes, whatever the keys", () =>
    withStore(subject, async (store) => {
      const rows = [...ODD_KEYS].reverse().map((key) => rowOf("b", key, `of ${key}`));
      await store.commit(commitOf({ rows: [...rows, rowOf("a", "other", ""), rowOf("b.c", "other", "")] }));
      expect(await keysIn(store, "b")).toEqual(ODD_KEYS);
      expect(await store.readRows(rows)).toEqual(rows);
    }));

  it("are found by any prefix and after any key, its own or not", () =>
    withStore(subject, async (store) => {
      await store.commit(commitOf({ rows: ODD_KEYS.map((key) => rowOf("b", key, "")) }));
      for (const prefix of ["", "a", "a\0", "\u{10ffff}", "\u{10ffff}\u{10ffff}", "é", "zz", "\uffff", "😀"]) {
        const expected = ODD_KEYS.filter((key) => key.startsWith(prefix));
        expect(await keysIn(store, "b", prefix)).toEqual(expected);
        for (const after of ["", "a", "a\0b", "b", "\ud7ff", "\uffff", "\u{10ffff}\u{10ffff}"]) {
          const found = await store.scanKeys({ bucket: "b", prefix, after, ...ALL });
          const isPast = (key: string) => Buffer.compare(Buffer.from(key), Buffer.from(after)) > 0;
          expect(found.map(({ key }) => key)).toEqual(expected.filter(isPast));
        }
      }
    }));

  it("are counted by bucket, in order, without the empty ones", () =>
    withStore(subject, async (store) => {
      const rows = ["b", "a", "$system", "b", "b.c"].map((bucket, i) => rowOf(bucket, `k${i}`, ""));
      await store.commit(commitOf({ rows: [...rows, rowOf("z", "k", "")] }));
      await store.commit(commitOf({ rows: [rowOf("z", "k", null)] }));
      expect(await store.buckets()).toEqual([
        { bucket: "$system", rows: 1 },
        { bucket: "a", rows: 1 },
        { bucket: "b", rows: 2 },
        { bucket: "b.c", rows: 1 },
      ]);
    }));
}

function boundClaims(subject: StoreSubject): void {
  const rows = ["a", "b", "c", "d"].map((key) => rowOf("b", key, "123456789"));

  it("come at most as many as the limit, and then go on after the last", () =>
    withStore(subject, async (store) => {
      await store.commit(commitOf({ rows }));
      const range = { bucket: "b", prefix: "", limit: 3, maxBytes: ALL.maxBytes };
      expect(await store.scanKeys(range)).toEqual(rows.slice(0, 3));
      expect(await store.scanKeys({ ...range, after: "c" })).toEqual(rows.slice(3));
      expect(await store.scanKeys({ ...range, after: "d" })).toEqual([]);
    }));

  it("come as far as keys and bodies fit in maxBytes, but one at least", () =>
    withStore(subject, async (store) => {
      await store.commit(commitOf({ rows }));
      const counts = [1, 10, 19, 20, 29, 30, 1000].map(async (maxBytes) => {
        return (await store.scanKeys({ bucket: "b", prefix: "", limit: 4, maxBytes })).length;
      });
      expect(await Promise.all(counts)).toEqual([1, 1, 1, 2, 2, 3, 4]);
    }));
}

function slotClaims(subject: StoreSubject): void {
  it("of a range of slots come by slot, bucket, key, without the upper end", () =>
    withStore(subject, async (store) => {
      const rows = [
        rowOf("b", "z", "", { slot: 0 }),
        rowOf("a", "x", "", { slot: 7 }),
        rowOf("a", "\uffff", "", { slot: 7 }),
        rowOf("a", "\u{10000}", "", { slot: 7 }),
        rowOf("b", "a", "", { slot: 7 }),
        rowOf("a", "a", "", { slot: 2 ** 31 }),
        rowOf("a", "b", "", { slot: 2 ** 32 - 1 }),
      ];
      await store.commit(commitOf({ rows: [...rows].reverse() }));
      expect(await store.scanSlots(0, 2 ** 32)).toEqual(rows);
      expect(await store.scanSlots(7, 8)).toEqual(rows.slice(1, 5));
      expect(await store.scanSlots(1, 2 ** 31)).toEqual(rows.slice(1, 5));
      expect(await store.scanSlots(8, 2 ** 32 - 1)).toEqual(rows.slice(5, 6));
      expect(await store.scanSlots(9, 9)).toEqual([]);
    }));

  it("that come with another slot are found there only", () =>
    withStore(subject, async (store) => {
      await store.commit(commitOf({ rows: [rowOf("b", "k", "1", { slot: 1 }), rowOf("b", "l", "1", { slot: 1 })] }));
      const moved = rowOf("b", "k", "2", { slot: 9 });
      await store.commit(commitOf({ rows: [moved, rowOf("b", "l", "2", { slot: 1 })] }));
      expect(await store.scanSlots(0, 5)).toEqual([rowOf("b", "l", "2", { slot: 1 })]);
      expect(await store.scanSlots(5, 10)).toEqual([moved]);
      expect(await store.readRows([moved])).toEqual([moved]);
    }));
}

function conflictClaims(subject: StoreSubject): void {
  const rows = [
    rowOf("a", "\uffff", "1", { conflict: true }),
    rowOf("a", "\u{10000}", "2", { conflict: true }),
    rowOf("b", "a", "3", { conflict: true }),
    rowOf("c", "a", "4", { conflict: true }),
  ];

  it("in conflict are listed in order, of all buckets or of one, after any place", () =>
    withStore(subject, async (store) => {
      await store.commit(commitOf({ rows: [...rows, rowOf("a", "calm", ""), rowOf("b", "calm", "")] }));
      expect(await store.countConflicts()).toBe(4);
      expect(await store.scanConflicts({ limit: 9 })).toEqual(rows);
      expect(await store.scanConflicts({ limit: 2 })).toEqual(rows.slice(0, 2));
      expect(await store.scanConflicts({ limit: 2, after: { bucket: "a", key: "\uffff" } })).toEqual(rows.slice(1, 3));
      expect(await store.scanConflicts({ limit: 9, after: { bucket: "a", key: "\u{10001}" } })).toEqual(rows.slice(2));
      expect(await store.scanConflicts({ limit: 9, bucket: "a" })).toEqual(rows.slice(0, 2));
      const after = { bucket: "a", key: "\uffff" };
      expect(await store.scanConflicts({ limit: 9, bucket: "a", after })).toEqual(rows.slice(1, 2));
      expect(await store.scanConflicts({ limit: 9, bucket: "b", after })).toEqual(rows.slice(2, 3));
      expect(await store.scanConflicts({ limit: 9, bucket: "a", after: { bucket: "b", key: "" } })).toEqual([]);
    }));

  it("leave the list of conflicts when their mark does, or with the row", () =>
    withStore(subject, async (store) => {
      await store.commit(commitOf({ rows }));
      await store.commit(commitOf({ rows: [rowOf("a", "\uffff", "1"), rowOf("b", "a", null)] }));
      expect(await store.countConflicts()).toBe(2);
      expect((await store.scanConflicts({ limit: 9 })).map(({ key }) => key)).toEqual(["\u{10000}", "a"]);
    }));
}

function damageClaims(subject: StoreSubject): void {
  const rows = ["a", "b", "c"].map((key, slot) => rowOf("b", key, `of ${key}`, { slot, conflict: true }));
  const damaged = rows.map((row) => (row.key === "b" ? { ...row, body: null } : row));
  const write = async (store: Parameters<Parameters<typeof withStore>[1]>[0]) => store.commit(commitOf({ rows }));

  it("with a changed byte are read without a body, in every way to read", () =>
    withReopened(
      subject,
      write,
      async (store) => {
        expect(await store.readRows(rows)).toEqual(damaged);
        expect(await store.scanKeys({ bucket: "b", prefix: "", ...ALL })).toEqual(damaged);
        expect(await store.scanSlots(0, 3)).toEqual(damaged);
        expect(await store.scanConflicts({ limit: 9 })).toEqual(damaged);
      },
      (dataDir) => subject.damageRow(dataDir, "b", "b", "flip"),
    ));

  it("with a changed byte are sound again when written anew", () =>
    withReopened(
      subject,
      write,
      async (store) => {
        await store.commit(commitOf({ rows }));
        expect(await store.scanSlots(0, 3)).toEqual(rows);
      },
      (dataDir) => subject.damageRow(dataDir, "b", "b", "flip"),
    ));

  it("with a changed byte are in no copy: it is refused, and one of other slots is not", () =>
    withReopened(
      subject,
      write,
      async (store) => {
        await expect(store.openCopy(0, 3)).rejects.toThrow(/row b\/b is damaged/);
        const copy = await store.openCopy(2, 3);
        expect(await copy.read(0, 1000)).toEqual(rows.slice(2));
        await copy.close();
      },
      (dataDir) => subject.damageRow(dataDir, "b", "b", "flip"),
    ));

  it("that vanished from the disk are just not there", () =>
    withReopened(
      subject,
      write,
      async (store) => {
        expect(await store.readRows(rows)).toEqual([rows[0], undefined, rows[2]]);
        expect(await store.scanSlots(0, 3)).toEqual([rows[0], rows[2]]);
      },
      (dataDir) => subject.damageRow(dataDir, "b", "b", "remove"),
    ));
}

function copyClaims(subject: StoreSubject): void {
  const rows = Array.from({ length: 50 }, (_, i) => rowOf("b", `k${i}`, `value ${i}`, { slot: i * 10 }));

  it("are in a copy as of the commits called before it, not as of later ones", () =>
    withStore(subject, async (store) => {
      const before = store.commit(commitOf({ rows }));
      const opening = store.openCopy(100, 300);
      await before;
      const later = { rows: [rowOf("b", "k10", "changed", { slot: 100 }), rowOf("b", "k11", null, { slot: 110 })] };
      await store.commit(commitOf(later));
      const copy = await opening;
      await store.commit(commitOf({ rows: [rowOf("b", "new", "", { slot: 150 })] }));
      expect(copy.rows).toBe(20);
      expect(await copy.read(0, ALL.maxBytes)).toEqual(rows.slice(10, 30));
      await copy.close();
      expect(await store.scanSlots(100, 120)).toEqual([rowOf("b", "k10", "changed", { slot: 100 })]);
    }));

  it("are read from a copy in pieces, at any place, one at least", () =>
    withStore(subject, async (store) => {
      await store.commit(commitOf({ rows }));
      const copy = await store.openCopy(0, 500);
      const pieces = [];
      while (pieces.length < copy.rows) {
        const piece = await copy.read(pieces.length, 60);
        expect(piece.length).toBeGreaterThan(0);
        expect(piece.length).toBeLessThan(10);
        pieces.push(...piece);
      }
      expect(pieces).toEqual(rows);
      expect(await copy.read(7, 1)).toEqual(rows.slice(7, 8));
      expect(await copy.read(50, 1000)).toEqual([]);
      await copy.close();
      await copy.close();
    }));

  it("are in copies that live side by side, and an empty range gives an empty copy", () =>
    withStore(subject, async (store) => {
      await store.commit(commitOf({ rows }));
      const copies = await Promise.all([store.openCopy(0, 100), store.openCopy(0, 50), store.openCopy(1, 2)]);
      expect(copies.map((copy) => copy.rows)).toEqual([10, 5, 0]);
      expect(await copies[2].read(0, 100)).toEqual([]);
      await copies[0].close();
      expect(await copies[1].read(4, 100)).toEqual(rows.slice(4, 5));
      // The others are closed with the store.
    }));
}
