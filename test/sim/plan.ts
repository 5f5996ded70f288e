import { type Rng, seededRng, shuffle } from "../../src/kernel/rng.ts";
import type { Habits } from "./client.ts";
import type { NodeSpec } from "./cluster.ts";
import { THREE_REGIONS } from "./cluster.ts";
import type { HotKey } from "./workload.ts";
import { drawKeys } from "./workload.ts";

/** Kinds of trouble. Each seed switches on a random subset with random strengths: some bugs show only where others
 *  don't get in the way (swarm testing, Groce et al. 2012). */
export const FAULTS = [
  "noise",
  "cut",
  "one-way",
  "flap",
  "crash",
  "crash-in-commit",
  "restart",
  "stall",
  "rollback",
  "fsync",
  "damage",
  "clock",
] as const;
export type Fault = (typeof FAULTS)[number];

/** Everything that a seed decides before its run begins. */
export interface Plan {
  readonly seed: number;
  readonly nodes: readonly NodeSpec[];
  readonly keys: readonly HotKey[];
  readonly clients: readonly { readonly home: string; readonly habits: Habits }[];
  /** How long clients and faults are at work. */
  readonly busyMs: number;
  /** Fault → mean time between two of them. */
  readonly faults: ReadonlyMap<Fault, number>;
  readonly syncIntervalMs: number;
  readonly historyMs: number;
  readonly queuedWrites: number;
  /** Next to nothing: rows are read from the store each time. */
  readonly cacheBytes: number;
}

export interface PlanOptions {
  readonly seed: number;
  readonly nodes?: number;
  readonly regions?: number;
  readonly busyMs?: number;
  /** Only these, all of them; a random subset otherwise. */
  readonly faults?: readonly Fault[];
}

const LONG_HISTORY_MS = 24 * 3_600_000;

export function drawPlan(options: PlanOptions): Plan {
  const rng = seededRng(options.seed);
  const nodes = drawNodes(rng, options);
  const busyMs = options.busyMs ?? 12_000 + rng.below(20_000);
  const chosen = options.faults ?? shuffle([...FAULTS], rng).slice(0, rng.below(6));
  const clients = Array.from({ length: 2 + rng.below(3) }, (_, i) => ({
    home: (nodes[i % nodes.length] as NodeSpec).name,
    habits: drawHabits(rng),
  }));
  return {
    seed: options.seed,
    nodes,
    keys: drawKeys(rng),
    clients,
    busyMs,
    faults: new Map(chosen.map((fault) => [fault, busyMs / (1 + rng.below(8))])),
    syncIntervalMs: 1_000 * 2 ** rng.below(3),
    historyMs: rng.below(5) < 3 ? LONG_HISTORY_MS : 2_000 + rng.below(8_000),
    queuedWrites: rng.below(4) === 0 ? 3 : 1_000,
    cacheBytes: rng.below(3) === 0 ? 1 : 2 ** 20,
  };
}

/** Three nodes mostly; four or five share regions. */
function drawNodes(rng: Rng, { nodes, regions }: PlanOptions): NodeSpec[] {
  const count = nodes ?? [3, 3, 3, 3, 3, 3, 3, 3, 4, 5][rng.below(10)] ?? 3;
  return Array.from({ length: count }, (_, i) => {
    const region = (THREE_REGIONS[i % Math.min(3, regions ?? 3)] as NodeSpec).region;
    const name = i < 3 && (regions ?? 3) === 3 ? region : `${region}${i}`;
    return { name, region, clock: { offsetMs: rng.below(400) - 200, driftPpm: rng.below(200) - 100 } };
  });
}

function drawHabits(rng: Rng): Habits {
  return {
    thinkMs: 150 + rng.below(600),
    timeoutMs: 800 + rng.below(2_000),
    readPercent: 10 + rng.below(40),
    contextPercent: rng.below(80),
    batchPercent: rng.below(20),
    resolvePercent: rng.below(8),
    strayPercent: rng.below(60),
    hasSession: rng.below(3) > 0,
  };
}
