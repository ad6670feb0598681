import { lstatSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** What the cache noted of a component's file, and of what it has for it, when it last read and hashed them all. */
export interface Seen {
  /** The name of the cache's entry. */
  entry: string;
  /** The identity of each file of the entry, by its name. */
  files: Record<string, string>;
}

/** Nanoseconds: a file that was changed a moment ago can change again without a trace in its times. */
const SETTLED = 2_000_000_000n;

/**
 * Notes by which files need not be read and hashed again that did not change since: reading and hashing eight megabytes, and
 * loading what hashes, is a tenth of the start of a command. A file counts as unchanged if it is the same inode with the same
 * size and the same times, of which that of the last change (ctime) can be set by nobody.
 */
export class SeenFiles {
  readonly #folder: string;
  readonly #version: string;

  /**
   * @param folder where the notes are; the user's own
   * @param version what else an entry depends on
   */
  constructor(folder: string, version: string) {
    this.#folder = join(folder, "seen");
    this.#version = version;
  }

  /** What was noted of this file, if it has not changed since. The entry's files are still to be compared. */
  find(file: string): Seen | undefined {
    try {
      const { version, component, entry, files } = JSON.parse(readFileSync(this.#noteOf(file), "utf8")) as Partial<Record<string, unknown>>;
      if (version !== this.#version || component !== identity(file)) return undefined;
      if (typeof entry !== "string" || !/^[0-9a-f]+$/.test(entry) || typeof files !== "object" || files === null) return undefined;
      return { entry, files: files as Record<string, string> };
    } catch {
      return undefined;
    }
  }

  /**
   * Note that the file with this identity has this entry, whose files were hashed. Does nothing if any of it changed a moment
   * ago, or where the note cannot be written.
   */
  note(file: string, component: string | undefined, seen: Seen): void {
    if (component === undefined || component === "" || Object.values(seen.files).includes("")) return;
    const place = this.#noteOf(file);
    const work = `${place}.${process.pid}`;
    try {
      mkdirSync(this.#folder, { mode: 0o700, recursive: true });
      writeFileSync(work, JSON.stringify({ version: this.#version, component, ...seen }), { mode: 0o600, flag: "wx" });
      renameSync(work, place);
    } catch {
      rmSync(work, { force: true });
    }
  }

  #noteOf(file: string): string {
    return join(this.#folder, `${encodeURIComponent(resolve(file))}.json`);
  }
}

/**
 * What tells a file from itself after a change.
 *
 * @returns empty for a file that changed a moment ago
 * @throws {Error} of node:fs when there is no such file
 */
export function settledIdentity(file: string): string {
  const { ctimeNs } = statSync(file, { bigint: true });
  return BigInt(Date.now()) * 1_000_000n - ctimeNs < SETTLED ? "" : identity(file);
}

/** Whether these files are there and each is what it was; a link is none. */
export function areUnchanged(folder: string, files: Record<string, string>): boolean {
  return Object.entries(files).every(([name, was]) => {
    const path = join(folder, name);
    return lstatSync(path).isFile() && identity(path) === was;
  });
}

function identity(file: string): string {
  const { dev, ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true });
  return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
}
