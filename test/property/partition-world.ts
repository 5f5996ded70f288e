// A world around the rules: nodes with disks, links, clients and configurations. After the
// executable model (data.md), over crdt/. Steps are in partition-steps.ts, faults and configurations in
// partition-faults.ts, the truth in partition-oracle.ts.

import type { Dot, DotKey, Entry, Op, Row, Seen, TravellingRow } from "../../crdt/index.ts";
import { includes, joinAnswers, planWrite, VersionVector } from "../../crdt/index.ts";
import type { Verdict } from "../../crdt/partition.ts";
import { assertNever, present } from "../../src/kernel/assert.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import type { ActorId } from "../../src/kernel/ids.ts";
import { makeActorId, parseNodeId } from "../../src/kernel/ids.ts";
import { learnUpTo } from "./partition-faults.ts";
import type { Copy } from "./partition-host.ts";
import { LEAVES, leafOfKey, PartitionHost } from "./partition-host.ts";
import { Oracle } from "./partition-oracle.ts";

export interface WorldOptions {
  readonly nodes: number;
  readonly owners: number;
  readonly keys: number;
}

export interface WorldNode {
  readonly id: number;
  readonly name: string;
  disk: PartitionHost;
  actor: ActorId;
  /** The version of the configuration that it knows. */
  config: number;
  ready: boolean;
  levelledWith: Set<number>;
  gone: boolean;
  backups: { disk: PartitionHost; config: number }[];
  reads: QuorumRead[];
}

export interface Client {
  readonly name: string;
  /** What its session has seen: a vector is enough, since every live dot is covered by one. */
  readonly token: VersionVector;
  /** key → the dots that it was shown last. */
  readonly seen: Map<string, Dot[]>;
}

interface QuorumRead {
  readonly id: number;
  readonly key: string;
  readonly client: Client;
  readonly due: readonly Entry[];
  readonly answers: (TravellingRow & { from: number })[];
}

type Body =
  | { type: "entries"; entries: readonly Entry[] }
  | { type: "ask"; vector: VersionVector }
  | { type: "log"; entries: readonly Entry[]; vector: VersionVector; floor: VersionVector; ready: boolean }
  | { type: "askCopy" }
  | { type: "copy"; copy: Copy }
  | { type: "digest"; digests: readonly string[]; damaged: readonly number[] }
  | {
      type: "rows";
      rows: Map<string, Row>;
      vector: VersionVector;
      sound: readonly number[];
      reply: readonly number[] | null;
    }
  | { type: "get"; key: string; id: number }
  | ({ type: "got"; key: string; id: number } & TravellingRow);
type Message = Body & { readonly from: number; readonly to: number; readonly config: number; readonly owner: boolean };
type MessageOf<T extends Body["type"]> = Extract<Message, { type: T }>;

export class World {
  readonly nodes: readonly WorldNode[];
  readonly oracle: Oracle = new Oracle();
  readonly clients: readonly Client[];
  readonly cutLinks: Set<string> = new Set();
  readonly configs: { old: readonly number[]; new: readonly number[] }[];
  readonly closed: Map<ActorId, Verdict> = new Map();
  readonly keys: number;
  inFlight: Message[] = [];
  /** What happened, for people. */
  readonly story: string[] = [];
  #runs = 0;
  #reads = 0;

  constructor({ nodes, owners, keys }: WorldOptions) {
    const ids = [...Array(nodes).keys()];
    this.keys = keys;
    this.configs = [{ old: ids.slice(0, owners), new: ids.slice(0, owners) }];
    this.nodes = ids.map((id) => {
      const name = "abcdef"[id] ?? "z";
      const fresh = {
        levelledWith: new Set<number>(),
        gone: false,
        backups: [],
        reads: [],
        config: 0,
        ready: id < owners,
      };
      return { id, name, disk: new PartitionHost(), actor: this.newActor(name), ...fresh };
    });
    this.clients = ["Ann", "Bob"].map((name) => ({ name, token: new VersionVector(), seen: new Map() }));
  }

  /** One for each run of a process, never the same again (I2). */
  newActor(name: string): ActorId {
    this.#runs += 1;
    return makeActorId(parseNodeId(name), this.#runs, this.#runs);
  }

  // ---- words

  node(id: number): WorldNode {
    return present(this.nodes[id], `node ${id}`);
  }
  other(node: WorldNode, b: number): WorldNode {
    return this.node((node.id + 1 + (b % (this.nodes.length - 1))) % this.nodes.length);
  }
  key(b: number): string {
    return `k${b % this.keys}`;
  }
  client(c: number): Client {
    return present(this.clients[c % 2], "two clients");
  }
  get config(): { old: readonly number[]; new: readonly number[] } {
    return present(this.configs.at(-1), "there is always a configuration");
  }
  /** Old and new ones: levels are met in both. */
  ownersSeenBy(node: WorldNode): number[] {
    const seen = present(this.configs[node.config], "a node knows a configuration");
    return [...new Set([...seen.old, ...seen.new])];
  }
  isOwner(node: WorldNode): boolean {
    return this.ownersSeenBy(node).includes(node.id);
  }
  get owners(): number[] {
    return [...new Set([...this.config.old, ...this.config.new])].filter((id) => !this.node(id).gone);
  }
  isQuorum(node: WorldNode, ids: readonly number[]): boolean {
    const { old, new: next } = present(this.configs[node.config], "a node knows a configuration");
    return [old, next].every((owners) => owners.filter((id) => ids.includes(id)).length > owners.length / 2);
  }
  linked(a: WorldNode, b: WorldNode): boolean {
    return !a.gone && !b.gone && !this.cutLinks.has(`${a.id}${b.id}`) && !this.cutLinks.has(`${b.id}${a.id}`);
  }

  // ---- clients

  /** What a client asks for: the whole key, a register in it, elements of a set in it, a counter in it. */
  drawOps(c: number): Op[] {
    const x = utf8(["x", "y"][(c >> 3) % 2] ?? "x");
    const elements = c % 3 === 0 ? [utf8("x"), utf8("y")] : [x];
    const all: Op = { path: [], removeAll: true };
    const register: Op = { path: ["r"], slot: { op: "assign", contentType: "text/plain", bytes: utf8(`v${c % 97}`) } };
    const kinds: Op[][] = [
      [all, register],
      [all],
      [{ path: ["s"], slot: { op: "add", elements } }],
      [{ path: ["s"], slot: { op: "add", elements } }],
      [{ path: ["s"], slot: { op: "remove", elements } }],
      [register],
      [{ path: ["n"], slot: { op: "increment", by: 1n } }],
    ];
    return kinds[c % kinds.length] ?? [all];
  }

  commit(node: WorldNode, key: string, ops: readonly Op[], seen: Seen, how: string): Entry | null {
    if (node.disk.damaged.has(leafOfKey(key))) return null; // waits for healing, or answers 503
    const plan = planWrite(node.disk.row(key), ops, seen, node.actor);
    if (plan.adds.length === 0 && plan.removes.length === 0) return null;
    const first = node.disk.state.vector.seq(node.actor) + 1;
    const stamp = { hlc: { ms: this.oracle.writes.length, counter: 0 }, author: node.name, suspect: false };
    const entry: Entry = { actor: node.actor, first, bucket: "b", key, ...plan, stamp };
    node.disk.receive(entry);
    this.oracle.acknowledged(entry);
    const removes = plan.removes.map((dot) => `${dot.actor}:${dot.seq}`).join(" ");
    this.story.push(
      `${node.name} ${how} ${key}: ${entry.actor}:${first} adds ${plan.adds.length} removes {${removes}}`,
    );
    return entry;
  }

  answer(client: Client, key: string, shown: ReadonlyMap<DotKey, { dot: Dot }>, vector: VersionVector): void {
    this.story.push(`${client.name} is shown ${key} {${[...shown.keys()].join(" ")}}`);
    this.oracle.shown(client, key, shown, vector);
    client.token.join(vector);
    client.seen.set(
      key,
      [...shown.values()].map(({ dot }) => dot),
    );
  }

  // ---- messages

  send(from: WorldNode, to: WorldNode, body: Body): void {
    this.inFlight.push({ ...body, from: from.id, to: to.id, config: from.config, owner: this.isOwner(from) });
  }
  /** A whole conversation without delay: about vectors and logs, or about rows. */
  exchange(node: WorldNode, to: WorldNode, aboutRows = false): void {
    if (!this.linked(node, to)) return;
    const keep = this.inFlight;
    this.inFlight = [];
    if (aboutRows) this.digest(node, to);
    else this.ask(node, to);
    for (let i = 0; i < 20; i++) {
      const next = this.inFlight.shift();
      if (next) this.receive(next);
    }
    this.inFlight = [...keep, ...this.inFlight];
  }
  ask(node: WorldNode, to: WorldNode): void {
    if (this.linked(node, to)) this.send(node, to, { type: "ask", vector: node.disk.state.vector.copy() });
  }
  digest(node: WorldNode, to: WorldNode): void {
    if (!this.linked(node, to) || !this.isOwner(node)) return;
    const digests = LEAVES.map((leaf) => node.disk.digest(leaf));
    this.send(node, to, { type: "digest", digests, damaged: [...node.disk.damaged.keys()] });
  }

  /** The one door by which remote changes enter. */
  receive(message: Message): void {
    const [node, from] = [this.node(message.to), this.node(message.from)];
    if (node.gone) return;
    if (message.config > node.config) learnUpTo(this, node, message.config); // who is behind pulls it first
    this.story.push(`  ${node.name} gets ${message.type} from ${from.name}`);
    this.#handle(node, from, message);
  }
  #handle(node: WorldNode, from: WorldNode, message: Message): void {
    switch (message.type) {
      case "entries":
        this.#applyAll(node, message.entries);
        break;
      case "ask":
        this.#onAsk(node, from, message);
        break;
      case "log":
        this.#onLog(node, from, message);
        break;
      case "askCopy":
        this.sendCopy(node, from);
        break;
      case "copy":
        if (this.isOwner(node)) node.disk.adopt(message.copy);
        break;
      case "digest":
        this.#onDigest(node, from, message);
        break;
      case "rows":
        this.#onRows(node, from, message);
        break;
      case "get":
        this.#onGet(node, from, message);
        break;
      case "got":
        this.#onGot(node, from, message);
        break;
      default:
        assertNever(message);
    }
  }

  #applyAll(node: WorldNode, entries: readonly Entry[]): void {
    if (this.isOwner(node)) for (const entry of entries) node.disk.receive(entry);
  }
  #acknowledge(node: WorldNode, from: WorldNode, vector: VersionVector, byOwner: boolean): void {
    if (!byOwner) return;
    node.disk.acks.set(from.id, vector);
    if (!this.isOwner(node)) return;
    for (const entry of node.disk.log) {
      const holders = [...node.disk.acks].filter(([, ack]) => includes(ack, entry)).map(([id]) => id);
      if (entry.actor === node.actor && this.isQuorum(node, [node.id, ...holders])) this.oracle.quorumHas(entry);
    }
  }
  #onAsk(node: WorldNode, from: WorldNode, message: MessageOf<"ask">): void {
    this.#acknowledge(node, from, message.vector, message.owner);
    const { vector, floor } = node.disk.state;
    const entries = node.disk.entriesAbove(message.vector);
    this.send(node, from, { type: "log", entries, vector: vector.copy(), floor: floor.copy(), ready: node.ready });
  }
  #onLog(node: WorldNode, from: WorldNode, message: MessageOf<"log">): void {
    this.#applyAll(node, message.entries);
    this.#acknowledge(node, from, message.vector, message.owner);
    if (!this.isOwner(node)) return;
    if (!node.disk.state.vector.reaches(message.floor)) this.send(node, from, { type: "askCopy" });
    else if (message.ready && node.disk.state.vector.reaches(message.vector)) this.#levelled(node, from);
  }
  /** Ready for reads: level with a majority of the other old owners. */
  #levelled(node: WorldNode, from: WorldNode): void {
    node.levelledWith.add(from.id);
    const others = present(this.configs[node.config], "known").old.filter((id) => id !== node.id);
    if (others.filter((id) => node.levelledWith.has(id)).length > others.length / 2) node.ready = true;
  }
  sendCopy(node: WorldNode, to: WorldNode): void {
    node.disk.scrub();
    const copy = node.disk.copy();
    if (copy) this.send(node, to, { type: "copy", copy });
  }
  #onDigest(node: WorldNode, from: WorldNode, { digests, damaged }: MessageOf<"digest">): void {
    const differ = LEAVES.filter(
      (leaf) => damaged.includes(leaf) || node.disk.damaged.has(leaf) || digests[leaf] !== node.disk.digest(leaf),
    );
    if (differ.length > 0 && (this.isOwner(node) || node.disk.state.vector.size > 0))
      this.#sendRows(node, from, differ, true);
  }
  #sendRows(node: WorldNode, to: WorldNode, leaves: readonly number[], reply: boolean): void {
    const sound = leaves.filter((leaf) => node.disk.soundLeaf(leaf));
    const told = leaves.filter((leaf) => !node.disk.damaged.has(leaf));
    const rows = new Map([...node.disk.rows].filter(([key]) => told.includes(leafOfKey(key))));
    const vector = node.disk.state.vector.copy();
    this.send(node, to, { type: "rows", rows, vector, sound, reply: reply ? leaves : null });
  }
  #onRows(node: WorldNode, from: WorldNode, { rows, vector, sound, reply }: MessageOf<"rows">): void {
    if (!this.isOwner(node)) return;
    for (const leaf of sound) node.disk.healLeaf(leaf, rows, vector);
    for (const [key, row] of rows) node.disk.repair(key, { row, vector });
    if (reply) this.#sendRows(node, from, reply, false);
  }

  // ---- reads of several owners

  quorumRead(node: WorldNode, b: number, c: number): void {
    const key = this.key(b);
    if (!this.isOwner(node) || !node.ready || node.disk.damaged.has(leafOfKey(key))) return;
    this.#reads += 1;
    const id = this.#reads;
    const own = { from: node.id, row: node.disk.row(key), vector: node.disk.state.vector.copy() };
    node.reads.push({ id, key, client: this.client(c), due: this.oracle.onQuorum(key), answers: [own] });
    for (const o of this.ownersSeenBy(node)) if (o !== node.id) this.send(node, this.node(o), { type: "get", key, id });
    if (c % 3)
      this.#hurry(
        this.inFlight.filter((m) => m.type === "get" && m.id === id),
        c,
      );
  }
  /** Delivers these messages, and the answer to each, at once, beginning with any. Others take their time. */
  #hurry(messages: readonly Message[], c: number): void {
    for (let i = 0; i < messages.length; i++) {
      const message = present(messages[(i + c) % messages.length], "one of them");
      this.inFlight = this.inFlight.filter((m) => m !== message);
      if (!this.linked(this.node(message.from), this.node(message.to))) continue;
      const sent = this.inFlight.length;
      this.receive(message);
      const answer = this.inFlight.length > sent ? this.inFlight.pop() : undefined;
      if (answer) this.receive(answer);
    }
  }
  #onGet(node: WorldNode, from: WorldNode, { key, id }: MessageOf<"get">): void {
    if (!this.isOwner(node) || !node.ready || node.disk.damaged.has(leafOfKey(key))) return;
    this.send(node, from, { type: "got", key, id, row: node.disk.row(key), vector: node.disk.state.vector.copy() });
  }
  #onGot(node: WorldNode, from: WorldNode, { key, id, row, vector }: MessageOf<"got">): void {
    if (this.isOwner(node)) node.disk.repair(key, { row, vector }); // read repair
    const read = node.reads.find((r) => r.id === id && !r.answers.some((a) => a.from === from.id));
    if (!read) return;
    read.answers.push({ from: from.id, row, vector });
    if (
      !this.isQuorum(
        node,
        read.answers.map((a) => a.from),
      )
    )
      return;
    node.reads = node.reads.filter((r) => r !== read);
    const known = new VersionVector();
    for (const answer of read.answers) known.join(answer.vector);
    const shown = joinAnswers(read.answers);
    this.oracle.quorumShown(read.due, shown, known);
    if (known.reaches(read.client.token)) this.answer(read.client, key, shown, known);
  }
}
