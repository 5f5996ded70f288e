// Plausible wrong forms of what stands around the Raft core: its disk, its messages, its promises.

import type { Finder, Mutant } from "./mutant.ts";
import { inFile } from "./mutant.ts";

const loop = inFile("src/consensus/driver/ready-loop.ts");
const host = inFile("src/consensus/driver/host.ts");
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
  host("driver-starts-without-its-snapshot", BY_GROUP, [
    "if (snapshot) machine.restore(snapshot.data, snapshot.index);",
    "if (snapshot && life < 2) machine.restore(snapshot.data, snapshot.index);",
  ]),
  host("driver-runs-anothers-log", BY_MEMBER, ["load.identity.node !== identity.node || ", ""]),
  host("driver-hears-anybody", BY_MEMBER, ["if (!isMember && !this.#o.allow(from))", "if (!isMember && from === '')"]),
  host("driver-hears-forgeries", BY_MEMBER, ["if (message.from !== from)", "if (message.from === '')"]),
  host("driver-forwards-anything", BY_MEMBER, ['if (message.type !== "propose") return;', "return;"]),
  host("driver-founds-twice", BY_MEMBER, ['this.#state === "running" || this.#isCreating', "this.#isCreating"]),
  host("driver-keeps-them-waiting-at-its-end", BY_GROUP, ["    running?.proposals.end();\n", ""]),
  proposals("driver-takes-anothers-entry", BY_GROUP, ["if (id?.node !== this.#node || id.life", "if (!id || id.life"]),
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
    "this.#nextId = life * IDS_PER_LIFE + 1;",
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
  save("driver-half-a-save", BY_STORE, [
    "  await connection.run(\n",
    '  await connection.run("INSERT OR REPLACE INTO state VALUES (0, ?1)", sealState(state));\n  await connection.run(\n',
  ]),
];
