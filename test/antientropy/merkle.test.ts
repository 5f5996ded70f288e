import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addDigest, readSum } from "../../crdt/index.ts";
import { childSums, differingChildren, FAN_OUT, type LeafSums } from "../../gossip/antientropy/merkle.ts";

function tree(leaves: Uint8Array[]): LeafSums {
  return { leaves: leaves.length, sumOf: (leaf) => leaves[leaf] as Uint8Array };
}

const digests = (count: number): fc.Arbitrary<Uint8Array[]> =>
  fc.array(fc.uint8Array({ minLength: 16, maxLength: 16 }), { minLength: count, maxLength: count });

/** Descends from the root as a session does. */
function descend(mine: LeafSums, theirs: LeafSums): number[] {
  const nodes = [{ level: 0, index: 0 }];
  const found: number[] = [];
  for (let node = nodes.shift(); node; node = nodes.shift()) {
    const { level, index } = node;
    const { children, areLeaves } = differingChildren(mine, level, index, childSums(theirs, level, index));
    if (areLeaves) found.push(...children);
    else nodes.push(...children.map((child) => ({ level: level + 1, index: child })));
  }
  return found.sort((a, b) => a - b);
}

describe("Merkle descent", () => {
  for (const count of [1, 31, 32, 33, 1024])
    it(`finds exactly the leaves that differ, of ${count}`, () => {
      fc.assert(
        fc.property(digests(count), fc.uniqueArray(fc.nat(count - 1), { maxLength: 8 }), (leaves, changed) => {
          const other = leaves.map((leaf, i) => (changed.includes(i) ? leaf.map((byte) => byte ^ 1) : leaf));
          expect(descend(tree(leaves), tree(other))).toEqual([...changed].sort((a, b) => a - b));
        }),
        { numRuns: 30 },
      );
    });

  it("gives an inner node the sum of the leaves under it", () => {
    fc.assert(
      fc.property(digests(1024), (leaves) => {
        const top = childSums(tree(leaves), 0, 0);
        const sum = new Uint32Array(4);
        for (let leaf = 5 * FAN_OUT; leaf < 6 * FAN_OUT; leaf++) addDigest(sum, 0, leaves[leaf] as Uint8Array);
        expect(top.slice(16 * 5, 16 * 6)).toEqual(readSum(sum, 0));
      }),
      { numRuns: 20 },
    );
  });

  it("takes an answer of another size for a difference everywhere, and does not fail", () => {
    const leaves = Array.from({ length: 40 }, () => new Uint8Array(16));
    expect(differingChildren(tree(leaves), 0, 0, new Uint8Array(3)).children).toHaveLength(20);
  });
});
