import { describe, it } from "vitest";
import { RUNS } from "./law-subjects.ts";
import { partitionLaws } from "./partition-laws.ts";

describe("laws of a partition's decisions", () => {
  for (const law of partitionLaws) it(law.claim, { timeout: 900_000 }, () => law.check(RUNS));
});
