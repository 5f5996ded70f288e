import { describe, it } from "vitest";
import { RUNS } from "./law-subjects.ts";
import { writeLaws } from "./write-laws.ts";

describe("laws of a request's plan", () => {
  for (const law of writeLaws) it(law.claim, { timeout: 900_000 }, () => law.check(RUNS));
});
