import { describe, it } from "vitest";
import { lawsOf } from "../../crdt/contract.test-kit.ts";
import { lawTools, RUNS, subjects } from "./law-subjects.ts";

describe("laws of the counter", () => {
  for (const law of lawsOf(subjects.counter, lawTools)) it(law.claim, { timeout: 900_000 }, () => law.check(RUNS));
});
