import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, join, relative, resolve } from "node:path";
import type { InputOptions, Plugin } from "rolldown";
import { wasmTools } from "./wasm-tools.ts";

/** What to build. */
export interface ComponentSource {
  /** Path of the entry module, TypeScript or JavaScript. It exports what the world exports. */
  entry: string;
  /** Folder of `.wit` files, or one such file, that holds the world. */
  wit: string;
  /**
   * Further WIT packages: folders of `.wit` files that are one package, folders that hold one package a subfolder, or
   * `.wit` files that hold one package each. What stands in a folder `deps` beside the world is taken as well.
   */
  witDeps: string[];
  /** Name of the world. */
  world: string;
  /** The JavaScript engine inside the component. QuickJS calls cost 1.8–5 µs, StarlingMonkey's 40. */
  engine: "quickjs" | "starlingmonkey";
}

/** The wasi version that guests are written against, and that our host serves. */
const WASI = "0.2.12";
/** The version under which a QuickJS guest imports it: see `renameWasi`. */
const RENAMED_WASI = "0.2.11";

/**
 * Build a component from TypeScript or JavaScript.
 *
 * @returns the component's bytes.
 * @throws {ComponentBuildError} when the sources do not bundle, the engine refuses the world, or the built component's
 *   imports are not those of the world.
 */
export async function componentize(source: ComponentSource): Promise<Uint8Array> {
  const work = await mkdtemp(join(tmpdir(), "sallyport-build-"));
  try {
    const witDir = join(work, "wit");
    await assembleWit(source, witDir);
    const { code, exports } = await bundle(source);
    return source.engine === "quickjs"
      ? await componentizeQuickJs(source, code, exports, witDir)
      : await componentizeStarlingMonkey(source, code, witDir, work);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

export class ComponentBuildError extends Error {
  readonly code = "ERR_SALLYPORT_BUILD";
}

async function assembleWit(source: ComponentSource, target: string): Promise<void> {
  await mkdir(join(target, "deps"), { recursive: true });
  const files = source.wit.endsWith(".wit")
    ? [source.wit]
    : (await readdir(source.wit)).filter((f) => f.endsWith(".wit")).map((f) => join(source.wit, f));
  if (files.length === 0) throw new ComponentBuildError(`no .wit file in ${source.wit}`);
  for (const file of files) await cp(file, join(target, basename(file)));
  for (const deps of source.witDeps) {
    const to = deps.endsWith(".wit") ? join(target, "deps", basename(deps, ".wit"), basename(deps)) : await depsTarget(deps, target);
    await cp(deps, to, { recursive: true });
  }
  const own = join(source.wit, "deps");
  if (!source.wit.endsWith(".wit") && existsSync(own)) await cp(own, join(target, "deps"), { recursive: true });
  await rewriteWit(target, source.engine === "quickjs" ? renameWasi : evadeStarlingMonkey);
}

/** A folder of `.wit` files is one package; any other holds one a subfolder. */
async function depsTarget(deps: string, target: string): Promise<string> {
  const isPackage = (await readdir(deps)).some((name) => name.endsWith(".wit"));
  return isPackage ? join(target, "deps", basename(deps)) : join(target, "deps");
}

async function rewriteWit(dir: string, rewrite: (text: string) => string): Promise<void> {
  for (const entry of await readdir(dir, { withFileTypes: true, recursive: true })) {
    if (!entry.name.endsWith(".wit")) continue;
    const path = join(entry.parentPath, entry.name);
    await writeFile(path, rewrite(await readFile(path, "utf8")));
  }
}

/**
 * componentize-qjs links its own wasi:io beside the guest's and then takes the resources of the two for different types
 * wherever an interface of ours `use`s them. So the guest is built against a package of another name, of the same length,
 * and the name is put right in the finished component; the version differs from the engine's so that both imports stay
 * apart. Names are replaced where they are names: followed by a package of the Preview 2 set.
 */
function renameWasi(text: string): string {
  return text.replaceAll(/\bwasi:(io|cli|clocks|random|filesystem|sockets|tls)\b/g, "wasx:$1").replaceAll(`@${WASI}`, `@${RENAMED_WASI}`);
}

/**
 * Two things that componentize-js 0.22 cannot bind, written so that it can. Neither changes a type that another component
 * sees: a list of a named integer is a list of that integer, and nobody calls the method that a resource without any gets.
 */
function evadeStarlingMonkey(text: string): string {
  return text
    .replaceAll(/\blist<(?:cipher-suite|named-group|signature-scheme|protocol-version)>/g, "list<u16>")
    .replaceAll(/^(\s*resource [a-z-]+);/gm, "$1 { noop: func(); }");
}

async function bundle(source: ComponentSource): Promise<{ code: string; exports: string[] }> {
  const { rolldown } = await import("rolldown");
  const quickjs = source.engine === "quickjs";
  const missing = new Set<string>();
  const options: InputOptions = {
    input: resolve(source.entry),
    external: INTERFACE,
    plugins: [guestLibrary(missing)],
    platform: "neutral",
    logLevel: "warn",
    // A bigint literal is tolerated because it cannot be lowered; the engine has them, whatever the target says.
    onLog: (level, log, handler) => {
      if (log.code !== "TOLERATED_TRANSFORM") handler(level, log);
    },
    // Neither engine lets a synchronous export drain its job queue (QuickJS never runs it, StarlingMonkey's can only be
    // waited past), so async functions are lowered to generators over a Promise that the guest library drains itself.
    // Fields of classes become assignments: the helper that defines them takes six calls for each, and every await makes an
    // object that has some. It differs where a field has the name of an inherited setter.
    transform: { target: "es2016", assumptions: { setPublicClassFields: true } },
  };
  let code: string;
  let exports: string[];
  try {
    const build = await rolldown(options);
    const { output } = await build.generate({ format: "esm", codeSplitting: false });
    await build.close();
    code = spreadNatively(driveAsyncFunctions(output[0].code));
    exports = output[0].exports;
  } catch (cause) {
    throw new ComponentBuildError(`the modules of ${source.entry} do not bundle: ${(cause as Error).message}`, { cause });
  }
  if (missing.size > 0) throw new ComponentBuildError([...missing].join("\n"));
  if (!quickjs) return { code, exports };
  const renamed = code.replaceAll(
    /(from\s*["'])(wasi:[^"']+)(["'])/g,
    (_, before: string, name: string, after: string) => before + renameWasi(name) + after,
  );
  return { code: renamed, exports };
}

/** An import of the world, such as `wasi:cli/run@0.2.12`. */
const INTERFACE = /^(?!node:)[a-z][a-z0-9-]*:[a-z]/;

/**
 * Guests find the library of this package also where it is not installed.
 *
 * @param missing told of every module that is nowhere: the engines would only say that they have no files
 */
function guestLibrary(missing: Set<string>): Plugin {
  return {
    name: "guest-library",
    async resolveId(id, importer, options) {
      if (importer === undefined || INTERFACE.test(id)) return null;
      const found = await this.resolve(id, importer, { ...options, skipSelf: true });
      if (found !== null) return found;
      const own = id.startsWith("sallyport/guest/") ? ownModule(id) : undefined;
      if (own !== undefined) return own;
      const why = id.startsWith("node:") ? "a component has no Node" : "there is no such module";
      missing.add(`${relative(".", importer)} imports ${JSON.stringify(id)}: ${why}`);
      return { id, external: true };
    },
  };
}

/** The file that this package exports by this name. */
function ownModule(id: string): string | undefined {
  try {
    const path = createRequire(import.meta.url).resolve(id);
    return existsSync(path) ? path : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The helper that lowered async functions call makes two promises and four closures a step. A guest library that has a
 * cheaper way leaves it under a symbol of its Promise; with any other Promise nothing changes.
 */
function driveAsyncFunctions(code: string): string {
  const helper = /(function _asyncToGenerator\(n\) \{\s*return function\(\) \{\s*var t = this, e = arguments;)/;
  if (code.includes("_asyncToGenerator(") && !helper.test(code))
    throw new ComponentBuildError("rolldown's helper for async functions has changed");
  return code.replace(
    helper,
    '$1 var d = Promise[Symbol.for("sallyport.drive")]; if (d !== undefined) return d(function() { return n.apply(t, e); });',
  );
}

/**
 * The helper that lowered object spreads call goes through every key in JavaScript. Both engines can spread by themselves.
 */
function spreadNatively(code: string): string {
  const helper = /r % 2 \? ownKeys\(Object\(t\), !0\)\.forEach\(function\(r\) \{\s*_defineProperty\(e, r, t\[r\]\);\s*\}\) : /;
  if (code.includes("_objectSpread2(") && !helper.test(code))
    throw new ComponentBuildError("rolldown's helper for object spreads has changed");
  return code.replace(helper, "r % 2 ? e = { ...e, ...t } : ");
}

async function componentizeQuickJs(source: ComponentSource, script: string, exports: string[], wit: string): Promise<Uint8Array> {
  const { componentize: build } = await import("componentize-qjs");
  let built: Uint8Array;
  try {
    built = (await build({ witPath: wit, jsSource: script, world: source.world, sync: true })).component;
  } catch (cause) {
    throw new ComponentBuildError(`QuickJS could not build world '${source.world}' from ${source.entry}: ${String(cause)}`, { cause });
  }
  const patched = restoreWasiNames(built);
  const worldText = await assertOnlyNamesChanged(built, patched);
  assertExports(source, exports, worldText);
  return patched;
}

/** QuickJS looks an export up when it is called, and traps if it is not there. */
function assertExports(source: ComponentSource, exports: string[], worldText: string): void {
  const wanted = [...worldText.matchAll(/^\s*export (?:[a-z0-9:-]+\/)?([a-z0-9-]+)(?:@[^;:]+)?[;:]/gm)].map(([, name]) =>
    name!.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase()),
  );
  // The engine exports a function of this name for its own use.
  const absent = wanted.filter((name) => name !== "init" && !exports.includes(name));
  if (absent.length === 0) return;
  throw new ComponentBuildError(`${source.entry} does not export ${absent.join(", ")}, as the world '${source.world}' does`);
}

function restoreWasiNames(component: Uint8Array): Uint8Array {
  const text = Buffer.from(component).toString("latin1");
  return Buffer.from(text.replaceAll("wasx:", "wasi:"), "latin1");
}

/**
 * The byte patch must do what it is for and nothing else: same imports and exports, but for the package's name.
 *
 * @returns the component's world, as WIT
 */
async function assertOnlyNamesChanged(before: Uint8Array, after: Uint8Array): Promise<string> {
  const tools = await wasmTools();
  const [wasBefore, isAfter] = await Promise.all([tools.componentWit(before), tools.componentWit(after)]);
  // A component that imports wasi:io twice, in two versions, lists both; the order of the packages may differ.
  const lines = (wit: string) => wit.replaceAll("wasx:", "wasi:").split("\n").sort().join("\n");
  if (lines(wasBefore) !== lines(isAfter))
    throw new ComponentBuildError("restoring the wasi names changed the component's imports; componentize-qjs has changed");
  if (/wasx:/.test(isAfter)) throw new ComponentBuildError("a renamed wasi package is left in the component");
  return isAfter;
}

async function componentizeStarlingMonkey(source: ComponentSource, script: string, wit: string, work: string): Promise<Uint8Array> {
  const { componentize: build } = await import("@bytecodealliance/componentize-js");
  const sourcePath = join(work, "guest.js");
  await writeFile(sourcePath, script);
  try {
    const disableFeatures: ("stdio" | "random" | "clocks" | "http" | "fetch-event")[] = [
      "stdio",
      "random",
      "clocks",
      "http",
      "fetch-event",
    ];
    return (await build({ sourcePath, witPath: wit, worldName: source.world, disableFeatures })).component;
  } catch (cause) {
    throw new ComponentBuildError(`StarlingMonkey could not build world '${source.world}' from ${source.entry}: ${String(cause)}`, {
      cause,
    });
  }
}

/** A hash over everything that decides what `componentize` returns for these files. */
export function sourceHash(parts: (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex").slice(0, 32);
}
