import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, realpathSync, type Stats } from "node:fs";
import { dirname } from "node:path";
import { getSystemErrorName } from "node:util";
import { decodeUtf8 } from "../../src/wire/utf8.ts";
import { WireError } from "../../src/wire/wire-error.ts";

export type PolicyFileErrorCode =
  /** It cannot be opened or read, or is no regular file. */
  | "unreadable"
  /** It belongs to somebody else, or others may write to it or put another file in its place. */
  | "unsafe"
  /** Longer than 1 MiB. */
  | "too-large"
  /** Not UTF-8. */
  | "bad-content";

/** Why a policy file was not read. The message names the file and what to do. */
export class PolicyFileError extends Error {
  override readonly name = "PolicyFileError";
  readonly code: PolicyFileErrorCode;

  constructor(code: PolicyFileErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * The text of a policy file. Whoever can change it decides what leaves the sandbox, so it has to belong to this user or to
 * root, and nobody else may write to it or to the folder that it lies in; links are followed, and what they lead to counts.
 *
 * @throws {PolicyFileError}
 */
export function readPolicyFile(path: string): string {
  const real = attempt(path, () => realpathSync(path));
  for (const folder of new Set([dirname(real), attempt(path, () => realpathSync(dirname(path)))])) checkFolder(path, folder);
  // Without O_NONBLOCK, opening a FIFO would wait for somebody to write to it. What was a link has been followed already.
  const file = attempt(path, () => openSync(real, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW));
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw new PolicyFileError("unreadable", `${path}: not a regular file`);
    checkOwner(path, stats);
    if (hasModes && (stats.mode & 0o022) !== 0)
      throw new PolicyFileError("unsafe", `${path}: others than its owner can write to this policy: run chmod go-w on it`);
    return decode(path, readAll(path, file));
  } finally {
    closeSync(file);
  }
}

function checkFolder(path: string, folder: string): void {
  const stats = attempt(path, () => lstatSync(folder));
  checkOwner(folder, stats);
  // In a folder with the sticky bit others can make files, and not replace ours.
  if (hasModes && (stats.mode & 0o022) !== 0 && (stats.mode & 0o1000) === 0)
    throw new PolicyFileError("unsafe", `${path}: others can put another file in its place: run chmod go-w on ${folder}`);
}

function checkOwner(path: string, stats: Stats): void {
  const user = process.geteuid?.();
  if (user !== undefined && stats.uid !== user && stats.uid !== 0)
    throw new PolicyFileError("unsafe", `${path}: belongs to another user: chown it to the user that runs this program`);
}

/** The file may grow while it is read, so its size is not believed. */
function readAll(path: string, file: number): Uint8Array {
  const buffer = new Uint8Array(MAX_FILE + 1);
  let length = 0;
  for (let read = -1; read !== 0 && length < buffer.length; length += read)
    read = attempt(path, () => readSync(file, buffer, length, buffer.length - length, null));
  if (length > MAX_FILE) throw new PolicyFileError("too-large", `${path}: longer than ${MAX_FILE} bytes`);
  return buffer.subarray(0, length);
}

function decode(path: string, bytes: Uint8Array): string {
  try {
    return decodeUtf8(bytes);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new PolicyFileError("bad-content", `${path}: not UTF-8 text`);
  }
}

function attempt<T>(path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    const { errno } = error as { errno?: number };
    if (errno === undefined) throw error;
    throw new PolicyFileError("unreadable", `${path}: cannot be read (${getSystemErrorName(errno)})`);
  }
}

/** Windows has neither owners nor modes of this kind. */
const hasModes = process.geteuid !== undefined;

const MAX_FILE = 0x10_0000;
