// Laws of the codec: each state has one encoding, and any other bytes are refused.

import fc from "fast-check";
import type { SeenSums } from "../../crdt/content.ts";
import type { Law } from "../../crdt/contract.test-kit.ts";
import { decodesOneWay } from "../../crdt/contract.test-kit.ts";
import { MAX_DOTS } from "../../crdt/dot.ts";
import type { Content, Dot, Row, Stamp } from "../../crdt/index.ts";
import {
  decodeEntry,
  decodeRow,
  dotKey,
  encodeEntry,
  encodeRow,
  parseDotKey,
  readDots,
  VersionVector,
  writeDots,
} from "../../crdt/index.ts";
import { Reader, toHex, Writer } from "../../src/kernel/bytes.ts";
import type { ActorId } from "../../src/kernel/ids.ts";
import {
  ACTORS,
  actor,
  bytes,
  dot,
  entry,
  law,
  refused,
  row,
  same,
  seq,
  sortedDots,
  stamp,
  vector,
} from "./arbitraries.ts";

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

/** No tag, another one, text that is not UTF-8, numbers that have another text or are none, and what is no boolean. */
const NO_ELEMENTS = [[], [0], [5, 1], [1, 0xff], [2, 0x30, 0x31], [2, 0x78], [2], [3], [3, 2], [3, 1, 1]].map((bytes) =>
  Uint8Array.from(bytes),
);

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

const writerLaws: Law[] = [
  law(
    "what was written stays as it is, whatever is written after it",
    [fc.array(bytes, { maxLength: 40, size: "max" })],
    (pieces) => {
      const written = pieces.map((piece) => new Writer().raw(piece).finish());
      same(written.map(toHex), pieces.map(toHex), "written side by side");
      for (const [i, one] of written.entries()) {
        one.fill(255);
        same(written.slice(i + 1).map(toHex), pieces.slice(i + 1).map(toHex), "beside one that was changed");
      }
    },
  ),
];

export const codecLaws: readonly Law[] = [
  ...writerLaws,
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
  law("bytes that stand for no element are refused", [entry, fc.constantFrom(...NO_ELEMENTS)], (value, element) => {
    const content: Content = { kind: "element", element };
    refused("in a row", () => decodeRow(encodeRow(rowWith(content))));
    refused("in an entry", () => decodeEntry(encodeEntry({ ...value, adds: [{ path: [], content }] })));
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
  law(
    "random bytes are refused or are the one encoding of something",
    [fc.uint8Array({ maxLength: 40, size: "max" })],
    (input) => {
      for (const codec of CODECS) codec(input);
      for (const codec of CODECS) codec(Uint8Array.of(1, ...input));
    },
  ),
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
