import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { KeptScript } from "./kept-code.ts";
import { SCRIPT_END } from "./script-end.ts";

/** What a transpiled component exports. */
export type Instantiate = (
  getCoreModule: (name: string) => WebAssembly.Module,
  imports: Record<string, unknown>,
  instantiateCore: (module: WebAssembly.Module, imports: Record<string, unknown>) => Promise<{ exports: Record<string, unknown> }>,
) => Promise<Record<string, unknown>>;

/**
 * The function that instantiates a transpiled component; read once a thread.
 *
 * A component's script is some two megabytes, most of it one function. Parsing what runs at a start of it takes longer than
 * running it. So it is compiled as a plain script here, and `rememberCompiled` keeps what V8 has compiled of it by then.
 *
 * @param url `file:` URL of the module
 * @returns `undefined` if it is no module that `transpile` made
 */
export async function loadScript(url: string): Promise<Instantiate | undefined> {
  const known = loaded.get(url);
  if (known !== undefined) return known.instantiate;
  const filename = fileURLToPath(url);
  const source = readFileSync(filename, "latin1");
  if (!source.endsWith(SCRIPT_END)) return undefined;
  // One line before the source keeps the columns of its own lines as they are.
  const wrapped = `(function () { "use strict";\n${source.slice(0, -SCRIPT_END.length)}\nreturn instantiate; })()`;
  const script = new KeptScript(wrapped, { filename, lineOffset: -1, place: filename, version: "" });
  const instantiate = script.run() as Instantiate;
  loaded.set(url, { instantiate, script });
  return instantiate;
}

/** Keep what is compiled of a script by now for later starts, beside the script. Nothing if it is not loaded. */
export function rememberCompiled(url: string): void {
  loaded.get(url)?.script.keep();
}

const loaded = new Map<string, { instantiate: Instantiate; script: KeptScript }>();
