import { createHash } from "node:crypto";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { cachedDataVersionTag } from "node:v8";
import { constants, Script, type ScriptOptions } from "node:vm";

/**
 * A classic script whose compiled form is kept in a file from one run of the program to the next.
 *
 * Node's own cache of compiled modules holds only what is compiled before a module runs, which is little: functions are
 * compiled when they are first called. What is kept here has those too.
 */
export class KeptScript {
  readonly #script: Script;
  readonly #place: string | undefined;
  readonly #version: string;
  /** Whether what is kept is missing or of no use. */
  #stale: boolean;

  /**
   * Compile it, or take what is kept of it.
   *
   * @param options.filename its absolute path, for traces of the stack and for what it imports
   * @param options.lineOffset added to its line numbers
   * @param options.place where its compiled form is kept, without the part that says for which V8; `undefined` for nowhere.
   *   What lies there is run: the folder must be the user's own
   * @param options.version what else than V8 the kept form depends on. V8 itself looks only at the length of the source
   */
  constructor(source: string, options: { filename: string; lineOffset: number; place: string | undefined; version: string }) {
    const { filename, lineOffset, version } = options;
    this.#version = version;
    // One for each V8 and set of its flags, which refuses the others'.
    this.#place = options.place === undefined ? undefined : `${options.place}.${cachedDataVersionTag().toString(16)}.compiled`;
    const cachedData = this.#read();
    const compile: ScriptOptions = { filename, lineOffset, importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER };
    this.#script = new Script(source, cachedData === undefined ? compile : { ...compile, cachedData });
    this.#stale = this.#script.cachedDataRejected !== false;
  }

  /** Run it. @returns the value of its last expression */
  run(): unknown {
    return this.#script.runInThisContext();
  }

  /**
   * Keep what is compiled of it by now. Does nothing if this run found that already, or if the place cannot be written.
   * Takes some 20 ms for 2 MB of source.
   */
  keep(): void {
    if (!this.#stale || this.#place === undefined) return;
    this.#stale = false;
    const work = `${this.#place}.${process.pid}`;
    try {
      const data = this.#script.createCachedData();
      writeFileSync(work, Buffer.concat([this.#digest(data), data]), { mode: 0o600, flag: "wx" });
      renameSync(work, this.#place);
    } catch {
      rmSync(work, { force: true });
    }
  }

  #read(): Buffer | undefined {
    if (this.#place === undefined) return undefined;
    try {
      const bytes = readFileSync(this.#place);
      const data = bytes.subarray(DIGEST);
      return this.#digest(data).equals(bytes.subarray(0, DIGEST)) ? data : undefined;
    } catch {
      return undefined;
    }
  }

  #digest(data: Uint8Array): Buffer {
    return createHash("sha256").update(`${this.#version}\0`).update(data).digest();
  }
}

/** Bytes of a SHA-256. */
const DIGEST = 32;
