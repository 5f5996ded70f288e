import { decodeEntry, mayCut, VersionVector } from "../../crdt/index.ts";
import type { ActorId, NodeId } from "../kernel/ids.ts";
import type { Commit, LogRecord } from "../storage/store.ts";
import type { Partition } from "./partitions.ts";
import type { Repair, RepairOptions } from "./repair.ts";

const CUT_RECORDS = 2_000;
/** What the journal keeps of values that lost (data.md, Conflicts). */
const JOURNAL_MS = 7 * 24 * 3_600_000;

export interface RetentionOptions extends RepairOptions {
  readonly historyMs: number;
  readonly logMaxBytes: number;
  /** The other owners, whose acknowledgements count. */
  readonly others: readonly NodeId[];
}

/** Cuts the log from its old end, where nobody needs it any more (data.md, Log entries; I6). */
export class Retention {
  readonly #o: RetentionOptions;
  readonly #repair: Repair;
  cutRecords = 0;

  constructor(options: RetentionOptions, repair: Repair) {
    this.#o = options;
    this.#repair = repair;
  }

  /** One pass: at most CUT_RECORDS records. Returns how many went. */
  async run(): Promise<number> {
    const nowMs = this.#o.world.clock.wallMs();
    const { bytes } = await this.#o.store.logSize();
    const candidates = (await this.#o.store.oldestLog(CUT_RECORDS)).filter(
      (record) => record.atMs < nowMs - this.#o.historyMs || bytes > this.#o.logMaxBytes,
    );
    if (candidates.length === 0) return 0;
    return this.#o.pipeline.alone(() => this.#cut(candidates, nowMs));
  }

  async #cut(candidates: readonly LogRecord[], nowMs: number): Promise<number> {
    const { pipeline } = this.#o;
    const cut: LogRecord[] = [];
    const floors: Commit["floors"][number][] = [];
    const touched = new Set<Partition>();
    for (const partition of new Set(candidates.map((record) => record.partition))) {
      const records = candidates.filter((record) => record.partition === partition);
      const p = pipeline.partition(partition);
      const gone = this.#cuttable(p, records);
      // Only beside sound rows: whoever is behind the floor will need them (model, finding 6).
      if (gone.length === 0 || (await this.#repair.scrubNow(p)).length > 0) continue;
      cut.push(...gone);
      touched.add(p);
      for (const { actor, last } of gone) if (p.state.floor.seq(actor) < last) p.state.floor.rise(actor, last);
      for (const actor of new Set(gone.map((record) => record.actor)))
        floors.push({ partition, actor, seq: p.state.floor.seq(actor) });
    }
    if (cut.length === 0) return 0;
    await pipeline.commit(pipeline.newBatch(), {
      cutLog: cut.map(({ pos }) => pos),
      floors,
      // The saved sums must not need what is cut here.
      sums: pipeline.sumsToSave([...touched]),
      forgetBeforeMs: { deletions: nowMs - this.#o.historyMs, journal: nowMs - JOURNAL_MS },
    });
    this.cutRecords += cut.length;
    return cut.length;
  }

  /** From the old end, per actor: what is held back holds back its actor's later ones. */
  #cuttable(p: Partition, records: readonly LogRecord[]): LogRecord[] {
    const acks = this.#o.others.map((node) => p.acks.get(node) ?? new VersionVector());
    const held = new Set<ActorId>();
    return records.filter((record) => {
      if (held.has(record.actor) || !mayCut(p.state, decodeEntry(record.body), acks)) held.add(record.actor);
      return !held.has(record.actor);
    });
  }
}
