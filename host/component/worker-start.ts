// Where the thread of an instance starts in the bundled host: loads worker.ts, bundled as one script, from what V8 compiled
// of it in an earlier run. Only bundled; from the sources the thread starts with worker.ts itself.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { workerData } from "node:worker_threads";
import { KeptScript } from "./kept-code.ts";
import type { WorkerData } from "./messages.ts";

const filename = join(import.meta.dirname, "worker-whole.cjs");
const source = readFileSync(filename, "latin1");
const hash = createHash("sha256").update(source).digest("hex");
const { compiled } = workerData as WorkerData;
const script = new KeptScript(`(function (module, exports, require, __filename, __dirname) {\n${source}\n})`, {
  filename,
  lineOffset: -1,
  place: compiled === undefined ? undefined : join(compiled, "worker"),
  version: hash,
});
const module: { exports: Partial<typeof import("./worker.ts")> } = { exports: {} };
const load = script.run() as (...scope: unknown[]) => void;
load(module, module.exports, createRequire(filename), filename, import.meta.dirname);
module.exports.onSettled!(() => script.keep());
