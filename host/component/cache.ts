import type { Hash } from "node:crypto";
import { lstatSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, type Stats, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { pathToFileURL } from "node:url";
import { areUnchanged, SeenFiles, settledIdentity } from "./seen-files.ts";
import { SCRIPT_NAME, type TranspiledComponent, transpile, transpilerVersion } from "./transpile.ts";

/** A transpiled component in the cache, read and checked. */
export interface CachedComponent {
  /** `file:` URL of the script. */
  script: string;
  /** Bytes of the core modules by the name that the script asks for. */
  modules: Map<string, Uint8Array>;
  /** The interfaces that it imports, without versions. */
  imports: string[];
  /** Whether it was there already: the transpiler was not loaded. */
  hit: boolean;
}

/** Takes the bytes of a core module. */
export type OnModule = (bytes: Uint8Array) => void;

/** Raised by one whenever what this host makes of the same component changes. */
const FORMAT = 5;

const MANIFEST = "manifest.json";

/** What `manifest.json` of each entry says. */
interface Manifest {
  /** The files that it must hold, with the SHA-256 of each. */
  files: Record<string, string>;
  imports: string[];
}

/**
 * Where transpiled components are kept: `$SALLYPORT_CACHE`, else `$XDG_CACHE_HOME/sallyport`, else `~/.cache/sallyport`.
 */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (env.SALLYPORT_CACHE) return env.SALLYPORT_CACHE;
  // The XDG specification says that a relative path here is to be ignored.
  if (env.XDG_CACHE_HOME && isAbsolute(env.XDG_CACHE_HOME)) return join(env.XDG_CACHE_HOME, "sallyport");
  return join(homedir(), ".cache", "sallyport");
}

/**
 * The transpiled form of a component, from the cache or made now and put there.
 *
 * What the cache holds is run with the user's own rights, so an entry counts only if it belongs to the user, nobody else
 * can write to it and every file has the hash that was noted when it was made. A damaged entry is made again.
 *
 * Files are read and written synchronously: a start has nothing else to do in this thread, and other threads take twice as long.
 *
 * @param component the component's bytes
 * @param folder the cache; made if it does not exist
 * @param options.onModule told of core modules that were read and are not checked yet, for work that can begin meanwhile and
 *   counts only if the returned component has these very bytes
 * @throws {TranspileError} when the component cannot be transpiled
 * @throws {CacheError} when the folder cannot be used, or somebody else could have written to it
 */
export async function loadComponent(
  component: Uint8Array,
  folder: string = cacheFolder(),
  options: { onModule?: OnModule } = {},
): Promise<CachedComponent> {
  ensurePrivateFolder(folder);
  const entry = join(folder, cacheKey(component));
  const found = readEntry(entry, options.onModule);
  if (found !== undefined) return { ...found, hit: true };

  const made = await transpile(component);
  writeEntry(folder, entry, made);
  return { script: scriptUrl(entry), modules: made.modules, imports: made.imports, hit: false };
}

/**
 * As `loadComponent`, of a component in a file. One that did not change since it was last loaded is not read, and what the
 * cache has for it is not hashed again.
 *
 * @throws {Error} of node:fs when the file cannot be read
 * @throws {TranspileError} as `loadComponent`
 * @throws {CacheError} as `loadComponent`
 */
export async function loadComponentFile(
  file: string,
  folder: string = cacheFolder(),
  options: { onModule?: OnModule } = {},
): Promise<CachedComponent> {
  ensurePrivateFolder(folder);
  const seenFiles = new SeenFiles(folder, version());
  const seen = seenFiles.find(file);
  const known = seen && readEntry(join(folder, seen.entry), options.onModule, seen.files);
  if (known !== undefined) return { ...known, hit: true };

  // Before it is read: a change of it meanwhile is a change since.
  const identity = settledIdentity(file);
  const component = readFileSync(file);
  const loaded = await loadComponent(component, folder, options);
  const entry = cacheKey(component);
  const names = [MANIFEST, SCRIPT_NAME, ...loaded.modules.keys()];
  try {
    const files = Object.fromEntries(names.map((name) => [name, settledIdentity(join(folder, entry, name))]));
    if (loaded.hit) seenFiles.note(file, identity, { entry, files });
  } catch {
    // Somebody cleared the cache: there is nothing to note.
  }
  return loaded;
}

/** A cache folder that cannot be used or trusted. */
export class CacheError extends Error {
  readonly code = "ERR_SALLYPORT_CACHE";
}

function cacheKey(component: Uint8Array): string {
  return newHash().update(`${version()}\0`).update(component).digest("hex").slice(0, 40);
}

/** What an entry depends on besides the component. */
function version(): string {
  return `${FORMAT}\0${transpilerVersion()}`;
}

function ensurePrivateFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    assertPrivate(folder, lstatSync(folder));
  } catch (cause) {
    if (cause instanceof CacheError) throw cause;
    const code = (cause as NodeJS.ErrnoException).code ?? "unknown error";
    throw new CacheError(`cannot use ${folder} as cache (${code}): set SALLYPORT_CACHE to a folder of your own`, { cause });
  }
}

function assertPrivate(path: string, stats: Stats): void {
  const advice = "remove it, or set SALLYPORT_CACHE to a folder of your own";
  if (!stats.isDirectory()) throw new CacheError(`${path} in the cache is not a folder: ${advice}`);
  if (process.getuid !== undefined && stats.uid !== process.getuid()) throw new CacheError(`${path} belongs to another user: ${advice}`);
  if ((stats.mode & 0o022) !== 0) throw new CacheError(`${path} can be written by other users: ${advice}`);
}

/**
 * @param unchanged the identities of its files when they were hashed: those with the same need not be hashed again
 * @returns `undefined` if there is no entry or it is damaged
 * @throws {CacheError} if somebody else may have made it
 */
function readEntry(entry: string, onModule?: OnModule, unchanged?: Record<string, string>): Omit<CachedComponent, "hit"> | undefined {
  const stats = lstatSync(entry, { throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  assertPrivate(entry, stats);
  try {
    if (unchanged !== undefined && !areUnchanged(entry, unchanged)) return undefined;
    const { files, imports } = parseManifest(readFileSync(join(entry, MANIFEST), "utf8"));
    const modules = new Map<string, Uint8Array>();
    for (const name of Object.keys(files)) {
      if (name === SCRIPT_NAME) continue;
      modules.set(name, readFileSync(join(entry, name)));
      onModule?.(modules.get(name)!);
    }
    const isNoted = (name: string) => unchanged !== undefined && Object.hasOwn(unchanged, name);
    for (const [name, hash] of Object.entries(files)) {
      if (isNoted(name)) continue;
      const bytes = modules.get(name) ?? readFileSync(join(entry, name));
      if (sha256(bytes) !== hash) throw new Error(`${name} is damaged`);
    }
    return { script: scriptUrl(entry), modules, imports };
  } catch {
    // Whatever is wrong with it, it can be made again.
    return undefined;
  }
}

function parseManifest(text: string): Manifest {
  const { files, imports } = JSON.parse(text) as Partial<Record<keyof Manifest, unknown>>;
  if (typeof files !== "object" || files === null || !Array.isArray(imports)) throw new Error("not a manifest");
  const plainName = /^[\w-]+(\.[\w-]+)*$/;
  if (!Object.entries(files).every(([name, hash]) => plainName.test(name) && typeof hash === "string")) throw new Error("not a manifest");
  if (!(SCRIPT_NAME in files) || !imports.every((name) => typeof name === "string")) throw new Error("not a manifest");
  return { files: files as Record<string, string>, imports };
}

/** Written beside its place and renamed into it, so that an entry is whole or absent. */
function writeEntry(folder: string, entry: string, made: TranspiledComponent): void {
  const files = new Map<string, Uint8Array>([[SCRIPT_NAME, Buffer.from(made.script, "utf8")], ...made.modules]);
  const hashes = Object.fromEntries(Array.from(files, ([name, bytes]) => [name, sha256(bytes)]));
  const manifest: Manifest = { files: hashes, imports: made.imports };
  const work = mkdtempSync(join(folder, "new-"));
  try {
    for (const [name, bytes] of files) writeFileSync(join(work, name), bytes, { mode: 0o600 });
    writeFileSync(join(work, MANIFEST), JSON.stringify(manifest), { mode: 0o600 });
    putInPlace(work, entry);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function putInPlace(work: string, entry: string): void {
  for (let attempt = 1; ; attempt++) {
    try {
      return renameSync(work, entry);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (attempt === 3 || (code !== "ENOTEMPTY" && code !== "EEXIST")) throw cause;
    }
    // Another process was faster, and its entry is as good; or the entry is the damaged one that this one replaces.
    if (readEntry(entry) !== undefined) return;
    const aside = `${work}.damaged`;
    try {
      renameSync(entry, aside);
    } catch {
      // Gone already.
    }
    rmSync(aside, { recursive: true, force: true });
  }
}

function scriptUrl(entry: string): string {
  return pathToFileURL(join(entry, SCRIPT_NAME)).href;
}

function sha256(bytes: Uint8Array): string {
  return newHash().update(bytes).digest("hex");
}

/** node:crypto takes six milliseconds to load, which a start does not have that hashes nothing. */
function newHash(): Hash {
  return process.getBuiltinModule("node:crypto").createHash("sha256");
}
