// Sums reports of vitest: `node sum.mjs passed|failed FILE...`, or tells which tests failed and why: `node sum.mjs which
// FILE...`. A file that cannot be read adds nothing: whoever ran the tests knows that they failed.
import { readFileSync } from "node:fs";
import { relative } from "node:path";

const [what, ...files] = process.argv.slice(2);
const reports = files.map(read);
if (what === "which") {
  for (const { failures } of reports) for (const failure of failures) console.log(failure);
} else {
  console.log(reports.reduce((total, report) => total + (what === "passed" ? report.passed : report.failures.length), 0));
}

function read(file) {
  let report;
  try {
    report = JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return { passed: 0, failures: [] };
  }
  const failures = report.testResults.flatMap(({ name, status, message, assertionResults }) => {
    const failed = assertionResults.filter((test) => test.status === "failed");
    // A file whose tests could not even be collected has failed without a failed test.
    if (status === "failed" && failed.length === 0) return [told(name, "could not be run", message)];
    return failed.map((test) => told(name, test.fullName, test.failureMessages.join("\n")));
  });
  return { passed: report.numPassedTests, failures };
}

/** One failure, short enough for the end of a log: the file, the test and the first lines of its message. */
function told(file, test, message) {
  const lines = message.split("\n").filter((line) => !line.includes("node_modules"));
  const shown = lines.slice(0, 20).map((line) => `     ${line.slice(0, 300)}`);
  return [`-- ${relative(process.cwd(), file)}: ${test}`, ...shown].join("\n");
}
