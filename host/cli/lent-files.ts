import { copyFileSync, lstatSync, mkdtempSync, realpathSync, renameSync, rmSync, statSync, writeFileSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { Preopen } from "../wasi/filesystem.ts";
import { CommandError, exitCodes } from "./command.ts";

/**
 * Single files for a component, which can only be granted folders: each folder that it sees is one of its own that holds
 * copies of what it may read and takes what it writes. `collect` puts what was written in its place.
 */
export class LentFiles implements Disposable {
  readonly #folders = new Map<string, { host: string; write: boolean }>();
  readonly #outputs: { made: string; target: string; path: string }[] = [];

  /**
   * @param inputs paths as the component will name them
   * @param outputs likewise; the folder of each has to be there
   * @throws {CommandError}
   */
  constructor(inputs: readonly string[], outputs: readonly string[]) {
    // Also where a second signal ends this process at once.
    process.once("exit", this.#remove);
    try {
      // What is written grows in the file system where it will stay, so that the last step is a rename.
      for (const path of outputs) this.#lendPlace(path);
      for (const path of inputs) this.#lendCopy(path);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  get preopens(): Preopen[] {
    return [...this.#folders].map(([guest, { host, write }]) => ({ host, guest, write }));
  }

  /** Put what the component finished in its place. @throws {CommandError} */
  collect(): void {
    for (const { made, target, path } of this.#outputs) {
      // Whatever the component made of it: only a file takes the place.
      if (lstatSync(made, { throwIfNoEntry: false })?.isFile() !== true) continue;
      attempt(exitCodes.cannotCreate, `write ${path}`, () => renameSync(made, target));
    }
  }

  /** Remove the copies, and whatever the component left unfinished. */
  [Symbol.dispose](): void {
    process.off("exit", this.#remove);
    this.#remove();
  }

  readonly #remove = () => {
    for (const { host } of this.#folders.values()) rmSync(host, { recursive: true, force: true });
  };

  #lendPlace(path: string): void {
    const there = attempt(exitCodes.cannotCreate, `write ${path}`, () => statSync(path, { throwIfNoEntry: false }));
    if (there !== undefined && !there.isFile())
      throw new CommandError(exitCodes.cannotCreate, `cannot write ${path}: it is there and is no file`);
    const target = there === undefined ? path : realpathSync(path);
    const guest = dirname(path);
    const host = attempt(exitCodes.cannotCreate, `write ${path}`, () => {
      return this.#folders.get(guest)?.host ?? mkdtempSync(join(dirname(target), ".sallyport-get-"));
    });
    this.#folders.set(guest, { host, write: true });
    this.#outputs.push({ made: join(host, basename(path)), target, path });
  }

  #lendCopy(path: string): void {
    const guest = dirname(path);
    const folder = this.#folders.get(guest) ?? { host: mkdtempSync(join(tmpdir(), "sallyport-get-")), write: false };
    this.#folders.set(guest, folder);
    const copy = join(folder.host, basename(path));
    attempt(exitCodes.noInput, `read ${path}`, () => {
      // The component says that it is not there, and what for it was wanted.
      if (statSync(path, { throwIfNoEntry: false }) === undefined) return;
      // A pipe of the shell's has no file to copy.
      if (statSync(path).isFile()) copyFileSync(path, copy);
      else writeFileSync(copy, readFileSync(path));
    });
  }
}

function attempt<T>(exitCode: number, what: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw new CommandError(exitCode, `cannot ${what}: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`);
  }
}
