// Plausible wrong forms of what stands around the Raft core: its disk, its messages, its promises.

import type { Finder, Mutant } from "./mutant.ts";
import { inFile } from "./mutant.ts";

const loop = inFile("src/consensus/driver/ready-loop.ts");
const host = inFile("src/consensus/driver/host.ts");
const run = inFile("src/consensus/driver/run.ts");
const core = inFile("src/consensus/core/raft.ts");
const asks = inFile("src/consensus/driver/asks.ts");
const proposals = inFile("src/consensus/driver/proposals.ts");
const reads = inFile("src/consensus/driver/linear-reads.ts");
const ticker = inFile("src/consensus/driver/ticker.ts");
const links = inFile("src/consensus/driver/links.ts");
const wire = inFile("src/consensus/driver/wire.ts");
const records = inFile("src/storage/raft-records.ts");
const sqlite = inFile("src/storage/sqlite-raft.ts");
const save = inFile("src/storage/sqlite-raft-save.ts");

const coalesce = inFile("src/consensus/driver/coalesce.ts");

const BY_GROUP: Finder = { tests: "test/consensus/driver.test.ts", named: /./ };
const BY_MEMBER: Finder = { tests: "test/consensus/driver-member.test.ts", named: /./ };
const BY_SEAT: Finder = { tests: "test/consensus/driver-seat.test.ts", named: /./ };
const BY_LOST: Finder = { tests: "test/consensus/lost-log.test.ts", named: /./ };
const BY_LINKS: Finder = { tests: "test/consensus/links.test.ts", named: /./ };
const BY_WIRE: Finder = { tests: "test/consensus/wire.test.ts", named: /./ };
const BY_JOINS: Finder = { tests: "test/consensus/coalesce.test.ts", named: /./ };
const BY_STORE: Finder = { tests: "test/contract/raft-store.test.ts", named: /./ };

export const ofTheDriver: readonly Mutant[] = [
  loop("driver-promises-before-the-write", BY_GROUP, [
    "    const save = this.#saveOf(ready);\n",
    "    for (const message of ready.afterDurable) if (message.to !== raft.id) send(message);\n    const save = this.#saveOf(ready);\n",
  ]),
  loop("driver-forgets-its-vote", BY_GROUP, [
    "    if (!isPromise && snapshot === null && entries.length === 0) {",
    "    if ((!isPromise || entries.length === 0) && snapshot === null && entries.length === 0) {",
  ]),
  loop("driver-forgets-what-is-committed", BY_GROUP, [
    "    const newest = hardState ?? this.#unsaved;\n",
    "    const newest = hardState ?? (snapshot ? this.#unsaved : null);\n",
  ]),
  loop("driver-goes-on-after-a-failed-write", BY_MEMBER, ["      onFailure(error);", "      void [error, onFailure];"]),
  loop("driver-tells-no-leader", BY_GROUP, ["      onLeader(leader, term);".trim(), "void onLeader;"]),
  loop("driver-never-compacts", BY_GROUP, [
    "applied + 1 - first >= settings.compactEntries || ",
    "applied + 1 - first >= 1e9 || ",
  ]),
  loop("driver-writes-any-state", BY_MEMBER, [
    "data.length > settings.snapshotBytesMax ? data.length : null",
    "data.length > 1e9 ? data.length : null",
  ]),
  loop("driver-writes-each-alone", BY_GROUP, [
    "    await new Promise<void>((resolve) => world.timers.soon(resolve));\n",
    "    void world;\n",
  ]),
  coalesce("driver-joins-over-a-gap", BY_JOINS, ["after.prevIndex !== last.index || ", ""]),
  coalesce("driver-joins-refusals", BY_JOINS, ["before.accepted && after.accepted && ", ""]),
  run("driver-starts-without-its-snapshot", BY_GROUP, [
    "if (snapshot) machine.restore(snapshot.data, snapshot.index);",
    "if (snapshot && life < 2) machine.restore(snapshot.data, snapshot.index);",
  ]),
  host("driver-runs-anothers-log", BY_MEMBER, ["identity.node !== node || ", ""]),
  run("driver-hears-anybody", BY_MEMBER, ["if (!isMember && !allow(from))", "if (!isMember && from === '')"]),
  run("driver-hears-forgeries", BY_MEMBER, ["if (message.from !== from)", "if (message.from === '')"]),
  run("driver-forwards-anything", BY_MEMBER, ['if (message.type === "propose")\n', "if (message.term === -1)\n"]),
  host("driver-founds-twice", BY_MEMBER, [
    'if (this.#state === "running" || this.#state === "aside")',
    'if (this.#state === "aside")',
  ]),
  run("driver-keeps-them-waiting-at-its-end", BY_GROUP, ["    this.proposals.end();\n", ""]),
  proposals("driver-takes-anothers-entry", BY_GROUP, ["if (id?.node !== this.#node || id.log", "if (!id || id.log"]),
  proposals("driver-waits-for-ever", BY_GROUP, [
    "    this.unknown += 1;\n",
    "    if (this.#max > 0) return;\n    this.unknown += 1;\n",
  ]),
  proposals("driver-takes-any-number", BY_GROUP, ["this.#waiting.size >= this.#max", "this.#waiting.size >= 1e9"]),
  reads("driver-reads-before-applying", BY_MEMBER, [
    "if (index === null || index > applied) continue;",
    "if (index === null) continue;",
  ]),
  reads("driver-reads-of-another-life", BY_MEMBER, [
    "this.#nextId = (life % LIVES) * IDS_PER_LIFE + 1;",
    "this.#nextId = life * 0 + 1;",
  ]),
  reads("driver-never-asks-again", BY_GROUP, ["      waiting.age = 0;\n", "      if (waiting.age >= 0) continue;\n"]),
  ticker("driver-catches-up-ticks", BY_MEMBER, [
    "    this.#tick();\n",
    "    for (let i = 0; i < (this.stalls % 2 === 1 ? 30 : 1); i++) this.#tick();\n",
  ]),
  links("driver-snapshot-without-end", BY_LINKS, [
    "this.#isStopped || this.#o.snapshotEnded(this.#node, arrived)",
    "this.#isStopped || !arrived || this.#o.snapshotEnded(this.#node, arrived)",
  ]),
  links("driver-never-redials", BY_LINKS, [
    "        this.#isDialing = false;\n        this.#down(",
    "        this.#down(",
  ]),
  links("driver-holds-any-number", BY_LINKS, ["this.#waiting.length > WAITING_MAX || ", ""]),
  links("driver-sends-to-the-stalled", BY_LINKS, ["link.queuedBytes > QUEUED_BYTES_MAX", "link.queuedBytes > 1e12"]),
  links("driver-redials-at-once", BY_LINKS, [
    "    this.#retryMs = Math.min(MAX_RETRY_MS, this.#retryMs * 1.6);\n",
    "    this.#retryMs = 1;\n",
  ]),
  wire("driver-terms-go-back", BY_WIRE, ["if (term < before || term > head.term", "if (term > head.term"]),
  records("driver-log-may-end-early", BY_STORE, ["if (reaches !== lastIndex)", "if (reaches > lastIndex)"]),
  records("driver-checksum-without-place", BY_STORE, [
    "  const body = unseal(sealed, [name, place]);",
    "  const body = unseal(sealed, [name, place]) ?? sealed.subarray(SEAL_BYTES);",
  ]),
  records("driver-compact-forgets-commit", BY_STORE, [
    "const committed = Math.max(state.hardState.committed, index);",
    "const committed = Math.max(state.hardState.committed, index * 0);",
  ]),
  save("driver-keeps-the-contradicted", BY_STORE, [
    "DELETE FROM entries WHERE id >= iif(",
    "DELETE FROM entries WHERE id = iif(",
  ]),
  sqlite("driver-misses-no-write", BY_STORE, [
    "if (generation !== null && generation > found.generation)",
    "if (generation === -1)",
  ]),
  core("driver-lost-log-taken-for-impossible", BY_SEAT, [
    "    if (committed > lastIndex)\n",
    "    if (committed < 0)\n",
  ]),
  core("driver-lost-log-noticed-in-its-term-only", BY_LOST, [
    "message.term >= core.term) this.#checkEnd",
    "message.term === core.term) this.#checkEnd",
  ]),
  run("driver-lost-log-stops-the-node", BY_SEAT, [
    "if (error instanceof LostLogError) this",
    "if (error === null) this",
  ]),
  host("driver-lost-log-not-given-up", BY_SEAT, [
    "          await store.giveUp(message);\n",
    "          void store;\n",
  ]),
  host("driver-gives-up-only-with-room", BY_SEAT, [
    "for (let isDone = false; !isDone && !this.#hasEnded; ) {",
    "for (let isDone = false, tries = 0; !isDone && !this.#hasEnded && tries < 1; tries++) {",
  ]),
  host("driver-gives-up-in-the-midst-of-a-write", BY_SEAT, ["      await this.#run?.loop.idle();\n", ""]),
  host("driver-takes-part-unasked", BY_SEAT, ["    if (answer === true) {\n", "    if (answer !== '') {\n"]),
  host("driver-aside-in-name-only", BY_SEAT, ["    if (wasRunning) this.#run?.end();\n", ""]),
  host("driver-aside-still-answers", BY_SEAT, [
    '    if (this.#state !== "running") throw this.#notRunning();\n    return present',
    '    if (this.#state !== "running" && !this.#run) throw this.#notRunning();\n    return present',
  ]),
  host("driver-same-life-after-aside", BY_SEAT, [
    "    await this.#changing(() => this.#load());\n",
    "    await this.#inTurn(async () => {});\n    this.#be('running', null);\n",
  ]),
  host("driver-runs-what-is-being-replaced", BY_SEAT, ["        this.#loaded = null;\n        try {", "        try {"]),
  host("driver-replaces-what-runs", BY_SEAT, [
    '      if (this.#state === "running")\n        throw new RaftRefusal("raft-running"',
    '      if (this.#state === "waiting")\n        throw new RaftRefusal("raft-running"',
  ]),
  records("driver-giving-up-is-forgotten", BY_STORE, [
    "if (state.givenUp !== null) throw",
    "if (state.givenUp === '') throw",
  ]),
  records("driver-log-without-instance", BY_STORE, [
    "  if (!INSTANCE.test(identity.instance))\n",
    "  if (VERSION < 0)\n",
  ]),
  sqlite("driver-new-log-counts-from-one", BY_STORE, [
    "Math.max(this.#mark.generation ?? 0, this.#state?.generation ?? 0)",
    "this.#state ? 0 : 0",
  ]),
  sqlite("driver-new-log-reads-the-old-wal", BY_STORE, ["    await rm(wal);\n", ""]),
  sqlite("driver-old-log-goes-first", BY_STORE, [
    "      await writeDraft(draft, state, saved);\n",
    "      await rm(this.#file, { force: true });\n      await writeDraft(draft, state, saved);\n",
  ]),
  sqlite("driver-old-log-put-back", BY_STORE, [
    "      await this.#mark.write(state.generation);\n    } catch (error) {\n      throw this.#failed(error);\n    }\n    this.#state = null;",
    "    } catch (error) {\n      throw this.#failed(error);\n    }\n    this.#state = null;",
  ]),
  sqlite("driver-giving-up-not-written", BY_STORE, [
    "    await this.#alone(() => this.#writeSave(state, NO_CHANGE));\n    this.#state = null;",
    "    await this.#alone(async () => void state);\n    this.#state = null;",
  ]),
  links("driver-any-incarnation", BY_LINKS, ["  if (epoch !== mine)\n", "  if (epoch < 0)\n"]),
  links("driver-opens-links-of-no-incarnation", BY_LINKS, ['traffic: "control", epoch }', 'traffic: "control" }']),
  links("driver-reopens-nothing", BY_LINKS, ["    link?.close(REOPENED);\n", "    this.#link = link;\n"]),
  links("driver-keeps-what-was-being-opened", BY_LINKS, [
    "    if (epoch !== this.#o.epoch()) {\n",
    "    if (epoch < 0) {\n",
  ]),
  asks("driver-asks-without-bound", BY_LINKS, ["this.#inFlight >= ASKS_MAX", "this.#inFlight >= 1e9"]),
  asks("driver-asks-for-ever", BY_LINKS, ["Math.max(1, untilMs - clock.monotonicMs())", "Math.max(9e9, untilMs)"]),
  asks("driver-asks-wait-for-links-for-ever", BY_LINKS, [
    "timers.after(timeoutMs, () => reject(late))",
    "timers.after(9e8 + timeoutMs, () => reject(late))",
  ]),
  asks("driver-question-links-stay", BY_LINKS, [
    "      (link) => link.close(reason),\n",
    "      (link) => void link,\n",
  ]),
  asks("driver-asks-on-a-dead-link", BY_LINKS, [
    "      if (this.#link === dialing) this.#link = null;\n",
    "      void dialing;\n",
  ]),
  save("driver-half-a-save", BY_STORE, [
    "  await connection.run(\n",
    '  await connection.run("INSERT OR REPLACE INTO state VALUES (0, ?1)", sealState(state));\n  await connection.run(\n',
  ]),
];
