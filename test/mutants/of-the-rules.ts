// Plausible wrong forms of the rules for one partition, and of the world where a rule lives there.

import type { Finder, Mutant } from "./mutant.ts";
import { inFile } from "./mutant.ts";

const rules = inFile("crdt/partition.ts");
const host = inFile("test/property/partition-host.ts");
const world = inFile("test/property/partition-world.ts");
const faults = inFile("test/property/partition-faults.ts");
const BY_MAP: Finder = { laws: "map" };
const BY_PARTITION: Finder = { laws: "partition" };
const BY_WORLD: Finder = { world: "all" };

/** The model's own (mutants.mjs), by its names, in our code: in the rules, or where the rule lives in the world. */
export const ofTheModel: readonly Mutant[] = [
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
  inFile("test/property/partition-steps.ts")("token-ignored", { world: ["reads"] }, [
    " || !state.vector.reaches(client.token)",
    "",
  ]),
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
export const ofTheRules: readonly Mutant[] = [
  rules("apply-raises-no-vector", BY_MAP, ["  p.vector.rise(entry.actor, last);\n", ""]),
  rules("apply-removes-nothing", BY_MAP, ["    row.cells.delete(dotKey(dot));\n", ""]),
  rules("apply-leaves-no-stub", BY_MAP, ["      row.stubs.set(dotKey(dot), dot);\n      p.awaited", "      p.awaited"]),
  rules("apply-awaits-nothing", BY_MAP, ["      p.awaited.set(dotKey(dot), dot);\n", ""]),
  rules("apply-stubs-covered-dots", BY_MAP, ["    if (!p.vector.covers(dot)) {", "    if (p.vector.covers(dot)) {"]),
  rules("apply-adds-nothing", BY_MAP, ["    if (!isAwaited(p, row, key)) takeCell(row, key, cell);\n", ""]),
  rules("apply-adds-awaited", BY_MAP, ["if (!isAwaited(p, row, key)) takeCell", "takeCell"]),
  rules("apply-awaits-for-ever", BY_MAP, [
    "  if (p.awaited.size > 0)\n    for (let seq = entry.first; seq <= last; seq++) p.awaited.delete(dotKey({ actor: entry.actor, seq }));\n",
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
  rules("judge-takes-what-is-here", BY_MAP, ["    if (mine.cells.has(key)) return false;\n", ""]),
  rules("judge-ignores-my-vector", BY_MAP, [
    "    if (p.vector.covers(cell.dot)) return reachesFloor && !removedAbove(cell.dot);\n",
    "    if (!reachesFloor && removedAbove(cell.dot)) return false;\n",
  ]),
  rules("judge-ignores-what-is-awaited", BY_MAP, ["    return !isAwaited(p, mine, key);", "    return true;"]),
  rules("judge-takes-nothing-new", BY_MAP, ["    return !isAwaited(p, mine, key);", "    return false;"]),
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
  rules("early-stays-after-a-copy", BY_PARTITION, ["  dropHeld(p, (held) => includes(p.vector, held));\n", ""]),
  rules("early-holds-what-removes-much", BY_PARTITION, [
    "  if (entry.removes.length > MAX_EARLY_REMOVES) return false;\n",
    "",
  ]),
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
