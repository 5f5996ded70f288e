import { describe, expect, it } from "vitest";
import type { Entry } from "../../crdt/index.ts";
import { encodeRow } from "../../crdt/index.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import { makeActorId, parseNodeId } from "../../src/kernel/ids.ts";
import { CommittedRows } from "../../src/replication/rows.ts";
import type { RowRead, Store } from "../../src/storage/store.ts";
import { valuesOf } from "./cluster.ts";
import { withPipeline } from "./with-pipeline.ts";

const US = makeActorId(parseNodeId("us"), 1, 1);

function entryOf(first: number, key: string): Entry {
  const slot = { kind: "register", contentType: "text/plain", bytes: utf8(`value ${first}`) } as const;
  const stamp = { hlc: { ms: 1, counter: first }, author: "a", suspect: false };
  return { actor: US, first, bucket: "b", key, adds: [{ path: [], content: slot }], removes: [], stamp };
}

describe("the pipeline", () => {
  it("holds an entry that comes early, and applies it with the one that fills its gap, to a row that wasn't read yet", async () => {
    await withPipeline(async (pipeline, failures) => {
      const { partition } = pipeline.place({ bucket: "b", key: "first" });
      const others = Array.from({ length: 10_000 }, (_, i) => `other-${i}`);
      const other = others.find((key) => pipeline.place({ bucket: "b", key }).partition === partition) ?? "";
      const early = await pipeline.receive([entryOf(2, other)]);
      expect(early.gaps).toEqual([{ partition, actor: US, from: 1 }]);
      expect((await pipeline.rows.read({ bucket: "b", key: other }))?.cells.size).toBe(0);
      expect((await pipeline.receive([entryOf(1, "first")])).gaps).toEqual([]);
      const row = await pipeline.rows.read({ bucket: "b", key: other });
      expect(row && valuesOf(row).registers).toEqual(["value 2"]);
      expect(pipeline.partition(partition).state.early).toEqual([]);
      expect(failures).toEqual([]);
    });
  });
});

describe("committed rows", () => {
  it("don't remember what was read before a commit that changed it", async () => {
    let answer: (rows: (RowRead | undefined)[]) => void = () => {};
    const store = {
      readRows: () =>
        new Promise<(RowRead | undefined)[]>((resolve) => {
          answer = resolve;
        }),
    } as unknown as Store;
    await withPipeline(async (pipeline) => {
      const rows = new CommittedRows(store, 2 ** 20, (key) => pipeline.place(key));
      const key = { bucket: "b", key: "k" };
      const place = pipeline.place(key);
      const cell = {
        dot: { actor: US, seq: 1 },
        path: [],
        content: { kind: "flag" },
        stamp: entryOf(1, "k").stamp,
      } as const;
      const old = { cells: new Map(), stubs: new Map() };
      const now = { cells: new Map([[`${US}:1` as never, cell]]), stubs: new Map() };
      const reading = rows.read(key);
      const digest = new Uint8Array(16);
      const working = {
        id: "b\0k",
        ...place,
        before: old,
        beforeBytes: 0,
        row: now,
        digest,
        inventory: digest,
        encoded: encodeRow(now),
      };
      rows.begin([working]);
      rows.publish([working]);
      rows.cache.clear(); // as when the cache is full of others
      answer([{ ...key, slot: place.slot, conflict: false, body: encodeRow(old) }]);
      expect((await reading)?.cells.size).toBe(0);
      expect(rows.cached("b\0k")).toBeUndefined();
    });
  });
});
