import { inspect } from "node:util";
import { AuthorityError } from "../authority/authority-error.ts";
import { readPrivateFile } from "../authority/private-file.ts";
import { Signal } from "../io/signal.ts";

/** Where the host fetches a secret. One line break at the end is not part of it. */
export type SecretSource =
  /** An environment variable of this process. */
  | { env: string }
  /** A file that nobody but this user may read. */
  | { file: string }
  /** The standard output of a program, started without a shell: name and arguments. It has 30 seconds. */
  | { command: readonly string[] };

/** A secret's bytes, which nothing shows by accident. */
export class SecretValue {
  readonly #bytes: Uint8Array;

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** @returns `undefined` for what cannot stand in a message: nothing, more than 16 KiB, a control character */
  static from(bytes: Uint8Array): SecretValue | undefined {
    const end = bytes.at(-1) === LF ? (bytes.at(-2) === CR ? -2 : -1) : bytes.length;
    const value = bytes.slice(0, end);
    if (value.length === 0 || value.length > MAX_SECRET) return undefined;
    return value.some((byte) => byte < 0x20 || byte === 0x7f) ? undefined : new SecretValue(value);
  }

  /** A copy, for the one place that writes it. */
  reveal(): Uint8Array {
    return this.#bytes.slice();
  }

  toString(): string {
    return "[secret]";
  }

  toJSON(): string {
    return "[secret]";
  }

  [inspect.custom](): string {
    return "[secret]";
  }
}

export type FetchState = { tag: "pending" } | { tag: "ready"; value: SecretValue } | { tag: "unavailable" };

/** A secret's source has nothing to give. The message names the source and never holds what is in it. */
export class SecretSourceError extends Error {
  override readonly name = "SecretSourceError";
  readonly code = "ERR_SALLYPORT_SECRET_SOURCE";
}

/**
 * Look whether there is a secret, so that whoever gave a wrong source hears of it before a request needs it. A command is not run.
 *
 * @param name as the policy has it
 * @throws {SecretSourceError}
 */
export function checkSource(name: string, source: SecretSource): void {
  if ("command" in source) return;
  const isUsable = "env" in source ? usableText(name, source.env) : SecretValue.from(secretFile(name, source.file)) !== undefined;
  if (isUsable) return;
  const from = "env" in source ? `the variable ${source.env}` : source.file;
  throw new SecretSourceError(`the secret ${name}: ${from} holds no secret: it is empty, too long, or has control characters`);
}

function usableText(name: string, variable: string): boolean {
  const text = process.env[variable];
  if (text === undefined) throw new SecretSourceError(`the secret ${name}: the environment variable ${variable} is not set`);
  return SecretValue.from(Buffer.from(text)) !== undefined;
}

function secretFile(name: string, path: string): Uint8Array {
  try {
    return readPrivateFile(path, "secret");
  } catch (cause) {
    if (!(cause instanceof AuthorityError)) throw cause;
    throw new SecretSourceError(`the secret ${name}: ${cause.message}`);
  }
}

/** One attempt to get a secret. Why it failed is not told: the text of an error may hold what it is about. */
export class SecretFetch {
  /** Notified when it is over. */
  readonly changed = new Signal();
  /** Ends what is under way. */
  cancel: () => void = () => {};
  #state: FetchState = { tag: "pending" };

  constructor(source: SecretSource) {
    if ("env" in source) {
      const text = process.env[source.env];
      this.#settle(text === undefined ? undefined : Buffer.from(text));
    } else if ("file" in source) this.#settle(attempt(() => readPrivateFile(source.file)));
    else this.#run(source.command);
  }

  get state(): FetchState {
    return this.#state;
  }

  #run([program = "", ...args]: readonly string[]): void {
    // Loading it takes longer than most of a start, and few instances have a secret that a program prints.
    const { execFile } = process.getBuiltinModule("node:child_process");
    const child = execFile(
      program,
      args,
      { encoding: "buffer", timeout: COMMAND_TIME, maxBuffer: MAX_SECRET + 2, killSignal: "SIGKILL" },
      (error, stdout) => this.#settle(error === null ? stdout : undefined),
    );
    child.stdin?.on("error", () => {}).end();
    this.cancel = () => child.kill("SIGKILL");
  }

  #settle(bytes: Uint8Array | undefined): void {
    const value = bytes === undefined ? undefined : SecretValue.from(bytes);
    this.#state = value === undefined ? { tag: "unavailable" } : { tag: "ready", value };
    this.changed.notify();
  }
}

function attempt<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch {
    return undefined;
  }
}

const MAX_SECRET = 16 * 1024;
/** Milliseconds. */
const COMMAND_TIME = 30_000;
const CR = 0x0d;
const LF = 0x0a;
