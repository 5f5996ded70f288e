import { utf8, Writer } from "../src/kernel/bytes.ts";
import type { Sha256 } from "../src/kernel/hashing.ts";
import type { Dot } from "./dot.ts";
import { writeDots } from "./dot.ts";
import type { Row } from "./row.ts";

/** The first 16 bytes of SHA-256(salt ‖ bucket ‖ 0 ‖ key): where a key lives (data.md, Keys and partitions). */
export function hashKey(sha256: Sha256, salt: Uint8Array, bucket: string, key: string): Uint8Array {
  return new Writer().raw(salt).raw(utf8(bucket)).u8(0).raw(utf8(key)).finishInto(sha256).slice(0, 16);
}

/** The top 32 bits of a key's hash. Partition and leaf are prefixes of it. */
export function slotOf(keyHash: Uint8Array): number {
  return (((keyHash[0] ?? 0) << 24) | ((keyHash[1] ?? 0) << 16) | ((keyHash[2] ?? 0) << 8) | (keyHash[3] ?? 0)) >>> 0;
}

/** Bits of the slot that choose a partition, then a leaf within it. Together at most 30. */
export interface Layout {
  readonly partitionBits: number;
  readonly leafBits: number;
}

export function partitionOf(slot: number, layout: Layout): number {
  return layout.partitionBits === 0 ? 0 : slot >>> (32 - layout.partitionBits);
}

export function leafOf(slot: number, layout: Layout): number {
  if (layout.leafBits === 0) return 0;
  return (slot >>> (32 - layout.partitionBits - layout.leafBits)) & (2 ** layout.leafBits - 1);
}

/** The slots [from, to) of a leaf, or of a whole partition. */
export function slotsOf(layout: Layout, partition: number, leaf?: number): { from: number; to: number } {
  const partitionSize = 2 ** (32 - layout.partitionBits);
  if (leaf === undefined) return { from: partition * partitionSize, to: (partition + 1) * partitionSize };
  const leafSize = partitionSize / 2 ** layout.leafBits;
  const from = partition * partitionSize + leaf * leafSize;
  return { from, to: from + leafSize };
}

/** 16 bytes that add up: a leaf's sum is the sum of its rows' digests mod 2^128. */
export type Digest = Uint8Array;

export const NO_DIGEST: Digest = new Uint8Array(16);

/** What peers compare: covers the key and its live dots; a dot names its value, so values need no hashing (I9). Keyed
 *  with the salt, else sums could be steered by clients (replication.md, path 2). */
export function rowDigest(sha256: Sha256, salt: Uint8Array, keyHash: Uint8Array, row: Row): Digest {
  if (row.cells.size === 0) return NO_DIGEST;
  return digestDots(
    sha256,
    salt,
    keyHash,
    1,
    Array.from(row.cells.values(), (cell) => cell.dot),
  );
}

/** What the leaf check counts: the digest, and the stubs too, whose loss no digest shows (model, finding 12). */
export function rowInventory(sha256: Sha256, salt: Uint8Array, keyHash: Uint8Array, row: Row): Digest {
  const live = rowDigest(sha256, salt, keyHash, row);
  if (row.stubs.size === 0) return live;
  const sum = new Uint32Array(4);
  addDigest(sum, 0, live);
  addDigest(sum, 0, digestDots(sha256, salt, keyHash, 2, [...row.stubs.values()]));
  return readSum(sum, 0);
}

function digestDots(
  sha256: Sha256,
  salt: Uint8Array,
  keyHash: Uint8Array,
  domain: number,
  dots: readonly Dot[],
): Digest {
  const out = new Writer().raw(salt).u8(domain).raw(keyHash);
  writeDots(out, dots);
  return out.finishInto(sha256).slice(0, 16);
}

/** sums[at … at+3] += digest, in four little-endian lanes with carry. */
export function addDigest(sums: Uint32Array, at: number, digest: Digest): void {
  let carry = 0;
  for (let lane = 0; lane < 4; lane++) {
    const total = (sums[at + lane] as number) + readLane(digest, 4 * lane) + carry;
    sums[at + lane] = total;
    carry = total > 0xffffffff ? 1 : 0;
  }
}

// By hand: a DataView for each of some ten calls a write costs more than the arithmetic.
function readLane(bytes: Uint8Array, at: number): number {
  const low = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
  return (low | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)) >>> 0;
}

export function readSum(sums: Uint32Array, at: number): Digest {
  const out = new Uint8Array(16);
  for (let i = 0; i < 16; i++) out[i] = (sums[at + (i >> 2)] as number) >>> (8 * (i & 3));
  return out;
}

/** after − before, mod 2^128. */
export function digestDelta(before: Digest, after: Digest): Digest {
  const out = new Uint8Array(16);
  let borrow = 0;
  for (let i = 0; i < 16; i++) {
    const difference = (after[i] as number) - (before[i] as number) - borrow;
    out[i] = difference; // mod 256
    borrow = difference < 0 ? 1 : 0;
  }
  return out;
}
