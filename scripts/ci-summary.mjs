/**
 * The last line of a test run, `N passed, N failed`, over vitest's JSON reports in a folder:
 * node scripts/ci-summary.mjs FAILED_SUITES FOLDER. Exits 1 unless something passed and nothing
 * failed. A suite that failed without a failed test to show (it broke off) counts as one failure.
 */
import fs from "node:fs";
import path from "node:path";

const [failedSuites = "0", folder = "."] = process.argv.slice(2);
const reports = fs
  .readdirSync(folder)
  .filter((name) => name.endsWith(".json"))
  .map((name) => JSON.parse(fs.readFileSync(path.join(folder, name), "utf8")));

const sum = (pick) => reports.reduce((total, report) => total + pick(report), 0);
const passed = sum((report) => report.numPassedTests);
// A file that cannot even be loaded has no tests of its own to fail.
const unloaded = (report) =>
  report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length;
const failedTests = sum((report) => report.numFailedTests + unloaded(report));
const failed = Math.max(failedTests, Number(failedSuites));

if (passed === 0 && failed === 0) console.log("no test ran");
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = passed > 0 && failed === 0 ? 0 : 1;
