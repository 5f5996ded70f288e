// Looks for a planted bug with tests that are named, by a trap's number or by words: vitest, on the copy in which the bug
// was planted.

import { execFile } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NamedFinder, TrapFinder } from "./mutant.ts";

/** As ours, but in one process; what it remembers of a run stays in the copy. */
const CONFIG = `export default {
  cacheDir: "out/vitest",
  test: { include: ["test/**/*.test.ts"], pool: "forks", maxWorkers: 1, testTimeout: 60_000 },
};
`;

interface Results {
  readonly numPassedTests: number;
  readonly testResults: readonly {
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

/** The first red test, or null when all are green. Throws when no test ran: a file that can't be loaded finds nothing. */
export async function redTest(
  folder: string,
  finder: TrapFinder | NamedFinder,
  timeoutMs: number,
): Promise<string | null> {
  const { tests } = finder;
  writeFileSync(join(folder, "vitest.config.mjs"), CONFIG);
  const output = join(folder, "out", "tests.json");
  rmSync(output, { force: true });
  const pattern = "item" in finder ? `items? (\\d+ and )?${finder.item}\\b` : finder.named.source;
  const vitest = join(folder, "node_modules/vitest/vitest.mjs");
  const args = [vitest, "run", tests, "-t", pattern, "--root", folder, "--reporter=json", `--outputFile=${output}`];
  const ended = await endOf(args, folder, timeoutMs);
  if (ended === "too late") return "never ends";
  if (!existsSync(output)) throw new Error(`vitest said nothing of ${tests}: ${ended}`);
  const results = JSON.parse(readFileSync(output, "utf8")) as Results;
  const cases = results.testResults.flatMap(({ assertionResults }) => assertionResults);
  const red = cases.find(({ status }) => status === "failed");
  if (!red && results.numPassedTests === 0)
    throw new Error(`no test of ${tests} ran for ${pattern}: ${results.testResults.map((file) => file.message)}`);
  return red ? `test: ${red.fullName}` : null;
}

/** What it printed, once it ended by itself. */
function endOf(args: readonly string[], cwd: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd, timeout: timeoutMs, killSignal: "SIGKILL" }, (error, stdout, stderr) =>
      resolve(error?.killed ? "too late" : stdout + stderr),
    );
  });
}
