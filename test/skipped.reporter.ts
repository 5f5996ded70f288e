import type { Reporter, TestCase, TestModule, TestSuite, Vitest } from "vitest/node";

/** Says at the end of a run what was skipped: vitest's own summary only counts it. Test names and notes carry the reason. */
export default class SkippedReporter implements Reporter {
  #isFiltered = false;

  onInit(vitest: Vitest): void {
    // With -t all other tests count as skipped; who asked for that knows.
    this.#isFiltered = vitest.config.testNamePattern !== undefined;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    if (this.#isFiltered) return;
    const lines = new Map<string, number>();
    for (const module of modules)
      for (const test of module.children.allTests("skipped")) {
        const line = `${module.relativeModuleId} > ${skippedPart(test).fullName}${noteOf(test)}`;
        lines.set(line, (lines.get(line) ?? 0) + 1);
      }
    for (const [line, tests] of lines) console.log(`skipped: ${line}${tests > 1 ? ` (${tests} tests)` : ""}`);
  }
}

/** The outermost suite that is skipped as a whole, else the test. */
function skippedPart(test: TestCase): TestSuite | TestCase {
  let found: TestSuite | TestCase = test;
  for (let parent = test.parent; parent.type === "suite"; parent = parent.parent)
    if (parent.options.mode === "skip") found = parent;
  return found;
}

function noteOf(test: TestCase): string {
  const result = test.result();
  return result.state === "skipped" && result.note ? `: ${result.note}` : "";
}
