import { describe, expect, it } from "vitest";
import { type Attempt, History, type Increment, type Shown } from "./history.ts";

const attempt = (value: string | null, more: Partial<Attempt> = {}): Attempt => ({
  node: "eu",
  value,
  replaces: [],
  outcome: "acknowledged",
  ...more,
});

function violations(
  attempts: readonly Attempt[],
  shown: readonly string[],
  mayBeLost = (): boolean => false,
): string[] {
  const history = new History();
  for (const one of attempts) history.add("k", one);
  return history.violations({ values: new Map([["k", shown]]), counters: new Map() }, mayBeLost);
}

function ofCounter(increments: readonly Increment[], value: number | null): string[] {
  const history = new History();
  for (const one of increments) history.addIncrement("c", one);
  const shown: Shown = { values: new Map(), counters: new Map(value === null ? [] : [["c", value]]) };
  return history.violations(shown);
}

describe("the judge of real faults accepts", () => {
  it("values that stand side by side, and those that went because a writer had seen them", () => {
    expect(violations([attempt("a"), attempt("b")], ["a", "b"])).toEqual([]);
    expect(violations([attempt("a"), attempt("b", { replaces: ["a"] })], ["b"])).toEqual([]);
    expect(violations([attempt("a"), attempt(null, { replaces: ["a"] })], [])).toEqual([]);
  });

  it("either end of a write of which nobody knows what became of it", () => {
    const unknown = attempt("b", { replaces: ["a"], outcome: "unknown" });
    expect(violations([attempt("a"), unknown], ["a"])).toEqual([]);
    expect(violations([attempt("a"), unknown], ["b"])).toEqual([]);
  });
});

describe("the judge of real faults rejects", () => {
  it("an acknowledged write that is gone though nobody had seen it", () => {
    expect(violations([attempt("a")], [])).toEqual(["k: a (acknowledged by eu) is lost"]);
    expect(violations([attempt("a"), attempt("b")], ["b"])).toHaveLength(1);
  });

  it("the same, unless the only disk that held it was damaged", () => {
    expect(violations([attempt("a")], [], () => true)).toEqual([]);
  });

  it("a value that is gone because of a write that was refused", () => {
    expect(violations([attempt("a"), attempt("b", { replaces: ["a"], outcome: "refused" })], [])).toHaveLength(1);
  });

  it("a replaced or deleted value that is back", () => {
    expect(violations([attempt("a"), attempt("b", { replaces: ["a"] })], ["a", "b"])).toHaveLength(1);
    expect(violations([attempt("a"), attempt(null, { replaces: ["a"] })], ["a"])).toHaveLength(1);
  });

  it("a value that nobody wrote, or whose write was refused", () => {
    expect(violations([attempt("a")], ["a", "x"])).toEqual(["k: x comes from nowhere"]);
    expect(violations([attempt("a", { outcome: "refused" })], ["a"])).toHaveLength(1);
  });

  it("a counter below what was acknowledged, or above what was tried", () => {
    const increments: Increment[] = [
      { node: "eu", by: 5, outcome: "acknowledged" },
      { node: "us", by: 2, outcome: "unknown" },
      { node: "us", by: 1, outcome: "refused" },
    ];
    expect(ofCounter(increments, 5)).toEqual([]);
    expect(ofCounter(increments, 7)).toEqual([]);
    expect(ofCounter(increments, 4)).toHaveLength(1);
    expect(ofCounter(increments, 8)).toHaveLength(1);
    expect(ofCounter(increments, null)).toHaveLength(1);
  });
});
