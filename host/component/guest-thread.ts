import type { Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import type { MessagePort, Worker } from "node:worker_threads";
import type { ComponentCode, RunResult } from "./instance.ts";
import type { FromWorker, InstanceOptions, ToWorker } from "./messages.ts";
import { takeThread } from "./thread-start.ts";

/** How a thread for an instance is made. */
export interface ThreadOptions {
  /** Whether the guest's streams are those of the process: it may then write to a regular file by itself. */
  inherit: boolean;
  /** How long a guest may keep its thread from the event loop, in milliseconds. */
  watchdog: number;
  /** The standard input; asked for when the guest first reads. */
  stdin: () => Readable;
  /**
   * Where the guest's output goes; asked for when it runs. Not ended with the thread. An error of theirs is not this thread's,
   * but reaches the guest.
   */
  stdout: () => Writable;
  stderr: () => Writable;
  /** Told of what was asked for and not granted. Absent: the standard error of the process, which the guest then has too (`inherit`). */
  onRefusal: ((line: string) => void) | undefined;
}

/** What an instance is made of could not be used: a bad grant, a component that is no command. */
export class UnusableError extends Error {
  /** The code of what was wrong. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** How long a worker that has said its last word may take to end, in milliseconds, before it is ended. */
const LAST_WORDS = 2000;

/**
 * A worker thread for one instance. It starts at once, so that it has loaded the host by the time `run` is called; a
 * thread that waits for `run` does not keep the process alive.
 */
export class GuestThread {
  /** Resolves once all that the guest wrote has been taken by its outputs. */
  readonly drained: Promise<unknown>;
  readonly #drained = Promise.withResolvers<unknown>();
  /** Resolves if the thread does not end: its outputs then do not either. */
  readonly #lost = Promise.withResolvers<void>();
  readonly #options: ThreadOptions;
  readonly #worker: Worker;
  readonly #beats: Int32Array;
  readonly #interval: number;
  readonly #settled = Promise.withResolvers<RunResult>();
  #verdict: RunResult | UnusableError | undefined;
  #ending = false;
  #exited = false;
  #connected = false;
  #watch: NodeJS.Timeout | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #unpipe = () => {};

  constructor(options: ThreadOptions) {
    this.#options = options;
    const { worker, beats } = takeThread(options.inherit);
    this.#worker = worker;
    this.#beats = beats;
    this.#interval = Math.max(5, Math.min(250, options.watchdog / 8));
    this.drained = this.#drained.promise;
    this.#worker.on("message", (message: FromWorker) => this.#onMessage(message));
    this.#worker.on("error", (error) => this.#onCrash(error));
    this.#worker.on("exit", () => {
      this.#exited = true;
      // If it never ran, there is nothing to take.
      if (!this.#connected) this.#drained.resolve(undefined);
      this.#settle({ tag: "trap", reason: "the worker ended without saying why" });
    });
    this.#settled.promise.catch(() => {});
  }

  /**
   * Run the component's command in this thread, once.
   *
   * @param brief as of `SuperviseOptions`
   * @throws {UnusableError} when no instance can be made of this component and these options
   */
  run(code: ComponentCode, options: InstanceOptions, brief: boolean): Promise<RunResult> {
    this.#worker.ref();
    const refusals = this.#options.onRefusal !== undefined;
    this.#post({ tag: "start", code, options, brief, interval: this.#interval, refusals });
    this.#startWatch();
    // The streams of the process take a while to make. The thread is at work by now.
    this.#connected = true;
    const taken = Promise.allSettled([this.#connect("stdout"), this.#connect("stderr")]);
    this.#drained.resolve(Promise.race([taken, this.#lost.promise]));
    return this.#settled.promise;
  }

  /** Tell a component that listens (`sallyport:gateway/control`) of a new policy. */
  reload(policy: string): void {
    this.#post({ tag: "reload", policy });
  }

  /** Tell a component that listens that a subject was revoked. */
  revoke(subject: string): void {
    this.#post({ tag: "revoke", subject });
  }

  /** Hand it a client in this process. @param port owned from here on */
  connect(port: MessagePort): void {
    this.#post({ tag: "connection", port }, [port]);
  }

  /** Ask the worker to end; end it after `deadline` milliseconds. */
  stop(deadline: number): void {
    this.#post({ tag: "stop", deadline });
    this.#deadline ??= setTimeout(() => this.#end({ tag: "stopped" }), deadline);
  }

  /** End the thread at once, whatever it does. */
  terminate(): void {
    this.#end({ tag: "stopped" });
  }

  #post(message: ToWorker, transfer: readonly MessagePort[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  #onMessage(message: FromWorker): void {
    if (message.tag === "refusal") return this.#options.onRefusal?.(message.line);
    if (message.tag === "stdin") return this.#feedStdin();
    this.#verdict ??= message.tag === "done" ? message.result : new UnusableError(message.code, message.message);
    clearInterval(this.#watch);
    // Its output arrives before its `exit` event, so that is what to wait for.
    this.#deadline ??= setTimeout(() => this.#end({ tag: "stopped" }), LAST_WORDS);
  }

  #onCrash(error: unknown): void {
    const { code, message } = error as { code?: string; message?: string };
    if (code === "ERR_WORKER_OUT_OF_MEMORY") this.#verdict ??= { tag: "limit", which: "memory" };
    else this.#verdict ??= { tag: "trap", reason: `the host failed: ${String(message ?? error).slice(0, 300)}` };
  }

  #connect(output: "stdout" | "stderr"): Promise<void> {
    const source = this.#worker[output];
    const sink = this.#options[output]();
    const onLost = () => {
      this.#post({ tag: "output-closed", output });
      // Read on, or what has been written already would keep the worker from ending.
      source.unpipe(sink).resume();
    };
    source.pipe(sink, { end: false });
    sink.once("error", onLost).once("close", onLost);
    if (sink.destroyed) onLost();
    return finished(source).finally(() => sink.off("error", onLost).off("close", onLost));
  }

  #feedStdin(): void {
    const source = this.#options.stdin();
    const sink = this.#worker.stdin!;
    // The worker may end at any time; what it did not read is nobody's.
    sink.on("error", () => {});
    source.pipe(sink);
    this.#unpipe = () => {
      source.unpipe(sink);
      source.pause();
    };
  }

  /**
   * The worker counts on its event loop; a guest that does not let it have a turn stops the count. Time is added up in
   * steps of this thread's own timer, so that a process that was suspended, or itself busy, blames nobody.
   */
  #startWatch(): void {
    let seen = Atomics.load(this.#beats, 0);
    let silent = 0;
    let last = performance.now();
    this.#watch = setInterval(() => {
      const now = performance.now();
      const beat = Atomics.load(this.#beats, 0);
      // Zero: the thread is still loading the host, and has not taken `start`.
      silent = beat === seen && beat !== 0 ? silent + Math.min(now - last, 2 * this.#interval) : 0;
      seen = beat;
      last = now;
      if (silent >= this.#options.watchdog) this.#end({ tag: "unresponsive" });
    }, this.#interval);
  }

  #end(verdict: RunResult): void {
    if (this.#exited || this.#ending) return;
    this.#ending = true;
    clearInterval(this.#watch);
    this.#verdict ??= verdict;
    void this.#worker.terminate();
    // A write that blocks can keep a thread from ending. It is dead to us all the same.
    const patience = setTimeout(() => {
      this.#lost.resolve();
      this.#settle(verdict);
    }, LAST_WORDS);
    this.#worker.once("exit", () => clearTimeout(patience));
  }

  #settle(fallback: RunResult): void {
    clearInterval(this.#watch);
    clearTimeout(this.#deadline);
    this.#unpipe();
    const verdict = this.#verdict ?? fallback;
    if (verdict instanceof UnusableError) this.#settled.reject(verdict);
    else this.#settled.resolve(verdict);
  }
}
