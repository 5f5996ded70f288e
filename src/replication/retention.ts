import { decodeEntry, mayCut, VersionVector } from "../../crdt/index.ts";
import type { ActorId } from "../kernel/ids.ts";
import type { LogRecord } from "../storage/store.ts";
import type { Owners } from "./owners.ts";
import type { Partition } from "./partitions.ts";
import type { Repair, RepairOptions } from "./repair.ts";

/** Of one actor, read and cut at a time. More: longer pauses for writes; fewer: more scans of the rows beside them. */
const CUT_RECORDS = 2_000;
const CUT_BYTES = 4 * 2 ** 20;
/** What the journal keeps of values that lost (data.md, Conflicts). */
const JOURNAL_MS = 7 * 24 * 3_600_000;

export interface RetentionOptions extends RepairOptions {
  readonly historyMs: number;
  readonly logMaxBytes: number;
  /** The acknowledgements of all others count. */
  readonly owners: Owners;
}

/** Cuts the log from its old end, where nobody needs it any more (data.md, Log entries; I6). */
export class Retention {
  readonly #o: RetentionOptions;
  readonly #repair: Repair;

  constructor(options: RetentionOptions, repair: Repair) {
    this.#o = options;
    this.#repair = repair;
  }

  /** Goes from partition to partition until all is cut that may be. Returns how many records went. */
  async run(): Promise<number> {
    for (let total = 0; ; ) {
      let cut = 0;
      for (const p of this.#o.partitions) {
        const beforeMs = await this.#dueBefore();
        if (beforeMs === null) return total + cut;
        cut += await this.#cutOf(p, beforeMs);
      }
      if (cut === 0) return total;
      total += cut;
    }
  }

  /** Records from before this time may go; null when none need to. */
  async #dueBefore(): Promise<number | null> {
    const { bytes, oldestAtMs } = await this.#o.store.logSize();
    if (oldestAtMs === null) return null;
    if (bytes > this.#o.logMaxBytes) return Number.POSITIVE_INFINITY;
    const beforeMs = this.#o.world.clock.wallMs() - this.#o.historyMs;
    return oldestAtMs < beforeMs ? beforeMs : null;
  }

  async #cutOf(p: Partition, beforeMs: number): Promise<number> {
    const gone: LogRecord[] = [];
    for (const [actor] of p.state.vector.entries()) gone.push(...(await this.#cuttable(p, actor, beforeMs)));
    return gone.length === 0 ? 0 : this.#o.pipeline.alone(() => this.#cut(p, gone));
  }

  /** From the old end of an actor's records: one that is held back holds back all later ones. */
  async #cuttable(p: Partition, actor: ActorId, beforeMs: number): Promise<readonly LogRecord[]> {
    const { store, owners } = this.#o;
    const acks = owners.others.map(({ id }) => p.acks.get(id) ?? new VersionVector());
    const stays = ({ atMs, body }: LogRecord): boolean => atMs >= beforeMs || !mayCut(p.state, decodeEntry(body), acks);
    // Most often the first one stays already, for as long as a peer is away: ask for it alone.
    const [first] = await store.readLogOf(p.id, actor, 1, 1, CUT_BYTES);
    if (!first || stays(first)) return [];
    const records = await store.readLogOf(p.id, actor, 1, CUT_RECORDS, CUT_BYTES);
    const end = records.findIndex(stays);
    return end < 0 ? records : records.slice(0, end);
  }

  async #cut(p: Partition, gone: readonly LogRecord[]): Promise<number> {
    // Only beside sound rows: whoever is behind the floor will need them (model, finding 6).
    if ((await this.#repair.scrubNow(p)).length > 0) return 0;
    const { pipeline, world, historyMs } = this.#o;
    const { floor } = p.state;
    for (const { actor, last } of gone) if (floor.seq(actor) < last) floor.rise(actor, last);
    const actors = new Set(gone.map(({ actor }) => actor));
    const nowMs = world.clock.wallMs();
    const isCut = await pipeline.cut({
      cutLog: gone.map(({ pos }) => pos),
      floors: [...actors].map((actor) => ({ partition: p.id, actor, seq: floor.seq(actor) })),
      // The saved sums must not need what is cut here.
      sums: pipeline.sumsToSave([p]),
      forgetBeforeMs: { deletions: nowMs - historyMs, journal: nowMs - JOURNAL_MS },
    });
    return isCut ? gone.length : 0;
  }
}
