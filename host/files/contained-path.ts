import { type BigIntStats, lstatSync, readlinkSync, realpathSync } from "node:fs";
import { join, sep } from "node:path";
import { FileError, fileErrorCode } from "./file-error.ts";

/** A place below a directory, free of symbolic links up to its last component. */
export interface ContainedPath {
  /** Absolute, for the operating system. */
  path: string;
  /** What is there; `undefined` if nothing is. Never a symbolic link if links were to be followed. */
  entry: BigIntStats | undefined;
  /** Written with a slash at its end: it can only mean a directory. */
  directory: boolean;
}

/**
 * Find what `path` means below `root` without ever looking outside: an absolute path, a `..` past the root and a link that
 * leads out by either are `not-permitted`.
 *
 * Node has no openat, so another process that swaps directories for links while this runs can still redirect what is
 * opened. `assertUnmoved` tells afterwards.
 *
 * @param root absolute path of the directory, itself free of links
 * @param follow whether a link in the last place is followed; links before it always are
 * @throws {FileError} not-permitted, no-entry, not-directory, loop, invalid, name-too-long
 */
export function findContained(root: string, path: string, follow: boolean): ContainedPath {
  if (path.length > MAX_PATH) throw new FileError("name-too-long");
  if (path === "") throw new FileError("no-entry");
  const todo = components(path).toReversed();
  const done: string[] = [];
  let entry: BigIntStats | undefined = lstat(root);
  let links = 0;
  while (todo.length > 0) {
    const name = todo.pop()!;
    if (name === ".") continue;
    if (entry === undefined) throw new FileError("no-entry");
    if (!entry.isDirectory()) throw new FileError("not-directory");
    if (name === "..") {
      if (done.pop() === undefined) throw new FileError("not-permitted");
      entry = lstat(join(root, ...done));
      continue;
    }
    const here = join(root, ...done, name);
    entry = lstat(here);
    if (entry?.isSymbolicLink() && (follow || todo.length > 0)) {
      if (++links > MAX_LINKS) throw new FileError("loop");
      todo.push(...components(readlinkSync(here)).toReversed());
      entry = lstat(join(root, ...done));
      continue;
    }
    done.push(name);
  }
  return { path: join(root, ...done), entry, directory: /\/\.?$/.test(path) };
}

/** That no link has come to stand in the way since `path` was found. @throws {FileError} not-permitted */
export function assertUnmoved(path: string): void {
  if (real(path) !== path) throw new FileError("not-permitted");
}

function components(path: string): string[] {
  if (path.includes("\0")) throw new FileError("invalid");
  if (path.startsWith("/") || (sep !== "/" && /[\\:]/.test(path))) throw new FileError("not-permitted");
  return path.split("/").filter((part) => part !== "");
}

function lstat(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true });
  } catch (cause) {
    if (fileErrorCode(cause) === "no-entry") return undefined;
    throw new FileError(fileErrorCode(cause));
  }
}

function real(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

const MAX_PATH = 4096;
const MAX_LINKS = 32;
