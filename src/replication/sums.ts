import type { Digest } from "../../crdt/index.ts";
import { addDigest, digestDelta, NO_DIGEST, readSum } from "../../crdt/index.ts";
import { assert } from "../kernel/assert.ts";
import { Reader, Writer } from "../kernel/bytes.ts";

/** A partition's digest sums per leaf: derived state, kept by difference as transactions commit, saved now and then
 *  with the log position that they include (architecture.md, Storage). Never rebuilt from rows without comparing with
 *  a peer: that would bless a loss. */
export class PartitionSums {
  /** What peers compare: live dots. Four lanes a leaf. */
  readonly digests: Uint32Array;
  /** What the leaf check counts: stubs too. */
  readonly inventories: Uint32Array;
  /** Rows with live dots, per leaf. */
  readonly recordCounts: Int32Array;
  /** The log position up to which the saved form includes changes. */
  savedPos = 0;
  changedSinceSave = 0;

  constructor(leaves: number) {
    this.digests = new Uint32Array(4 * leaves);
    this.inventories = new Uint32Array(4 * leaves);
    this.recordCounts = new Int32Array(leaves);
  }

  /** Rows with live dots in all leaves. */
  records = 0;
  /** The sum of all leaves' digests. */
  readonly #total = new Uint32Array(4);

  /** A leaf that was healed starts over: its sums are those of the rows that are added next. */
  clearLeaf(leaf: number): void {
    addDigest(this.#total, 0, digestDelta(this.digestOf(leaf), NO_DIGEST));
    this.records -= this.recordCounts[leaf] ?? 0;
    this.digests.fill(0, 4 * leaf, 4 * leaf + 4);
    this.inventories.fill(0, 4 * leaf, 4 * leaf + 4);
    this.recordCounts[leaf] = 0;
  }

  add(leaf: number, digestChange: Digest, inventoryChange: Digest, recordDelta: number): void {
    addDigest(this.#total, 0, digestChange);
    addDigest(this.digests, 4 * leaf, digestChange);
    addDigest(this.inventories, 4 * leaf, inventoryChange);
    this.recordCounts[leaf] = (this.recordCounts[leaf] ?? 0) + recordDelta;
    this.records += recordDelta;
    this.changedSinceSave += 1;
  }

  /** Returns what puts back everything that changes from now on: for a commit that may find no room. */
  snapshot(): () => void {
    const { records, savedPos, changedSinceSave } = this;
    const pairs = [this.digests, this.inventories, this.#total].map((lanes) => [lanes, lanes.slice()] as const);
    const counts = this.recordCounts.slice();
    return () => {
      for (const [lanes, before] of pairs) lanes.set(before);
      this.recordCounts.set(counts);
      Object.assign(this, { records, savedPos, changedSinceSave });
    };
  }

  digestOf(leaf: number): Digest {
    return readSum(this.digests, 4 * leaf);
  }

  inventoryOf(leaf: number): Digest {
    return readSum(this.inventories, 4 * leaf);
  }

  /** The sum of all its leaves' digests. */
  total(): Digest {
    return readSum(this.#total, 0);
  }

  encode(): Uint8Array {
    const out = new Writer().uint(this.digests.length);
    for (const values of [this.digests, this.inventories, this.recordCounts]) out.raw(littleEndian(values));
    return out.finish();
  }

  static decode(bytes: Uint8Array, leaves: number): PartitionSums {
    const input = new Reader(bytes);
    const sums = new PartitionSums(leaves);
    assert(input.uint() === 4 * leaves, "saved sums have the layout of this cluster");
    const lanes = input.raw(36 * leaves);
    const view = new DataView(lanes.buffer, lanes.byteOffset);
    input.end();
    for (let i = 0; i < 4 * leaves; i++) {
      sums.digests[i] = view.getUint32(4 * i, true);
      sums.inventories[i] = view.getUint32(4 * (4 * leaves + i), true);
    }
    for (let leaf = 0; leaf < leaves; leaf++) {
      const records = view.getInt32(4 * (8 * leaves + leaf), true);
      sums.recordCounts[leaf] = records;
      sums.records += records;
      addDigest(sums.#total, 0, sums.digestOf(leaf));
    }
    return sums;
  }
}

const IS_LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

/** The bytes of the lanes as they are saved. As the machine has them where it can be: all sums are saved in one turn of
 *  the loop, and lane by lane that took 65 ms. */
export function littleEndian(lanes: Uint32Array | Int32Array, isOurs = IS_LITTLE_ENDIAN): Uint8Array {
  const bytes = new Uint8Array(lanes.buffer, lanes.byteOffset, lanes.byteLength);
  return isOurs ? bytes : Buffer.from(bytes).swap32();
}
