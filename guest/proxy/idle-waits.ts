import { type AddError, Queue } from "sallyport:gateway/event-queue@0.1.0";
import type { Pollable } from "wasi:io/poll@0.2.12";
import { dropInOrder } from "../../src/bindings/drop.ts";
import { attempt } from "../../src/bindings/errors.ts";
import { Event, type Scope, spawn } from "../../src/reactor/index.ts";

/**
 * Waits that last: those of tunnels, of which there are thousands, and of which hardly one is over at any moment. They are
 * kept in a queue of the host's, and the reactor polls that one thing, since each poll costs for everything that it is given.
 */
export class IdleWaits {
  private waiting: Waiting | undefined;

  /** Resolves once `pollable` is ready. It is owned from here on. @throws the reason of `scope` */
  async wait(pollable: Pollable, scope: Scope): Promise<void> {
    try {
      scope.throwIfCancelled();
      await (this.waiting ??= new Waiting(() => (this.waiting = undefined))).add(pollable, scope);
    } finally {
      // It leaves the queue by itself with this.
      pollable[Symbol.dispose]();
      this.waiting?.endIfIdle();
    }
  }
}

/** A queue, from the first wait in it to its last. */
class Waiting {
  private readonly queue = new Queue();
  private readonly ready = new Event(() => this.queue.subscribe());
  private readonly wakes = new Map<number, () => void>();
  private readonly onEnd: () => void;
  private lastToken = 0;

  constructor(onEnd: () => void) {
    this.onEnd = onEnd;
    spawn(() => this.follow());
  }

  add(pollable: Pollable, scope: Scope): Promise<void> {
    const token = ++this.lastToken;
    const added = attempt<void, AddError>(() => this.queue.add(pollable, token));
    if (added.tag === "err") throw new Error(`the host's queue takes no more: ${added.val}`);
    return new Promise((resolve, reject) => {
      const release = scope.onCancel((reason) => {
        this.wakes.delete(token);
        reject(reason);
      });
      this.wakes.set(token, () => {
        release();
        resolve();
      });
    });
  }

  /** Nothing is held for waits that are over. */
  endIfIdle(): void {
    if (this.wakes.size > 0) return;
    this.onEnd();
    dropInOrder(this.ready, this.queue);
  }

  private async follow(): Promise<void> {
    for (;;) {
      await this.ready.wait();
      for (const token of this.queue.take(MOST_AT_ONCE)) {
        const wake = this.wakes.get(token);
        this.wakes.delete(token);
        wake?.();
      }
    }
  }
}

const MOST_AT_ONCE = 256;
