import { toHex } from "../kernel/bytes.ts";
import type { World } from "../world/world.ts";
import type { RepairProgress } from "./api.ts";
import { Unavailable } from "./api.ts";
import type { Partition } from "./partitions.ts";
import type { OutgoingPeer } from "./peer/outgoing.ts";
import type { Repair } from "./repair.ts";

export interface RepairRunOptions {
  readonly world: World;
  readonly partitions: readonly Partition[];
  readonly repair: Repair;
  readonly peers: readonly OutgoingPeer[];
  readonly heal: (partition: number, leaves: readonly number[]) => Promise<void>;
}

const MAX_PROBLEMS = 100;

/** One run of `POST /cluster/repair`: the leaf check over all partitions, damaged leaves healed from peers, then a
 *  round of anti-entropy (vectors, and Merkle where sums differ) with every owner. */
export class RepairRun {
  readonly #o: RepairRunOptions;
  readonly #id: string;
  readonly #startedMs: number;
  readonly #repairedBefore: number;
  #state: RepairProgress["state"] = "running";
  #finishedMs: number | null = null;
  #partitionsDone = 0;
  #damaged = 0;
  #healed = 0;
  readonly #problems: string[] = [];

  constructor(options: RepairRunOptions) {
    this.#o = options;
    const { rng, clock } = options.world;
    this.#id = `repair-${toHex(Uint8Array.from({ length: 8 }, () => rng.below(256)))}`;
    this.#startedMs = clock.wallMs();
    this.#repairedBefore = options.repair.repairedRows;
  }

  /** Never rejects: problems are part of the progress. */
  async start(): Promise<void> {
    try {
      for (const p of this.#o.partitions) await this.#checkPartition(p);
      for (const peer of this.#o.peers) {
        await peer.sync(true);
        if (!peer.isUp) this.#problem(`${peer.node} could not be reached: compared with the others only`);
      }
      this.#state = this.#problems.length > 0 ? "failed" : "done";
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      this.#problem(error.message);
      this.#state = "failed";
    }
    this.#finishedMs = this.#o.world.clock.wallMs();
  }

  async #checkPartition(p: Partition): Promise<void> {
    const damaged = await this.#o.repair.scrub(p.id);
    this.#damaged += damaged.length;
    if (damaged.length > 0) await this.#o.heal(p.id, damaged);
    const left = damaged.filter((leaf) => p.damaged.has(leaf));
    this.#healed += damaged.length - left.length;
    if (left.length > 0)
      this.#problem(
        `partition ${p.id}: ${left.length} damaged leaves found no owner with a sound one at a fitting vector`,
      );
    this.#partitionsDone += 1;
  }

  #problem(text: string): void {
    if (this.#problems.length < MAX_PROBLEMS) this.#problems.push(text);
  }

  progress(): RepairProgress {
    return {
      id: this.#id,
      state: this.#state,
      startedMs: this.#startedMs,
      finishedMs: this.#finishedMs,
      partitionsDone: this.#partitionsDone,
      partitionsTotal: this.#o.partitions.length,
      damagedLeaves: this.#damaged,
      healedLeaves: this.#healed,
      repairedRows: this.#o.repair.repairedRows - this.#repairedBefore,
      problems: [...this.#problems],
    };
  }
}
