// What looks for a planted bug: bundled together with the patched rules, and run in a worker so that a bug which never
// ends can be stopped.

import { parentPort, workerData } from "node:worker_threads";
import type { Law } from "../../crdt/contract.test-kit.ts";
import { lawsOf } from "../../crdt/contract.test-kit.ts";
import { kernelLaws } from "../property/kernel-laws.ts";
import { lawTools, subjects } from "../property/law-subjects.ts";
import { partitionLaws } from "../property/partition-laws.ts";
import { ALL_BUT_TRACELESS, search } from "../property/partition-search.ts";
import { writeLaws } from "../property/write-laws.ts";
import type { LawGroup, RulesFinder } from "./mutant.ts";

const GROUPS: readonly LawGroup[] = ["partition", "write", "map", "counter", "set", "register", "flag", "kernel"];

export interface Order {
  readonly finder: RulesFinder;
  readonly others: boolean;
  readonly budgetMs: number;
}

/** Who found something and what, or null. */
export function find({ finder, others, budgetMs }: Order): string | null {
  const before = process.cpuUsage();
  const isOver = (): boolean => process.cpuUsage(before).user > 1000 * budgetMs;
  const rest: RulesFinder[] = [
    ...GROUPS.map((laws) => ({ laws })),
    { world: "all" },
    { world: ["traceless", "restart", "retention", "loss", "cuts"] },
  ];
  for (const next of others ? [finder, ...rest] : [finder]) {
    if (isOver()) return null;
    const by = "laws" in next ? brokenLaw(next.laws) : violated(next, isOver);
    if (by) return by;
  }
  return null;
}

function brokenLaw(group: LawGroup): string | null {
  for (const law of lawsIn(group))
    try {
      law.check(400, { seed: 1, endOnFailure: true });
    } catch {
      return `law: ${law.claim}`; // whatever it threw: the law is broken
    }
  return null;
}

function lawsIn(group: LawGroup): readonly Law[] {
  if (group === "kernel") return kernelLaws;
  if (group === "partition") return partitionLaws;
  return group === "write" ? writeLaws : lawsOf(subjects[group], lawTools);
}

function violated(finder: Extract<RulesFinder, { world: unknown }>, isOver: () => boolean): string | null {
  const faults = finder.world === "all" ? ALL_BUT_TRACELESS : finder.world;
  const nodes = finder.nodes === undefined ? {} : { nodes: finder.nodes };
  const found = search({ faults, schedules: 60_000, seed: 1, isOver, explains: false, ...nodes });
  return found && `world: ${found.kind} (schedule ${found.schedule})`;
}

parentPort?.postMessage(find(workerData as Order));
