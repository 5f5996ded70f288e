// Plausible wrong forms of the rules, as small patches. The tests must find each of them; a survivor is a missing test.

import type { Mutant } from "./mutant.ts";
import { ofTheControl } from "./of-the-control.ts";
import { ofTheDriver } from "./of-the-driver.ts";
import { ofTheGossip } from "./of-the-gossip.ts";
import { ofTheNode } from "./of-the-node.ts";
import { ofThePlane } from "./of-the-plane.ts";
import { ofTheRaft } from "./of-the-raft.ts";
import { NOT_EXPRESSIBLE, ofTheModel, ofTheRules } from "./of-the-rules.ts";
import { ofTheKernel, ofTheTypes } from "./of-the-types.ts";

export const MUTANTS: readonly Mutant[] = [
  ...ofTheModel,
  ...ofTheRules,
  ...ofTheKernel,
  ...ofTheTypes,
  ...ofTheNode,
  ...ofTheGossip,
  ...ofTheRaft,
  ...ofTheDriver,
  ...ofTheControl,
  ...ofThePlane,
];

/** Every mutant of the model, by name: those here and those that can't be. */
export const MODEL_NAMES: readonly string[] = [
  ...ofTheModel.map((mutant) => mutant.name).filter((name) => !name.startsWith("token-ignored")),
  "token-only-dots",
  ...Object.keys(NOT_EXPRESSIBLE),
];
