import { createHash } from "node:crypto";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { cachedDataVersionTag } from "node:v8";
import { Script } from "node:vm";

/** What a transpiled component exports. */
export type Instantiate = (
  getCoreModule: (name: string) => WebAssembly.Module,
  imports: Record<string, unknown>,
  instantiateCore: (module: WebAssembly.Module, imports: Record<string, unknown>) => Promise<{ exports: Record<string, unknown> }>,
) => Promise<Record<string, unknown>>;

/** The one export of a transpiled component's module, and its last line. What stands before it is also valid in a function. */
export const SCRIPT_END = "\nexport { instantiate };\n";

/**
 * The function that instantiates a transpiled component; read once a thread.
 *
 * A component's script is some two megabytes, most of it one function. Parsing what runs at a start of it takes longer than
 * running it, and Node's cache of compiled modules holds only what is compiled before the module runs. So it is compiled as a
 * plain script here, and `rememberCompiled` keeps what V8 has compiled of it by then.
 *
 * @param url `file:` URL of the module
 * @returns `undefined` if it is no module that `transpile` made
 */
export async function loadScript(url: string): Promise<Instantiate | undefined> {
  const known = loaded.get(url);
  if (known !== undefined) return known.instantiate;
  const path = fileURLToPath(url);
  const source = readFileSync(path, "utf8");
  if (!source.endsWith(SCRIPT_END)) return undefined;
  const place = compiledPath(path);
  const cachedData = readCompiled(place);
  // One line before the source keeps the columns of its own lines as they are.
  const script = new Script(`(function () { "use strict";\n${source.slice(0, -SCRIPT_END.length)}\nreturn instantiate; })()`, {
    filename: path,
    lineOffset: -1,
    ...(cachedData !== undefined && { cachedData }),
  });
  const instantiate = script.runInThisContext() as Instantiate;
  loaded.set(url, { instantiate, script, place, stale: script.cachedDataRejected !== false });
  return instantiate;
}

/**
 * Keep what is compiled of a script by now for later starts, beside the script. Does nothing if this thread's own start
 * found that already, or if the place cannot be written. Takes some 20 ms.
 */
export function rememberCompiled(url: string): void {
  const entry = loaded.get(url);
  if (entry === undefined || !entry.stale) return;
  entry.stale = false;
  const work = `${entry.place}.${process.pid}`;
  try {
    const data = entry.script.createCachedData();
    writeFileSync(work, Buffer.concat([digest(data), data]), { mode: 0o600, flag: "wx" });
    renameSync(work, entry.place);
  } catch {
    rmSync(work, { force: true });
  }
}

interface Loaded {
  instantiate: Instantiate;
  script: Script;
  /** Where what is compiled of it is kept. */
  place: string;
  /** Whether what is kept of it is missing or of no use. */
  stale: boolean;
}

const loaded = new Map<string, Loaded>();

/** One for each V8 and set of its flags, which refuses the others'. */
function compiledPath(script: string): string {
  return `${script}.${cachedDataVersionTag().toString(16)}.compiled`;
}

/** V8 itself checks only that the data is for its version, its flags and a source of this length. */
function readCompiled(path: string): Buffer | undefined {
  try {
    const bytes = readFileSync(path);
    const data = bytes.subarray(DIGEST);
    return digest(data).equals(bytes.subarray(0, DIGEST)) ? data : undefined;
  } catch {
    return undefined;
  }
}

function digest(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

/** Bytes of a SHA-256. */
const DIGEST = 32;
