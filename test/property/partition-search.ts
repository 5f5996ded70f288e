// Random schedules, swarm tested, with shrinking. Used by the test and by the mutant runner.

import type { Rng } from "../../src/kernel/rng.ts";
import { seededRng } from "../../src/kernel/rng.ts";
import { settle } from "./partition-faults.ts";
import type { Violation } from "./partition-oracle.ts";
import type { Step } from "./partition-steps.ts";
import { runStep } from "./partition-steps.ts";
import type { WorldOptions } from "./partition-world.ts";
import { World } from "./partition-world.ts";

export const FAULTS = [
  "loss",
  "cuts",
  "restart",
  "restore",
  "retention",
  "damage",
  "traceless",
  "members",
  "guests",
  "force",
  "reads",
] as const;
export type Fault = (typeof FAULTS)[number];
/** A read between a traceless loss and its discovery shows it: no rule of replication helps (the model's weak spots). */
export const ALL_BUT_TRACELESS: readonly Fault[] = FAULTS.filter((fault) => fault !== "traceless");

/** How often each kind of step is drawn, and which faults it belongs to. */
const KINDS: Readonly<Record<string, readonly [weight: number, ...needs: Fault[]]>> = {
  write: [10],
  context: [3],
  push: [6],
  ask: [4],
  digest: [4],
  exchange: [9],
  deliver: [14],
  scrub: [1],
  lose: [1, "loss"],
  duplicate: [1, "loss"],
  cut: [1, "cuts"],
  healLinks: [1, "cuts"],
  restart: [1, "restart"],
  backup: [1, "restore"],
  restore: [1, "restore"],
  cutLog: [4, "retention"],
  fetchCopy: [2, "retention"],
  damage: [1, "damage"],
  loseRow: [1, "traceless"],
  change: [2, "members"],
  finish: [2, "members"],
  learn: [4, "members"],
  drop: [2, "members", "guests"],
  guestWrite: [3, "guests"],
  remove: [1, "force"],
  close: [1, "force", "restore"],
  read: [6, "reads"],
  quorumRead: [3, "reads"],
  quorumWrite: [2, "reads"],
};

/** Each schedule takes about half of the given faults, each with a strength of its own. */
export function randomSteps(rng: Rng, faults: readonly Fault[]): Step[] {
  const isOff = (): boolean => faults.length > 2 && rng.below(2) === 0;
  const strength = new Map(faults.map((fault) => [fault, isOff() ? 0 : 1 + rng.below(3)]));
  const bag = Object.entries(KINDS).flatMap(([kind, [weight, ...needs]]) => {
    const times = needs.length > 0 ? Math.max(...needs.map((fault) => strength.get(fault) ?? 0)) : 1;
    return Array<string>(weight * times).fill(kind);
  });
  const length = [15, 30, 60, 120][rng.below(4)] ?? 15;
  return Array.from({ length }, () => [
    bag[rng.below(bag.length)] ?? "write",
    rng.below(5040),
    rng.below(5040),
    rng.below(5040),
  ]);
}

export function runSchedule(
  steps: readonly Step[],
  options: WorldOptions,
): { violations: Violation[]; story: string[] } {
  const world = new World(options);
  try {
    for (const step of steps) runStep(world, step);
    settle(world);
    world.oracle.judge(world.nodes, world.owners);
    if (world.oracle.violations.length === 0 && world.inFlight.length > 0) {
      for (let next = world.inFlight.shift(); next; next = world.inFlight.shift()) world.receive(next); // all too late
      settle(world);
      world.oracle.judge(world.nodes, world.owners);
    }
  } catch (error) {
    world.oracle.violation("exception", error instanceof Error ? error.message : String(error));
  }
  return { violations: world.oracle.violations, story: world.story };
}

/** Leaves out steps while the schedule still fails in the same way. */
export function shrink(steps: readonly Step[], fails: (steps: readonly Step[]) => boolean): readonly Step[] {
  let best = steps;
  for (let again = true; again; ) {
    again = false;
    for (let size = best.length >> 1; size >= 1; size >>= 1)
      for (let i = 0; i + size <= best.length; ) {
        const shorter = [...best.slice(0, i), ...best.slice(i + size)];
        if (fails(shorter)) {
          best = shorter;
          again = true;
        } else i += size;
      }
  }
  return best;
}

export interface Found {
  readonly schedule: number;
  readonly kind: string;
  /** The shrunk schedule, its story and what it violates. */
  readonly report: string;
}

export interface SearchSettings {
  readonly faults: readonly Fault[];
  readonly schedules: number;
  readonly seed: number;
  readonly nodes?: number;
  /** Asked now and then: stop here? */
  readonly isOver?: () => boolean;
  readonly explains?: boolean;
}

/** The first schedule that violates something, or null. */
export function search({ faults, schedules, seed, nodes, isOver, explains = true }: SearchSettings): Found | null {
  for (let i = 0; i < schedules && !isOver?.(); i++) {
    const steps = randomSteps(seededRng(seed * 1e7 + i), faults);
    const count = nodes ?? 3 + (i % 3);
    const options = { nodes: count, owners: Math.min(count, [3, 3, 4, 5][i % 4] ?? 3), keys: 1 + ((i >> 2) % 3) };
    const first = runSchedule(steps, options).violations[0];
    if (!first) continue;
    if (!explains) return { schedule: i, kind: first.kind, report: first.text };
    const small = shrink(steps, (s) => runSchedule(s, options).violations.some((v) => v.kind === first.kind));
    const { violations, story } = runSchedule(small, options);
    const what = violations.map(({ kind, text }) => `  => ${kind}: ${text}`);
    const head = `seed ${seed}, schedule ${i}, ${JSON.stringify(options)}, ${JSON.stringify(small)}`;
    return { schedule: i, kind: first.kind, report: [head, ...story, ...what].join("\n") };
  }
  return null;
}
