import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Every wait of these tests, in milliseconds. */
export const LIMIT = 10_000;

/** What `npm run test:interop` has built or installed. */
export const cached = (path: string): string => fileURLToPath(new URL(`../../../.cache/interop/${path}`, import.meta.url));

/** A file of this repository, by its path from the root. */
export const inRepository = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

/** Someone else's program, and everything it has printed so far. Ended by `stop`, and by nothing else of ours. */
export class PeerProcess {
  readonly #child: ChildProcess;
  readonly #name: string;
  #stdout = "";
  #stderr = "";
  #exit: { code: number | null; signal: NodeJS.Signals | null } | undefined;
  #failure: Error | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(program: string, args: readonly string[], options: { env?: NodeJS.ProcessEnv; cwd?: string } = {}) {
    this.#name = `${program} ${args.join(" ")}`;
    // A proxy of the machine's has no business on loopback.
    const env = Object.fromEntries(Object.entries({ ...process.env, ...options.env }).filter(([name]) => !/_proxy$/i.test(name)));
    this.#child = spawn(program, args, { stdio: "pipe", env, cwd: options.cwd });
    this.#child.stdout!.on("data", (bytes: Buffer) => {
      this.#stdout += bytes.toString("latin1");
      this.#wake();
    });
    this.#child.stderr!.on("data", (bytes: Buffer) => {
      this.#stderr += bytes.toString("latin1");
      this.#wake();
    });
    this.#child.stdin!.on("error", () => {});
    this.#child.on("error", (error) => {
      this.#failure = error;
      this.#exit ??= { code: null, signal: null };
      this.#wake();
    });
    this.#child.on("close", (code, signal) => {
      this.#exit = { code, signal };
      this.#wake();
    });
  }

  get stdout(): string {
    return this.#stdout;
  }

  /** Both outputs, standard error last. */
  get output(): string {
    return `${this.#stdout}\n${this.#stderr}`;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Until the outputs match. @throws when the program ends without a match, or at the limit */
  async waitFor(pattern: RegExp): Promise<RegExpExecArray> {
    return await this.#until(String(pattern), () => pattern.exec(this.output) ?? undefined);
  }

  /** Until it has printed this many events (lines that are JSON objects), and those. */
  async events<T extends object>(count: number): Promise<T[]> {
    return await this.#until(`${count} events`, () => {
      const events = this.eventsSoFar<T>();
      return events.length >= count ? events : undefined;
    });
  }

  /** Until it has printed an event that is as wanted, and that. */
  async event<T extends object>(what: string, isWanted: (event: T) => boolean): Promise<T> {
    return await this.#until(what, () => this.eventsSoFar<T>().find(isWanted));
  }

  eventsSoFar<T extends object>(): T[] {
    return this.#stdout
      .split("\n")
      .slice(0, -1)
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as T);
  }

  /** Until it has ended by itself. @returns its exit code; null if a signal ended it */
  async exited(): Promise<number | null> {
    await this.#until("its end", () => (this.#exit === undefined ? undefined : true), true);
    return this.#exit!.code;
  }

  write(text: string): void {
    this.#child.stdin!.write(text);
  }

  closeInput(): void {
    this.#child.stdin!.end();
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** End it, and wait until it has ended. */
  async stop(name: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.#exit === undefined) this.#child.kill(name);
    await this.exited();
  }

  async #until<T>(what: string, look: () => T | undefined, endIsFine = false): Promise<T> {
    const timer = setTimeout(() => this.#wake(), LIMIT);
    const deadline = performance.now() + LIMIT - 1;
    try {
      for (;;) {
        const found = look();
        if (found !== undefined) return found;
        if (this.#failure !== undefined) throw this.#failure;
        const isOver = performance.now() >= deadline;
        if (isOver || (this.#exit !== undefined && !endIsFine)) {
          const how = this.#exit === undefined ? "runs on" : `ended with ${this.#exit.code ?? this.#exit.signal}`;
          throw new Error(`${this.#name} ${how} without ${what}; it printed:\n${this.output}`);
        }
        await new Promise<void>((resolve) => this.#waiting.add(resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resume of waiting) resume();
  }
}

/** What a test has to clean up after itself: processes, sockets, folders. */
export class Scene {
  readonly #closers: (() => unknown)[] = [];
  #folder: string | undefined;

  start(program: string, args: readonly string[], options?: { env?: NodeJS.ProcessEnv; cwd?: string }): PeerProcess {
    const peer = new PeerProcess(program, args, options);
    this.onEnd(() => peer.stop());
    return peer;
  }

  /** A folder of its own. */
  get folder(): string {
    if (this.#folder === undefined) {
      const made = mkdtempSync(join(tmpdir(), "sallyport-interop-"));
      this.#folder = made;
      this.#closers.unshift(() => rmSync(made, { recursive: true, force: true }));
    }
    return this.#folder;
  }

  onEnd(close: () => unknown): void {
    this.#closers.push(close);
  }

  async end(): Promise<void> {
    for (const close of this.#closers.splice(0).toReversed()) await close();
    this.#folder = undefined;
  }
}
