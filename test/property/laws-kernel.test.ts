import { describe, it } from "vitest";
import { kernelLaws } from "./kernel-laws.ts";
import { RUNS } from "./law-subjects.ts";

describe("laws of codec, vectors, sums and clocks", () => {
  for (const law of kernelLaws) it(law.claim, { timeout: 900_000 }, () => law.check(RUNS));
});
