import { describe, expect, it } from "vitest";
import { childSums, type LeafSums } from "../../gossip/antientropy/merkle.ts";
import type { Standing, SyncEffect, SyncHost, SyncMessage } from "../../gossip/antientropy/session.ts";
import { answerSync, HASH_BYTES, SyncSession } from "../../gossip/antientropy/session.ts";

/** A host whose "vectors" are one number a partition; a peer is behind with the smaller one. */
interface Toy {
  readonly vectors: number[];
  readonly floors: number[];
  readonly leaves: number[][];
}

const bytes = (value: number): Uint8Array => Uint8Array.from({ length: 16 }, (_, i) => (i === 0 ? value : 0));

function hostOf(toy: Toy): SyncHost & { vectorOf(p: number): { vector: Uint8Array; floor: Uint8Array } } {
  const tree = (p: number): LeafSums => ({
    leaves: toy.leaves[p]?.length ?? 0,
    sumOf: (leaf) => bytes(toy.leaves[p]?.[leaf] ?? 0),
  });
  const sum = (p: number): number => toy.leaves[p]?.reduce((a, b) => a + b, 0) ?? 0;
  return {
    partitions: toy.vectors.length,
    summary: () => ({
      vectors: Uint8Array.from(toy.vectors),
      sums: Uint8Array.from(toy.vectors.map((_, p) => sum(p))),
    }),
    hashes: () =>
      Uint8Array.from(
        toy.vectors.flatMap((v, p) => [...bytes(v).slice(0, HASH_BYTES), ...bytes(sum(p)).slice(0, HASH_BYTES)]),
      ),
    compare: (p, vector, floor): Standing => {
      const mine = toy.vectors[p] ?? 0;
      if (mine >= (vector[0] ?? 0)) return "even";
      return mine >= (floor[0] ?? 0) ? "behind" : "below-floor";
    },
    tree,
    vectorOf: (p) => ({ vector: bytes(toy.vectors[p] ?? 0), floor: bytes(toy.floors[p] ?? 0) }),
  };
}

function round(asker: Toy, answerer: Toy): { effects: SyncEffect[]; messages: number } {
  const session = new SyncSession(hostOf(asker));
  const host = hostOf(answerer);
  const all: SyncEffect[] = [];
  let messages = 0;
  let effects = session.step({ kind: "begin" });
  while (effects.length > 0) {
    all.push(...effects.filter((effect) => effect.kind !== "send"));
    const sent = effects.find((effect) => effect.kind === "send");
    if (!sent) break;
    messages += 2;
    const answer = answerSync(host, sent.message, (p, level, index) => childSums(host.tree(p), level, index));
    effects = session.step({ kind: "message", message: answer as SyncMessage });
  }
  return { effects: all, messages };
}

const toy = (vectors: number[], leaves: number[][], floors: number[] = vectors.map(() => 0)): Toy => ({
  vectors,
  floors,
  leaves,
});

describe("a round of anti-entropy", () => {
  it("ends after one message each way when both are equal", () => {
    const same = toy([3, 4], [[1, 2], [3]]);
    const { effects, messages } = round(same, same);
    expect(messages).toBe(2);
    expect(effects).toEqual([
      { kind: "even", partitions: "all" },
      { kind: "done", vectorDifferences: 0, sumDifferences: 0 },
    ]);
  });

  it("levels where the peer is ahead, and only there", () => {
    const { effects } = round(toy([3, 4, 5], [[1], [1], [1]]), toy([3, 6, 2], [[1], [2], [1]]));
    expect(effects.filter(({ kind }) => kind === "level")).toEqual([{ kind: "level", partition: 1, vector: bytes(6) }]);
    expect(effects).toContainEqual({ kind: "even", partitions: [0] });
    expect(effects).toContainEqual({ kind: "showed", partition: 2, vector: bytes(2) });
  });

  it("asks for a copy when the peer's log was cut above it", () => {
    const { effects } = round(toy([3], [[1]]), toy([9], [[2]], [5]));
    expect(effects.filter(({ kind }) => kind === "catch-up")).toEqual([{ kind: "catch-up", partition: 0 }]);
  });

  it("descends to the leaves that differ where vectors are equal and sums are not", () => {
    const leaves = Array.from({ length: 1024 }, () => 0);
    const other = leaves.with(700, 5).with(33, 1);
    const { effects } = round(toy([3, 1], [leaves, [0]]), toy([3, 1], [other, [0]]));
    expect(effects).toContainEqual({ kind: "compare-leaves", partition: 0, leaves: [33, 700] });
    expect(effects.at(-1)).toEqual({ kind: "done", vectorDifferences: 0, sumDifferences: 1 });
  });

  it("descends in every partition whose sums differ", () => {
    const { effects } = round(toy([1, 1, 1], [[1], [1], [1]]), toy([1, 1, 1], [[2], [1], [3]]));
    const compared = effects.filter((e) => e.kind === "compare-leaves").map((e) => e.partition);
    expect(compared).toEqual([0, 2]);
  });

  it("ends at a message that answers nothing it asked", () => {
    const session = new SyncSession(hostOf(toy([1], [[1]])));
    session.step({ kind: "begin" });
    const effects = session.step({ kind: "message", message: { kind: "vectors", items: [] } });
    expect(effects).toEqual([{ kind: "done", vectorDifferences: 0, sumDifferences: 0 }]);
  });

  it("answers nothing to a message that asks nothing", () => {
    expect(answerSync(hostOf(toy([1], [[1]])), { kind: "same" }, () => new Uint8Array(0))).toBeNull();
  });
});
