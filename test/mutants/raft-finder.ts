// Looks for a planted bug of the Raft core in its stories and in simulated groups: bundled together with the patched core,
// run in a worker.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { simulate } from "../consensus/cluster.ts";
import { told } from "../consensus/story.ts";
import type { RaftFinder } from "./mutant.ts";

export interface RaftOrder {
  readonly finder: RaftFinder;
  readonly others: boolean;
  readonly budgetMs: number;
  /** Where the stories are. */
  readonly stories: string;
}

function find({ finder, others, budgetMs, stories }: RaftOrder): string | null {
  const byStories = (): string | null => changedStory(stories);
  const bySeeds = (): string | null => failedSeed(budgetMs);
  const first = finder.raft === "stories" ? byStories : bySeeds;
  const second = finder.raft === "stories" ? bySeeds : byStories;
  return first() ?? (others ? second() : null);
}

function changedStory(folder: string): string | null {
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".txt"))) {
    const text = readFileSync(join(folder, name), "utf8");
    const now = tellingOf(text);
    if (now === text) continue;
    const before = text.split("\n");
    const line = now.split("\n").findIndex((one, i) => one !== before[i]);
    return `story: ${name}, line ${line + 1}`;
  }
  return null;
}

function tellingOf(text: string): string {
  try {
    return told(text);
  } catch (error) {
    return String(error); // a story that can't be told to its end is another one
  }
}

/** Seeds from 1 on until one fails or the budget of CPU time is spent. */
function failedSeed(budgetMs: number): string | null {
  const before = process.cpuUsage();
  for (let seed = 1; process.cpuUsage(before).user < 1000 * budgetMs; seed++) {
    const { violation } = simulate(seed);
    if (violation) return `seed ${seed}: ${violation.invariant}`;
  }
  return null;
}

parentPort?.postMessage(find(workerData as RaftOrder));
