// Laws of the parts that every type stands on: vectors, sums, clocks, elements.

import fc from "fast-check";
import type { Law } from "../../crdt/contract.test-kit.ts";
import type { Row } from "../../crdt/index.ts";
import {
  addDigest,
  compareHlc,
  decodeElement,
  digestDelta,
  encodeElement,
  HLC_ZERO,
  leafOf,
  observeHlc,
  partitionOf,
  readSum,
  rowDigest,
  rowInventory,
  slotOf,
  slotsOf,
  tickHlc,
  type VersionVector,
} from "../../crdt/index.ts";
import { equalBytes, toHex, utf8 } from "../../src/kernel/bytes.ts";
import { ACTORS, actor, bytes, dot, hlc, law, literal, refused, row, same, seq, text, vector } from "./arbitraries.ts";
import { codecLaws } from "./codec-laws.ts";
import { sha256 } from "./law-subjects.ts";

const vectorLaws: Law[] = [
  law("a vector covers exactly what it says", [vector, dot], (v, d) => {
    same(v.covers(d), d.seq <= v.seq(d.actor), "covers");
    same(v.size, v.entries().length, "size");
  }),
  law("reaching is a partial order, and a join is its least upper bound", [vector, vector, vector], (a, b, c) => {
    const joined = a.copy();
    joined.join(b);
    const reaches = (x: VersionVector, y: VersionVector): boolean =>
      ACTORS.every((actor) => x.seq(actor) >= y.seq(actor));
    same(a.reaches(b), reaches(a, b), "reaches");
    same(a.equals(b), reaches(a, b) && reaches(b, a), "equals");
    for (const actor of ACTORS) same(joined.seq(actor), Math.max(a.seq(actor), b.seq(actor)), "join");
    if (c.reaches(a) && c.reaches(b)) same(c.reaches(joined), true, "least");
    const missing = a.missingFrom(b).map(({ actor, from, to }) => [actor, from, to]);
    same(
      missing,
      a
        .entries()
        .filter(([x, n]) => b.seq(x) < n)
        .map(([x, n]) => [x, b.seq(x), n]),
      "missing",
    );
  }),
  law("a vector only rises", [vector, actor, seq], (v, a, n) => {
    const before = v.copy();
    try {
      v.rise(a, n);
    } catch {
      return same(before.seq(a) >= n, true, "an assertion"); // InternalError: it would have fallen
    }
    same([before.seq(a) < n, v.seq(a)], [true, n], "risen");
    same(v.reaches(before), true, "reaches what it was");
  }),
];

const sumLaws: Law[] = [
  law("sums of digests are sums mod 2^128, and differences undo them", [bytes32(), bytes32(), bytes32()], (a, b, c) => {
    const asBig = (d: Uint8Array): bigint => d.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    const sum = new Uint32Array(8);
    for (const digest of [a, b, c]) addDigest(sum, 4, digest);
    same(asBig(readSum(sum, 4)), (asBig(a) + asBig(b) + asBig(c)) % (1n << 128n), "sum");
    same(asBig(digestDelta(a, b)), (asBig(b) - asBig(a) + (1n << 128n)) % (1n << 128n), "difference");
    same([...sum.slice(0, 4)], [0, 0, 0, 0], "another sum");
  }),
  law(
    "digests tell keys, salts, dots and stubs apart, and nothing else",
    [row, row, bytes, bytes],
    (a, b, salt, key) => {
      const of = (r: Row, s = salt, k = key): string => toHex(rowDigest(sha256, s, k, r));
      const all = (r: Row): string => toHex(rowInventory(sha256, salt, key, r));
      const dots = (r: Row): string[] => [...r.cells.keys()].sort();
      const stubs = (r: Row): string[] => [...r.stubs.keys()].sort();
      same(of(a) === of(b), literal(dots(a)) === literal(dots(b)), "by dots");
      same(all(a) === all(b), literal([dots(a), stubs(a)]) === literal([dots(b), stubs(b)]), "inventory by stubs");
      if (a.cells.size === 0) same(of(a), "0".repeat(32), "without live dots");
      else if (key.length > 0)
        same(of(a) !== of(a, salt, key.slice(1)) && of(a) !== of(a, utf8("other")), true, "by key");
      if (a.stubs.size === 0) same(all(a), of(a), "without stubs");
      const asStubs = { cells: new Map(), stubs: new Map([...a.cells].map(([dot, held]) => [dot, held.dot])) };
      if (a.cells.size > 0) same(all(asStubs) === of(a), false, "a stub and a live dot");
    },
  ),
  law(
    "partitions and leaves are prefixes of the slot",
    [fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.nat(14), fc.nat(16)],
    (hash: Uint8Array, partitionBits, leafBits) => {
      const layout = { partitionBits, leafBits };
      const slot = slotOf(hash);
      const [partition, leaf] = [partitionOf(slot, layout), leafOf(slot, layout)];
      const bits = [...hash.slice(0, 4)].map((byte) => byte.toString(2).padStart(8, "0")).join("");
      same(partition, Number.parseInt(`0${bits.slice(0, partitionBits)}`, 2), "partition");
      same(leaf, Number.parseInt(`0${bits.slice(partitionBits, partitionBits + leafBits)}`, 2), "leaf");
      for (const { from, to } of [slotsOf(layout, partition), slotsOf(layout, partition, leaf)])
        same(from <= slot && slot < to, true, "in its range");
      same(
        slotsOf(layout, partition, leaf).to - slotsOf(layout, partition, leaf).from,
        2 ** (32 - partitionBits - leafBits),
        "size",
      );
    },
  ),
];

function bytes32(): fc.Arbitrary<Uint8Array> {
  return fc
    .array(fc.constantFrom(0, 1, 127, 128, 255), { minLength: 16, maxLength: 16 })
    .map((b) => Uint8Array.from(b));
}

const clockLaws: Law[] = [
  law(
    "local stamps rise and follow the wall",
    [hlc, fc.double({ min: -5, max: 2 ** 48 - 1, noNaN: true })],
    (last, wall) => {
      if (last.ms >= 2 ** 48 - 2) return; // the year 10889
      const next = tickHlc(last, wall);
      same(compareHlc(next, last) > 0, true, "above the last");
      same(next.ms >= Math.floor(Math.max(0, wall)), true, "at the wall");
      same(next.counter <= 65_535 && Number.isInteger(next.ms) && next.ms <= 2 ** 48 - 1, true, "in its bits");
      same(next.ms <= Math.max(last.ms + 1, wall), true, "no further than needed");
      if (wall < last.ms && last.counter < 65_535)
        same(next, { ms: last.ms, counter: last.counter + 1 }, "the counter");
      same(compareHlc(tickHlc(HLC_ZERO, wall), HLC_ZERO) > 0, true, "above zero");
    },
  ),
  law(
    "a remote stamp is never behind what was seen, and the far future drags nobody along",
    [hlc, hlc, fc.nat(5), fc.nat(5)],
    (last, remote, wall, drift) => {
      const next = observeHlc(last, remote, wall, drift);
      const later = compareHlc(remote, last) > 0 ? remote : last;
      same(next, remote.ms > wall + drift ? last : later, "observed");
    },
  ),
  law("elements have one encoding and decode to themselves", [elementValue(), elementValue()], (a, b) => {
    const value = decodeElement(encodeElement(a));
    same(value, a === 0 ? 0 : a, "decoded");
    same(typeof value, typeof a, "its type");
    const sameType = typeof a === typeof b && a instanceof Uint8Array === b instanceof Uint8Array;
    same(equalBytes(encodeElement(a), encodeElement(b)), sameType && literal(a) === literal(b), "equal encodings");
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) refused("no number", () => encodeElement(bad));
  }),
];

function elementValue(): fc.Arbitrary<string | number | boolean | Uint8Array> {
  const number = fc.oneof(
    fc.integer({ min: -2, max: 2 }),
    fc.constant(-0),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
  );
  return fc.oneof(text, number, fc.boolean(), bytes, fc.constantFrom("1", "true"));
}

export const kernelLaws: readonly Law[] = [...codecLaws, ...vectorLaws, ...sumLaws, ...clockLaws];
