// Laws of the parts that every type stands on: codec, vectors, dots, sums, clocks, elements.

import fc from "fast-check";
import type { SeenSums } from "../../crdt/content.ts";
import type { Law } from "../../crdt/contract.test-kit.ts";
import { decodesOneWay } from "../../crdt/contract.test-kit.ts";
import { MAX_DOTS } from "../../crdt/dot.ts";
import type { Cell, Content, Dot, Entry, Hlc, Row, Stamp } from "../../crdt/index.ts";
import {
  addDigest,
  compareDots,
  compareHlc,
  decodeElement,
  decodeEntry,
  decodeRow,
  digestDelta,
  dotKey,
  encodeElement,
  encodeEntry,
  encodeRow,
  HLC_ZERO,
  leafOf,
  observeHlc,
  parseDotKey,
  partitionOf,
  readDots,
  readSum,
  rowDigest,
  rowInventory,
  slotOf,
  slotsOf,
  tickHlc,
  VersionVector,
  writeDots,
} from "../../crdt/index.ts";
import { InputError } from "../../src/kernel/assert.ts";
import { equalBytes, Reader, toHex, utf8, Writer } from "../../src/kernel/bytes.ts";
import type { ActorId } from "../../src/kernel/ids.ts";
import { makeActorId, parseNodeId } from "../../src/kernel/ids.ts";
import { sha256 } from "./law-subjects.ts";

// ---- what there is

const ACTORS = ["a", "a-1", "b", "node-0"]
  .map((name, i) => makeActorId(parseNodeId(name), 36 ** i, i * 0x3fffffff))
  .sort();
const actor: fc.Arbitrary<ActorId> = fc.constantFrom(...ACTORS);
const seq = fc.oneof(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER - 1 }));
const dot: fc.Arbitrary<Dot> = fc.record({ actor, seq });
const big = fc.oneof(fc.bigInt(0n, 9n), fc.bigInt(0n, (1n << 128n) - 1n));
const bytes: fc.Arbitrary<Uint8Array> = fc.uint8Array({ maxLength: 6 });
const text = fc.oneof(fc.string({ maxLength: 4 }), fc.constantFrom("é", "\u{1f99c}", "\0", "__proto__", "\ufeffx"));
const seen: fc.Arbitrary<SeenSums> = fc.record({ actor, base: fc.nat(9), plus: big, minus: big });
const content: fc.Arbitrary<Content> = fc.oneof(
  fc.record({ kind: fc.constant("register" as const), contentType: text, bytes }),
  fc.tuple(big, big, fc.nat(3), fc.nat(9)).map(([plus, minus, part, base]): Content => {
    return { kind: "counter", base, plus, minus, cancelled: { plus: plus / BigInt(part + 1), minus } };
  }),
  fc.uniqueArray(seen, { maxLength: 3, selector: (s) => `${s.actor} ${s.base}` }).map((sums): Content => {
    const order = (a: { actor: string; base: number }, b: { actor: string; base: number }): number =>
      a.actor === b.actor ? a.base - b.base : a.actor < b.actor ? -1 : 1;
    return { kind: "reset", seen: [...sums].sort(order) };
  }),
  fc.constant({ kind: "flag" as const }),
  fc.record({ kind: fc.constant("element" as const), element: bytes }),
);
const hlc: fc.Arbitrary<Hlc> = fc.record({
  ms: fc.oneof(fc.nat(3), fc.integer({ min: 0, max: 2 ** 48 - 1 })),
  counter: fc.oneof(fc.nat(3), fc.constantFrom(65_534, 65_535)),
});
const stamp: fc.Arbitrary<Stamp> = fc.record(
  { hlc, author: text, suspect: fc.boolean(), reason: text },
  { requiredKeys: ["hlc", "author", "suspect"] },
);
const path = fc.oneof(fc.array(text, { maxLength: 2 }), fc.constant(Array<string>(16).fill("f")));
const cell: fc.Arbitrary<Cell> = fc.record({ dot, path, content, stamp });
const row: fc.Arbitrary<Row> = fc
  .tuple(fc.array(cell, { maxLength: 4 }), fc.array(dot, { maxLength: 5 }))
  .map(([cells, stubs]) => {
    const live = new Map(cells.map((c) => [dotKey(c.dot), c]));
    return { cells: live, stubs: new Map(stubs.map((d) => [dotKey(d), d] as const).filter(([key]) => !live.has(key))) };
  });
const entry: fc.Arbitrary<Entry> = fc
  .record({
    actor,
    first: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constant(Number.MAX_SAFE_INTEGER - 4)),
    bucket: text,
    key: text,
    adds: fc.array(fc.record({ path, content }), { maxLength: 4 }),
    removes: fc.array(dot, { maxLength: 5 }),
    stamp,
  })
  .map((e) => ({ ...e, removes: sortedDots(e.removes.filter((d) => d.actor !== e.actor || d.seq < e.first)) }));
const vector = fc.array(fc.tuple(actor, seq), { maxLength: 4 }).map((entries) => new VersionVector(entries));

function sortedDots(dots: readonly Dot[]): Dot[] {
  return [...new Map(dots.map((d) => [dotKey(d), d])).values()].sort(compareDots);
}

// ---- saying

function same(a: unknown, b: unknown, claim: string): void {
  const [x, y] = [literal(a), literal(b)];
  if (x !== y) throw new Error(`${claim}:\n  ${x}\n  ${y}`);
}

function literal(value: unknown): string {
  return JSON.stringify(value, (_, v: unknown) => {
    if (v instanceof Uint8Array) return `bytes ${toHex(v)}`;
    if (v instanceof VersionVector) return v.entries();
    if (isPlain(v)) return Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)));
    if (v instanceof Map) return [...v].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
    return typeof v === "bigint" ? `${v}n` : v;
  });
}

function isPlain(v: unknown): v is object {
  return typeof v === "object" && v !== null && [Object.prototype, null].includes(Object.getPrototypeOf(v));
}

function refused(claim: string, act: () => unknown): void {
  try {
    act();
  } catch (error) {
    if (error instanceof InputError) return; // as claimed
    throw error;
  }
  throw new Error(`not refused: ${claim}`);
}

function law<T extends [unknown, ...unknown[]]>(
  claim: string,
  arbitraries: { [K in keyof T]: fc.Arbitrary<T[K]> },
  body: (...values: T) => void,
): Law {
  const property = fc.property(fc.tuple<T>(...arbitraries), (values) => body(...values));
  return {
    claim,
    check: (runs, more) => fc.assert(property, { ...more, numRuns: runs }),
  };
}

// ---- the laws

const dotsBytes = (dots: readonly Dot[]): Uint8Array => {
  const out = new Writer();
  writeDots(out, dots);
  return out.finish();
};
const dotsOf = (input: Uint8Array): Dot[] => {
  const reader = new Reader(input);
  const dots = readDots(reader);
  reader.end();
  return dots;
};

/** Each decoder with its encoder. */
const CODECS: readonly ((input: Uint8Array) => void)[] = [
  (input) => decodesOneWay(input, decodeRow, encodeRow),
  (input) => decodesOneWay(input, decodeEntry, encodeEntry),
  (input) => decodesOneWay(input, VersionVector.decode, (v) => v.encode()),
  (input) => decodesOneWay(input, dotsOf, dotsBytes),
];

// ---- encodings that no encoder of ours writes

const STAMP: Stamp = { hlc: { ms: 1, counter: 0 }, author: "a", suspect: false };
const sums = (who: number, base: number): SeenSums => ({ actor: ACTORS[who] as ActorId, base, plus: 1n, minus: 0n });

function rowWith(value: Content, at: readonly string[] = []): Row {
  const only = { actor: ACTORS[0] as ActorId, seq: 1 };
  return { cells: new Map([[dotKey(only), { dot: only, path: at, content: value, stamp: STAMP }]]), stubs: new Map() };
}

/** Per actor: gap and length of each run, as written. */
type Runs = readonly (readonly [who: number, runs: readonly number[]])[];

function writtenDots(actors: Runs): Uint8Array {
  const out = new Writer().uint(actors.length);
  for (const [who, runs] of actors) {
    out.text(ACTORS[who] as ActorId).uint(runs.length / 2);
    for (const n of runs) out.uint(n);
  }
  return out.finish();
}

const otherDots = (x: number, y: number): [string, Runs][] => [
  ["runs that touch", [[0, [1 + x, 1 + y, 0, 1]]]],
  ["a run from zero", [[0, [0, 1 + y]]]],
  ["an empty run", [[0, [1 + x, 0]]]],
  [
    "an actor without dots",
    [
      [0, []],
      [1, [1, 1 + x, 1, 1 + y]],
    ],
  ],
  [
    "actors out of order",
    [
      [1, [1 + x, 1]],
      [0, [1, 1 + y]],
    ],
  ],
  [
    "an actor twice",
    [
      [1, [1 + x, 1]],
      [1, [9, 1 + y]],
    ],
  ],
];

interface Tables {
  /** Indices into ACTORS; ms of stamps; per cell the index of its actor, its seq, the index of its stamp. */
  readonly actors: readonly number[];
  readonly stamps: readonly number[];
  readonly cells: readonly (readonly [actor: number, seq: number, stamp: number])[];
  readonly stubs?: Runs;
}

function writtenRow({ actors, stamps, cells, stubs = [] }: Tables): Uint8Array {
  const out = new Writer().u8(1).uint(actors.length);
  for (const who of actors) out.text(ACTORS[who] as ActorId);
  out.uint(stamps.length);
  for (const ms of stamps) out.uint(ms).uint(0).u8(0).text("a");
  out.uint(cells.length);
  for (const cell of cells) {
    for (const n of cell) out.uint(n);
    out.uint(0).u8(3); // a flag at the root
  }
  return out.raw(writtenDots(stubs)).finish();
}

const otherRows = (x: number, y: number): [string, Tables][] => [
  [
    "cells out of order",
    {
      actors: [0],
      stamps: [x],
      cells: [
        [0, 2 + y, 0],
        [0, 1 + y, 0],
      ],
    },
  ],
  [
    "a cell twice",
    {
      actors: [0],
      stamps: [x],
      cells: [
        [0, 1 + y, 0],
        [0, 1 + y, 0],
      ],
    },
  ],
  ["a cell at zero", { actors: [0], stamps: [x], cells: [[0, 0, 0]] }],
  ["an actor of no cell", { actors: [0, 1], stamps: [x], cells: [[0, 1 + y, 0]] }],
  [
    "actors out of order",
    {
      actors: [1, 0],
      stamps: [x],
      cells: [
        [0, 1, 0],
        [1, 1, 0],
      ],
    },
  ],
  ["a stamp of no cell", { actors: [0], stamps: [x, x + 1], cells: [[0, 1 + y, 0]] }],
  [
    "a stamp twice",
    {
      actors: [0],
      stamps: [x, x],
      cells: [
        [0, 1, 0],
        [0, 2 + y, 1],
      ],
    },
  ],
  [
    "stamps in another order",
    {
      actors: [0],
      stamps: [x, x + 1],
      cells: [
        [0, 1, 1],
        [0, 2 + y, 0],
      ],
    },
  ],
  ["a dot both live and removed", { actors: [0], stamps: [x], cells: [[0, 1 + y, 0]], stubs: [[0, [1 + y, 1]]] }],
];

const writtenVector = (seqs: readonly (readonly [who: number, seq: number])[]): Uint8Array => {
  const out = new Writer().uint(seqs.length);
  for (const [who, n] of seqs) out.text(ACTORS[who] as ActorId).uint(n);
  return out.finish();
};

const otherVectors = (x: number): [string, [number, number][]][] => [
  [
    "actors out of order",
    [
      [1, 1 + x],
      [0, 1],
    ],
  ],
  [
    "an actor twice",
    [
      [0, 1 + x],
      [0, 1],
    ],
  ],
  [
    "an actor at zero",
    [
      [0, 0],
      [1, 1 + x],
    ],
  ],
];

function damaged(input: Uint8Array, at: number, skip: number, put: Uint8Array): Uint8Array {
  const from = at % (input.length + 1);
  return Uint8Array.of(...input.slice(0, from), ...put, ...input.slice(from + skip));
}

const codecLaws: Law[] = [
  law("any row decodes to itself from its one encoding", [row], (value) => {
    const encoded = encodeRow(value);
    same(decodeRow(encoded), value, "decoded");
    const turned = { cells: new Map([...value.cells].reverse()), stubs: new Map([...value.stubs].reverse()) };
    same(encodeRow(turned), encoded, "in another order");
  }),
  law("stamps that differ in anything are told apart", [stamp, stamp, fc.nat(4)], (one, other, field) => {
    const name = (["hlc", "author", "suspect", "reason"] as const)[field];
    const dots = [1, 2].map((n) => ({ actor: ACTORS[0] as ActorId, seq: n }));
    const stamps = [one, name === undefined ? other : { ...one, [name]: other[name] }];
    const cells = dots.map((d, i) => ({
      dot: d,
      path: [],
      content: { kind: "flag" } as const,
      stamp: stamps[i] as Stamp,
    }));
    const value = { cells: new Map(cells.map((c) => [dotKey(c.dot), c])), stubs: new Map() };
    same(decodeRow(encodeRow(value)), value, "decoded");
  }),
  law("any entry decodes to itself from its one encoding", [entry], (value) => {
    same(decodeEntry(encodeEntry(value)), value, "decoded");
    same(encodeEntry({ ...value, removes: [...value.removes].reverse() }), encodeEntry(value), "in another order");
  }),
  law("any version vector and any dots decode to themselves", [vector, fc.array(dot, { maxLength: 9 })], (v, dots) => {
    same(VersionVector.decode(v.encode()), v, "vector");
    same(dotsOf(dotsBytes([...dots, ...dots])), sortedDots(dots), "dots");
    for (const d of dots) same(parseDotKey(dotKey(d)), d, "a dot as text");
  }),
  law(
    "damaged bytes are refused or are the one encoding of something",
    [
      row,
      entry,
      vector,
      fc.nat(999),
      fc.nat(3),
      fc.oneof(bytes, fc.constantFrom(Uint8Array.of(0), Uint8Array.of(128, 0))),
    ],
    (r, e, v, at, skip, put) => {
      const whole = [encodeRow(r), encodeEntry(e), v.encode(), dotsBytes([...r.stubs.values()])];
      for (const [i, input] of whole.entries()) CODECS[i]?.(damaged(input, at, skip, put));
    },
  ),
  law("random bytes are refused or are the one encoding of something", [fc.uint8Array({ maxLength: 40 })], (input) => {
    for (const codec of CODECS) codec(input);
    for (const codec of CODECS) codec(Uint8Array.of(1, ...input));
  }),
  law("what small bytes promise is bounded", [seq, actor], (n, a) => {
    const many = new Writer().uint(1).text(a).uint(1).uint(1);
    refused("a run of too many dots", () => dotsOf(many.uint(MAX_DOTS + 1 + (n % 1000)).finish()));
    for (const decode of [decodeRow, decodeEntry, VersionVector.decode, dotsOf])
      for (const head of [[], [1], [1, 0], [1, 0, 0], [1, 1], [0, 0, 0]])
        refused("a huge count", () =>
          decode(
            new Writer()
              .raw(Uint8Array.from(head))
              .uint(5000 + (n % 2 ** 52))
              .u8(0)
              .finish(),
          ),
        );
  }),
  law("what any other encoder would write is refused", [fc.nat(3), fc.nat(3)], (x, y) => {
    for (const [claim, runs] of otherDots(x, y)) refused(claim, () => dotsOf(writtenDots(runs)));
    for (const [claim, tables] of otherRows(x, y)) refused(claim, () => decodeRow(writtenRow(tables)));
    for (const [claim, seqs] of otherVectors(x)) refused(claim, () => VersionVector.decode(writtenVector(seqs)));
    same(
      dotsOf(
        writtenDots([
          [0, [1 + x, 1 + y]],
          [1, [2, 1, 1, 1]],
        ]),
      ).length,
      y + 3,
      "well written dots",
    );
    same(
      decodeRow(
        writtenRow({
          actors: [0, 1],
          stamps: [x, x + 1],
          cells: [
            [0, 1, 0],
            [1, 1, 1],
          ],
        }),
      ).cells.size,
      2,
      "a well written row",
    );
    const twice = { kind: "reset" as const, seen: [sums(1, x), sums(0, y)] };
    refused("a reset out of order", () => decodeRow(encodeRow(rowWith(twice))));
    refused("sums twice", () => decodeRow(encodeRow(rowWith({ ...twice, seen: [sums(0, x), sums(0, x)] }))));
    const cancelled = { plus: BigInt(x + 1), minus: 0n };
    refused("more cancelled than counted", () =>
      decodeRow(encodeRow(rowWith({ kind: "counter", base: 0, plus: BigInt(x), minus: 0n, cancelled }))),
    );
    refused("a map too deep", () => decodeRow(encodeRow(rowWith({ kind: "flag" }, Array<string>(17 + x).fill("")))));
    const own = { actor: ACTORS[0] as ActorId, seq: 1 + x };
    const e = { actor: own.actor, first: 1, bucket: "b", key: "k", adds: [], removes: [own], stamp: STAMP };
    refused("an entry that removes what is to come", () => decodeEntry(encodeEntry(e)));
    refused("an entry from zero", () => decodeEntry(encodeEntry({ ...e, first: 0, removes: [] })));
    for (const whole of [encodeRow(rowWith({ kind: "flag" })), encodeEntry({ ...e, removes: [] })])
      for (const decode of [decodeRow, decodeEntry])
        refused("bytes after the end", () => decode(Uint8Array.of(...whole, x)));
  }),
  law("an entry that doesn't fit below the end of all sequences is refused", [entry, fc.nat(3)], (value, n) => {
    if (value.adds.length <= n) return;
    refused("overflow", () => decodeEntry(encodeEntry({ ...value, first: Number.MAX_SAFE_INTEGER - n, removes: [] })));
  }),
];

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
