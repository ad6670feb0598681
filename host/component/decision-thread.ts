import { Worker } from "node:worker_threads";
import { ComponentError, type ComponentCode } from "./instance.ts";
import { sizeOf } from "./value-size.ts";

/** The WIT variant `sallyport:gateway/decider.question`. */
export type DecisionQuestion = { tag: "connect" | "client-hello" | "request"; val: object };

/** The WIT enum `failure`, but for what only whoever asks can know. */
export type DecisionFailure = "trap" | "timeout" | "invalid-answer" | "too-many" | "too-large";

/** How a question ended. */
export type Decided = { tag: "decision"; val: unknown } | { tag: "failed"; failure: DecisionFailure; reason: string };

/** To the thread, one at a time. */
export interface ToDecisions {
  question: DecisionQuestion;
}

/** From the thread. */
export type FromDecisions =
  | { tag: "ready" }
  | { tag: "answer"; decision: unknown }
  | { tag: "invalid" }
  /** The instance is dead. */
  | { tag: "failed"; reason: string };

/**
 * Find out whether a component can be asked for decisions.
 *
 * @throws {ComponentError} when it does not start, or does not export what is asked for
 */
export async function checkDecisions(code: ComponentCode): Promise<void> {
  const thread = new DecisionThread(code, START_TIME);
  try {
    const fault = await thread.started;
    if (fault !== undefined) throw new ComponentError(`the component cannot be asked for decisions: ${fault}`);
  } finally {
    thread.close();
  }
}

/**
 * A component with rules of somebody else's, in a thread of its own: it can neither hold up nor touch whoever asks. One that
 * died or took too long is followed by a new one.
 */
export class DecisionThread {
  readonly #code: ComponentCode;
  readonly #timeout: number;
  readonly #waiting: { question: DecisionQuestion; resolve: (decided: Decided) => void }[] = [];
  #worker: Worker | undefined;
  #isReady = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  readonly #started = Promise.withResolvers<string | undefined>();
  /** Of the questions that wait. */
  #size = 0;

  /** @param timeout milliseconds that an answer may take */
  constructor(code: ComponentCode, timeout: number) {
    this.#code = code;
    this.#timeout = timeout;
    this.#start();
  }

  /** Resolves once it is known whether the component can be asked at all: with why not, otherwise with nothing. */
  get started(): Promise<string | undefined> {
    return this.#started.promise;
  }

  /** Ask, after those that asked before. Never rejects. */
  ask(question: DecisionQuestion): Promise<Decided> {
    if (this.#closed) return Promise.resolve({ tag: "failed", failure: "trap", reason: "the instance has ended" });
    if (this.#waiting.length >= MAX_WAITING)
      return Promise.resolve({ tag: "failed", failure: "too-many", reason: `${MAX_WAITING} questions wait` });
    const size = sizeOf(question.val, MAX_QUESTION);
    if (size > MAX_QUESTION) return Promise.resolve({ tag: "failed", failure: "too-large", reason: "the question is longer than 2 MiB" });
    if (this.#size + size > MAX_WAITING_SIZE)
      return Promise.resolve({ tag: "failed", failure: "too-many", reason: "the questions that wait are as long as they may be" });
    this.#size += size;
    return new Promise((settle) => {
      const resolve = (decided: Decided) => {
        this.#size -= size;
        settle(decided);
      };
      this.#waiting.push({ question, resolve });
      if (this.#worker === undefined) this.#start();
      else if (this.#isReady && this.#waiting.length === 1) this.#send();
    });
  }

  /** End the thread. What waits has failed. */
  close(): void {
    this.#closed = true;
    this.#started.resolve("the instance has ended");
    this.#drop();
    for (const { resolve } of this.#waiting.splice(0)) resolve({ tag: "failed", failure: "trap", reason: "the instance has ended" });
  }

  #start(): void {
    // The compiled package holds the worker's file beside this file's compiled form.
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const worker = new Worker(new URL(`./decision-worker.${extension}`, import.meta.url), {
      name: "sallyport decisions",
      workerData: this.#code,
      execArgv: [],
      stdin: true,
      stdout: true,
      stderr: true,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB },
    });
    worker.unref();
    this.#worker = worker;
    this.#isReady = false;
    worker.on("message", (message: FromDecisions) => worker === this.#worker && this.#onMessage(message));
    worker.on("error", (error) => worker === this.#worker && this.#fail("trap", error instanceof Error ? error.message : String(error)));
    worker.on("exit", () => worker === this.#worker && this.#fail("trap", "the thread ended"));
    this.#allow(START_TIME);
  }

  #onMessage(message: FromDecisions): void {
    if (message.tag === "failed") return this.#fail("trap", message.reason);
    clearTimeout(this.#timer);
    if (message.tag === "ready") {
      this.#isReady = true;
      this.#started.resolve(undefined);
    } else
      this.#waiting
        .shift()
        ?.resolve(
          message.tag === "answer"
            ? { tag: "decision", val: message.decision }
            : { tag: "failed", failure: "invalid-answer", reason: "the answer is longer than it may be" },
        );
    if (this.#waiting.length > 0) this.#send();
  }

  #send(): void {
    this.#worker!.postMessage({ question: this.#waiting[0]!.question } satisfies ToDecisions, []);
    this.#allow(this.#timeout);
  }

  #allow(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fail("timeout", `no answer within ${milliseconds} ms`), milliseconds).unref();
  }

  /** The first question has failed, and every one if the component does not even start. */
  #fail(failure: DecisionFailure, reason: string): void {
    if (!this.#isReady) this.#started.resolve(reason);
    const failed = this.#waiting.splice(0, this.#isReady ? 1 : MAX_WAITING);
    this.#drop();
    for (const { resolve } of failed) resolve({ tag: "failed", failure, reason });
    // Otherwise the next question starts it.
    if (this.#waiting.length > 0) this.#start();
  }

  #drop(): void {
    clearTimeout(this.#timer);
    void this.#worker?.terminate();
    this.#worker = undefined;
    this.#isReady = false;
  }
}

const MAX_WAITING = 1024;
/** Characters: more than the longest head that a policy permits, and of all that wait. */
const MAX_QUESTION = 2 * 1024 * 1024;
const MAX_WAITING_SIZE = 16 * 1024 * 1024;
/** Milliseconds. */
const START_TIME = 30_000;
const HEAP_MIB = 256;
