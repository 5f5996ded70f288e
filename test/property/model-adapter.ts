// Our rules in the shape of the model's partition.mjs and reading.mjs: dots and actors are numbers, keys are numbers,
// every value is an element of a set. Views of a PartitionHost, made anew when it changed.

import type { Cell, Dot, Entry, Op, Row } from "../../crdt/index.ts";
import { CLOSED, dotKey, joinAnswers, lastSeq, planWrite, VersionVector } from "../../crdt/index.ts";
import type { Holdings, Verdict } from "../../crdt/partition.ts";
import { poolVerdict } from "../../crdt/partition.ts";
import { assert, present } from "../../src/kernel/assert.ts";
import { fromUtf8, utf8 } from "../../src/kernel/bytes.ts";
import type { ActorId } from "../../src/kernel/ids.ts";
import { makeActorId, parseNodeId } from "../../src/kernel/ids.ts";
import { LEAVES, PartitionHost } from "./partition-host.ts";

export type ModelDot = number;
export type ModelVector = Map<number, number>;
export interface ModelRow {
  live: Map<ModelDot, string>;
  stubs: Set<ModelDot>;
}
export interface ModelEntry {
  actor: number;
  first: number;
  last: number;
  key: number;
  adds: [ModelDot, string][];
  removes: ModelDot[];
}
interface ModelWrite {
  op: "put" | "add" | "remove" | "delete";
  key: number;
  values: string[];
  seen?: [ModelDot, string][];
}
interface ModelCopy {
  vector: ModelVector;
  floor: ModelVector;
  rows: Map<number, ModelRow>;
}

// ---- words

const END = 999;
const actors: ActorId[] = [];
const numbers = new Map<ActorId, number>();

function actorOf(n: number): ActorId {
  for (let next = actors.length; next <= n; next++) {
    const actor = makeActorId(parseNodeId("n"), next + 1, next);
    actors.push(actor);
    numbers.set(actor, next);
  }
  return present(actors[n], "just made");
}

const numberOf = (actor: ActorId): number => present(numbers.get(actor), "an actor of the model");
const toDot = (dot: ModelDot): Dot => ({ actor: actorOf(Math.floor(dot / 1000)), seq: dot % 1000 });
const fromDot = ({ actor, seq }: Dot): ModelDot => numberOf(actor) * 1000 + seq;
const keyOf = (key: number): string => `k${key}`;
const fromKey = (key: string): number => Number(key.slice(1));

const toVector = (vector: ModelVector): VersionVector =>
  new VersionVector([...vector].map(([actor, seq]) => [actorOf(actor), seq === END ? CLOSED : seq]));
const fromVector = (vector: VersionVector): ModelVector =>
  new Map(vector.entries().map(([actor, seq]) => [numberOf(actor), seq === CLOSED ? END : seq]));

const STAMP = { hlc: { ms: 1, counter: 0 }, author: "model", suspect: false };
const element = (value: string): Cell["content"] => ({ kind: "element", element: utf8(value) });
const textOf = ({ content }: { content: Cell["content"] }): string => {
  assert(content.kind === "element", "the model's values are elements");
  return fromUtf8(content.element);
};

function toRow({ live, stubs }: ModelRow): Row {
  const cells = [...live].map(([dot, value]) => ({ dot: toDot(dot), path: [], content: element(value), stamp: STAMP }));
  return {
    cells: new Map(cells.map((cell) => [dotKey(cell.dot), cell])),
    stubs: new Map([...stubs].map(toDot).map((dot) => [dotKey(dot), dot])),
  };
}

const fromRow = (row: Row): ModelRow => ({
  live: new Map([...row.cells.values()].map((cell) => [fromDot(cell.dot), textOf(cell)])),
  stubs: new Set([...row.stubs.values()].map(fromDot)),
});

const toRows = (rows: Map<number, ModelRow>): Map<string, Row> =>
  new Map([...rows].map(([key, row]) => [keyOf(key), toRow(row)]));

// The world and the oracle know an entry by its identity.
const ours = new WeakMap<ModelEntry, Entry>();
const theirs = new WeakMap<Entry, ModelEntry>();
const toEntry = (entry: ModelEntry): Entry => present(ours.get(entry), "every entry was made by newEntry");
const fromEntry = (entry: Entry): ModelEntry => present(theirs.get(entry), "every entry was made by newEntry");

// ---- state

/** A row map whose `delete`, the world's damage, reaches the host. */
class RowsView extends Map<number, ModelRow> {
  host: PartitionHost | null = null;
  override delete(key: number): boolean {
    this.host?.loseRow(keyOf(key));
    return super.delete(key);
  }
}

interface Views {
  readonly vector: ModelVector;
  readonly floor: ModelVector;
  readonly log: ModelEntry[];
  readonly rows: RowsView;
  readonly early: ModelEntry[];
  readonly digests: Map<number, string | number>;
}

class AdaptedPartition {
  readonly host: PartitionHost;
  readonly acks: Map<number, ModelVector> = new Map();
  #made = -1;
  #views: Views | null = null;

  constructor(host: PartitionHost) {
    this.host = host;
  }

  #fresh(): Views {
    const { host } = this;
    if (this.#views && this.#made === host.version) return this.#views;
    this.#made = host.version;
    const rows = new RowsView([...host.rows].map(([key, row]) => [fromKey(key), fromRow(row)]));
    rows.host = host;
    const zero = new Uint8Array(16).join();
    this.#views = {
      vector: fromVector(host.state.vector),
      floor: fromVector(host.state.floor),
      log: host.log.map(fromEntry),
      rows,
      early: host.state.early.map(fromEntry),
      digests: new Map(LEAVES.map((leaf) => [leaf, host.digest(leaf) === zero ? 0 : host.digest(leaf)])),
    };
    return this.#views;
  }

  get vector(): ModelVector {
    return this.#fresh().vector;
  }
  get rows(): RowsView {
    return this.#fresh().rows;
  }
  get early(): ModelEntry[] {
    return this.#fresh().early;
  }
  get digests(): Map<number, string | number> {
    return this.#fresh().digests;
  }
  get damaged(): Map<number, ModelVector> {
    return new Map([...this.host.damaged].map(([leaf, at]) => [leaf, fromVector(at)]));
  }
  get log(): ModelEntry[] {
    return this.#fresh().log;
  }
  set log(log: ModelEntry[]) {
    assert(log.length === 0, "the world only ever forgets a log");
    this.host.forgetLog();
  }
  get floor(): ModelVector {
    return this.#fresh().floor;
  }
  set floor(floor: ModelVector) {
    assert(toVector(floor).equals(this.host.state.floor), "the world sets the floor to the vector, and forgetLog did");
  }
}
type P = AdaptedPartition;

function withAcks(p: P): PartitionHost {
  p.host.acks = new Map([...p.acks].map(([id, vector]) => [id, toVector(vector)]));
  return p.host;
}

// ---- the exports of partition.mjs and reading.mjs

export interface ModelExports {
  readonly [name: string]: unknown;
}

const noRow: ModelRow = { live: new Map(), stubs: new Set() };
const copyRow = (row: ModelRow): ModelRow => ({ live: new Map(row.live), stubs: new Set(row.stubs) });
const rowAt = (p: P, key: number): ModelRow => p.rows.get(key) ?? noRow;
const leafOf = (key: number): number => key % LEAVES.length;

/** A context's dots are named whether or not they are here; blind writes name what is. */
function requestOf({ op, values, seen }: ModelWrite): { ops: Op[]; dots: "blind" | Dot[] } {
  const elements = values.map(utf8);
  const add: Op = { path: [], slot: { op: "add", elements } };
  const all: Op = { path: [], removeAll: true };
  const whole = op === "put" || op === "delete";
  if (seen) {
    const named = seen.filter(([, value]) => whole || values.includes(value));
    return { ops: op === "put" || op === "add" ? [all, add] : [all], dots: named.map(([dot]) => toDot(dot)) };
  }
  if (whole) return { ops: op === "put" ? [all, add] : [all], dots: "blind" };
  return { ops: [op === "add" ? add : { path: [], slot: { op: "remove", elements } }], dots: "blind" };
}

function newEntry(p: P, actor: number, write: ModelWrite): ModelEntry {
  const { ops, dots } = requestOf(write);
  const { host } = p;
  const plan = planWrite(host.row(keyOf(write.key)), ops, dots, actorOf(actor));
  const first = host.state.vector.seq(actorOf(actor)) + 1;
  const entry: Entry = { actor: actorOf(actor), first, bucket: "b", key: keyOf(write.key), ...plan, stamp: STAMP };
  const shape: ModelEntry = {
    actor,
    first,
    last: lastSeq(entry),
    key: write.key,
    adds: plan.adds.map((add, i) => [actor * 1000 + first + i, textOf(add)]),
    removes: plan.removes.map(fromDot),
  };
  ours.set(shape, entry);
  theirs.set(entry, shape);
  return shape;
}

const verdicts = new WeakMap<object, Verdict>();

export const partitionExports: ModelExports = {
  LEAVES: LEAVES.length,
  leafOf,
  emptyRow: () => copyRow(noRow),
  copyRow,
  copyRows: (rows: Map<number, ModelRow>) => new Map([...rows].map(([key, row]) => [key, copyRow(row)])),
  rowAt,
  emptyPartition: () => new AdaptedPartition(new PartitionHost()),
  copyPartition: (p: P) => {
    const copy = new AdaptedPartition(p.host.clone());
    for (const [id, vector] of p.acks) copy.acks.set(id, vector);
    return copy;
  },
  newEntry,
  applyEntry: (p: P, entry: ModelEntry) => p.host.receive(toEntry(entry)),
  entriesAbove: (p: P, vector: ModelVector) => p.host.entriesAbove(toVector(vector)).map(fromEntry),
  mayCut: (p: P, entry: ModelEntry, self: number, owners: number[]) => withAcks(p).mayCut(toEntry(entry), self, owners),
  cutLog: (p: P, self: number, owners: number[], count: number) => withAcks(p).cutLog(self, owners, count),
  mayDrop: (p: P, owners: number[]) => withAcks(p).mayDrop(owners),
  repairRow: (p: P, key: number, row: ModelRow, V: ModelVector) =>
    p.host.repair(keyOf(key), { row: toRow(row), vector: toVector(V) }),
  soundLeaf: (p: P, leaf: number) => p.host.soundLeaf(leaf),
  isSound: (p: P) => p.host.isSound(),
  makeCopy: (p: P): ModelCopy | null =>
    p.host.copy() && { vector: new Map(p.vector), floor: new Map(p.floor), rows: new Map(p.rows) },
  adoptCopy: (p: P, { vector, floor, rows }: ModelCopy) =>
    p.host.adopt({ vector: toVector(vector), floor: toVector(floor), rows: toRows(rows) }),
  quarantine: (p: P, leaf: number) => p.host.quarantine(leaf),
  scrub: (p: P) => p.host.scrub(),
  healLeaf: (p: P, leaf: number, rows: Map<number, ModelRow>, V: ModelVector) =>
    p.host.healLeaf(leaf, toRows(rows), toVector(V)),
  holdings: (p: P, actor: number): Holdings => p.host.holdings(actorOf(actor)),
  poolVerdict: (all: Holdings[]) => {
    const verdict = poolVerdict(all);
    const shape = { upTo: verdict.upTo === CLOSED ? END : verdict.upTo, later: verdict.later.map(fromEntry) };
    verdicts.set(shape, verdict);
    return shape;
  },
  close: (p: P, actor: number, verdict: object) =>
    p.host.close(actorOf(actor), present(verdicts.get(verdict), "every verdict was made by poolVerdict")),
};

interface Token {
  vector: ModelVector;
}

export const readingExports: ModelExports = {
  joinAnswers: (answers: { row: ModelRow; vector: ModelVector }[]) => {
    const shown = joinAnswers(answers.map(({ row, vector }) => ({ row: toRow(row), vector: toVector(vector) })));
    return new Map([...shown.values()].map((cell) => [fromDot(cell.dot), textOf(cell)]));
  },
  // In the simple form every live dot is covered, so a token needs no dots.
  mayAnswer: (p: P, key: number, token: Token) =>
    !p.damaged.has(leafOf(key)) && p.host.state.vector.reaches(toVector(token.vector)),
};
