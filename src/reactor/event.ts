import type { Pollable } from "wasi:io/poll@0.2.12";
import { Cancelled, Scope } from "./cancel.ts";
import { wait } from "./reactor.ts";

/**
 * The readiness of one stream, socket or connection: its pollable, asked for at the first wait and kept for all later ones.
 * Disposing it cancels what still waits, then drops the pollable, so that no dropped pollable is ever polled. Dispose it
 * before what it came from.
 */
export class Event implements Disposable {
  private readonly subscribe: () => Pollable;
  private readonly alive = new Scope();
  private pollable: Pollable | undefined;

  constructor(subscribe: () => Pollable) {
    this.subscribe = subscribe;
  }

  /** @throws {Cancelled} when this is disposed meanwhile, or the reason of `scope`. */
  wait(scope?: Scope): Promise<void> {
    if (this.alive.reason !== undefined) return Promise.reject(this.alive.reason);
    const pollable = (this.pollable ??= this.subscribe());
    return scope === undefined ? wait(pollable, this.alive) : this.waitIn(scope, pollable);
  }

  /** Whether a `wait` would be over at once; asks the host. False once this is disposed. */
  isReady(): boolean {
    return this.alive.reason === undefined && (this.pollable ??= this.subscribe()).ready();
  }

  private async waitIn(scope: Scope, pollable: Pollable): Promise<void> {
    scope.throwIfCancelled();
    // Not `using`: the build lowers it to a helper that costs QuickJS eight microseconds.
    const both = new Scope(this.alive);
    const release = scope.onCancel((reason) => both.cancel(reason));
    try {
      await wait(pollable, both);
    } finally {
      release();
      both[Symbol.dispose]();
    }
  }

  [Symbol.dispose](): void {
    this.alive.cancel(CLOSED);
    const pollable = this.pollable;
    this.pollable = undefined;
    pollable?.[Symbol.dispose]();
  }
}

/** One for all: making an error costs as much as the rest of closing an event. */
const CLOSED = new Cancelled("what was waited for has been closed");
