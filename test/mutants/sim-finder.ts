// Looks for a planted bug in whole simulated clusters: bundled together with the patched node, run in a worker.

import { parentPort, workerData } from "node:worker_threads";
import { simulate } from "../sim/simulate.ts";
import type { SimFinder } from "./mutant.ts";

export interface SimOrder {
  readonly finder: SimFinder;
  readonly budgetMs: number;
}

/** Seeds from 1 on until one fails or the budget of CPU time is spent. */
async function find({ finder, budgetMs }: SimOrder): Promise<string | null> {
  const before = process.cpuUsage();
  const options = { small: true, ...(finder.sim !== "drawn" && { faults: finder.sim }) };
  for (let seed = 1; process.cpuUsage(before).user < 1000 * budgetMs; seed++) {
    const { violations } = await simulate({ seed, ...options });
    const [first] = violations;
    if (first) return `seed ${seed}: ${first.invariant}`;
  }
  return null;
}

parentPort?.postMessage(await find(workerData as SimOrder));
