/** Children of an inner node. More: fewer round trips to a leaf; fewer: fewer bytes when little differs. */
export const FAN_OUT = 32;

/** A Merkle tree over additive leaf sums of 16 bytes (replication.md, path 2): an inner node is the sum, mod 2^128, of
 *  the leaves under it, so it needs no hashing and changes by difference. `depth` levels below the root hold 32^depth
 *  leaves, or fewer at the last level when the number of leaves is no power of 32. */
export interface LeafSums {
  readonly leaves: number;
  sumOf(leaf: number): Uint8Array;
}

/** The sums of the children of a node: `level` 0 is the root, whose children are at level 1. Concatenated, 16 bytes each. */
export function childSums(tree: LeafSums, level: number, index: number): Uint8Array {
  const { first, size, childSize } = nodeSpan(tree.leaves, level, index);
  const out = new Uint8Array(16 * Math.ceil(size / childSize));
  for (let child = 0; child * childSize < size; child++) {
    const sum = new Uint32Array(4);
    for (let leaf = first + child * childSize; leaf < first + Math.min(size, (child + 1) * childSize); leaf++)
      addTo(sum, tree.sumOf(leaf));
    const view = new DataView(out.buffer, 16 * child, 16);
    for (let lane = 0; lane < 4; lane++) view.setUint32(4 * lane, sum[lane] as number, true);
  }
  return out;
}

/** Which children differ: their indexes at the next level, and whether those are leaves. */
export function differingChildren(
  tree: LeafSums,
  level: number,
  index: number,
  theirs: Uint8Array,
): { children: number[]; areLeaves: boolean } {
  const mine = childSums(tree, level, index);
  const { first, childSize } = nodeSpan(tree.leaves, level, index);
  const children: number[] = [];
  for (let child = 0; child < mine.length / 16; child++) {
    const at = 16 * child;
    const same = theirs.length === mine.length && equalAt(mine, theirs, at);
    if (!same) children.push(first / childSize + child);
  }
  return { children, areLeaves: childSize === 1 };
}

function equalAt(a: Uint8Array, b: Uint8Array, at: number): boolean {
  for (let i = at; i < at + 16; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** The leaves under a node, and under each of its children. */
function nodeSpan(leaves: number, level: number, index: number): { first: number; size: number; childSize: number } {
  let size = leaves;
  for (let i = 0; i < level; i++) size = Math.ceil(size / FAN_OUT);
  return {
    first: index * size,
    size: Math.max(0, Math.min(size, leaves - index * size)),
    childSize: Math.max(1, Math.ceil(size / FAN_OUT)),
  };
}

function addTo(sum: Uint32Array, digest: Uint8Array): void {
  const view = new DataView(digest.buffer, digest.byteOffset, 16);
  let carry = 0;
  for (let lane = 0; lane < 4; lane++) {
    const total = (sum[lane] as number) + view.getUint32(4 * lane, true) + carry;
    sum[lane] = total;
    carry = total > 0xffffffff ? 1 : 0;
  }
}
