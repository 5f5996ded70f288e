// Replicas that are changed only by the rules under test, and a schedule of words that drives them. For the laws
// (contract.test-kit.ts).

import { InputError, present } from "../src/kernel/assert.ts";
import { toHex, utf8 } from "../src/kernel/bytes.ts";
import type { Sha256 } from "../src/kernel/hashing.ts";
import type { ActorId } from "../src/kernel/ids.ts";
import { makeActorId, parseNodeId } from "../src/kernel/ids.ts";
import type { Rng } from "../src/kernel/rng.ts";
import { seededRng } from "../src/kernel/rng.ts";
import { encodeRow } from "./codec.ts";
import { addDigest, digestDelta, readSum, rowDigest, rowInventory } from "./digest.ts";
import type { Dot } from "./dot.ts";
import { dotKey } from "./dot.ts";
import type { Entry } from "./entry.ts";
import { decodeEntry, encodeEntry } from "./entry.ts";
import type { PartitionState, TravellingRow } from "./partition.ts";
import {
  admitEntry,
  adoptRow,
  adoptVector,
  applyEntry,
  emptyPartition,
  foldStubs,
  holdEarly,
  includes,
  repairRow,
  takeReady,
} from "./partition.ts";
import type { Row } from "./row.ts";
import { EMPTY_ROW, isEmptyRow, openRow } from "./row.ts";
import type { VersionVector } from "./version-vector.ts";
import type { Op, Seen } from "./write.ts";
import { planWrite } from "./write.ts";

/** A type under the laws. */
export interface LawSubject {
  readonly name: string;
  /** A request, drawn by the numbers below `n`s that `draw(n)` gives. */
  request(draw: (n: number) => number): readonly Op[];
  /** An update that always adds something, whatever is there. */
  update(draw: (n: number) => number): readonly Op[];
}

/** An accepted request, with what its writer knew: what the naive twin remembers. */
export interface RecordedRequest {
  readonly id: number;
  readonly actor: ActorId;
  readonly key: string;
  readonly ops: readonly Op[];
  /** The requests that were applied where it was made. */
  readonly here: ReadonlySet<number>;
  /** The requests that were applied where the client had read; null: here (a blind write). */
  readonly saw: ReadonlySet<number> | null;
}

/** Keeps every operation with what it had seen, and computes what shows from all of them each time. */
export interface Twin {
  record(request: RecordedRequest): void;
  /** What shows at a key where exactly these requests are known. Equal to `LawTools.show` of the row. */
  show(key: string, requests: ReadonlySet<number>): string;
}

export interface LawTools {
  readonly sha256: Sha256;
  readonly makeTwin: () => Twin;
  readonly show: (row: Row) => string;
}

export const KEYS: readonly string[] = ["k", "l"];
const SALT = Uint8Array.of(1, 2, 3);

/** One owner: a state, its rows, its log and their sums, changed only by the rules under test. */
export class Replica {
  state: PartitionState = emptyPartition();
  rows = new Map<string, Row>();
  log: Entry[] = [];
  /** Ids of the requests that are applied here. */
  applied = new Set<number>();
  actor: ActorId;
  /** Null: keeps no sums. */
  readonly #sha256: Sha256 | null;
  readonly #digests = new Uint32Array(4);
  readonly #inventories = new Uint32Array(4);

  constructor(actor: ActorId, sha256: Sha256 | null) {
    this.actor = actor;
    this.#sha256 = sha256;
  }

  row(key: string): Row {
    return this.rows.get(key) ?? EMPTY_ROW;
  }

  travelling(key: string): TravellingRow {
    return { row: this.row(key), vector: this.state.vector.copy() };
  }

  store(key: string, row: Row): void {
    if (this.#sha256) this.#addDifference(this.#sha256, key, row);
    if (isEmptyRow(row)) this.rows.delete(key);
    else this.rows.set(key, row);
  }

  #addDifference(sha256: Sha256, key: string, row: Row): void {
    const hash = utf8(key);
    for (const [sums, of] of [
      [this.#digests, rowDigest],
      [this.#inventories, rowInventory],
    ] as const)
      addDigest(sums, 0, digestDelta(of(sha256, SALT, hash, this.row(key)), of(sha256, SALT, hash, row)));
  }

  /** The sums kept by difference, then the same from scratch. */
  sums(sha256: Sha256): string[] {
    const fresh = [new Uint32Array(4), new Uint32Array(4)] as const;
    for (const [key, row] of this.rows) {
      addDigest(fresh[0], 0, rowDigest(sha256, SALT, utf8(key), row));
      addDigest(fresh[1], 0, rowInventory(sha256, SALT, utf8(key), row));
    }
    return [this.#digests, this.#inventories, ...fresh].map((sum) => toHex(readSum(sum, 0)));
  }

  receive(entry: Entry): void {
    const verdict = admitEntry(this.state, entry);
    if (verdict === "next") this.apply(entry);
    else if (verdict === "early") holdEarly(this.state, entry);
    for (let next = takeReady(this.state); next; next = takeReady(this.state)) this.apply(next);
  }

  apply(entry: Entry): void {
    const row = openRow(this.row(entry.key));
    applyEntry(this.state, row, entry);
    this.store(entry.key, row);
    this.log.push(entry);
    this.applied.add(entry.stamp.hlc.ms);
  }

  /** Does an entry of my log that `vector` doesn't cover remove the dot? */
  removedAbove(vector: VersionVector): (dot: Dot) => boolean {
    const gone = new Set(this.log.filter((e) => !includes(vector, e)).flatMap((e) => e.removes.map(dotKey)));
    return (dot) => gone.has(dotKey(dot));
  }

  repair(key: string, theirs: TravellingRow): number {
    const row = openRow(this.row(key));
    const taken = repairRow(this.state, row, theirs, this.removedAbove(theirs.vector));
    this.store(key, row);
    return taken;
  }

  adopt(from: Replica): void {
    const vector = from.state.vector.copy();
    for (const key of KEYS) {
      const row = openRow(this.row(key));
      adoptRow(this.state, row, { row: from.row(key), vector }, this.removedAbove(vector));
      this.store(key, row);
    }
    adoptVector(this.state, vector);
    for (const key of KEYS) {
      const row = openRow(this.row(key));
      foldStubs(this.state, row);
      this.store(key, row);
    }
    for (const id of from.applied) this.applied.add(id);
    for (let next = takeReady(this.state); next; next = takeReady(this.state)) this.apply(next);
  }

  /** Everything a peer could tell apart. Actor, log and history aside. */
  picture(): string {
    const rows = KEYS.map((key) => toHex(encodeRow(this.row(key))));
    return [toHex(this.state.vector.encode()), ...rows].join(" ");
  }
}

/** Three replicas under a schedule of words. */
export class Play {
  readonly replicas: Replica[];
  readonly entries: Entry[] = [];
  readonly twin: Twin;
  readonly #subject: LawSubject;
  readonly #sha256: Sha256 | null;
  #runs = 0;

  constructor(subject: LawSubject, tools: LawTools, words: readonly number[], keepsSums = false) {
    this.#subject = subject;
    this.#sha256 = keepsSums ? tools.sha256 : null;
    this.twin = tools.makeTwin();
    this.replicas = [0, 1, 2].map(() => this.fresh());
    for (const word of words) this.#step(word);
  }

  /** A replica that knows nothing, with a new actor. */
  fresh(): Replica {
    const run = this.#runs++;
    return new Replica(makeActorId(parseNodeId("abc"[run % 3] ?? "a"), run + 1, run * 77), this.#sha256);
  }

  any(n: number): Replica {
    return present(this.replicas[n % this.replicas.length], "there are three replicas");
  }

  #step(word: number): void {
    const rng = seededRng(word);
    const here = this.any(word);
    const other = this.any(word + 1 + rng.below(2));
    const key = KEYS[rng.below(8) === 0 ? 1 : 0] as string;
    const kind = rng.below(12);
    if (kind < 5)
      this.write(
        here,
        key,
        this.#subject.request((n) => rng.below(n)),
      );
    else if (kind < 7)
      this.write(
        here,
        key,
        this.#subject.request((n) => rng.below(n)),
        other,
      );
    else if (kind < 9) push(other, here, rng);
    else if (kind < 11) deliver(here, other.log, rng);
    else here.actor = this.fresh().actor;
  }

  /** Blind, or with the context that `reader` shows. Null when the request changes nothing or is refused. */
  write(here: Replica, key: string, ops: readonly Op[], reader?: Replica): Entry | null {
    const seen: Seen = reader ? [...reader.row(key).cells.values()].map((cell) => cell.dot) : "blind";
    const plan = planned(here.row(key), ops, seen, here.actor);
    if (!plan || (plan.adds.length === 0 && plan.removes.length === 0)) return null;
    const id = this.entries.length;
    const recorded = { id, actor: here.actor, key, ops, here: new Set(here.applied) };
    this.twin.record({ ...recorded, saw: reader ? new Set(reader.applied) : null });
    const entry = decodeEntry(
      encodeEntry({
        actor: here.actor,
        first: here.state.vector.seq(here.actor) + 1,
        bucket: "b",
        key,
        ...plan,
        // The stamp carries the request's number: to the rules it is any stamp.
        stamp: { hlc: { ms: id, counter: id % 3 }, author: "abc"[id % 3] ?? "a", suspect: id % 5 === 0, ...reason(id) },
      }),
    );
    this.entries.push(entry);
    here.receive(entry);
    return entry;
  }
}

/** The last entries of a log; or only the other's own, so that an effect may come before its cause. */
function push(from: Replica, to: Replica, rng: Rng): void {
  const log = rng.below(2) === 0 ? from.log : from.log.filter((entry) => entry.actor === from.actor);
  for (const entry of log.slice(-1 - rng.below(3))) to.receive(entry);
}

function reason(id: number): { reason?: string } {
  return id % 4 === 0 ? { reason: `because ${id % 3}` } : {};
}

function planned(...args: Parameters<typeof planWrite>): ReturnType<typeof planWrite> | null {
  try {
    return planWrite(...args);
  } catch (error) {
    if (error instanceof InputError && error.slug === "wrong-type") return null; // refused: a client would be told
    throw error;
  }
}

/** Entries in an order that keeps each actor's, more or less: interleaved, some early, some twice. */
export function deliver(to: Replica, entries: readonly Entry[], rng: Rng): void {
  const order = [...entries];
  for (let i = 0; i < order.length; i++) {
    const j = Math.min(order.length - 1, i + rng.below(4));
    [order[i], order[j]] = [order[j] as Entry, order[i] as Entry];
  }
  for (const entry of order) {
    to.receive(entry);
    if (rng.below(3) === 0) to.receive(entries[rng.below(entries.length)] as Entry);
  }
  for (const entry of entries) to.receive(entry); // a full early buffer asks again
}
