import {
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { setTimeout } from "node:timers/promises";
import { readRegularFile, RegularFileError } from "../files/regular-file.ts";

export type StateFileErrorCode =
  /** The file cannot be read. */
  | "unreadable"
  /** It belongs to somebody else, or others may write to it. */
  | "unsafe"
  /** Its contents are not what they should be. */
  | "bad-content"
  /** It cannot be written, or exists and is not to be replaced. */
  | "unwritable"
  /** Another process holds its lock for too long. */
  | "locked";

/** The message names the file and what to do. */
export class StateFileError extends Error {
  override readonly name = "StateFileError";
  readonly code: StateFileErrorCode;

  constructor(code: StateFileErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Read a file of at most 4 MiB. Whoever can change it decides whom tokens let in: it has to belong to this user or to root, and
 * nobody else may write to it. That is looked at on what was opened, so that nothing can be put in its place meanwhile.
 *
 * @returns undefined if there is none
 * @throws {StateFileError} unreadable, unsafe, bad-content
 */
export function readStateFile(path: string): string | undefined {
  let bytes: Uint8Array;
  try {
    bytes = readRegularFile(path, MAX_FILE, (stats) => checkOwner(path, stats));
  } catch (error) {
    if (error instanceof StateFileError) throw error;
    if (error instanceof RegularFileError)
      throw new StateFileError(error.code === "too-large" ? "bad-content" : "unreadable", error.message);
    if (codeOf(error) === "ENOENT") return undefined;
    throw new StateFileError("unreadable", `${path}: cannot be read (${codeOf(error)})`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new StateFileError("bad-content", `${path}: not UTF-8 text`);
  }
}

function checkOwner(path: string, stats: Stats): void {
  // Windows has neither owners nor modes of this kind.
  const user = process.geteuid?.();
  if (user === undefined) return;
  if (stats.uid !== user && stats.uid !== 0)
    throw new StateFileError("unsafe", `${path}: belongs to another user: chown it to the user that runs this program`);
  if ((stats.mode & 0o022) !== 0)
    throw new StateFileError("unsafe", `${path}: others than its owner can write to it: run chmod go-w on it`);
}

/**
 * Change a file: one process at a time, and so that whoever reads it sees the old contents or the new ones.
 *
 * @param change from the contents (undefined if there is no file) to what is to be written; undefined leaves it as it is
 * @throws {StateFileError} and what `change` throws
 */
export async function updateStateFile(path: string, change: (before: string | undefined) => Promise<string | undefined>): Promise<void> {
  const target = resolved(path);
  const release = await acquire(target);
  try {
    const after = await change(readStateFile(target));
    if (after !== undefined) writeInPlace(target, after, 0o644, true);
  } finally {
    release();
  }
}

/**
 * Write a file that only its owner can read, whole or not at all. A file that exists is never replaced.
 *
 * @throws {StateFileError} unwritable
 */
export function createPrivateFile(path: string, contents: string): void {
  writeInPlace(path, contents, 0o600, false);
}

/** Where the file really is: a link to it stays one. */
function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function writeInPlace(path: string, contents: string, mode: number, replace: boolean): void {
  const fresh = `${path}.${process.pid}.new`;
  try {
    rmSync(fresh, { force: true });
    const file = openSync(fresh, "wx", mode);
    try {
      writeFileSync(file, contents);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    // A link, unlike a rename, fails if there is something already.
    if (replace) renameSync(fresh, path);
    else linkSync(fresh, path);
    syncFolder(dirname(path));
  } catch (error) {
    const reason = codeOf(error) === "EEXIST" ? "exists, and is not replaced" : `cannot be written (${codeOf(error)})`;
    throw new StateFileError("unwritable", `${path}: ${reason}`);
  } finally {
    rmSync(fresh, { force: true });
  }
}

/** So that the name, too, survives a loss of power. Not every system lets folders be synced. */
function syncFolder(folder: string): void {
  try {
    const file = openSync(folder, "r");
    try {
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } catch {
    // The contents are on the disk in any case.
  }
}

/** Wait for the lock file that stands beside the file. Returns what releases it. */
async function acquire(path: string): Promise<() => void> {
  const lock = `${path}.lock`;
  const mine = `${process.pid} ${process.hrtime.bigint()}\n`;
  for (let waited = 0; ; waited += WAIT) {
    try {
      writeFileSync(lock, mine, { flag: "wx", mode: 0o600 });
      return () => {
        // Somebody who took this process for dead may hold it now.
        if (contentsOf(lock) === mine) rmSync(lock, { force: true });
      };
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw new StateFileError("unwritable", `${lock}: cannot be made (${codeOf(error)})`);
    }
    removeIfAbandoned(lock);
    if (waited >= PATIENCE) throw new StateFileError("locked", `${path}: in use by another process; if there is none, remove ${lock}`);
    await setTimeout(WAIT);
  }
}

function removeIfAbandoned(lock: string): void {
  const held = contentsOf(lock);
  const holder = Number(/^([0-9]{1,10}) /.exec(held ?? "")?.[1] ?? Number.NaN);
  if (!Number.isInteger(holder) || isAlive(holder)) return;
  // Renaming succeeds for one of those who see this. What it took away may by now be another's lock, which goes back.
  const aside = `${lock}.${process.pid}`;
  try {
    renameSync(lock, aside);
    if (contentsOf(aside) !== held) linkSync(aside, lock);
  } catch {
    // Somebody else was faster.
  }
  rmSync(aside, { force: true });
}

function isAlive(holder: number): boolean {
  try {
    process.kill(holder, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== "ESRCH";
  }
}

function contentsOf(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined;
  }
}

function codeOf(error: unknown): string {
  return typeof error === "object" && error !== null && "code" in error ? String(error.code) : "unknown error";
}

/** Bytes. */
const MAX_FILE = 4 * 1024 * 1024;
/** Milliseconds between two looks at a lock, and until one gives up. */
const WAIT = 20;
const PATIENCE = 5000;
