// An honest node, small enough to see through, whose disk tells the ledger what it does. Tests of checkers let it lie.

import type { Entry, Op, OpenRow, Row, VersionVector } from "../../../crdt/index.ts";
import {
  applyEntry,
  emptyPartition,
  encodeEntry,
  encodeRow,
  isEmptyRow,
  lastSeq,
  openRow,
  type PartitionState,
  planWrite,
} from "../../../crdt/index.ts";
import { utf8 } from "../../../src/kernel/bytes.ts";
import { makeActorId, parseNodeId } from "../../../src/kernel/ids.ts";
import { type MemoryStore, openMemoryStore, type StoreImage } from "../../../src/storage/memory.ts";
import type { Commit } from "../../../src/storage/store.ts";
import { commitOf } from "../../../src/storage/store.ts";
import type { History, Seen, WriteAttempt } from "./history.ts";
import { Violations } from "./history.ts";
import { Ledger } from "./ledger.ts";

const PARTITION = 0;
export const KEY = { bucket: "b", key: "k" };

export const assign = (value: string): Op => ({
  path: [],
  slot: { op: "assign", contentType: "application/json", bytes: utf8(JSON.stringify(value)) },
});
export const removeAll: Op = { path: [], removeAll: true };

/** A ledger with the history that goes with it, at a time that tests set. */
export class Scene {
  nowMs = 0;
  readonly violations = new Violations();
  readonly ledger = new Ledger(this.violations, () => this.nowMs);
  readonly history: History = { writes: [], reads: [] };

  get broken(): string[] {
    return [...new Set(this.violations.list.map(({ invariant }) => invariant))];
  }

  /** Notes an acknowledged write that gave `entry`. */
  acknowledged(
    node: FakeNode,
    entry: Entry | null,
    more: Partial<WriteAttempt> & { ops: readonly Op[] },
  ): WriteAttempt {
    const attempt: WriteAttempt = {
      tag: entry?.stamp.reason ?? "none",
      client: "ann",
      node: node.name,
      key: KEY,
      context: null,
      session: null,
      sentMs: this.nowMs,
      outcome: "acknowledged",
      answer: "204",
      reply: this.seen(node),
      ...more,
    };
    this.history.writes.push(attempt);
    return attempt;
  }

  /** What a node's answer says of the key now. */
  seen(node: FakeNode): Seen {
    return {
      node: node.name,
      key: KEY,
      sentMs: this.nowMs,
      doneMs: this.nowMs,
      dots: new Set(node.row.cells.keys()),
      session: node.session,
    };
  }
}

export class FakeNode {
  readonly name: string;
  readonly #scene: Scene;
  readonly #store: MemoryStore = openMemoryStore();
  readonly actor: ReturnType<typeof makeActorId>;
  state: PartitionState = emptyPartition();
  row: Row = { cells: new Map(), stubs: new Map() };
  pos = 0;

  constructor(scene: Scene, name: string) {
    this.#scene = scene;
    this.name = name;
    this.actor = makeActorId(parseNodeId(name), 1_000, 7);
    scene.ledger.opened(name, this.#store.image());
  }

  get session(): { partition: number; vector: VersionVector }[] {
    return [{ partition: PARTITION, vector: this.state.vector.copy() }];
  }

  image(): StoreImage {
    return this.#store.image();
  }

  /** Plans, applies and commits a write. `spoil` changes what its disk is told. */
  async write(ops: readonly Op[], tag: string, spoil: Spoil = {}): Promise<Entry> {
    const { adds, removes } = planWrite(this.row, ops, "blind", this.actor);
    const stamp = { hlc: { ms: this.#scene.nowMs, counter: 0 }, author: "ann", reason: tag, suspect: false };
    const first = this.state.vector.seq(this.actor) + 1;
    const entry: Entry = { actor: this.actor, first, ...KEY, adds, removes, stamp };
    await this.receive(spoil.entry?.(entry) ?? entry, spoil);
    return entry;
  }

  async receive(entry: Entry, spoil: Spoil = {}): Promise<void> {
    const row: OpenRow = openRow(this.row);
    applyEntry(this.state, row, entry);
    const before = this.row;
    this.row = spoil.row?.(row, before) ?? row;
    this.pos += 1;
    const commit = commitOf({
      rows: [{ ...KEY, slot: 0, body: isEmptyRow(this.row) ? null : encodeRow(this.row), conflict: false }],
      log: [
        {
          pos: this.pos,
          partition: PARTITION,
          actor: entry.actor,
          first: entry.first,
          last: lastSeq(entry),
          body: encodeEntry(entry),
          atMs: this.#scene.nowMs,
          slot: 0,
          digestDelta: new Uint8Array(16),
          inventoryDelta: new Uint8Array(16),
          recordDelta: 0,
          awaits: false,
        },
      ],
      vectors: [{ partition: PARTITION, actor: entry.actor, seq: lastSeq(entry) }],
      journal: [journalOf(this.pos, before, this.row)],
    });
    await this.commit(spoil.commit?.(commit) ?? commit);
  }

  async commit(commit: Commit): Promise<void> {
    this.#scene.ledger.committing(this.name);
    await this.#store.commit(commit);
    this.#scene.ledger.committed(this.name, commit);
  }

  /** A copy of another node's row at its vector. */
  async adopt(from: FakeNode, spoil: Spoil = {}): Promise<void> {
    this.row = from.row;
    const risen = from.state.vector.missingFrom(this.state.vector);
    for (const { actor, to } of risen) this.state.vector.rise(actor, to);
    const entries = risen.map(({ actor, to: seq }) => ({ partition: PARTITION, actor, seq }));
    const body = isEmptyRow(this.row) ? null : encodeRow(this.row);
    const rows = [{ ...KEY, slot: 0, body, conflict: false }];
    const commit = commitOf({ rows, vectors: entries, floors: entries });
    await this.commit(spoil.commit?.(commit) ?? commit);
  }

  /** Cuts its log up to the last position. */
  cut(spoil: Spoil = {}): Promise<void> {
    const floors = this.state.vector.entries().map(([actor, seq]) => ({ partition: PARTITION, actor, seq }));
    const commit = commitOf({ cutLog: Array.from({ length: this.pos }, (_, i) => i + 1), floors });
    return this.commit(spoil.commit?.(commit) ?? commit);
  }
}

export interface Spoil {
  readonly entry?: (entry: Entry) => Entry;
  readonly row?: (row: OpenRow, before: Row) => Row;
  readonly commit?: (commit: Commit) => Commit;
}

function journalOf(seq: number, before: Row, after: Row): Commit["journal"][number] {
  const lost = [...before.cells.keys()].filter((dot) => !after.cells.has(dot)).map((dot) => ({ dot }));
  return { seq, ...KEY, atMs: 0, body: utf8(JSON.stringify({ event: "changed", before: null, id: null, lost })) };
}
