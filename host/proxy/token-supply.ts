import { execFile } from "node:child_process";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { decodeBase64url } from "../../src/wire/base64url.ts";
import { MAX_TOKEN_PAYLOAD } from "../../src/wire/token-text.ts";
import { FileWatch } from "../files/file-watch.ts";
import { readStateFile, StateFileError } from "../tokens/state-file.ts";

/** Where a capability token comes from: a file that somebody keeps up to date, or a command that prints one. */
export type TokenSource = { file: string } | { command: readonly [string, ...string[]] };

/** There is no usable token. The message holds nothing of it. */
export class TokenSupplyError extends Error {
  override readonly name = "TokenSupplyError";
  readonly code = "ERR_SALLYPORT_TOKEN_SUPPLY";
}

/** Keeps a token that has not expired in a file of its own, for a component to read. */
export class TokenSupply implements Disposable {
  /** Of the file `current`; nobody else can read it. */
  readonly folder: string;
  readonly #source: TokenSource;
  readonly #tell: (line: string) => void;
  readonly #watch: FileWatch;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  private constructor(source: TokenSource, tell: (line: string) => void) {
    this.#source = "file" in source ? { file: resolve(source.file) } : source;
    this.#watch = new FileWatch("file" in this.#source ? [this.#source.file] : []);
    this.#tell = tell;
    // Made with mode 0700.
    this.folder = mkdtempSync(join(tmpdir(), "sallyport-token-"));
    process.once("exit", this.#remove);
  }

  /**
   * Take the first token, and keep it fresh from then on.
   *
   * @param tell one line for people
   * @throws {TokenSupplyError}
   */
  static async open(source: TokenSource, tell: (line: string) => void): Promise<TokenSupply> {
    const supply = new TokenSupply(source, tell);
    try {
      await supply.#renew();
    } catch (error) {
      supply[Symbol.dispose]();
      throw error;
    }
    if ("file" in source) supply.#watch.start(WATCH_INTERVAL, supply.#again);
    return supply;
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#watch[Symbol.dispose]();
    process.off("exit", this.#remove);
    this.#remove();
  }

  async #renew(): Promise<void> {
    this.#watch.reading();
    const text = "file" in this.#source ? readTokenFile(this.#source.file) : await output(this.#source.command);
    if (this.#isOver) return;
    const left = expiryOf(text) - Date.now();
    if (left <= 0)
      throw new TokenSupplyError(
        `${"file" in this.#source ? `${this.#source.file}: ` : ""}the token has expired: it needs a new one (sallyport token issue)`,
      );
    const path = join(this.folder, "current");
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
    this.#in(Math.max(left - Math.min(left / 5, LONGEST_MARGIN), SHORTEST_PAUSE));
  }

  #in(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#again, Math.min(milliseconds, LONGEST_TIMER)).unref();
  }

  readonly #again = () => {
    this.#renew().catch((error: unknown) => {
      this.#tell(`sallyport: no new token: ${error instanceof Error ? error.message : String(error)}`);
      if (!this.#isOver) this.#in(RETRY_PAUSE);
    });
  };

  readonly #remove = () => rmSync(this.folder, { recursive: true, force: true });
}

function readTokenFile(path: string): string {
  let text: string | undefined;
  try {
    text = readStateFile(path);
  } catch (error) {
    if (!(error instanceof StateFileError)) throw error;
    throw new TokenSupplyError(error.message);
  }
  if (text === undefined) throw new TokenSupplyError(`${path}: cannot be read (ENOENT)`);
  return checked(text, path);
}

function output([program, ...args]: readonly [string, ...string[]]): Promise<string> {
  return new Promise((fulfil, reject) => {
    execFile(program, args, { timeout: COMMAND_TIME, maxBuffer: 64 * 1024, encoding: "latin1" }, (error, stdout) => {
      try {
        // What it printed may be a secret; the error of execFile quotes it.
        if (error !== null) throw new TokenSupplyError(`${program} failed (${error.code ?? error.signal ?? "no code"})`);
        fulfil(checked(stdout, program));
      } catch (cause) {
        reject(cause as TokenSupplyError);
      }
    });
  });
}

function checked(text: string, source: string): string {
  const token = text.trim();
  if (!/^cap:[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+$/.test(token)) throw new TokenSupplyError(`${source}: this is no capability token`);
  return token;
}

/** Milliseconds since 1970. Nobody vouches for it: it only says when to look for the next one. */
function expiryOf(token: string): number {
  const payload = token.slice("cap:".length, token.indexOf("."));
  if (payload.length <= 2 * MAX_TOKEN_PAYLOAD) {
    try {
      const { exp } = JSON.parse(Buffer.from(decodeBase64url(payload)).toString("utf8")) as { exp?: unknown };
      if (typeof exp === "number") return exp * 1000;
    } catch {
      // Said below.
    }
  }
  throw new TokenSupplyError("the token does not say until when it is good");
}

/** Milliseconds. */
const WATCH_INTERVAL = 500;
const LONGEST_MARGIN = 60_000;
const SHORTEST_PAUSE = 1000;
const RETRY_PAUSE = 5000;
const COMMAND_TIME = 30_000;
const LONGEST_TIMER = 2 ** 31 - 1;
