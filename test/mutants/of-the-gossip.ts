// Each numbered trap of the gossip design ("Things that are easily wrong"), fallen into: the rule broken in one or several
// ways. The tests that carry the trap's number must go red.

import type { Mutant, Patch } from "./mutant.ts";

const TESTS = "test/gossip/";
const machine = trapsIn("gossip/swim/machine.ts");
const rumours = trapsIn("gossip/swim/rumours.ts");
const context = trapsIn("gossip/swim/context.ts");
const prober = trapsIn("gossip/swim/prober.ts");
const claims = trapsIn("gossip/swim/claims.ts");
const table = trapsIn("gossip/swim/member-table.ts");
const sync = trapsIn("gossip/swim/sync.ts");
const suspicion = trapsIn("gossip/swim/suspicion.ts");
const awareness = trapsIn("gossip/swim/awareness.ts");
const broadcasts = trapsIn("gossip/swim/broadcasts.ts");
const serf = trapsIn("gossip/swim/serf.ts");
const host = trapsIn("gossip/drivers/gossip-host.ts");
const options = trapsIn("gossip/drivers/gossip-options.ts");
const lateTimers = trapsIn("gossip/drivers/late-timers.ts");
const envelope = trapsIn("gossip/wire/envelope.ts");
const keyring = trapsIn("gossip/wire/keyring.ts");
const packet = trapsIn("gossip/wire/packet.ts");
const lzw = trapsIn("gossip/wire/lzw.ts");
const stream = trapsIn("gossip/wire/stream.ts");
const datagrams = trapsIn("src/world/real-datagrams.ts");

/** Named after the trap: `item-1-…`. The test file is one of test/gossip, unless it is a path. */
function trapsIn(file: string) {
  return (item: number, name: string, tests: string, ...patches: readonly Patch[]): Mutant => ({
    name: `item-${item}-${name}`,
    finder: { tests: tests.includes("/") ? tests : `${TESTS}${tests}`, item },
    patches: patches.map(([find, replace]) => ({ file, find, replace })),
  });
}

const RUMOURS = "rumours.test.ts";
const PROBING = "probing.test.ts";
const CONFLICTS = "conflicts.test.ts";
const LIFEGUARD = "lifeguard.test.ts";
const QUEUE = "broadcasts.test.ts";
const LATE = "late-timers.test.ts";
const HOST = "gossip-host.test.ts";
const SEEDS = "seeds.test.ts";
const STRANGERS = "strangers.test.ts";
const LAYERS = "test/wire/layers.test.ts";

const ofWhatIsSaid: readonly Mutant[] = [
  rumours(1, "own-plus-one", RUMOURS, [
    "raised(Math.max(self.incarnation, accusedIncarnation))",
    "raised(self.incarnation)",
  ]),
  rumours(2, "alive-wins-over-equals", RUMOURS, [
    "else if (rumour.incarnation <= record.incarnation)",
    "else if (rumour.incarnation < record.incarnation)",
  ]),
  rumours(2, "accusation-loses-to-equals", RUMOURS, [
    "if (!record || rumour.incarnation >= record.incarnation) return record;",
    "if (!record || rumour.incarnation > record.incarnation) return record;",
  ]),
  rumours(2, "suspect-wins-over-dead", RUMOURS, ["if (!record || !isLive(record)) return;", "if (!record) return;"]),
  rumours(3, "earlier-life-believed", RUMOURS, [
    "else if (rumour.incarnation !== self.incarnation || !ours) this.#accused(",
    "else if (rumour.incarnation !== self.incarnation) this.#accused(",
  ]),
  rumours(4, "accusation-creates", RUMOURS, [
    "    const record = table.get(rumour.node);\n    if (!record || rumour.incarnation >= record.incarnation) return record;",
    '    if (!table.get(rumour.node) && from)\n      this.#meet({ ...this.#context.aliveAboutSelf(), type: "alive", node: rumour.node, incarnation: 0, address: from });\n' +
      "    const record = table.get(rumour.node);\n    if (!record || rumour.incarnation >= record.incarnation) return record;",
  ]),
  rumours(4, "row-creates", RUMOURS, [
    "    } else if (node.state === ",
    '    } else if (!this.#context.table.get(name)) this.#meet({ ...node, type: "alive" });\n    else if (node.state === ',
  ]),
  rumours(5, "dead-row-believed", RUMOURS, [
    "    } else if (node.state === ",
    '    } else if (node.state === "dead") this.dead({ type: "dead", node: name, incarnation, from: "x" });\n    else if (node.state === ',
  ]),
  suspicion(6, "accuser-counts-twice", RUMOURS, ["accusers: new Set([accuser])", 'accusers: new Set([""])']),
  rumours(6, "anybody-confirms", RUMOURS, ["if (!table.get(rumour.from) || rumour.from", "if (rumour.from"]),
  machine(9, "leave-signed-by-nobody", RUMOURS, ["incarnation, from: name });", 'incarnation, from: "" });']),
  rumours(9, "leave-becomes-failure", RUMOURS, [
    'if (!record || record.state === "left") return;',
    "if (!record) return;",
  ]),
  table(9, "leavers-reconnected", RUMOURS, [
    'return record.state === "dead" ? this.#dead : undefined;',
    "return this.#dead;",
  ]),
  host(10, "incarnations-start-at-one", HOST, [
    "incarnation: incarnationOfStart(startOf(meta, world))",
    "incarnation: 1",
  ]),
  rumours(11, "later-start-refused", CONFLICTS, ["claimed > known", "claimed < known"]),
  claims(11, "later-start-unproven", CONFLICTS, [
    'this.#aboutSelf(claim) || claim.claimantAnswered ? "taken-over" : "unproven"',
    '"taken-over"',
  ]),
  rumours(11, "second-takes-over", CONFLICTS, ['if (verdict === "taken-over")', 'if (verdict !== "unproven")']),
  rumours(11, "second-stays", CONFLICTS, ['this.#context.isSecond = verdict === "both-alive";', ""]),
  broadcasts(14, "older-news-kept", QUEUE, ["    this.#remove(about);\n    const broadcast", "    const broadcast"]),
  broadcasts(14, "most-sent-first", QUEUE, ["of this.#tiers) {", "of [...this.#tiers].reverse()) {"]),
];

const ofProbing: readonly Mutant[] = [
  prober(7, "any-sender-counts", PROBING, [
    "if (direct || probe.relays.has(endpointKey(from))) probe.answered = true;",
    "probe.answered = true;",
  ]),
  prober(7, "any-number-counts", PROBING, ["if (probe?.seq === ack.seq) {", "if (probe && from) {"]),
  prober(7, "anothers-ping-answered", PROBING, [
    'if (ping.node !== "" && ping.node !== self.name) {',
    "if (ping.node === self.address.host) {",
  ]),
  prober(7, "ping-without-target", PROBING, [
    'return { type: "ping", seq, node, source',
    'return { type: "ping", seq, node: "", source',
  ]),
  prober(8, "target-as-relay", PROBING, [
    'record.state === "alive" && record.name !== target',
    'record.state === "alive"',
  ]),
  prober(8, "suspects-as-relays", PROBING, [
    'record.state === "alive" && record.name !== target',
    "record.name !== target",
  ]),
  prober(8, "nack-too-late", PROBING, ["const NACK_PART = 0.8;", "const NACK_PART = 1.2;"]),
  prober(8, "nacks-count-against-us", LIFEGUARD, ["nacksExpected - nacks.size", "nacksExpected"]),
  prober(8, "missing-nacks-forgiven", LIFEGUARD, ["nacksExpected - nacks.size", "0"]),
  awareness(12, "nothing-stretched", LIFEGUARD, ["return ms * (this.#score + 1);", "return ms;"]),
  awareness(12, "without-bounds", LIFEGUARD, [
    "Math.min(this.#max, Math.max(0, this.#score + delta))",
    "Math.max(0, this.#score + delta)",
  ]),
  rumours(12, "suspicion-stretched", LIFEGUARD, [
    "const left = leftMs(suspicion, nowMs);",
    "const left = this.#context.awareness.stretched(leftMs(suspicion, nowMs));",
  ]),
  prober(13, "buddy-not-told", PROBING, ['if (record.state === "suspect") this', 'if (record.state === "dead") this']),
  table(15, "joiners-last", PROBING, [
    "const at = this.#rng.below(this.#probeOrder.length + 1);",
    "const at = this.#probeOrder.length;",
  ]),
  table(15, "never-shuffled", PROBING, [
    "this.#probeOrder = shuffle(\n      this.#probeOrder.filter((record) => record.inProbeOrder),\n      this.#rng,\n    );",
    "this.#probeOrder = this.#probeOrder.filter((record) => record.inProbeOrder);",
  ]),
  table(15, "drawn-not-in-turn", PROBING, [
    "const record = this.#probeOrder[this.#probeAt++] as MemberRecord;",
    "const record = this.#probeOrder[this.#rng.below(++this.#probeAt)] as MemberRecord;",
  ]),
];

const ofStallsAndCuts: readonly Mutant[] = [
  lateTimers(16, "judged-at-once", LATE, ["if (lateMs < STALL_MS_MIN) {", "if (lateMs >= 0) {"]),
  lateTimers(16, "one-quiet-turn", LATE, ["const QUIET_TURNS = 2;", "const QUIET_TURNS = 1;"]),
  lateTimers(16, "drained-for-ever", LATE, ["seen - first >= DRAIN_PACKETS_MAX", "seen - first >= Infinity"]),
  lateTimers(16, "drained-too-long", LATE, ["clock.monotonicMs() >= endMs", "clock.monotonicMs() >= 4 * endMs"]),
  host(16, "stalls-untold", HOST, ['this.#step({ kind: "stalled", byMs });', ""]),
  prober(16, "probe-not-postponed", PROBING, ["if (this.#probe) this.#probe.sentMs += byMs;", ""]),
  rumours(16, "suspicions-not-postponed", PROBING, [
    "record.suspicion.startMs += byMs;",
    "record.suspicion.startMs += 0;",
  ]),
  machine(16, "stall-trusts-itself", LIFEGUARD, [
    '      case "stalled":\n        this.#context.awareness.change(1);',
    '      case "stalled":',
  ]),
  datagrams(16, "small-receive-buffer", "receive-buffer.test.ts", ["4 * 1024 * 1024", "4 * 1024"]),
  host(16, "buffer-not-told", HOST, [
    'present(this.#socket, "a host is handed out when it listens").receiveBufferBytes',
    "0",
  ]),
  envelope(17, "label-unchecked", RUMOURS, [
    "if (packet[at] !== header[at]) return false;",
    "if (packet[at] === undefined) return false;",
  ]),
  envelope(17, "any-label-without-one", RUMOURS, [
    "if (header.length === 0) return packet[0] !== TYPE.label;",
    "if (header.length === 0) return true;",
  ]),
  options(17, "label-not-demanded", "gossip-options.test.ts", [
    'if (label === "" && keys.length',
    'if (label === "?" && keys.length',
  ]),
  table(18, "dead-not-gossiped-to", SEEDS, [
    'return record?.state === "dead" ? record : undefined;',
    "return undefined;",
  ]),
  sync(18, "seeds-given-up", SEEDS, [
    "    this.#seedTimer = this.#context.setTimer(",
    "    if (this.#seedTries < 16) this.#seedTimer = this.#context.setTimer(",
  ]),
  sync(18, "seeds-resolved-once", SEEDS, ["this.#pushPull(seed.address, seed)", "this.#pushPull(seed.resolved, seed)"]),
  sync(18, "dead-never-tried-again", SEEDS, ["const record = table.anyDead();", 'const record = table.get("");']),
];

const ofHostilePackets: readonly Mutant[] = [
  lzw(19, "unbounded-decompression", LAYERS, [
    "if (length + more > maxBytes) throw",
    "if (length + more > 64 * maxBytes) throw",
  ]),
  packet(19, "large-unpacked-packets", LAYERS, [
    "const UNPACKED_BYTES_MAX = 65_535;",
    "const UNPACKED_BYTES_MAX = 65_535_000;",
  ]),
  stream(19, "table-believed", "test/wire/memberlist.test.ts", [
    "if (count > this.#limits.nodes || userBytes",
    "if (userBytes",
  ]),
  packet(19, "unknown-type-ends-packet", "test/wire/memberlist.test.ts", [
    "attempt(() => messages.push(decodeMessage(part)));",
    "messages.push(decodeMessage(part));",
  ]),
  host(19, "rejects-uncounted", HOST, ["for (const reason of rejects) this.#count(reason);", ""]),
  machine(19, "strangers-like-members", STRANGERS, [
    "        if (!this.#context.table.at(event.from)) this.#context.heardStranger(event.roomBytes);\n",
    "",
  ]),
  context(19, "strangers-without-end", STRANGERS, [
    "return this.#sentForStrangers > STRANGER_PACKETS_PER_SECOND;",
    "return false;",
  ]),
  host(19, "answers-longer-than-questions", HOST, [
    "bytes.length - this.#envelope.overheadBytes",
    "bytes.length + 100",
  ]),
  prober(19, "endless-relays", PROBING, [
    "if (this.#relays.size >= RELAYS_MAX) {",
    "if (this.#relays.size >= Infinity) {",
  ]),
  rumours(19, "timers-for-each-accusation", STRANGERS, ["if (armed && armed.dueMs <= nowMs + left) return;", ""]),
  table(19, "deaths-pile-up", STRANGERS, [
    "if (this.#recentlyDead.length > 2 * this.#byName.size) {",
    "if (this.#recentlyDead.length < 0) {",
  ]),
  claims(19, "claims-opened-again", STRANGERS, [
    "    claim.closed = true;\n",
    "    claim.closed = true;\n    this.#open.delete(claim.alive.node);\n",
  ]),
  keyring(20, "first-key-only", LAYERS, [
    "for (const key of this.#keys) {",
    "for (const key of this.#keys.slice(0, 1)) {",
  ]),
  keyring(20, "sealed-with-the-last", LAYERS, [
    "const key = this.#keys[0] as Uint8Array;",
    "const key = this.#keys.at(-1) as Uint8Array;",
  ]),
  keyring(20, "use-changes-nothing", LAYERS, [
    "this.#keys = [key, ...this.#keys.filter((other) => !equalBytes(other, key))];",
    "",
  ]),
  envelope(20, "unencrypted-believed", LAYERS, [
    "if (verifyIncoming === false && error instanceof InputError)",
    "if (error instanceof InputError)",
  ]),
  serf(20, "rotation-needs-a-restart", "serf.test.ts", ['else if (operation === "use") keyring.use(key);', ""]),
  rumours(20, "replays-kill", RUMOURS, [
    "if (!record || rumour.incarnation >= record.incarnation) return record;",
    "if (record) return record;",
  ]),
];

export const ofTheGossip: readonly Mutant[] = [...ofWhatIsSaid, ...ofProbing, ...ofStallsAndCuts, ...ofHostilePackets];
