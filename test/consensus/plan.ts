import type { RaftConfig } from "../../src/consensus/core/core.ts";
import { type Rng, seededRng } from "../../src/kernel/rng.ts";

export const FAULTS = ["crash", "cut", "stall", "compact", "change", "transfer", "damage"] as const;
export type Fault = (typeof FAULTS)[number];

/** What one seed does. Every kind of fault is in about half of them: some bugs show only where another fault is not. */
export interface Plan {
  readonly seed: number;
  readonly nodes: number;
  readonly clients: number;
  readonly keys: number;
  /** Faults and clients until then; calm after that. */
  readonly busyMs: number;
  readonly tickMs: number;
  readonly raft: Omit<RaftConfig, "id">;
  readonly network: NetworkPlan;
  readonly disk: DiskPlan;
  /** A node's tick is so much longer or shorter at most; it changes now and then. */
  readonly driftPercent: number;
  /** How long from one to the next, on average. */
  readonly faults: ReadonlyMap<Fault, number>;
  /** Clients' time-outs. */
  readonly patienceMs: number;
  /** How long they think between requests. */
  readonly thinkMs: number;
  /** How often a joint group is left as it is when somebody could end it. */
  readonly patience: number;
}

export interface NetworkPlan {
  readonly delayMs: number;
  readonly jitterMs: number;
  readonly lossPercent: number;
  readonly duplicatePercent: number;
  /** So many come seconds late. */
  readonly stragglerPercent: number;
}

export interface DiskPlan {
  readonly syncMs: number;
  /** A crash may keep some of what was not synced … */
  readonly keeps: boolean;
  /** … and then part what was written together. */
  readonly isTorn: boolean;
  /** A commit index alone is written without a sync. */
  readonly isLazy: boolean;
}

const EVERY_MS: Readonly<Record<Fault, readonly [least: number, most: number]>> = {
  crash: [800, 6_000],
  cut: [800, 5_000],
  stall: [1_000, 5_000],
  compact: [300, 3_000],
  change: [400, 3_000],
  transfer: [800, 4_000],
  damage: [4_000, 12_000],
};

export function drawPlan(seed: number): Plan {
  const rng = seededRng(seed);
  const between = (least: number, most: number): number => least + rng.below(most - least + 1);
  const maybe = (share: number, value: () => number, otherwise: number): number =>
    rng.unit() < share ? value() : otherwise;
  const faults = new Map<Fault, number>();
  for (const fault of FAULTS)
    if (rng.unit() < (fault === "damage" ? 0.15 : 0.6)) faults.set(fault, between(...EVERY_MS[fault]));
  const electionTicks = between(4, 10);
  return {
    seed,
    nodes: between(3, 7),
    clients: between(2, 4),
    keys: between(1, 3),
    busyMs: between(8_000, 20_000),
    tickMs: 100,
    raft: raftLimits(rng, electionTicks),
    network: {
      delayMs: between(1, 20),
      jitterMs: maybe(0.7, () => between(5, 150), 0),
      lossPercent: maybe(0.5, () => between(1, 20), 0),
      duplicatePercent: maybe(0.5, () => between(1, 20), 0),
      stragglerPercent: maybe(0.4, () => between(1, 5), 0),
    },
    disk: {
      syncMs: maybe(0.8, () => between(1, 80), 0.1),
      keeps: rng.unit() < 0.6,
      isTorn: rng.unit() < 0.5,
      isLazy: rng.unit() < 0.5,
    },
    driftPercent: maybe(0.7, () => between(1, 20), 0),
    faults,
    patienceMs: between(500, 3_000),
    thinkMs: between(20, 600),
    patience: maybe(0.5, () => 0.9, 0.2),
  };
}

/** Small limits make what is rare in large ones frequent. */
function raftLimits(rng: Rng, electionTicks: number): Omit<RaftConfig, "id"> {
  const isTight = rng.unit() < 0.5;
  return {
    electionTicks,
    heartbeatTicks: 1 + rng.below(Math.max(1, electionTicks >> 2)),
    messageBytesMax: isTight ? 64 + rng.below(400) : 1 << 16,
    inflightMessagesMax: isTight ? 1 + rng.below(4) : 64,
    inflightBytesMax: isTight ? 100 + rng.below(1_000) : 1 << 20,
    uncommittedBytesMax: isTight ? 200 + rng.below(2_000) : 1 << 20,
  };
}
