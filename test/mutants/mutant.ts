// What a planted bug is: a small patch, and who is expected to find it.

import type { Fault } from "../property/partition-search.ts";
import type { Fault as SimFault } from "../sim/plan.ts";

/** Which laws, by the name of their group. */
export type LawGroup = "register" | "counter" | "flag" | "set" | "map" | "kernel" | "partition" | "write";

/** The simulator of whole clusters, with these faults, or with those that each seed draws. */
export interface SimFinder {
  readonly sim: readonly SimFault[] | "drawn";
}

export type RulesFinder =
  | { readonly laws: LawGroup }
  /** The search over schedules, with these faults (default: all but traceless). */
  | { readonly world: readonly Fault[] | "all"; readonly nodes?: number };

/** Tests that name a numbered trap of the gossip design ("item 7"): one of them must go red. */
export interface TrapFinder {
  readonly tests: string;
  readonly item: number;
}

/** Tests by name: one of the file's whose name matches must go red. */
export interface NamedFinder {
  readonly tests: string;
  readonly named: RegExp;
}

/** The Raft core's stories, or its simulator's seeds. */
export interface RaftFinder {
  readonly raft: "stories" | "seeds";
}

export type Finder = RulesFinder | SimFinder | TrapFinder | NamedFinder | RaftFinder;

export interface Mutant {
  readonly name: string;
  /** Each `find` stands exactly once in its file. */
  readonly patches: readonly { readonly file: string; readonly find: string; readonly replace: string }[];
  /** Who is expected to find it; the others are asked afterwards. */
  readonly finder: Finder;
}

export type Patch = readonly [find: string, replace: string];

export function inFile(file: string): (name: string, finder: Finder, ...patches: Patch[]) => Mutant {
  return (name, finder, ...patches) => ({
    name,
    finder,
    patches: patches.map(([find, replace]) => ({ file, find, replace })),
  });
}
