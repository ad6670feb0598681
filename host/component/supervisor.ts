import { PassThrough, type Readable, type Writable } from "node:stream";
import type { MessagePort } from "node:worker_threads";
import { GuestThread, type ThreadOptions } from "./guest-thread.ts";
import type { ComponentCode, RunResult } from "./instance.ts";
import type { InstanceOptions } from "./messages.ts";

/** What to run and how to watch over it. */
export interface SuperviseOptions {
  /** The component; may still be on its way from the cache while the first thread starts. */
  code: ComponentCode | Promise<ComponentCode>;
  /** What its instances are granted; likewise. */
  instance: InstanceOptions | Promise<InstanceOptions>;
  /** `inherit` (default): the standard streams of this process. `pipe`: the streams of the returned object. */
  stdio?: "inherit" | "pipe";
  /** How long a guest may keep its thread busy without a turn of the event loop, in milliseconds; 10,000 by default. */
  watchdog?: number;
  /** Whether a dead instance (trap, unresponsive, limit) is followed by a new one. An exit is the guest's own will and is not. */
  restart?: boolean;
  /**
   * Whether it is expected to run for a moment, and mostly to wait: then what it does often is not compiled a second time, for
   * speed, which takes longer than it saves. Concerns all instances of this process that start from then on.
   */
  brief?: boolean;
  /** One line for people about something that was asked for and not granted. Standard error by default. */
  onRefusal?: (line: string) => void;
  /** Told of each death that a restart follows, and in how many milliseconds. */
  onRestart?: (death: RunResult, delay: number) => void;
}

/** A component that runs under watch. */
export interface Supervised {
  /**
   * How it ended: the last instance, where there were several.
   *
   * @throws {UnusableError} when no instance could be made
   */
  result: Promise<RunResult>;
  /** Resolves after `result`, once all that its instances wrote has been taken by the outputs. */
  drained: Promise<unknown>;
  /** Ask it to end; after `deadline` milliseconds it is ended. Resolves as `result` does. */
  stop(deadline: number): Promise<RunResult>;
  /** Tell a component that listens (`sallyport:gateway/control`) of a new policy, and those that follow a restart. */
  reload(policy: string): void;
  /** Tell a component that listens that a subject was revoked, and those that follow a restart. */
  revoke(subject: string): void;
  /**
   * Hand a client in this process to an instance with `inProcess`: one end of a `MessageChannel`, whose other end a `PortDuplex`
   * has. It is closed where no instance runs.
   */
  connect(port: MessagePort): void;
  /** With `pipe`: what the guest reads. */
  stdin: Writable | undefined;
  /** With `pipe`: what the guest, in all its instances, writes. Must be read, or the guest waits. */
  stdout: Readable | undefined;
  stderr: Readable | undefined;
}

/** Default of `watchdog`, in milliseconds. */
export const DEFAULT_WATCHDOG = 10_000;

/** Run a component's command in a worker thread and watch over it. */
export function supervise(options: SuperviseOptions): Supervised {
  const supervisor = new Supervisor(options);
  return {
    result: supervisor.result,
    drained: supervisor.drained,
    stop: (deadline) => supervisor.stop(deadline),
    reload: (policy) => supervisor.reload(policy),
    revoke: (subject) => supervisor.revoke(subject),
    connect: (port) => supervisor.connect(port),
    stdin: supervisor.pipes?.stdin,
    stdout: supervisor.pipes?.stdout,
    stderr: supervisor.pipes?.stderr,
  };
}

/** This many deaths within `DEATH_WINDOW` milliseconds are followed by a restart at once. */
const QUICK_RESTARTS = 5;
const DEATH_WINDOW = 10_000;
const FIRST_DELAY = 100;
const LONGEST_DELAY = 5000;

/**
 * How long to wait before the restart that follows the last of these deaths, in milliseconds. A component that dies at
 * once each time must not take a whole core, and one that dies now and then must not be missed.
 *
 * @param deaths times of all deaths so far, ascending, in milliseconds
 */
export function restartDelay(deaths: readonly number[]): number {
  const now = deaths.at(-1) ?? 0;
  const recent = deaths.filter((at) => now - at < DEATH_WINDOW).length;
  if (recent <= QUICK_RESTARTS) return 0;
  return Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** (recent - QUICK_RESTARTS - 1));
}

class Supervisor {
  readonly result: Promise<RunResult>;
  readonly drained: Promise<unknown>;
  readonly pipes: { stdin: PassThrough; stdout: PassThrough; stderr: PassThrough } | undefined;
  readonly #options: SuperviseOptions;
  readonly #stopped = new AbortController();
  readonly #deaths: number[] = [];
  /** Of the threads whose output is still on its way. */
  readonly #draining = new Set<Promise<unknown>>();
  /** What an instance that follows a restart has to hear again. */
  #policy: string | undefined;
  readonly #revoked = new Set<string>();
  #running = false;
  #current: GuestThread;
  #spare: GuestThread | undefined;

  constructor(options: SuperviseOptions) {
    this.#options = options;
    if (options.stdio === "pipe") this.pipes = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
    this.#current = this.#newThread();
    this.result = this.#run().finally(() => this.#close());
    this.result.catch(() => {});
    const drained = () => Promise.all(this.#draining);
    this.drained = this.result.then(drained, drained);
  }

  stop(deadline: number): Promise<RunResult> {
    if (!this.#stopped.signal.aborted) {
      this.#stopped.abort();
      this.#current.stop(deadline);
    }
    return this.result;
  }

  reload(policy: string): void {
    this.#policy = policy;
    if (this.#running) this.#current.reload(policy);
  }

  revoke(subject: string): void {
    this.#revoked.add(subject);
    if (this.#running) this.#current.revoke(subject);
  }

  connect(port: MessagePort): void {
    if (this.#running) this.#current.connect(port);
    else port.close();
  }

  async #run(): Promise<RunResult> {
    const [code, instance] = await Promise.all([this.#options.code, this.#options.instance]);
    // Later, since most components are given no place for records.
    const records = instance.gateway?.audit === undefined ? undefined : await import("../gateway/death-record.ts");
    for (;;) {
      const watched = records?.watchInstance(instance);
      const running = this.#current.run(code, watched?.options ?? instance, this.#options.brief ?? false);
      watched?.follow(running);
      this.#running = true;
      if (this.#policy !== undefined) this.#current.reload(this.#policy);
      for (const subject of this.#revoked) this.#current.revoke(subject);
      // Loading the host takes longer than a restart may, so the next thread is ready before it is needed.
      if (this.#options.restart) this.#spare ??= this.#newThread();
      const result = await running;
      this.#running = false;
      if (!this.#options.restart || result.tag === "exit" || this.#stopped.signal.aborted) return result;
      this.#deaths.push(performance.now());
      if (this.#deaths.length > 100) this.#deaths.shift();
      const delay = restartDelay(this.#deaths);
      this.#options.onRestart?.(result, delay);
      if (delay > 0) await this.#pause(delay);
      if (this.#stopped.signal.aborted) return result;
      this.#current = this.#spare ?? this.#newThread();
      this.#spare = undefined;
    }
  }

  #newThread(): GuestThread {
    const pipes = this.pipes;
    const options: ThreadOptions = {
      inherit: pipes === undefined,
      watchdog: this.#options.watchdog ?? DEFAULT_WATCHDOG,
      stdin: () => pipes?.stdin ?? process.stdin,
      stdout: () => pipes?.stdout ?? outputOf(process.stdout),
      stderr: () => pipes?.stderr ?? outputOf(process.stderr),
      onRefusal: this.#options.onRefusal ?? (pipes && ((line) => process.stderr.write(`${line}\n`))),
    };
    const thread = new GuestThread(options);
    this.#draining.add(thread.drained);
    void thread.drained.then(() => this.#draining.delete(thread.drained));
    return thread;
  }

  #pause(delay: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delay);
      this.#stopped.signal.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #close(): void {
    this.#spare?.terminate();
    this.#current.terminate();
    this.pipes?.stdin.destroy();
    // What a reader has not taken yet is still on its way through the pipes.
    void Promise.all(this.#draining).then(() => {
      this.pipes?.stdout.end();
      this.pipes?.stderr.end();
    });
  }
}

const outputs = new WeakSet<Writable>();

/** A standard stream of the process whose reader may go away: that is the guest's affair, and no reason to crash. */
function outputOf(stream: Writable): Writable {
  if (!outputs.has(stream)) stream.on("error", () => {});
  outputs.add(stream);
  // Each thread listens, and there may be many.
  stream.setMaxListeners(0);
  return stream;
}
