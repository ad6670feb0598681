import type { Readable } from "node:stream";
import type { ComponentCode, RunResult } from "../component/instance.ts";
import type { InstanceOptions } from "../component/messages.ts";
import { type Supervised, supervise } from "../component/supervisor.ts";

/** A component that runs with its output kept, for a program that looks at what it says. */
export class CapturedRun {
  /** How it ended. */
  readonly result: Promise<RunResult>;
  /** What the host refused it, a line each. */
  readonly refusals: string[] = [];
  readonly #supervised: Supervised;
  readonly #texts = { stdout: "", stderr: "" };
  readonly #ended: Promise<unknown>;
  #over = false;
  #wake = Promise.withResolvers<void>();

  /** Starts it. */
  constructor(code: ComponentCode, instance: InstanceOptions) {
    this.#supervised = supervise({ code, instance, stdio: "pipe", onRefusal: (line) => this.refusals.push(line) });
    this.result = this.#supervised.result;
    this.#supervised.stdin?.end();
    const outputs = (["stdout", "stderr"] as const).map((output) => this.#collect(output, this.#supervised[output]!));
    this.#ended = Promise.allSettled([this.result, ...outputs]).then(() => {
      this.#over = true;
      this.#wake.resolve();
    });
  }

  get stdout(): string {
    return this.#texts.stdout;
  }

  get stderr(): string {
    return this.#texts.stderr;
  }

  /** Its exit code, once everything that it wrote is here; `undefined` if it did not come to an end of its own. */
  async exitCode(): Promise<number | undefined> {
    const result = await this.result;
    await this.#ended;
    return result.tag === "exit" ? result.code : undefined;
  }

  /** The first match in an output; `undefined` if it ends, or `deadline` milliseconds pass, without one. */
  async said(output: "stdout" | "stderr", pattern: RegExp, deadline: number): Promise<RegExpExecArray | undefined> {
    const timer = setTimeout(() => this.#wake.resolve(), deadline);
    const last = performance.now() + deadline;
    try {
      for (;;) {
        const match = pattern.exec(this.#texts[output]);
        if (match !== null || this.#over || performance.now() >= last) return match ?? undefined;
        await this.#wake.promise;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** End it, if it still runs. */
  async stop(): Promise<void> {
    await this.#supervised.stop(STOP_DEADLINE).catch(() => {});
    await this.#ended;
  }

  async #collect(output: "stdout" | "stderr", source: Readable): Promise<void> {
    source.setEncoding("utf8");
    for await (const chunk of source) {
      this.#texts[output] += String(chunk);
      const wake = this.#wake;
      this.#wake = Promise.withResolvers();
      wake.resolve();
    }
  }
}

const STOP_DEADLINE = 2000;
