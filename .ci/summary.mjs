// node .ci/summary.mjs REPORT STATUS: prints `N passed, N failed` from vitest's JSON report and exits as the run should.
// What failed outside of tests (set-up, lint, a file that doesn't load, an unhandled error) counts as one failure each.
import { readFileSync } from "node:fs";

const [reportPath, statusText] = process.argv.slice(2);
const status = Number(statusText);
let passed = 0;
let failed = 0;
try {
  const report = JSON.parse(readFileSync(reportPath, "utf8"));
  passed = report.numPassedTests;
  const broken = report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0);
  failed = report.numFailedTests + broken.length;
} catch {
  console.log("ci: the tests did not run: set-up, build or lint failed (above)");
}
if (status !== 0 && failed === 0) failed = 1;
console.log(`${passed} passed, ${failed} failed`);
process.exit(status !== 0 ? status : failed > 0 || passed === 0 ? 1 : 0);
