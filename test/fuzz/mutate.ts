import { concatBytes } from "../../src/kernel/bytes.ts";
import type { Rng } from "../../src/kernel/rng.ts";

/** No input grows beyond this: what is slow only because it is long would drown what is slow for its length. */
const MAX_BYTES = 4096;

/** Where sizes and signs turn. */
const NUMBERS = [
  0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0xf_4240, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
];
/** Tags of MessagePack that announce lengths and counts, ends of LEB128 runs, and bytes that texts stumble over. */
const BYTES = [0x00, 0x01, 0x7f, 0x80, 0xff, 0xc1, 0xc6, 0xc9, 0xcf, 0xd4, 0xd9, 0xdb, 0xdd, 0xdf, 0x91, 0x22, 0x5c];

export function pick<T>(rng: Rng, items: readonly T[]): T {
  return items[rng.below(items.length)] as T;
}

export function randomBytes(rng: Rng, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => rng.u32() & 255);
}

type Change = (bytes: Uint8Array, rng: Rng, pool: readonly Uint8Array[]) => Uint8Array;

const splice = (bytes: Uint8Array, from: number, to: number, middle: Uint8Array): Uint8Array =>
  concatBytes([bytes.subarray(0, from), middle, bytes.subarray(to)]);

function withByte(bytes: Uint8Array, at: number, byte: number): Uint8Array {
  if (bytes.length > 0) bytes[at] = byte;
  return bytes;
}

function numberBytes(rng: Rng): Uint8Array {
  const value = pick(rng, NUMBERS);
  if (rng.below(3) === 0) return leb128(value);
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, rng.below(2) === 0);
  const width = pick(rng, [1, 2, 4]);
  return rng.below(2) === 0 ? bytes.subarray(0, width) : bytes.subarray(4 - width);
}

function leb128(value: number): Uint8Array {
  const out: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    out.push(rest >= 128 ? (rest % 128) | 128 : rest);
    if (rest < 128) return Uint8Array.from(out);
  }
}

const CHANGES: readonly Change[] = [
  (bytes, rng) => {
    const at = rng.below(bytes.length);
    return withByte(bytes, at, (bytes[at] ?? 0) ^ (1 << rng.below(8)));
  },
  (bytes, rng) => withByte(bytes, rng.below(bytes.length), rng.u32() & 255),
  (bytes, rng) => withByte(bytes, rng.below(bytes.length), pick(rng, BYTES)),
  // A length or count that is off by little.
  (bytes, rng) => {
    const at = rng.below(bytes.length);
    return withByte(bytes, at, (bytes[at] ?? 0) + pick(rng, [1, -1, 2, -2, 16]));
  },
  // Inserted, and in place of as many.
  (bytes, rng) => {
    const at = rng.below(bytes.length + 1);
    const number = numberBytes(rng);
    return splice(bytes, at, rng.below(2) === 0 ? at : Math.min(bytes.length, at + number.length), number);
  },
  (bytes, rng) => {
    const at = rng.below(bytes.length + 1);
    return splice(bytes, at, at, randomBytes(rng, 1 + rng.below(8)));
  },
  (bytes, rng) => {
    const at = rng.below(bytes.length);
    return splice(bytes, at, Math.min(bytes.length, at + 1 + rng.below(8)), new Uint8Array(0));
  },
  (bytes, rng) => bytes.slice(0, rng.below(bytes.length + 1)),
  // Duplicated, a few times.
  (bytes, rng) => {
    const from = rng.below(bytes.length + 1);
    const to = Math.min(bytes.length, from + rng.below(64));
    return splice(bytes, to, to, concatBytes(Array(1 + rng.below(4)).fill(bytes.slice(from, to))));
  },
  // The beginning of one, the end of another.
  (bytes, rng, pool) => {
    const other = pick(rng, pool);
    return concatBytes([bytes.subarray(0, rng.below(bytes.length + 1)), other.subarray(rng.below(other.length + 1))]);
  },
];

/** One of the pool with one to four changes; now and then nothing but noise. */
export function mutateBytes(rng: Rng, pool: readonly Uint8Array[]): Uint8Array {
  if (pool.length === 0 || rng.below(32) === 0) return randomBytes(rng, rng.below(64));
  let bytes: Uint8Array = pick(rng, pool).slice();
  for (let changes = 1 + rng.below(4); changes > 0; changes--) bytes = pick(rng, CHANGES)(bytes, rng, pool);
  return bytes.length > MAX_BYTES ? bytes.slice(0, MAX_BYTES) : bytes;
}
