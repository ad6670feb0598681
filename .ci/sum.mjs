// Sums reports of vitest: `node sum.mjs passed|failed FILE...`. A file that cannot be read adds nothing: whoever ran the tests
// knows that they failed.
import { readFileSync } from "node:fs";

const [what, ...files] = process.argv.slice(2);
const sum = files.map(read).reduce((total, report) => total + (what === "passed" ? report.passed : report.failed), 0);
console.log(sum);

function read(file) {
  let report;
  try {
    report = JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return { passed: 0, failed: 0 };
  }
  // A file whose tests could not even be collected has failed without a failed test.
  const broken = report.testResults.filter(
    ({ status, assertionResults }) => status === "failed" && !assertionResults.some((test) => test.status === "failed"),
  );
  return { passed: report.numPassedTests, failed: report.numFailedTests + broken.length };
}
