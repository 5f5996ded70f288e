import type { Digest, Dot, DotKey, RemovedAbove, Row } from "../../crdt/index.ts";
import {
  addDigest,
  adoptRow,
  decodeEntry,
  decodeRow,
  digestDelta,
  dotKey,
  EMPTY_ROW,
  foldStubs,
  leafOf,
  mayHeal,
  NO_DIGEST,
  openRow,
  readSum,
  repairRow,
  rowInventory,
  slotsOf,
  VersionVector,
} from "../../crdt/index.ts";
import { InputError } from "../kernel/assert.ts";
import { equalBytes } from "../kernel/bytes.ts";
import { parseBody } from "../peer/frames.ts";
import type { RowKey, RowRead, Store } from "../storage/store.ts";
import type { World } from "../world/world.ts";
import type { BatchContext, WorkingRow } from "./batch.ts";
import type { Partition } from "./partitions.ts";
import type { WireRow } from "./peer/bodies.ts";
import { rowsReply } from "./peer/bodies.ts";
import type { BulkSource } from "./peer/host.ts";
import type { Answers } from "./peer/incoming.ts";
import type { Pipeline } from "./pipeline.ts";
import { rowId } from "./places.ts";

const BULK_TIMEOUT_MS = 30_000;
/** Leaves asked for in one request: a few rows each. */
const LEAVES_PER_REQUEST = 64;
/** A peer's reply may name so many stubs, which are dots removed before they came: a few bytes could name millions and hold
 *  up the loop. A reply with more is refused; stubs go as their entries come, and it is asked for again. */
const STUBS_AT_ONCE = 262_144;

export interface RepairOptions extends BatchContext {
  readonly world: World;
  readonly store: Store;
  readonly pipeline: Pipeline;
  readonly onDamage: (partition: number, leaf: number, healed: boolean) => void;
  /** Resolves true once this node's vector reaches `vector`. */
  readonly reached: (partition: number, vector: VersionVector, timeoutMs: number) => Promise<boolean>;
}

/** Damage and doubt: the leaf check, rows compared with a peer's, healing, and catch-up by a copy. Every change goes
 *  through the pipeline, alone, so rows and vectors belong together (I5). */
export class Repair {
  readonly #o: RepairOptions;
  repairedRows = 0;
  /** Changes when a leaf is found damaged or has healed: what was read across that may be what the damage left. */
  markChanges = 0;

  constructor(options: RepairOptions) {
    this.#o = options;
  }

  // ---- the leaf check

  /** Compares rows with their leaves' inventories, and marks what doesn't add up. Returns the damaged leaves. */
  scrub(partition: number): Promise<number[]> {
    return this.#o.pipeline.alone(() => this.scrubNow(this.#o.pipeline.partition(partition)));
  }

  /** As `scrub`, inside a job that runs alone; `only` these leaves. */
  async scrubNow(p: Partition, only?: readonly number[]): Promise<number[]> {
    const { store, layout, pipeline } = this.#o;
    const ranges = only ? only.map((leaf) => slotsOf(layout, p.id, leaf)) : [slotsOf(layout, p.id)];
    const sums = new Uint32Array(p.sums.inventories.length);
    const bad = new Set<number>();
    for (const { from, to } of ranges)
      for (const read of await store.scanSlots(from, to)) {
        const leaf = leafOf(read.slot, layout);
        if (read.body === null) bad.add(leaf);
        else addDigest(sums, 4 * leaf, this.#inventory(read, decodeRow(read.body)));
      }
    const leaves = only ?? [...Array(2 ** layout.leafBits).keys()];
    const changesBefore = this.markChanges;
    for (const leaf of leaves)
      this.#judgeLeaf(p, leaf, digestDelta(p.sums.inventoryOf(leaf), readSum(sums, 4 * leaf)), bad.has(leaf));
    if (this.markChanges !== changesBefore) await pipeline.saveDamage();
    return [...p.damaged.keys()];
  }

  /** A leaf that was marked before may be damaged again, and what its rows have got since is lost then: only who has seen
   *  that too may heal it. */
  #judgeLeaf(p: Partition, leaf: number, lack: Digest, hasBadRow: boolean): void {
    const known = p.damaged.get(leaf);
    if (known?.lack === null) this.#mark(p, leaf, lack);
    else if (known ? !equalBytes(known.lack, lack) : hasBadRow || !equalBytes(lack, NO_DIGEST))
      this.quarantine(p.id, leaf, lack);
  }

  #inventory(key: RowKey, row: Row): Uint8Array {
    const { sha256, salt, pipeline } = this.#o;
    return rowInventory(sha256, salt, pipeline.place(key).keyHash, row);
  }

  /** The leaf serves no copy from now on, and heals as a whole (data.md, Sound rows). The next commit says so on disk. */
  quarantine(partition: number, leaf: number, lack: Digest | null = null): void {
    this.#mark(this.#o.pipeline.partition(partition), leaf, lack);
    this.#o.pipeline.rows.cache.clear(); // rows here may no longer be what the cache remembers of them
    this.#o.world.log.error("storage.damage", { partition, leaf });
    this.#o.onDamage(partition, leaf, false);
  }

  #mark(p: Partition, leaf: number, lack: Digest | null): void {
    const vector = p.state.vector.copy();
    p.damaged.set(leaf, { vector, lack });
    this.markChanges += 1;
    this.#o.pipeline.noteDamage(p.id, leaf, vector);
  }

  /** What a peer that asks for leaves gets: their rows, and the vector that they belong to. */
  readonly answerRows: Answers["rows"] = (partition, leaves) =>
    this.#o.pipeline.alone(async () => {
      const p = this.#o.pipeline.partition(partition);
      const within = leaves.filter((leaf) => leaf < 2 ** this.#o.layout.leafBits);
      await this.scrubNow(p, within);
      const rows: WireRow[] = [];
      for (const leaf of within) {
        const { from, to } = slotsOf(this.#o.layout, partition, leaf);
        for (const { bucket, key, body } of await this.#o.store.scanSlots(from, to))
          if (body) rows.push({ bucket, key, body });
      }
      return { vector: p.state.vector.copy(), sound: within.filter((leaf) => !p.damaged.has(leaf)), rows };
    });

  // ---- rows from a peer

  /** Judges a peer's rows of these leaves; damaged leaves heal where its vector allows. Returns how many healed. */
  async compareLeaves(peer: BulkSource, partition: number, leaves: readonly number[]): Promise<number> {
    let healed = 0;
    for (let at = 0; at < leaves.length; at += LEAVES_PER_REQUEST) {
      const some = leaves.slice(at, at + LEAVES_PER_REQUEST);
      await this.#count(partition, some);
      const link = await peer.bulk();
      const reply = parseBody(rowsReply, await link.request("rows", { partition, leaves: some }, BULK_TIMEOUT_MS));
      const theirs = { rows: this.decodeRows(reply.rows, partition), vector: VersionVector.decode(reply.vector) };
      // Healing needs a vector that lies below mine: level first, as far as entries are under way.
      await this.#o.reached(partition, theirs.vector, 5_000);
      healed += await this.#o.pipeline.alone(() => this.#judge(partition, some, new Set(reply.sound), theirs));
    }
    return healed;
  }

  /** Counts the rows of marked leaves that were not counted in this run, before a peer is asked: its vector must reach
   *  mine as of then. */
  async #count(partition: number, leaves: readonly number[]): Promise<void> {
    const { pipeline } = this.#o;
    const p = pipeline.partition(partition);
    const uncounted = leaves.filter((leaf) => p.damaged.get(leaf)?.lack === null);
    if (uncounted.length > 0) await pipeline.alone(() => this.scrubNow(p, uncounted));
  }

  decodeRows(rows: readonly WireRow[], partition: number): Map<string, { key: RowKey; row: Row }> {
    const decoded = new Map<string, { key: RowKey; row: Row }>();
    let stubsLeft = STUBS_AT_ONCE;
    for (const { bucket, key, body } of rows) {
      const place = this.#o.pipeline.place({ bucket, key });
      if (place.partition !== partition) throw new InputError("bad-frame", "a row of another partition");
      const row = decodeRow(body, stubsLeft);
      stubsLeft -= row.stubs.size;
      decoded.set(rowId(place), { key: { bucket, key }, row });
    }
    return decoded;
  }

  async #judge(
    partition: number,
    leaves: readonly number[],
    sound: ReadonlySet<number>,
    theirs: { rows: ReadonlyMap<string, { key: RowKey; row: Row }>; vector: VersionVector },
  ): Promise<number> {
    const { pipeline } = this.#o;
    pipeline.admitEntries();
    const p = pipeline.partition(partition);
    await this.scrubNow(p, leaves);
    const batch = pipeline.newBatch();
    const undo = p.sums.snapshot();
    const mine = await this.#readLeaves(p, leaves);
    const heals = leaves.filter((leaf) => {
      const damagedAt = p.damaged.get(leaf);
      return damagedAt && sound.has(leaf) && mayHeal(p.state, damagedAt.vector, theirs.vector);
    });
    const removedAbove = await this.removedAbove(p, theirs.vector);
    const keys = new Map([...mine].map(([id, { key }]) => [id, key]));
    for (const [id, { key }] of theirs.rows) keys.set(id, key);
    for (const [id, key] of keys) {
      const place = pipeline.place(key);
      if (!leaves.includes(place.leaf)) throw new InputError("bad-frame", "a row of a leaf that was not asked for");
      const held = mine.get(id);
      batch.addRow(id, place, held?.row ?? EMPTY_ROW, held?.bytes ?? 0);
      const working = batch.rowOf(id);
      const travelling = { row: theirs.rows.get(id)?.row ?? EMPTY_ROW, vector: theirs.vector };
      const row = openRow(working.row);
      if (heals.includes(place.leaf)) {
        adoptRow(p.state, row, travelling, removedAbove);
        foldStubs(p.state, row);
        batch.changeRow(working, row);
      } else if (!p.damaged.has(place.leaf) && repairRow(p.state, row, travelling, removedAbove) > 0) {
        this.repairedRows += 1;
        const { digestChange, inventoryChange } = batch.changeRow(working, row);
        p.sums.add(place.leaf, digestChange, inventoryChange, Number(working.before.cells.size === 0));
      }
    }
    for (const leaf of heals) resum(p, leaf, batch.rows.values());
    const damaged = heals.map((leaf) => ({ partition, leaf, vector: null }));
    await pipeline.adopt(batch, { sums: pipeline.sumsToSave([p]), damaged }, undo);
    this.noteHealed(p, heals);
    return heals.length;
  }

  /** Only once it is durable: until then a reader would take what the damage left for what the leaf holds. */
  noteHealed(p: Partition, leaves: readonly number[]): void {
    for (const leaf of leaves) {
      p.damaged.delete(leaf);
      this.markChanges += 1;
      this.#o.onDamage(p.id, leaf, true);
    }
  }

  /** My rows of some leaves as stored: a bad checksum counts as no row, and says so. */
  async #readLeaves(p: Partition, leaves: readonly number[]): Promise<Map<string, StoredState>> {
    const reads: RowRead[] = [];
    for (const leaf of leaves) {
      const { from, to } = slotsOf(this.#o.layout, p.id, leaf);
      reads.push(...(await this.#o.store.scanSlots(from, to)));
    }
    return storedStates(reads);
  }

  /** Which dots do entries of my log above V remove? */
  async removedAbove(p: Partition, vector: VersionVector): Promise<RemovedAbove> {
    const removed = new Set<DotKey>();
    for (const { actor, from, to } of p.state.vector.missingFrom(vector)) {
      for (let next = from + 1; next <= to; ) {
        const records = await this.#o.store.readLogOf(p.id, actor, next, 512, 2 ** 20);
        const last = records.at(-1);
        if (!last) break;
        for (const { body } of records) for (const dot of decodeEntry(body).removes) removed.add(dotKey(dot));
        next = last.last + 1;
      }
    }
    return (dot: Dot) => removed.has(dotKey(dot));
  }
}

/** A row as it is stored here. */
export interface StoredState {
  readonly key: RowKey;
  readonly row: Row;
  readonly bytes: number;
}

/** By row id; a bad checksum counts as no row (its key is rewritten or deleted all the same). */
export function storedStates(reads: readonly RowRead[]): Map<string, StoredState> {
  return new Map(
    reads.map(({ bucket, key, body }) => [
      rowId({ bucket, key }),
      { key: { bucket, key }, row: body ? decodeRow(body) : EMPTY_ROW, bytes: body?.length ?? 0 },
    ]),
  );
}

/** A healed leaf's sums are those of its rows now, all of which were compared with a sound peer's. */
export function resum(p: Partition, leaf: number, rows: Iterable<WorkingRow>): void {
  p.sums.clearLeaf(leaf);
  for (const working of rows)
    if (working.leaf === leaf) p.sums.add(leaf, working.digest, working.inventory, Number(working.row.cells.size > 0));
}
