import {
  adoptRow,
  adoptVector,
  copyHeals,
  EMPTY_ROW,
  foldStubs,
  openRow,
  slotsOf,
  VersionVector,
  wantsCopy,
} from "../../crdt/index.ts";
import { InputError } from "../kernel/assert.ts";
import { parseBody } from "../peer/frames.ts";
import type { StoreCopy } from "../storage/store.ts";
import type { Timer } from "../world/world.ts";
import { Unavailable } from "./api.ts";
import type { WireRow } from "./peer/bodies.ts";
import { copyOpenReply, copyReadReply } from "./peer/bodies.ts";
import type { BulkSource } from "./peer/host.ts";
import type { Answers } from "./peer/incoming.ts";
import type { Repair, RepairOptions } from "./repair.ts";
import { resum, storedStates } from "./repair.ts";

const BULK_TIMEOUT_MS = 30_000;
const READ_BYTES = 2 ** 20;
const MAX_COPIES = 4;
const IDLE_MS = 60_000;
/** A copy is adopted whole or not at all, so it is held in memory. More is refused: use more partitions. */
const MAX_COPY_BYTES = 512 * 2 ** 20;

/** Catch-up of a partition by a copy at one vector (data.md, Rows): for who is behind the floor of a peer's log. */
export class CatchUp {
  readonly #o: RepairOptions;
  readonly #repair: Repair;
  readonly #copies = new Map<number, { copy: StoreCopy; timer: Timer }>();
  #nextId = 1;
  adopted = 0;

  constructor(options: RepairOptions, repair: Repair) {
    this.#o = options;
    this.#repair = repair;
  }

  // ---- serving

  readonly answerOpen: Answers["copyOpen"] = (partition) =>
    this.#o.pipeline.alone(async () => {
      const p = this.#o.pipeline.partition(partition);
      if (this.#copies.size >= MAX_COPIES)
        throw new Unavailable("busy", "this node serves as many copies as it may; ask another owner");
      // A damaged leaf serves no copy: those behind the log would take its losses for deletions.
      if ((await this.#repair.scrubNow(p)).length > 0)
        throw new Unavailable("damaged", "this partition is damaged here; ask another owner");
      const { from, to } = slotsOf(this.#o.layout, partition);
      const copy = await this.#o.store.openCopy(from, to);
      const id = this.#nextId++;
      this.#copies.set(id, { copy, timer: this.#idleTimer(id) });
      return { id, rows: copy.rows, vector: p.state.vector.copy(), floor: p.state.floor.copy() };
    });

  readonly answerRead: Answers["copyRead"] = async (id, offset) => {
    const open = this.#copies.get(id);
    if (!open) throw new InputError("unknown-copy", "this copy is closed; open a new one");
    open.timer.cancel();
    open.timer = this.#idleTimer(id);
    return (await open.copy.read(offset, READ_BYTES)).map(({ bucket, key, body }) => ({ bucket, key, body }));
  };

  readonly answerClose: Answers["copyClose"] = async (id) => {
    const open = this.#copies.get(id);
    this.#copies.delete(id);
    open?.timer.cancel();
    await open?.copy.close();
  };

  #idleTimer(id: number): Timer {
    return this.#o.world.timers.after(IDLE_MS, () => void this.answerClose(id));
  }

  async stop(): Promise<void> {
    for (const id of [...this.#copies.keys()]) await this.answerClose(id);
  }

  // ---- adopting

  /** Fetches a copy from a peer and adopts it in one transaction. Rejects with LinkError when the peer can't serve it. */
  async run(peer: BulkSource, partition: number): Promise<void> {
    const link = await peer.bulk();
    const opened = parseBody(copyOpenReply, await link.request("copy-open", { partition }, BULK_TIMEOUT_MS));
    const vector = VersionVector.decode(opened.vector);
    const floor = VersionVector.decode(opened.floor);
    const rows: WireRow[] = [];
    for (let bytes = 0; rows.length < opened.rows; ) {
      const body = { id: opened.id, offset: rows.length };
      const more = parseBody(copyReadReply, await link.request("copy-read", body, BULK_TIMEOUT_MS)).rows;
      bytes += more.reduce((sum, row) => sum + row.body.length, 0);
      if (more.length === 0 || bytes > MAX_COPY_BYTES)
        throw new InputError(
          "bad-copy",
          `a copy of partition ${partition} is cut short or over ${MAX_COPY_BYTES} bytes`,
        );
      for (const row of more) rows.push(row);
    }
    await link.request("copy-close", { id: opened.id }, BULK_TIMEOUT_MS);
    await this.#o.pipeline.alone(() => this.#adopt(partition, rows, vector, floor));
    this.#o.world.log.info("catch-up.adopted", { partition, from: peer.node, rows: rows.length });
  }

  async #adopt(
    partition: number,
    wire: readonly WireRow[],
    vector: VersionVector,
    floor: VersionVector,
  ): Promise<void> {
    const { pipeline, store, layout } = this.#o;
    pipeline.admitEntries();
    const p = pipeline.partition(partition);
    if (!wantsCopy(p.state, floor)) return; // it came late: the log reaches by now
    const theirs = this.#repair.decodeRows(wire, partition);
    // A garbled row counts as none below: its leaf must be known as damaged, or its sums would keep that row.
    await this.#repair.scrubNow(p);
    const { from, to } = slotsOf(layout, partition);
    const mine = storedStates(await store.scanSlots(from, to));
    const removedAbove = await this.#repair.removedAbove(p, vector);
    const heals = [...p.damaged].filter(([, at]) => copyHeals(p.state, at.vector, vector)).map(([leaf]) => leaf);
    const batch = pipeline.newBatch();
    const undo = p.sums.snapshot();
    const state = batch.state(partition);
    const keys = new Map([...mine].map(([id, { key }]) => [id, key]));
    for (const [id, { key }] of theirs) keys.set(id, key);
    const opened = [...keys].map(([id, key]) => {
      batch.addRow(id, pipeline.place(key), mine.get(id)?.row ?? EMPTY_ROW, mine.get(id)?.bytes ?? 0);
      const working = batch.rowOf(id);
      const row = openRow(working.row);
      adoptRow(state, row, { row: theirs.get(id)?.row ?? EMPTY_ROW, vector }, removedAbove);
      return { working, row };
    });
    adoptVector(state, vector);
    for (const { working, row } of opened) {
      foldStubs(state, row);
      const { digestChange, inventoryChange } = batch.changeRow(working, row);
      const records = Number(row.cells.size > 0) - Number(working.before.cells.size > 0);
      p.sums.add(working.leaf, digestChange, inventoryChange, records);
    }
    for (const leaf of heals) resum(p, leaf, batch.rows.values());
    const floors = state.floor.missingFrom(p.state.floor).map(({ actor, to: seq }) => ({ partition, actor, seq }));
    const damaged = heals.map((leaf) => ({ partition, leaf, vector: null }));
    await pipeline.adopt(batch, { floors, sums: pipeline.sumsToSave([p]), damaged }, undo);
    this.#repair.noteHealed(p, heals);
    this.adopted += 1;
  }
}
