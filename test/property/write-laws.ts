// Laws of a request's plan: what is refused, and what a reset and a removal leave.

import fc from "fast-check";
import type { Law } from "../../crdt/contract.test-kit.ts";
import type { Cell, Content, Op, Row, SlotOp } from "../../crdt/index.ts";
import { counter, dotKey, planWrite, slotTypeOf, slotTypeOfOp, typesAt } from "../../crdt/index.ts";
import { InputError } from "../../src/kernel/assert.ts";
import { makeActorId, parseNodeId } from "../../src/kernel/ids.ts";

const ACTOR = makeActorId(parseNodeId("a"), 1, 1);
const OTHER = makeActorId(parseNodeId("b"), 1, 1);
const STAMP = { hlc: { ms: 1, counter: 0 }, author: "a", suspect: false };
const sum = fc.bigInt(0n, 5n);
const path = fc.constantFrom<string[]>([], ["f"], ["f", "g"], ["f", "g", "h"], ["x"]);
const none = { plus: 0n, minus: 0n };
const content = fc.constantFrom<Content>(
  { kind: "register", contentType: "text/plain", bytes: new Uint8Array(1) },
  { kind: "counter", base: 0, plus: 2n, minus: 0n, cancelled: none },
  { kind: "reset", seen: [{ actor: OTHER, base: 1, plus: 3n, minus: 0n }] },
  { kind: "flag" },
  { kind: "element", element: new Uint8Array(2) },
);
const slotOp = fc.constantFrom<SlotOp>(
  { op: "assign", contentType: "text/plain", bytes: new Uint8Array(0) },
  { op: "increment", by: 1n },
  { op: "reset" },
  { op: "enable" },
  { op: "disable" },
  { op: "add", elements: [new Uint8Array(2)] },
  { op: "remove", elements: [new Uint8Array(2)] },
  { op: "clear" },
);
const row: fc.Arbitrary<Row> = fc.array(fc.tuple(path, content), { maxLength: 3 }).map((slots) => {
  const cells = slots.map(
    ([at, c], i): Cell => ({ dot: { actor: OTHER, seq: i + 1 }, path: at, content: c, stamp: STAMP }),
  );
  return { cells: new Map(cells.map((cell) => [dotKey(cell.dot), cell])), stubs: new Map() };
});

function same(a: unknown, b: unknown, claim: string): void {
  if (a !== b) throw new Error(`${claim}: ${String(a)}, not ${String(b)}`);
}

/** The plan, or null when it is refused for the type. */
function planned(to: Row, ops: readonly Op[]): ReturnType<typeof planWrite> | null {
  try {
    return planWrite(to, ops, "blind", ACTOR);
  } catch (error) {
    if (error instanceof InputError && error.slug === "wrong-type") return null;
    throw error;
  }
}

/** Does some live cell make this path a value of that type, or a map? */
function holds(at: Row, where: readonly string[], type: string): boolean | "nothing" {
  const there = [...at.cells.values()].filter((cell) => where.every((field, i) => cell.path[i] === field));
  if (there.length === 0) return "nothing";
  return there.some((cell) => (cell.path.length > where.length ? "map" : slotTypeOf(cell.content)) === type);
}

function law<T extends [unknown, ...unknown[]]>(
  claim: string,
  arbitraries: { [K in keyof T]: fc.Arbitrary<T[K]> },
  body: (...values: T) => void,
): Law {
  const property = fc.property(fc.tuple<T>(...arbitraries), (values) => body(...values));
  return { claim, check: (runs, more) => fc.assert(property, { ...more, numRuns: runs }) };
}

export const writeLaws: readonly Law[] = [
  law("an operation on a key or field that only holds another type is refused", [row, path, slotOp], (to, at, slot) => {
    const fits = at.every((_, depth) => holds(to, at.slice(0, depth), "map") !== false);
    const expected = fits && holds(to, at, slotTypeOfOp(slot)) !== false;
    same(planned(to, [{ path: at, slot }]) !== null, expected, "accepted");
    same(typesAt(to.cells.values(), at).size === 0, holds(to, at, "map") === "nothing", "types there");
  }),
  law("after a removal any type fits, in the same request too", [row, path, slotOp], (to, at, slot) => {
    const plan = planned(to, [
      { path: [], removeAll: true },
      { path: at, slot },
    ]);
    same(plan === null, false, "refused");
    for (const cell of to.cells.values())
      same(
        plan?.removes.some((dot) => dotKey(dot) === dotKey(cell.dot)),
        true,
        `${dotKey(cell.dot)} is removed`,
      );
  }),
  law("a reset replaces the resets it saw, and keeps what they cancelled", [row, path], (to, at) => {
    const plan = planned(to, [{ path: at, slot: { op: "reset" } }]);
    if (!plan) return;
    const here = [...to.cells.values()].filter((cell) => JSON.stringify(cell.path) === JSON.stringify(at));
    const resets = here.filter((cell) => cell.content.kind === "reset");
    const counters = here.filter((cell) => cell.content.kind === "counter");
    same(plan.removes.map(dotKey).join(), resets.map((cell) => dotKey(cell.dot)).join(), "removed");
    same(plan.adds.length, resets.length + counters.length > 0 ? 1 : 0, "added");
    const made = plan.adds[0]?.content;
    const seen = made?.kind === "reset" ? made.seen : [];
    for (const cell of counters)
      same(
        seen.some((s) => s.base === cell.dot.seq && s.plus >= 2n),
        true,
        "what it saw counted",
      );
    if (resets.length > 0)
      same(
        seen.some((s) => s.base === 1 && s.plus === 3n),
        true,
        "what they cancelled",
      );
  }),
  law(
    "a reset cancels what it saw, also before all of that is here, and nothing else",
    [sum, sum, sum, sum],
    (plus, minus, seenPlus, seenMinus) => {
      const live = (seq: number, value: Content): Cell => ({
        dot: { actor: OTHER, seq },
        path: [],
        content: value,
        stamp: STAMP,
      });
      const counted = live(1, { kind: "counter", base: 0, plus, minus, cancelled: none });
      const seen = [{ actor: OTHER, base: 1, plus: seenPlus, minus: seenMinus }];
      const left = (all: bigint, gone: bigint): bigint => (all > gone ? all - gone : 0n);
      const shown = counter.show([counted, live(2, { kind: "reset", seen })]);
      same(shown, left(plus, seenPlus) - left(minus, seenMinus), "shown");
    },
  ),
];
