// Plausible wrong forms of what stands around the rules: the write path, replication, sessions, what a start reads. The
// simulator looks for them in whole clusters.

import type { Mutant } from "./mutant.ts";
import { inFile } from "./mutant.ts";

const BY_SIM = { sim: "drawn" } as const;
/** Seeds with disks that are damaged, rolled back or cut off. */
const BY_DISKS = { sim: ["crash", "damage", "rollback", "cut"] } as const;

const pipeline = inFile("src/replication/pipeline.ts");
const jobLoop = inFile("src/replication/job-loop.ts");
const batch = inFile("src/replication/batch.ts");
const rows = inFile("src/replication/rows.ts");
const partitions = inFile("src/replication/partitions.ts");
const retention = inFile("src/replication/retention.ts");
const catchUp = inFile("src/replication/catch-up.ts");
const repair = inFile("src/replication/repair.ts");
const waiting = inFile("src/replication/waiting.ts");
const session = inFile("gossip/antientropy/session.ts");

const ofTheWritePath: readonly Mutant[] = [
  jobLoop("answers-before-commit", BY_SIM, [
    "    const ended = this.#work.commit(batch).then(\n      () => {\n        this.#answer(answers);\n",
    "    this.#answer(answers);\n    const ended = this.#work.commit(batch).then(\n      () => {\n",
  ]),
  pipeline("shows-before-durable", BY_SIM, [
    "    this.rows.begin(changed);\n",
    "    this.rows.begin(changed);\n    for (const [id, state] of batch.states) this.partition(id).state = state;\n",
  ]),
  pipeline("sums-not-kept", BY_SIM, [
    "      sums.add(leaf, record.digestDelta, record.inventoryDelta, record.recordDelta);\n",
    "      if (record.recordDelta >= 0) sums.add(leaf, record.digestDelta, record.inventoryDelta, record.recordDelta);\n",
  ]),
  rows("cache-not-renewed", BY_SIM, [
    "      else this.cache.putCommitted(id, working);",
    "      else if (working.beforeBytes === 0) this.cache.putCommitted(id, working);",
  ]),
  inFile("src/replication/run-actor.ts")("actor-used-again-after-a-restart", BY_SIM, [
    "makeActorId(this.#node, this.#start, this.#world.rng.u32())",
    "makeActorId(this.#node, 1, 1)",
  ]),
  batch("vectors-not-all-saved", BY_SIM, [
    "    for (const [partition, { vector }] of this.states) {",
    "    for (const [partition, { vector }] of [...this.states].slice(0, 1)) {",
  ]),
  batch("conflicts-not-indexed", BY_SIM, [
    "      rows.push({ bucket, key, slot, body: working.encoded, conflict });",
    "      rows.push({ bucket, key, slot, body: working.encoded, conflict: conflict && before.cells.size < 2 });",
  ]),
  batch("journal-with-gaps", BY_SIM, [
    "      if (record) journal",
    "      if (record && before.cells.size < 2) journal",
  ]),
  batch("records-counted-wrong", BY_SIM, [
    "Number(row.cells.size > 0) - Number(working.row.cells.size > 0);",
    "Number(row.cells.size > 0 && working.row.cells.size === 0);",
  ]),
];

const ofReplication: readonly Mutant[] = [
  inFile("src/replication/peer/outbox.ts")("acknowledged-when-sent", BY_SIM, [
    '    link.request("entries", { entries }, PUSH_TIMEOUT_MS).then(',
    '    this.#onAnswer(records, { gaps: [] });\n    link.request("entries", { entries }, PUSH_TIMEOUT_MS).then(',
  ]),
  session("differing-partitions-called-even", BY_SIM, [
    "      (isEven ? even : differing).push(partition);",
    "      (isEven || partition % 2 === 1 ? even : differing).push(partition);",
  ]),
  inFile("src/replication/peers.ts")("never-below-the-floor", BY_DISKS, [
    'return mine.reaches(VersionVector.decode(floor)) ? "behind" : "below-floor";',
    'return floor.length >= 0 ? "behind" : "below-floor";',
  ]),
  catchUp("copy-without-its-vector", BY_DISKS, ["    adoptVector(state, vector);\n", ""]),
  catchUp("copy-keeps-what-it-lacks", BY_DISKS, [
    "    const keys = new Map([...mine].map(([id, { key }]) => [id, key]));\n",
    "    const keys = new Map([...mine].slice(0, 0).map(([id, { key }]) => [id, key]));\n",
  ]),
  catchUp("copy-of-damaged-rows", BY_DISKS, [
    "      if ((await this.#repair.scrubNow(p)).length > 0)\n",
    "      if ((await this.#repair.scrubNow(p)).length < 0)\n",
  ]),
  repair("healed-without-new-sums", BY_DISKS, [
    "    for (const leaf of heals) resum(p, leaf, batch.rows.values());\n",
    "",
  ]),
  repair("heals-from-an-older-state", BY_DISKS, [
    "sound.has(leaf) && mayHeal(p.state, damagedAt.vector, theirs.vector);",
    "sound.has(leaf);",
  ]),
  repair("damage-known-in-memory-only", BY_DISKS, ["    this.#o.pipeline.noteDamage(p.id, leaf, vector);\n", ""]),
  retention("cuts-what-nobody-acknowledged", BY_DISKS, [
    "atMs >= beforeMs || !mayCut(p.state, decodeEntry(body), acks);",
    "atMs >= beforeMs || (acks.length === 99 && !mayCut(p.state, decodeEntry(body), acks));",
  ]),
  retention("cuts-without-a-floor", BY_DISKS, ["floors: [...actors].map(", "floors: [...actors].slice(0, 0).map("]),
  partitions("sums-not-brought-up-to-date", BY_SIM, ["  await replaySums(store, partitions, layout);\n", ""]),
  partitions("damage-forgotten-at-a-start", BY_DISKS, [
    "    at(partition).damaged.set(leaf, { vector: VersionVector.decode(vector), lack: null });",
    "    if (leaf < 0) at(partition).damaged.set(leaf, { vector: VersionVector.decode(vector), lack: null });",
  ]),
];

const ofSessionsAndAnswers: readonly Mutant[] = [
  waiting("sessions-wait-for-nothing", BY_SIM, [
    "    if (missing.length === 0 || timeoutMs <= 0) return Promise.resolve(missing);",
    "    if (missing.length >= 0 || timeoutMs <= 0) return Promise.resolve([]);",
  ]),
  waiting("waiters-woken-too-early", BY_SIM, ["      if (this.#missing(waiter.seen).length > 0) continue;\n", ""]),
  inFile("src/http/api.ts")("sessions-forget-what-they-saw", BY_SIM, [
    "  for (const { partition, vector } of [...before, ...now]) {",
    "  for (const { partition, vector } of before.length > 99 ? before : now) {",
  ]),
  inFile("src/http/writes.ts")("context-of-a-write-ignored", BY_SIM, [
    'const seen = context === null ? "blind" : api.tokens.openContext(key, context);',
    'const seen = context === null || api.tokens.openContext(key, context) ? "blind" : { dots: [] };',
  ]),
  inFile("src/replication/reading.ts")("damaged-rows-answer", BY_DISKS, [
    "    if (this.#isDamaged(partition, leaf)) return undefined;\n",
    "",
  ]),
];

export const ofTheNode: readonly Mutant[] = [...ofTheWritePath, ...ofReplication, ...ofSessionsAndAnswers];
