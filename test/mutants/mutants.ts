// Plausible wrong forms of the rules, as small patches. The tests must find each of them; a survivor is a missing test.

import type { Fault } from "../property/partition-search.ts";

/** Which laws, by the name of their group. */
export type LawGroup = "register" | "counter" | "flag" | "set" | "map" | "kernel" | "partition" | "write";

export type Finder =
  | { readonly laws: LawGroup }
  /** The search over schedules, with these faults (default: all but traceless). */
  | { readonly world: readonly Fault[] | "all"; readonly nodes?: number };

export interface Mutant {
  readonly name: string;
  /** Each `find` stands exactly once in its file. */
  readonly patches: readonly { readonly file: string; readonly find: string; readonly replace: string }[];
  /** Who is expected to find it; the others are asked afterwards. */
  readonly finder: Finder;
}

type Patch = readonly [find: string, replace: string];

function inFile(file: string): (name: string, finder: Finder, ...patches: Patch[]) => Mutant {
  return (name, finder, ...patches) => ({
    name,
    finder,
    patches: patches.map(([find, replace]) => ({ file, find, replace })),
  });
}

const rules = inFile("crdt/partition.ts");
const host = inFile("test/property/partition-host.ts");
const world = inFile("test/property/partition-world.ts");
const faults = inFile("test/property/partition-faults.ts");
const BY_MAP: Finder = { laws: "map" };
const BY_PARTITION: Finder = { laws: "partition" };
const BY_WORLD: Finder = { world: "all" };

/** The model's own (mutants.mjs), by its names, in our code: in the rules, or where the rule lives in the world. */
const ofTheModel: readonly Mutant[] = [
  rules("vector-after-repair", BY_MAP, [
    "  return lost.length;",
    "  p.vector.join(theirs.vector);\n  return lost.length;",
  ]),
  rules("drop-at-repair", BY_MAP, [
    "  return lost.length;",
    "  adoptRow(p, row, theirs, removedAbove);\n  return lost.length;",
  ]),
  world("body-without-senders-vector", BY_WORLD, [
    "for (const [key, row] of rows) node.disk.repair(key, { row, vector });",
    "for (const [key, row] of rows) node.disk.repair(key, { row, vector: node.disk.state.vector.copy() });",
  ]),
  world("copy-with-a-later-vector", BY_WORLD, [
    "node.disk.adopt(message.copy)",
    "node.disk.adopt({ ...message.copy, vector: from.disk.state.vector.copy() })",
  ]),
  rules("cut-unacknowledged", BY_WORLD, ["return acknowledged && entry.removes", "return entry.removes"]),
  host("copy-without-leaf-check", { world: ["damage", "retention", "restore"] }, [
    "    if (!this.isSound()) return null;\n",
    "",
  ]),
  host("cut-beside-damaged-rows", { world: ["traceless", "retention", "loss"] }, [
    "    if (!this.isSound()) return;\n",
    "",
  ]),
  rules(
    "stub-dropped-early",
    BY_MAP,
    ["if (p.vector.covers(dot)) row.stubs.delete(key);", "{ dot; row.stubs.delete(key); }"],
    ["return row.stubs.has(key) || p.awaited.has(key);", "return row.stubs.has(key);"],
  ),
  rules("fold-of-unknown-dots", BY_MAP, [
    "    row.cells.delete(dotKey(dot));\n",
    "    row.cells.delete(dotKey(dot));\n    p.vector.join(new VersionVector([[dot.actor, dot.seq]]));\n",
  ]),
  {
    name: "removal-without-own-dot",
    finder: BY_MAP,
    patches: [
      {
        file: "crdt/entry.ts",
        find: "entry.first + Math.max(0, entry.adds.length - 1)",
        replace: "entry.first + entry.adds.length - 1",
      },
      {
        file: "crdt/partition.ts",
        find: 'if (includes(p.vector, entry)) return "known";',
        replace: 'if (entry.adds.length > 0 && includes(p.vector, entry)) return "known";',
      },
      {
        file: "crdt/partition.ts",
        find: "  p.vector.rise(entry.actor, last);",
        replace: "  if (last > p.vector.seq(entry.actor)) p.vector.rise(entry.actor, last);",
      },
    ],
  },
  rules("gap-does-not-wait", BY_MAP, [
    'return entry.first === p.vector.seq(entry.actor) + 1 ? "next" : "early";',
    'return entry.first > p.vector.seq(entry.actor) ? "next" : "early";',
  ]),
  rules("lost-without-floor", BY_MAP, [
    "const reachesFloor = theirs.vector.reaches(p.floor);",
    "const reachesFloor = true;",
  ]),
  rules("lost-without-log", BY_MAP, ["return reachesFloor && !removedAbove(cell.dot);", "return reachesFloor;"]),
  rules("never-takes-back", BY_MAP, ["return reachesFloor && !removedAbove(cell.dot);", "return false;"]),
  rules("copy-taken-unjudged", BY_MAP, [
    "  const take = judgeRow(p, row, theirs, removedAbove);\n",
    "  const take = removedAbove ? [...theirs.row.cells.values()] : [];\n",
  ]),
  rules("copy-without-stubs", BY_MAP, ["  for (const [key, dot] of theirs.row.stubs) row.stubs.set(key, dot);\n", ""]),
  rules("copy-drops-nothing", BY_MAP, [
    "(theirs.vector.covers(cell.dot) && !theirs.row.cells.has(key))",
    "(cell === null)",
  ]),
  rules("floor-stays-after-copy", BY_MAP, ["      p.floor.rise(actor, seq);\n", ""]),
  rules("floor-lowered-to-V", BY_MAP, [
    "  for (const [key, dot] of p.awaited) if",
    "  Object.assign(p, { floor: vector.copy() });\n  for (const [key, dot] of p.awaited) if",
  ]),
  rules("vector-lowered-to-V", BY_MAP, [
    "  for (const [key, dot] of p.awaited) if",
    "  Object.assign(p, { vector: vector.copy() });\n  for (const [key, dot] of p.awaited) if",
  ]),
  rules("heal-from-one-behind", BY_WORLD, [
    "return vector.reaches(damagedAt) && vector.reaches(p.floor) && p.vector.reaches(vector);",
    "return vector.reaches(p.floor) && p.vector.reaches(vector);",
  ]),
  rules("heal-from-one-ahead", BY_PARTITION, [" && p.vector.reaches(vector);", ";"]),
  host("damage-remembered-once", { world: ["damage", "reads"] }, [
    "    this.damaged.set(leaf, this.state.vector.copy());",
    "    if (!this.damaged.has(leaf)) this.damaged.set(leaf, this.state.vector.copy());",
  ]),
  inFile("crdt/digest.ts")("sum-without-stubs", { laws: "kernel" }, [
    "if (row.stubs.size === 0) return live;",
    "if (row) return live;",
  ]),
  faults("restart-keeps-actor", BY_WORLD, [
    "  node.actor = world.newActor(node.name);\n  node.disk = node.disk.clone();",
    "  node.disk = node.disk.clone();",
  ]),
  rules("guest-forgets-after-one-ack", BY_WORLD, ["return ownersAcks.every(", "return ownersAcks.some("]),
  faults("removed-owner-drops-at-once", BY_WORLD, [" || !node.disk.mayDrop(world.ownersSeenBy(node))", ""]),
  world("guest-serves-no-copy", BY_WORLD, ["if (copy) this.send", "if (copy && this.isOwner(node)) this.send"]),
  faults("drop-keeps-actor", BY_WORLD, [
    "  node.disk = new PartitionHost();\n  node.actor = world.newActor(node.name);",
    "  node.disk = new PartitionHost();",
  ]),
  world("token-ignored", { world: ["reads"] }, [" || !state.vector.reaches(client.token)", ""]),
  world("token-ignored-by-quorum", { world: ["reads", "members", "restore"] }, [
    "if (known.reaches(read.client.token)) this",
    "this",
  ]),
  rules("join-without-vectors", BY_MAP, [
    "(vector.covers(cell.dot) && !holders.some((holder) => holder.vector.reaches(vector)))",
    "(vector === null && holders.length === 0)",
  ]),
  rules("close-without-buffers", BY_PARTITION, ["all.flatMap(({ waiting }) => waiting)", "all.flatMap(() => [])"]),
  faults("close-asks-owners-only", { world: ["guests", "force", "members"], nodes: 4 }, [
    "const members = world.nodes.filter((n) => !n.gone);",
    "const members = world.nodes.filter((n) => !n.gone && world.owners.includes(n.id));",
  ]),
  rules("senders-stubs-remove", BY_MAP, [
    "  return lost.length;",
    "  for (const [key, dot] of theirs.row.stubs) if (row.cells.delete(key)) row.stubs.set(key, dot);\n  return lost.length;",
  ]),
  world("ready-after-one", { world: ["reads", "members"] }, [
    "if (others.filter((id) => node.levelledWith.has(id)).length > others.length / 2) node.ready",
    "if (others.length >= 0) node.ready",
  ]),
  world("quorum-in-new-only", { world: ["reads", "members"] }, [
    "[old, next].every(",
    "[next, old].slice(0, 1).every(",
  ]),
  faults("owner-again-is-ready", { world: ["reads", "members"], nodes: 4 }, [
    "    if (world.isOwner(node) && !before.includes(node.id)) notReady(node);\n",
    "",
  ]),
  world("answer-to-another-read", { world: ["reads", "members"] }, [
    "r.id === id && !r.answers",
    "id > 0 && r.key === key && !r.answers",
  ]),
];

/** The model's mutants that this code can't express, and why. */
export const NOT_EXPRESSIBLE: Readonly<Record<string, string>> = {
  "stub-only-if-unknown": "a live dot is always covered by the vector, so a removed dot above it is never known here",
  "drop-with-strays": "no dot lives above a vector, so there are no strays to look for",
  "close-without-strays": "the same",
  "token-only-vector":
    "tokens hold no dots: a vector covers every dot that was shown (token-ignored is token-only-dots)",
};

/** One line of applying, judging or adopting left out, or the like. */
const ofTheRules: readonly Mutant[] = [
  rules("apply-raises-no-vector", BY_MAP, ["  p.vector.rise(entry.actor, last);\n", ""]),
  rules("apply-removes-nothing", BY_MAP, ["    row.cells.delete(dotKey(dot));\n", ""]),
  rules("apply-leaves-no-stub", BY_MAP, ["      row.stubs.set(dotKey(dot), dot);\n      p.awaited", "      p.awaited"]),
  rules("apply-awaits-nothing", BY_MAP, ["      p.awaited.set(dotKey(dot), dot);\n", ""]),
  rules("apply-stubs-covered-dots", BY_MAP, ["    if (!p.vector.covers(dot)) {", "    if (p.vector.covers(dot)) {"]),
  rules("apply-adds-nothing", BY_MAP, [
    "  for (const cell of addedCells(entry)) if (!isAwaited(p, row, cell.dot)) takeCell(row, cell);\n",
    "",
  ]),
  rules("apply-adds-awaited", BY_MAP, ["if (!isAwaited(p, row, cell.dot)) takeCell", "takeCell"]),
  rules("apply-awaits-for-ever", BY_MAP, [
    "  for (let seq = entry.first; seq <= last; seq++) p.awaited.delete(dotKey({ actor: entry.actor, seq }));\n",
    "",
  ]),
  rules("apply-awaits-last-for-ever", BY_MAP, ["seq <= last; seq++) p.awaited", "seq < last; seq++) p.awaited"]),
  rules("apply-folds-nothing", BY_MAP, ["  foldStubs(p, row);\n}\n\nfunction isAwaited", "}\n\nfunction isAwaited"]),
  rules(
    "apply-twice",
    BY_PARTITION,
    ['  assert(p.vector.seq(entry.actor) < entry.first, "an entry is applied once");\n', ""],
    [
      "  p.vector.rise(entry.actor, last);\n",
      "  if (last > p.vector.seq(entry.actor)) p.vector.rise(entry.actor, last);\n",
    ],
  ),
  rules("apply-to-first-only", BY_MAP, [
    "  p.vector.rise(entry.actor, last);\n",
    "  p.vector.rise(entry.actor, entry.first);\n",
  ]),
  rules("a-lost-stub-is-lost", BY_MAP, [
    "return row.stubs.has(key) || p.awaited.has(key);",
    "return row.stubs.has(key);",
  ]),
  rules("stubs-of-copies-forgotten", BY_MAP, [
    "return row.stubs.has(key) || p.awaited.has(key);",
    "return p.awaited.has(key);",
  ]),
  rules("fold-nothing", BY_MAP, [
    "if (p.vector.covers(dot)) row.stubs.delete(key);",
    "if (!dot) row.stubs.delete(key);",
  ]),
  rules("judge-takes-what-is-here", BY_MAP, ["    if (mine.cells.has(dotKey(cell.dot))) return false;\n", ""]),
  rules("judge-ignores-my-vector", BY_MAP, [
    "    if (p.vector.covers(cell.dot)) return reachesFloor && !removedAbove(cell.dot);\n",
    "    if (!reachesFloor && removedAbove(cell.dot)) return false;\n",
  ]),
  rules("judge-ignores-what-is-awaited", BY_MAP, ["    return !isAwaited(p, mine, cell.dot);", "    return true;"]),
  rules("judge-takes-nothing-new", BY_MAP, ["    return !isAwaited(p, mine, cell.dot);", "    return false;"]),
  rules("repair-brings-new-dots", BY_MAP, [".filter((cell) => p.vector.covers(cell.dot));", ";"]),
  rules("repair-puts-nothing", BY_MAP, ["  for (const cell of lost) row.cells.set(dotKey(cell.dot), cell);\n", ""]),
  rules("adopt-ignores-their-stubs", BY_MAP, ["if (theirs.row.stubs.has(key) || (theirs.vector", "if ((theirs.vector"]),
  rules("adopt-drops-nothing", BY_MAP, [
    "      row.cells.delete(key);\n  for (const cell of take)",
    "      row.cells.has(key);\n  for (const cell of take)",
  ]),
  rules("adopt-takes-nothing", BY_MAP, [
    "  for (const cell of take) row.cells.set(dotKey(cell.dot), cell);\n",
    "  take;\n",
  ]),
  rules("adopt-drops-what-they-have", BY_MAP, [" && !theirs.row.cells.has(key))", ")"]),
  rules("adopt-raises-no-vector", BY_MAP, ["      p.vector.rise(actor, seq);\n", ""]),
  rules("adopt-awaits-for-ever", BY_MAP, [
    "  for (const [key, dot] of p.awaited) if (p.vector.covers(dot)) p.awaited.delete(key);\n",
    "",
  ]),
  rules("copy-always-wanted", BY_PARTITION, [
    "return !p.vector.reaches(floorOfCopy);",
    "return p !== null || floorOfCopy;",
  ]),
  rules("copy-never-wanted", BY_PARTITION, [
    "return !p.vector.reaches(floorOfCopy);",
    "return p === null || !floorOfCopy;",
  ]),
  rules("copy-heals-from-one-behind", BY_PARTITION, [
    "  return vector.reaches(damagedAt) && vector.reaches(p.floor);\n",
    "  return vector.reaches(p.floor) || !damagedAt;\n",
  ]),
  rules("copy-heals-below-floor", BY_PARTITION, [
    "  return vector.reaches(damagedAt) && vector.reaches(p.floor);\n",
    "  return vector.reaches(damagedAt) || !p;\n",
  ]),
  rules("heal-below-floor", BY_PARTITION, [
    "vector.reaches(damagedAt) && vector.reaches(p.floor) && p",
    "vector.reaches(damagedAt) && p",
  ]),
  rules("cut-what-a-stub-needs", BY_PARTITION, [
    "  return acknowledged && entry.removes.every((dot) => p.vector.covers(dot));",
    "  return acknowledged || !p;",
  ]),
  rules("cut-needs-all-acks", BY_PARTITION, ["othersAcks.some((ack) =>", "othersAcks.every((ack) =>"]),
  rules("admit-without-vector", BY_MAP, ['  if (includes(p.vector, entry)) return "known";\n', ""]),
  rules("early-held-twice", BY_PARTITION, [
    "  if (p.early.some((held) => held.actor === entry.actor && held.first === entry.first)) return true;\n",
    "",
  ]),
  rules("early-without-bound", BY_PARTITION, ["  if (p.early.length >= MAX_EARLY) return false;\n", ""]),
  rules("early-bound-off-by-one", BY_PARTITION, ["p.early.length >= MAX_EARLY", "p.early.length > MAX_EARLY"]),
  rules("early-never-ready", BY_PARTITION, [
    "entry.first === p.vector.seq(entry.actor) + 1);\n  if (next)",
    "entry.first < 1);\n  if (next)",
  ]),
  rules("early-stays-when-known", BY_PARTITION, ["  dropHeld(p, (entry) => includes(p.vector, entry));\n", ""]),
  rules("close-before-level", BY_PARTITION, [
    "if (have < upTo || have === CLOSED) continue;",
    "if (upTo < 0 || have === CLOSED) continue;",
  ]),
  rules("close-forgets-later", BY_PARTITION, [
    "    if (next) return next;\n    p.vector.rise",
    "    if (next && upTo < 0) return next;\n    p.vector.rise",
  ]),
  rules("close-never-ends", BY_PARTITION, ["    p.vector.rise(actor, CLOSED);\n", ""]),
  rules("holdings-of-everybody", BY_PARTITION, [
    "entry.actor === actor && lastSeq(entry) > have)",
    "lastSeq(entry) > have)",
  ]),
  rules("holdings-of-the-past", BY_PARTITION, [" && lastSeq(entry) > have) };", ") };"]),
  rules("pool-takes-the-least", BY_PARTITION, ["Math.max(0, ...all.map", "Math.min(CLOSED, ...all.map"]),
  rules("pool-takes-overlaps", BY_PARTITION, ["lastSeq(entry) > upTo && !overlaps", "lastSeq(entry) > upTo"]),
  rules("pool-out-of-order", BY_PARTITION, ["later.sort((a, b) => a.first - b.first)", "later"]),
  rules("join-forgets-stubs", BY_MAP, ["(row.stubs.has(key) || (vector.covers", "(vector === null || (vector.covers"]),
  rules("join-believes-any-absence", { world: ["reads", "traceless"] }, [
    " && !holders.some((holder) => holder.vector.reaches(vector))",
    " && holders.length >= 0",
  ]),
];

const vectors = inFile("crdt/version-vector.ts");
const dots = inFile("crdt/dot.ts");
const codec = inFile("crdt/codec.ts");
const contents = inFile("crdt/content.ts");
const entries = inFile("crdt/entry.ts");
const digests = inFile("crdt/digest.ts");
const clocks = inFile("crdt/hlc.ts");
const BY_KERNEL: Finder = { laws: "kernel" };
const BY_WRITE: Finder = { laws: "write" };

const ofTheKernel: readonly Mutant[] = [
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
  vectors("copy-shares", BY_KERNEL, ["return new VersionVector(this.#seqs);", "return this;"]),
  vectors("vector-falls", BY_KERNEL, ['    assert(seq > this.seq(actor), "a version vector never falls");\n', ""]),
  vectors("vector-unsorted-accepted", BY_KERNEL, ["compareText(before, actor) >= 0 || seq === 0", "seq === 0"]),
  vectors("vector-zero-accepted", BY_KERNEL, [
    "compareText(before, actor) >= 0 || seq === 0",
    "compareText(before, actor) >= 0",
  ]),
  dots("dots-unsorted", BY_KERNEL, ["[...dots].sort(compareDots)", "[...dots]"]),
  dots("dots-touching-accepted", BY_KERNEL, ["        touches ||\n", "        (touches && first < 0) ||\n"]),
  dots("dots-without-bound", BY_KERNEL, ["dots.length + length > MAX_DOTS", "dots.length + length > 2 * MAX_DOTS"]),
  dots("empty-actors-accepted", BY_KERNEL, ["    if (runs === 0) throw", "    if (runs < 0) throw"]),
  dots("dot-actors-unsorted-accepted", BY_KERNEL, [
    "if (compareText(before, actor) >= 0) throw",
    "if (compareText(before, actor) > 9) throw",
  ]),
  codec("cells-unsorted", BY_KERNEL, [".sort((a, b) => compareDots(a.dot, b.dot))", ""]),
  codec("cells-unsorted-accepted", BY_KERNEL, [
    "if (last && compareDots(last.dot, cell.dot) >= 0)",
    "if (last && compareDots(last.dot, cell.dot) > 9e15)",
  ]),
  codec("unused-actors-accepted", BY_KERNEL, ["usedActors !== actors.length || ", ""]),
  codec("unused-stamps-accepted", BY_KERNEL, ["usedStamps !== stamps.length || ", ""]),
  codec("double-stamps-accepted", BY_KERNEL, [" || texts.size !== stamps.length", ""]),
  codec("stamps-in-any-order-accepted", BY_KERNEL, [" || stampIndex > usedStamps", ""]),
  codec("live-and-removed-accepted", BY_KERNEL, ["if (row.cells.has(key)) throw", "if (!key) throw"]),
  codec("trailing-bytes-accepted", BY_KERNEL, ["  input.end();\n", ""]),
  codec("stubs-not-written", BY_KERNEL, ["writeDots(out, row.stubs.values());", "writeDots(out, []);"]),
  codec("stamps-confused", BY_KERNEL, [
    "JSON.stringify([hlc.ms, hlc.counter, suspect, author, reason])",
    "JSON.stringify([hlc.ms, hlc.counter, author, reason])",
  ]),
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
  digests("difference-turned", BY_KERNEL, ["  addDigest(sum, 0, ONE);\n", ""]),
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
const BY_COUNTER: Finder = { laws: "counter" };
const BY_SET: Finder = { laws: "set" };
const BY_REGISTER: Finder = { laws: "register" };

const ofTheTypes: readonly Mutant[] = [
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
    "    if (types.size === 0 || types.has(wanted)) continue;",
    "    if (types.size >= 0) continue;",
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
  sets("numbers-as-text", BY_KERNEL, [".u8(NUMBER)", ".u8(TEXT)"]),
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

export const MUTANTS: readonly Mutant[] = [...ofTheModel, ...ofTheRules, ...ofTheKernel, ...ofTheTypes];

/** Every mutant of the model, by name: those here and those that can't be. */
export const MODEL_NAMES: readonly string[] = [
  ...ofTheModel.map((mutant) => mutant.name).filter((name) => !name.startsWith("token-ignored")),
  "token-only-dots",
  ...Object.keys(NOT_EXPRESSIBLE),
];
