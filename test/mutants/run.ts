// npm run -s mutants -- [--json] [--only NAME,…] [--budget SECONDS]
// Plants each bug of mutants.ts and says who finds it. Exit 1 if one survives.

import { parseArgs } from "node:util";
import { MUTANTS } from "./mutants.ts";
import type { Outcome } from "./runner.ts";
import { MutantRunner } from "./runner.ts";

const { values } = parseArgs({
  options: { json: { type: "boolean" }, only: { type: "string" }, budget: { type: "string", default: "120" } },
});
const names = values.only?.split(",");
const unknown = names?.find((name) => !MUTANTS.some((mutant) => mutant.name === name));
if (unknown !== undefined) throw new Error(`no mutant is called ${unknown}`);

const runner = new MutantRunner(Number(values.budget) * 1000);
const outcomes: Outcome[] = [];
try {
  if (!names) await mustBeClean(runner);
  for (const mutant of MUTANTS.filter(({ name }) => !names || names.includes(name))) {
    const outcome = await runner.run(mutant);
    outcomes.push(outcome);
    const line = `${outcome.found ? "found   " : "SURVIVED"} ${outcome.mutant.padEnd(36)} ${outcome.cpuSeconds} s  ${outcome.by ?? ""}`;
    console.log(values.json ? JSON.stringify(outcome) : line);
  }
} finally {
  runner.close();
}
/** What finds a bug in the code as it is would find all mutants. */
async function mustBeClean(finders: MutantRunner): Promise<void> {
  const traps = MUTANTS.flatMap(({ finder }) => ("tests" in finder ? [finder] : []));
  const each = new Map(
    traps.map((finder) => [`${finder.tests} ${"item" in finder ? finder.item : finder.named}`, finder]),
  );
  for (const finder of [{ laws: "partition" } as const, ...each.values()]) {
    const { by } = await finders.run({ name: "the code as it is", patches: [], finder });
    if (by) throw new Error(`the code as it is already fails: ${by}`);
  }
}

const survivors = outcomes.filter(({ found }) => !found).map(({ mutant }) => mutant);
const cpuSeconds = Math.round(outcomes.reduce((sum, outcome) => sum + outcome.cpuSeconds, 0));
const summary = { total: outcomes.length, found: outcomes.length - survivors.length, cpuSeconds, survivors };
console.log(
  values.json ? JSON.stringify(summary) : `${summary.found} of ${summary.total} mutants found, ${cpuSeconds} s`,
);
process.exitCode = survivors.length > 0 ? 1 : 0;
