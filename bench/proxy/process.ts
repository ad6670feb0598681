import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import type { SubjectAnswer } from "./orders.ts";

/** A process of the bench that answers one message after another. */
export class Process<Order extends object> implements Disposable {
  private readonly child: ChildProcess;
  private pending: { resolve: (answer: unknown) => void; reject: (error: Error) => void } | undefined;

  /** @param file in this folder */
  constructor(file: string) {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/_proxy$/i.test(name)));
    this.child = fork(join(import.meta.dirname, file), {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      execArgv: ["--expose-gc", ...(process.env.BENCH_SUBJECT_FLAGS?.split(" ") ?? [])],
      env,
    });
    this.child.on("message", ({ answer, error }: SubjectAnswer) => {
      const { pending } = this;
      this.pending = undefined;
      if (error === undefined) pending?.resolve(answer);
      else pending?.reject(new Error(`${file}: ${error}`));
    });
    this.child.on("exit", (code) => this.pending?.reject(new Error(`${file} ended with ${code}`)));
  }

  ask<Answer = void>(order: Order): Promise<Answer> {
    return new Promise<unknown>((resolve, reject) => {
      this.pending = { resolve, reject };
      this.child.send(order);
    }) as Promise<Answer>;
  }

  [Symbol.dispose](): void {
    if (this.child.connected) this.child.disconnect();
  }
}
