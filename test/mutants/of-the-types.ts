// Plausible wrong forms of codec, vectors, sums and clocks, and of the types.

import type { Finder, Mutant } from "./mutant.ts";
import { inFile } from "./mutant.ts";

const BY_MAP: Finder = { laws: "map" };
const vectors = inFile("crdt/version-vector.ts");
const dots = inFile("crdt/dot.ts");
const codec = inFile("crdt/codec.ts");
const contents = inFile("crdt/content.ts");
const entries = inFile("crdt/entry.ts");
const digests = inFile("crdt/digest.ts");
const clocks = inFile("crdt/hlc.ts");
const BY_KERNEL: Finder = { laws: "kernel" };
const BY_WRITE: Finder = { laws: "write" };

export const ofTheKernel: readonly Mutant[] = [
  vectors("covers-one-less", BY_KERNEL, ["this.seq(dot.actor) >= dot.seq", "this.seq(dot.actor) > dot.seq"]),
  vectors("reaches-what-it-never-heard-of", BY_KERNEL, [
    "if (this.seq(actor) < seq) return false;",
    "if (this.seq(actor) > 0 && this.seq(actor) < seq) return false;",
  ]),
  vectors("equals-one-way", BY_KERNEL, [
    "return this.reaches(other) && other.reaches(this);",
    "return this.reaches(other);",
  ]),
  vectors("join-lowers", BY_KERNEL, [
    "if (this.seq(actor) < seq) this.#seqs.set(actor, seq);",
    "this.#seqs.set(actor, seq);",
  ]),
  vectors("copy-shares", BY_KERNEL, ["    const copy = new VersionVector();", "    const copy: VersionVector = this;"]),
  vectors("vector-falls", BY_KERNEL, ['    assert(seq > this.seq(actor), "a version vector never falls");\n', ""]),
  vectors("vector-unsorted-accepted", BY_KERNEL, ["compareText(before, actor) >= 0 || seq === 0", "seq === 0"]),
  vectors("vector-zero-accepted", BY_KERNEL, [
    "compareText(before, actor) >= 0 || seq === 0",
    "compareText(before, actor) >= 0",
  ]),
  dots("dots-unsorted", BY_KERNEL, ["return [...dots].sort(compareDots);", "return dots;"]),
  dots("dots-touching-accepted", BY_KERNEL, [" || touches || ", " || (touches && first < 0) || "]),
  dots("dots-without-bound", BY_KERNEL, ["dots.length + length > maxDots", "dots.length + length > 2 * maxDots"]),
  dots("empty-actors-accepted", BY_KERNEL, ["    if (runs === 0) throw", "    if (runs < 0) throw"]),
  dots("dot-actors-unsorted-accepted", BY_KERNEL, [
    "if (compareText(before, actor) >= 0) throw",
    "if (compareText(before, actor) > 9) throw",
  ]),
  codec("cells-unsorted", BY_KERNEL, ["return cells.sort((a, b) => compareDots(a.dot, b.dot));", "return cells;"]),
  codec("cells-unsorted-accepted", BY_KERNEL, [
    "if (last && compareDots(last.dot, cell.dot) >= 0)",
    "if (last && compareDots(last.dot, cell.dot) > 9e15)",
  ]),
  codec("unused-actors-accepted", BY_KERNEL, ["usedActors !== actors.length || ", ""]),
  codec("unused-stamps-accepted", BY_KERNEL, ["usedStamps !== stamps.length || ", ""]),
  codec("double-stamps-accepted", BY_KERNEL, [" || hasTwins(stamps)", ""]),
  codec("stamps-in-any-order-accepted", BY_KERNEL, [" || stampIndex > usedStamps", ""]),
  codec("live-and-removed-accepted", BY_KERNEL, ["if (row.cells.has(key)) throw", "if (!key) throw"]),
  codec("trailing-bytes-accepted", BY_KERNEL, ["  input.end();\n", ""]),
  codec("stubs-not-written", BY_KERNEL, ["writeDots(out, [...row.stubs.values()]);", "writeDots(out, []);"]),
  codec("stamps-confused", BY_KERNEL, ["    a.suspect === b.suspect &&\n", ""]),
  contents("reset-unsorted-accepted", BY_KERNEL, [
    "if (last && (compareText(last.actor, next.actor)",
    "if (last && !next && (compareText(last.actor, next.actor)",
  ]),
  contents("counter-over-cancelled-accepted", BY_KERNEL, [
    "if (cancelled.plus > sums.plus || cancelled.minus > sums.minus)",
    "if (cancelled.plus > sums.plus && cancelled.minus < 0n)",
  ]),
  contents("counter-base-forgotten", BY_KERNEL, [
    "out.uint(content.base).bigUint(content.plus)",
    "out.uint(0).bigUint(content.plus)",
  ]),
  entries("entry-removes-itself-accepted", BY_KERNEL, [
    "if (removes.some((dot) => dot.actor === actor && dot.seq >= first))",
    "if (removes.length > MAX_ADDS)",
  ]),
  entries("entry-overflow-accepted", BY_KERNEL, [" || first + Math.max(1, count) > CLOSED", ""]),
  entries("entry-from-zero-accepted", BY_KERNEL, ["if (first < 1 || count", "if (first < 0 || count"]),
  entries("depth-without-bound", BY_KERNEL, ["if (length > MAX_DEPTH)", "if (length > 2 ** 32)"]),
  entries("dots-numbered-from-zero", BY_MAP, ["seq: entry.first + i }", "seq: entry.first + i - 1 }"]),
  digests("digest-without-key", BY_KERNEL, [".u8(domain).raw(keyHash)", ".u8(domain)"]),
  digests("digest-without-carry", BY_KERNEL, ["carry = total > 0xffffffff ? 1 : 0;", "carry = total < 0 ? 1 : 0;"]),
  digests("difference-turned", BY_KERNEL, ["borrow = difference < 0 ? 1 : 0;", "borrow = 0;"]),
  digests("stubs-sum-as-live", BY_KERNEL, ["keyHash, 2, [...row.stubs", "keyHash, 1, [...row.stubs"]),
  digests("leaf-of-low-bits", BY_KERNEL, [
    "(slot >>> (32 - layout.partitionBits - layout.leafBits))",
    "(slot >>> (32 - layout.leafBits))",
  ]),
  clocks("clock-stands-still", BY_KERNEL, ["counter: last.counter + 1 }", "counter: last.counter }"]),
  clocks("counter-overflows", BY_KERNEL, ["if (last.counter < MAX_COUNTER)", "if (last.counter <= MAX_COUNTER)"]),
  clocks("clock-follows-anybody", BY_KERNEL, ["  if (remote.ms > wallMs + maxDriftMs) return last;\n", ""]),
];

const writes = inFile("crdt/write.ts");
const counters = inFile("crdt/counter.ts");
const sets = inFile("crdt/set.ts");
const elements = inFile("crdt/element.ts");
const BY_COUNTER: Finder = { laws: "counter" };
const BY_SET: Finder = { laws: "set" };
const BY_REGISTER: Finder = { laws: "register" };

export const ofTheTypes: readonly Mutant[] = [
  writes("context-ignored", BY_REGISTER, [
    'const known = seen === "blind" ? null',
    'const known = seen !== "blind" ? null',
  ]),
  writes("delete-takes-unseen", BY_SET, [
    "startsWith(cell.path, op.path) && saw(cell)",
    "startsWith(cell.path, op.path)",
  ]),
  writes("delete-forgets-what-is-not-here", BY_REGISTER, [
    "      if (op.path.length === 0 && known) removed.push(...(seen as readonly Dot[]));\n",
    "",
  ]),
  writes("assign-forgets-what-is-not-here", BY_REGISTER, [
    "    if (replacesRow && known) removed.push(...(seen as readonly Dot[]));\n",
    "",
  ]),
  writes("update-takes-unseen", BY_SET, ["seen: slot.filter(saw), actor", "seen: slot, actor"]),
  writes("assign-replaces-the-row", BY_MAP, [
    'op.slot.op === "assign" && op.path.length === 0',
    'op.slot.op === "assign"',
  ]),
  writes("paths-by-prefix", BY_MAP, ["return a.length === b.length && startsWith(a, b);", "return startsWith(a, b);"]),
  writes("types-share-a-slot", BY_MAP, [
    "samePath(cell.path, op.path) && slotTypeOf(cell.content) === slotType",
    "samePath(cell.path, op.path)",
  ]),
  writes("a-later-op-sees-nothing-new", BY_COUNTER, [
    "drafts.filter((cell) => samePath",
    "drafts.filter((cell) => cell.dot !== null && samePath",
  ]),
  writes("no-type-check", BY_WRITE, [
    "    if (!clashes(cells, op.path, depth, wanted)) continue;",
    "    if (cells.length > 0) continue;",
  ]),
  counters("increment-forgets-sums", BY_COUNTER, [
    "plus: (before?.plus ?? 0n) + (by > 0n ? by : 0n)",
    "plus: by > 0n ? by : 0n",
  ]),
  counters("increment-keeps-old-dot", BY_COUNTER, ["removes: newest ? [newest] : []", "removes: newest ? [] : []"]),
  counters("increment-takes-others", BY_COUNTER, [" && (cell.dot === null || cell.dot.actor === actor)", ""]),
  counters("increment-forgets-cancelled", BY_COUNTER, [
    "cancelled: before ? cancelledOf(before, cancelledSums(live).get(sumsKey(actor, base))) : ZERO",
    "cancelled: ZERO",
  ]),
  counters("increment-forgets-resets", BY_COUNTER, [
    "cancelledOf(before, cancelledSums(live).get(sumsKey(actor, base)))",
    "cancelledOf(before, undefined)",
  ]),
  counters("increment-without-base", BY_COUNTER, ["base: Number.isFinite(base) ? base : 0", "base: 0"]),
  counters("reset-hides-the-rest", BY_WRITE, ["plus: plus < sums.plus ? plus : sums.plus", "plus"]),
  counters("reset-forgets-resets", BY_WRITE, [
    "for (const earlier of cell.content.seen) note(earlier);",
    "if (!cell.content) note(cell.content);",
  ]),
  counters("reset-keeps-resets", BY_WRITE, ["note(earlier);\n      removes.push(cell);", "note(earlier);"]),
  counters("reset-by-actor-only", BY_COUNTER, ["base: number): string {\n", "base: number): string {\n  base = 0;\n"]),
  counters("cancelled-parts-add-up", BY_COUNTER, [
    "{ plus: a.plus > b.plus ? a.plus : b.plus, minus",
    "{ plus: a.plus + b.plus, minus",
  ]),
  counters("decrements-not-cancelled", BY_COUNTER, ["(content.minus - gone.minus)", "content.minus"]),
  sets("remove-takes-all", BY_SET, [
    "slot.seen.filter((cell) => named.has(toHex(elementOf(cell.content))))",
    "slot.seen.filter(() => named.size > 0)",
  ]),
  sets("add-replaces-nothing", BY_SET, [
    "removes: slot.seen.filter((cell) => named",
    'removes: op.op === "add" ? [] : slot.seen.filter((cell) => named',
  ]),
  sets("clear-adds", BY_SET, [
    'if (op.op === "clear") return { adds: [], removes: slot.seen };',
    'if (op.op === "clear") return { adds: [], removes: [] };',
  ]),
  sets("elements-shown-twice", BY_SET, ["i === 0 || !equalBytes(element, sorted[i - 1] as Uint8Array)", "i >= 0"]),
  elements("any-bytes-are-an-element", BY_KERNEL, [
    "if (!equalBytes(encodeElement(decodeElement(element)), element))",
    "if (element.length === 0)",
  ]),
  elements("numbers-as-text", BY_KERNEL, [".u8(NUMBER)", ".u8(TEXT)"]),
  inFile("crdt/register.ts")("siblings-by-bytes-only", BY_REGISTER, [
    "s.contentType === contentType && equalBytes",
    "equalBytes",
  ]),
  inFile("crdt/register.ts")("assign-keeps-seen", BY_MAP, ["removes: slot.seen,", "removes: [],"]),
  inFile("crdt/flag.ts")("disable-enables", { laws: "flag" }, ['op.op === "enable" ? [', 'op.op !== "enable" ? [']),
  inFile("crdt/flag.ts")("enable-wins-over-all", { laws: "flag" }, [
    "removes: slot.seen })",
    'removes: op.op === "enable" ? slot.live : slot.live })',
  ]),
];
