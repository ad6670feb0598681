import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  writeFileSync,
} from "node:fs";
import { randomBytes } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { getSystemErrorName } from "node:util";
import { AuthorityError, type AuthorityErrorCode } from "./authority-error.ts";

/** Bytes of one key or certificate file. */
const MAX_FILE = 256 * 1024;

/**
 * The real path of a folder in which nobody else can put anything: it belongs to this user or to root, nobody else may
 * write to it, and nobody else may put another folder in the place of one above it.
 *
 * @throws {AuthorityError} `unreadable`, `unsafe-file`
 */
export function safeFolder(path: string): string {
  const real = attempt("unreadable", path, () => realpathSync(path));
  const stats = attempt("unreadable", path, () => lstatSync(real));
  if (!stats.isDirectory()) throw new AuthorityError("unsafe-file", `${path}: not a folder`);
  checkOwner(real, stats);
  checkNotWritable(real, stats);
  for (let at = dirname(real), below = real; at !== below; below = at, at = dirname(at)) {
    const above = attempt("unreadable", at, () => lstatSync(at));
    // In a folder with the sticky bit others can make files, but not replace ours.
    if ((above.mode & STICKY) === 0) checkNotWritable(at, above);
  }
  return real;
}

/**
 * Read a file that holds a private key: no link, a regular file, this user's or root's, and closed to everybody else.
 *
 * @param what it holds, for the message
 * @throws {AuthorityError} `unreadable`, `unsafe-file`
 */
export function readPrivateFile(path: string, what = "private key"): Uint8Array {
  safeFolder(dirname(path));
  return readChecked(path, (stats) => {
    if (hasModes && (stats.mode & 0o077) !== 0)
      throw new AuthorityError("unsafe-file", `${path}: others than its owner have access to this ${what}: run chmod 600 on it`);
  });
}

/** Read a certificate that decides what is trusted: as `readPrivateFile`, but others may read it too. @throws {AuthorityError} */
export function readPublicFile(path: string): Uint8Array {
  return readChecked(path, (stats) => checkNotWritable(path, stats));
}

/**
 * Write a file that must not exist yet, and wait until it is on the disk.
 *
 * @throws {AuthorityError} `exists`, `cannot-write`
 */
export function writeNewFile(path: string, content: string, mode: number): void {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW = 0 } = constants;
  const file = attempt("cannot-write", path, () => openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  try {
    attempt("cannot-write", path, () => {
      // The mode that was asked for at opening is cut by the umask.
      fchmodSync(file, mode);
      writeFileSync(file, content);
      fsyncSync(file);
    });
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
}

/**
 * Write a file in place of what was there, in one step: readers see the old or the new one whole, whatever happens.
 *
 * @throws {AuthorityError} `cannot-write`
 */
export function replaceFile(path: string, content: string, mode: number): void {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(8).toString("hex")}`);
  writeNewFile(temporary, content, mode);
  try {
    attempt("cannot-write", path, () => renameSync(temporary, path));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncFolder(dirname(path));
}

/** Wait until the names in a folder are on the disk. */
export function syncFolder(path: string): void {
  // Windows has no such call for folders.
  if (process.platform === "win32") return;
  attempt("cannot-write", path, () => {
    const folder = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  });
}

/** Run a file operation. @throws {AuthorityError} `code`, or `exists` where a new file was to be */
export function attempt<T>(code: AuthorityErrorCode, path: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof AuthorityError) throw error;
    throw fileError(code, path, error);
  }
}

function readChecked(path: string, check: (stats: Stats) => void): Uint8Array {
  const { O_RDONLY, O_NONBLOCK = 0, O_NOFOLLOW = 0 } = constants;
  // Without O_NONBLOCK, opening a FIFO would wait for somebody to write to it.
  const file = attempt("unreadable", path, () => openSync(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW));
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw new AuthorityError("unsafe-file", `${path}: not a regular file`);
    checkOwner(path, stats);
    check(stats);
    return attempt("unreadable", path, () => readWhole(path, file));
  } finally {
    closeSync(file);
  }
}

function readWhole(path: string, file: number): Uint8Array {
  const buffer = new Uint8Array(MAX_FILE + 1);
  let length = 0;
  for (let read = -1; read !== 0 && length < buffer.length; length += read)
    read = readSync(file, buffer, length, buffer.length - length, null);
  if (length > MAX_FILE) throw new AuthorityError("bad-content", `${path}: longer than ${MAX_FILE} bytes`);
  return buffer.slice(0, length);
}

function checkOwner(path: string, stats: Stats): void {
  const user = process.geteuid?.();
  if (user !== undefined && stats.uid !== user && stats.uid !== 0)
    throw new AuthorityError("unsafe-file", `${path}: belongs to another user: chown it to the user that runs this program`);
}

function checkNotWritable(path: string, stats: Stats): void {
  if (hasModes && (stats.mode & 0o022) !== 0)
    throw new AuthorityError("unsafe-file", `${path}: others than its owner may write to it: run chmod go-w on it`);
}

function fileError(code: AuthorityErrorCode, path: string, error: unknown): AuthorityError {
  const { errno } = error as { errno?: number };
  const name = errno === undefined ? "error" : getSystemErrorName(errno);
  switch (name) {
    case "EEXIST":
    case "ENOTEMPTY":
      return new AuthorityError("exists", `${path}: there already; nothing is overwritten`);
    case "ELOOP":
      return new AuthorityError("unsafe-file", `${path}: is a symbolic link: name what it points to`);
    default:
      return new AuthorityError(code, `${path}: cannot be ${code === "unreadable" ? "read" : "written"} (${name})`);
  }
}

const STICKY = 0o1000;

/** Windows has neither owners nor modes of this kind. */
const hasModes = process.geteuid !== undefined;
