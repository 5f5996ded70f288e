import { describe, expect, it } from "vitest";
import type { Dot, Entry } from "../../crdt/index.ts";
import {
  decodeEntry,
  decodeRow,
  dotKey,
  EMPTY_ROW,
  emptyPartition,
  encodeElement,
  encodeEntry,
  encodeRow,
  holdEarly,
  lastSeq,
  MAX_REMOVES,
} from "../../crdt/index.ts";
import { Writer } from "../../src/kernel/bytes.ts";
import { makeActorId, parseNodeId } from "../../src/kernel/ids.ts";
import { type Job, takeBatch } from "../../src/replication/jobs.ts";
import { decodeInParts } from "../../src/replication/peer/entries.ts";
import { withPipeline } from "./with-pipeline.ts";

const THEM = makeActorId(parseNodeId("them"), 1, 1);
const KEY = { bucket: "b", key: "large" };

function removal(first: number, removes: readonly Dot[]): Entry {
  const stamp = { hlc: { ms: first, counter: 0 }, author: "a", suspect: false };
  return { actor: THEM, first, ...KEY, adds: [], removes, stamp };
}

const dots = (count: number): Dot[] => Array.from({ length: count }, (_, i) => ({ actor: THEM, seq: i + 1 }));

describe("a removal of very many dots", () => {
  const PARTS = 3;
  const EACH = 50_000;

  it("is written as several entries of one transaction, which clear the row at a peer, too", async () => {
    const bodies: Uint8Array[] = [];
    await withPipeline(async (pipeline) => {
      const seen = "blind" as const;
      for (let part = 0; part < PARTS; part++) {
        const elements = Array.from({ length: EACH }, (_, i) => encodeElement(part * EACH + i));
        await pipeline.write([{ ...KEY, ops: [{ path: [], slot: { op: "add", elements } }], seen, author: "a" }]);
      }
      const before = pipeline.tail.lastPos;
      const [result] = await pipeline.write([{ ...KEY, ops: [{ path: [], removeAll: true }], seen, author: "a" }]);
      expect(result).not.toBeInstanceOf(Error);
      expect((await pipeline.rows.read(KEY))?.cells.size).toBe(0);
      bodies.push(...(pipeline.tail.after(0, 100) ?? []).map(({ body }) => body));
      const entries = bodies.slice(before).map(decodeEntry);
      expect(entries.map(({ removes }) => removes.length)).toEqual([
        MAX_REMOVES,
        MAX_REMOVES,
        150_000 - 2 * MAX_REMOVES,
      ]);
      expect(new Set(entries.flatMap(({ removes }) => removes.map(dotKey))).size).toBe(150_000);
      expect(entries.slice(1).map(({ first }) => first)).toEqual(
        entries.slice(0, 2).map((entry) => lastSeq(entry) + 1),
      );
    });
    await withPipeline(async (pipeline) => {
      let parts = 0;
      for (const entries of decodeInParts(bodies)) {
        expect((await pipeline.receive(entries)).gaps).toEqual([]);
        parts += 1;
      }
      expect(parts).toBe(3); // the elements come with the first full removal, the rest of it last
      expect((await pipeline.rows.read(KEY))?.cells.size).toBe(0);
    });
  });

  it("can't be put into one entry, nor read from one", () => {
    const most = removal(MAX_REMOVES + 2, dots(MAX_REMOVES));
    expect(decodeEntry(encodeEntry(most)).removes.length).toBe(MAX_REMOVES);
    const tooMany = removal(MAX_REMOVES + 2, dots(MAX_REMOVES + 1));
    expect(() => encodeEntry(tooMany)).toThrow("written as several");
    const bytes = encodeEntry(most);
    // Its last bytes are the run's length: 65,536 becomes 65,537.
    const length = new Writer().uint(MAX_REMOVES).finish();
    expect([...bytes.slice(-length.length)]).toEqual([...length]);
    bytes.set(new Writer().uint(MAX_REMOVES + 1).finish(), bytes.length - length.length);
    expect(() => decodeEntry(bytes)).toThrow("malformed run of dots");
  });

  it("shares a transaction with few others", () => {
    const done = (): void => {};
    const jobs: Job[] = Array.from({ length: 10 }, (_, i) => ({
      kind: "entries",
      entries: [removal(30_001 + i, dots(30_000))],
      done,
    }));
    expect(takeBatch(jobs).length).toBe(4);
  });

  it("isn't held while its gap is open: it is asked for again", () => {
    const p = emptyPartition();
    expect(holdEarly(p, removal(1_000, dots(256)))).toBe(true);
    expect(holdEarly(p, removal(2_000, dots(257)))).toBe(false);
    expect(p.early.length).toBe(1);
  });
});

describe("a row of a peer", () => {
  it("may name so many stubs and no more", () => {
    const row = { ...EMPTY_ROW, stubs: new Map(dots(1_000).map((dot) => [dotKey(dot), dot])) };
    const bytes = encodeRow(row);
    expect(decodeRow(bytes, 1_000).stubs.size).toBe(1_000);
    expect(() => decodeRow(bytes, 999)).toThrow("malformed run of dots");
  });
});
