import type { Layout } from "../../crdt/index.ts";
import type { ProfileName } from "../../gossip/swim/profile.ts";
import { type Rng, seededRng, shuffle } from "../../src/kernel/rng.ts";
import { LAYOUT } from "../../src/replication/replica.ts";
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
  "lost-sums",
  "clock",
  "slow-disk",
  "full-disk",
] as const;
export type Fault = (typeof FAULTS)[number];

/** Everything that a seed decides before its run begins. */
export interface Plan {
  readonly seed: number;
  readonly small: boolean;
  readonly nodes: readonly NodeSpec[];
  readonly keys: readonly HotKey[];
  readonly clients: readonly { readonly home: string; readonly habits: Habits }[];
  readonly hours: Hours;
  /** How long clients and faults are at work. */
  readonly busyMs: number;
  /** Fault → mean time between two of them. */
  readonly faults: ReadonlyMap<Fault, number>;
  readonly layout: Layout;
  readonly pace: Pace;
  /** How often the checkers look at living nodes. */
  readonly observeEveryMs: number;
  readonly historyMs: number;
  readonly queuedWrites: number;
  /** Next to nothing: rows are read from the store each time. */
  readonly cacheBytes: number;
}

/** Clients come in waves: a few hundred requests spread evenly over ten minutes would hardly ever meet. */
export interface Hours {
  readonly cycleMs: number;
  /** Of each cycle, from its begin on. */
  readonly rushMs: number;
  /** Clients think so many times longer outside. */
  readonly slack: number;
  /** Unless they are behind this pace: time-outs of a bad seed must not make it an empty one. */
  readonly operationsPerMs: number;
}

/** How often nodes talk while nothing happens: most of a long run's events. */
export interface Pace {
  readonly heartbeatMs: number;
  readonly syncIntervalMs: number;
  readonly gossip: ProfileName;
}

export interface PlanOptions {
  readonly seed: number;
  /** Some seconds and requests, for a suite that must be short, instead of ten minutes and some hundred. */
  readonly small?: boolean;
  readonly nodes?: number;
  readonly regions?: number;
  readonly busyMs?: number;
  /** Only these, all of them; a random subset otherwise. */
  readonly faults?: readonly Fault[];
  readonly clients?: number;
  /** Ends the busy time early, all before being as without it: where a failure is cut short. */
  readonly untilMs?: number;
}

const LONG_HISTORY_MS = 24 * 3_600_000;

export function drawPlan(options: PlanOptions): Plan {
  const rng = seededRng(options.seed);
  const nodes = drawNodes(rng, options);
  // Drawn in any case: to ask for what a seed draws anyway changes nothing.
  const small = options.small ?? false;
  const drawnBusyMs = small ? 12_000 + rng.below(20_000) : 600_000 + rng.below(60_000);
  const busyMs = options.busyMs ?? drawnBusyMs;
  const drawnFaults = shuffle([...FAULTS], rng).slice(0, rng.below(6));
  const chosen = options.faults ?? drawnFaults;
  const drawnClients = 2 + rng.below(3);
  const clients = Array.from({ length: options.clients ?? drawnClients }, (_, i) => ({
    home: (nodes[i % nodes.length] as NodeSpec).name,
    habits: drawHabits(rng),
  }));
  const pace = drawPace(rng, small, nodes.length);
  return {
    seed: options.seed,
    small,
    nodes,
    keys: drawKeys(rng),
    clients,
    hours: small ? smallHours(nodes.length) : drawHours(rng, busyMs, clients),
    busyMs: Math.min(busyMs, options.untilMs ?? busyMs),
    faults: new Map(chosen.map((fault) => [fault, busyMs / (1 + rng.below(8))])),
    // Few and small: what else costs is to hash and save what is empty. Now and then the real one.
    layout: rng.below(40) === 0 ? LAYOUT : { partitionBits: rng.below(4), leafBits: 1 + rng.below(4) },
    pace,
    observeEveryMs: small ? 4_000 : 15_000,
    historyMs: rng.below(5) < 3 ? LONG_HISTORY_MS : (2_000 + rng.below(8_000)) * (small ? 1 : 4),
    queuedWrites: rng.below(4) === 0 ? 3 : 1_000,
    cacheBytes: rng.below(3) === 0 ? 1 : 2 ** 20,
  };
}

/** A request costs as many events as there are nodes, and links more than that. */
const smallHours = (nodes: number): Hours => ({
  cycleMs: 8_000,
  rushMs: nodes > 3 ? 3_000 : 8_000,
  slack: 10,
  operationsPerMs: 0,
});
/** Operations in a long run, on average. */
const OPERATIONS = 505;
const RUSH_SHARE = 0.85;
/** What a request takes besides thinking, roughly. */
const ANSWER_MS = 60;

function drawHours(rng: Rng, busyMs: number, clients: Plan["clients"]): Hours {
  const cycles = 6 + rng.below(15);
  const perMs = clients.reduce((sum, { habits }) => sum + operationsOf(habits) / (habits.thinkMs + ANSWER_MS), 0);
  const rushMs = Math.min(busyMs, (OPERATIONS * RUSH_SHARE) / perMs);
  const idlePerMs = (OPERATIONS * (1 - RUSH_SHARE)) / Math.max(1, busyMs - rushMs);
  return {
    cycleMs: busyMs / cycles,
    rushMs: rushMs / cycles,
    slack: Math.max(1, perMs / idlePerMs),
    operationsPerMs: OPERATIONS / busyMs,
  };
}

/** A batch counts as several; to settle a conflict there must be one. */
function operationsOf({ batchPercent, resolvePercent }: Habits): number {
  return 1 + (2.5 * batchPercent - resolvePercent) / 100;
}

/** As in production only in small runs: with four nodes, ten minutes of it are 180,000 events. */
function drawPace(rng: Rng, small: boolean, nodes: number): Pace {
  const isBrisk = rng.below(10) === 0;
  const syncIntervalMs = 1_000 * 2 ** rng.below(3);
  const gossip = (["lan", "local", "geo"] as const)[rng.below(3)] ?? "lan";
  if (small && nodes > 3) return { heartbeatMs: 5_000, syncIntervalMs: 2 * syncIntervalMs, gossip: "geo" };
  if (small) return { heartbeatMs: isBrisk ? 1_000 : 2_000, syncIntervalMs, gossip };
  if (isBrisk) return { heartbeatMs: 5_000, syncIntervalMs: 4 * syncIntervalMs, gossip };
  return { heartbeatMs: 15_000, syncIntervalMs: 10 * syncIntervalMs, gossip: "geo" };
}

/** Three nodes mostly; four or five share regions. */
function drawNodes(rng: Rng, { nodes, regions }: PlanOptions): NodeSpec[] {
  const drawn = [3, 3, 3, 3, 3, 3, 3, 3, 4, 5][rng.below(10)] ?? 3;
  const count = nodes ?? drawn;
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
