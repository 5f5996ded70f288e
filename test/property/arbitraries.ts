// Any dot, content, cell, row, entry and vector, and what laws about them say.

import fc from "fast-check";
import type { SeenSums } from "../../crdt/content.ts";
import type { Law } from "../../crdt/contract.test-kit.ts";
import type { Cell, Content, Dot, Entry, Hlc, Row, Stamp } from "../../crdt/index.ts";
import { compareDots, dotKey, encodeElement, VersionVector } from "../../crdt/index.ts";
import { InputError } from "../../src/kernel/assert.ts";
import { toHex } from "../../src/kernel/bytes.ts";
import type { ActorId } from "../../src/kernel/ids.ts";
import { makeActorId, parseNodeId } from "../../src/kernel/ids.ts";

// ---- what there is

export const ACTORS = ["a", "a-1", "b", "node-0"]
  .map((name, i) => makeActorId(parseNodeId(name), 36 ** i, i * 0x3fffffff))
  .sort();
export const actor: fc.Arbitrary<ActorId> = fc.constantFrom(...ACTORS);
export const seq = fc.oneof(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER - 1 }));
export const dot: fc.Arbitrary<Dot> = fc.record({ actor, seq });
export const big = fc.oneof(fc.bigInt(0n, 9n), fc.bigInt(0n, (1n << 128n) - 1n));
export const bytes: fc.Arbitrary<Uint8Array> = fc.uint8Array({ maxLength: 6 });
const LONG = ["y".repeat(64), "x".repeat(70), `${"x".repeat(63)}é`, `é${"z".repeat(64)}`];
export const text: fc.Arbitrary<string> = fc.oneof(
  fc.string({ maxLength: 4 }),
  fc.constantFrom("é", "\u{1f99c}", "\0", "__proto__", "\ufeffx", ...LONG),
);
export const seen: fc.Arbitrary<SeenSums> = fc.record({ actor, base: fc.nat(9), plus: big, minus: big });
const element: fc.Arbitrary<Uint8Array> = fc
  .oneof(text, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean(), bytes)
  .map(encodeElement);
export const content: fc.Arbitrary<Content> = fc.oneof(
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
  fc.record({ kind: fc.constant("element" as const), element }),
);
export const hlc: fc.Arbitrary<Hlc> = fc.record({
  ms: fc.oneof(fc.nat(3), fc.integer({ min: 0, max: 2 ** 48 - 1 })),
  counter: fc.oneof(fc.nat(3), fc.constantFrom(65_534, 65_535)),
});
export const stamp: fc.Arbitrary<Stamp> = fc.record(
  { hlc, author: text, suspect: fc.boolean(), reason: text },
  { requiredKeys: ["hlc", "author", "suspect"] },
);
export const path = fc.oneof(fc.array(text, { maxLength: 2 }), fc.constant(Array<string>(16).fill("f")));
export const cell: fc.Arbitrary<Cell> = fc.record({ dot, path, content, stamp });
export const row: fc.Arbitrary<Row> = fc
  .tuple(fc.array(cell, { maxLength: 4 }), fc.array(dot, { maxLength: 5 }))
  .map(([cells, stubs]) => {
    const live = new Map(cells.map((c) => [dotKey(c.dot), c]));
    return { cells: live, stubs: new Map(stubs.map((d) => [dotKey(d), d] as const).filter(([key]) => !live.has(key))) };
  });
export const entry: fc.Arbitrary<Entry> = fc
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
export const vector = fc.array(fc.tuple(actor, seq), { maxLength: 4 }).map((entries) => new VersionVector(entries));

export function sortedDots(dots: readonly Dot[]): Dot[] {
  return [...new Map(dots.map((d) => [dotKey(d), d])).values()].sort(compareDots);
}

// ---- saying

export function same(a: unknown, b: unknown, claim: string): void {
  const [x, y] = [literal(a), literal(b)];
  if (x !== y) throw new Error(`${claim}:\n  ${x}\n  ${y}`);
}

export function literal(value: unknown): string {
  return JSON.stringify(value, (_, v: unknown) => {
    if (v instanceof Uint8Array) return `bytes ${toHex(v)}`;
    if (v instanceof VersionVector) return v.entries();
    if (isPlain(v)) return Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)));
    if (v instanceof Map) return [...v].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
    return typeof v === "bigint" ? `${v}n` : v;
  });
}

export function isPlain(v: unknown): v is object {
  return typeof v === "object" && v !== null && [Object.prototype, null].includes(Object.getPrototypeOf(v));
}

export function refused(claim: string, act: () => unknown): void {
  try {
    act();
  } catch (error) {
    if (error instanceof InputError) return; // as claimed
    throw error;
  }
  throw new Error(`not refused: ${claim}`);
}

export function law<T extends [unknown, ...unknown[]]>(
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
