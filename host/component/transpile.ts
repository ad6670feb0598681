import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { asyncImports } from "./async-imports.ts";
import { oneByteSource } from "./one-byte-source.ts";
import { SCRIPT_END } from "./script-end.ts";

/** A component as what Node can run: one JavaScript module and the core modules that it instantiates. */
export interface TranspiledComponent {
  /** The ES module, in ASCII; exports `instantiate(getCoreModule, imports, instantiateCore)` and ends with `SCRIPT_END`. */
  script: string;
  /** Core modules by the name that the script asks for. */
  modules: Map<string, Uint8Array>;
  /** The interfaces that it imports, without versions. */
  imports: string[];
}

/** File name under which the script of a transpiled component is stored. */
export const SCRIPT_NAME = "component.js";

/**
 * Transpile a component for this host: blocking calls of wasi:io suspend the wasm stack (JSPI), every export returns a
 * promise, and all imports come from the object handed to `instantiate`.
 *
 * @param component the bytes of a Preview 2 component
 * @throws {TranspileError} when the bytes are not a component, or the transpiler's output is not what we know how to run.
 */
export async function transpile(component: Uint8Array): Promise<TranspiledComponent> {
  assertComponent(component);
  const { transpileBytes } = await import("@bytecodealliance/jco-transpile");
  let files: Record<string, Uint8Array>;
  let imports: string[];
  try {
    ({ files, imports } = await transpileBytes(component, {
      name: SCRIPT_NAME.replace(/\.js$/, ""),
      instantiation: "async",
      wasiShim: false,
      asyncMode: "jspi",
      asyncImports: [...asyncImports],
      asyncExports: ["*"],
      emitTypescriptDeclarations: false,
    }));
  } catch (cause) {
    throw new TranspileError(`the component could not be transpiled: ${firstLine(cause)}`, { cause });
  }
  const modules = new Map<string, Uint8Array>();
  let script: string | undefined;
  for (const [name, bytes] of Object.entries(files)) {
    if (name === SCRIPT_NAME) script = Buffer.from(bytes).toString("utf8");
    else if (/^[\w.-]+\.wasm$/.test(name)) modules.set(name, bytes);
    else throw new TranspileError(`jco-transpile wrote a file that this host does not expect: ${JSON.stringify(name)}`);
  }
  if (script === undefined) throw new TranspileError(`jco-transpile wrote no ${SCRIPT_NAME}`);
  return { script: oneByteSource(withOneExport(withTraps(withoutDebugging(script)))), modules, imports };
}

/** The version of the transpiler, read without loading it. */
export function transpilerVersion(): string {
  const { version } = JSON.parse(transpilerManifest()) as { version?: unknown };
  if (typeof version !== "string") throw new TranspileError("jco-transpile's package.json names no version");
  return version;
}

/** Looked for as Node looks for packages; asking Node itself takes 2 ms, which each start would wait for. */
function transpilerManifest(): string {
  const name = "@bytecodealliance/jco-transpile";
  for (let folder = import.meta.dirname, above = dirname(folder); folder !== above; folder = above, above = dirname(folder)) {
    try {
      return readFileSync(join(folder, "node_modules", name, "package.json"), "utf8");
    } catch {
      continue;
    }
  }
  return readFileSync(new URL("../package.json", import.meta.resolve(name)), "utf8");
}

/** A component that this host cannot turn into something that Node runs. */
export class TranspileError extends Error {
  readonly code = "ERR_SALLYPORT_TRANSPILE";
}

/** The binary format's preamble: `\0asm`, then version and layer; layer 1 is a component, layer 0 a core module. */
function assertComponent(bytes: Uint8Array): void {
  const magic = [0x00, 0x61, 0x73, 0x6d];
  if (bytes.length < 8 || magic.some((byte, i) => bytes[i] !== byte)) throw new TranspileError("not a WebAssembly file");
  if (bytes[6] === 0 && bytes[7] === 0)
    throw new TranspileError("this is a core WebAssembly module, not a component: build it for the wasm32-wasip2 target");
  if (bytes[6] !== 1) throw new TranspileError("unknown layer of the WebAssembly binary format");
}

/**
 * The generated code asks the environment, by a real `getenv`, whether to log, several times in each call. Replacing the
 * question by its answer makes calls 2.8 times cheaper.
 */
function withoutDebugging(script: string): string {
  const question = /\bglobalThis\s*\?\.\s*process\s*\?\.\s*env\s*\?\.\s*JCO_DEBUG\b/g;
  const without = script.replaceAll(question, "false");
  if (without === script || without.includes("JCO_DEBUG"))
    throw new TranspileError("jco-transpile's debug switch was not found where it was in the version this host was written for");
  return without;
}

/**
 * Where a host's asynchronous import without a `result` fails, the generated code returns a promise that nothing settles: the
 * guest would wait for ever in place of a trap. Throwing instead unwinds it.
 */
function withTraps(script: string): string {
  const failed =
    /(\[Instruction::CallInterface\] error during async call'(?:(?!completionPromise)[^])*?task\.exit\(\);\s*)return task\.completionPromise\(\);/g;
  return script.replaceAll(failed, "$1throw err;");
}

/** With its export at the end, so that the rest is valid in a function too: `loadScript` says why. */
function withOneExport(script: string): string {
  const without = script
    .replaceAll(/^export (?=function instantiate\(|const _util = )/gm, "")
    // Where core modules come from if nobody gives them; this host always does.
    .replaceAll("import.meta.url", "undefined");
  if (!/^function instantiate\(/m.test(without) || /^(?:import|export)\b/m.test(without) || without.includes("import.meta"))
    throw new TranspileError("jco-transpile's module exports something else than in the version this host was written for");
  return without + SCRIPT_END;
}

function firstLine(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause);
  return text.split("\n", 1)[0]!.slice(0, 300);
}
