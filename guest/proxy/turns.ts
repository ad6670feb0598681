import { type AddError, Queue } from "sallyport:gateway/event-queue@0.1.0";
import type { Pollable } from "wasi:io/poll@0.2.12";
import { dropInOrder } from "../../src/bindings/drop.ts";
import { attempt } from "../../src/bindings/errors.ts";
import { Event, spawn } from "../../src/reactor/index.ts";

/**
 * Things that become ready again and again: conversations, which are idle for the most part. They stay in a queue of the host's,
 * so that one costs nothing while it is idle, and those that are ready together cost one wait.
 */
export class Turns {
  private following: Following | undefined;

  /**
   * Call `onReady` whenever `pollable` is ready, until the returned watch is dropped or `onReady` answers that it need not be
   * called again. It must not throw.
   *
   * @param pollable owned from here on
   */
  watch(pollable: Pollable, onReady: () => boolean): Watch {
    this.following ??= new Following(() => (this.following = undefined));
    return this.following.add(pollable, onReady);
  }
}

/** Something in the queue. */
export interface Watch extends Disposable {
  /** Call it again, after it answered that it need not be. */
  again(): void;
}

/** A queue, from the first in it to the last. */
class Following {
  private readonly queue = new Queue();
  private readonly ready = new Event(() => this.queue.subscribe());
  private readonly watched = new Map<number, () => boolean>();
  private readonly onEnd: () => void;
  private lastToken = 0;

  constructor(onEnd: () => void) {
    this.onEnd = onEnd;
    spawn(() => this.follow());
  }

  add(pollable: Pollable, onReady: () => boolean): Watch {
    const token = ++this.lastToken;
    const added = attempt<void, AddError>(() => this.queue.add(pollable, token));
    if (added.tag === "err") throw new Error(`the host's queue takes no more: ${added.val}`);
    this.watched.set(token, onReady);
    return {
      again: () => {
        if (this.watched.has(token)) this.queue.arm(Uint32Array.of(token));
      },
      [Symbol.dispose]: () => {
        if (!this.watched.delete(token)) return;
        // It leaves the queue by itself with this.
        pollable[Symbol.dispose]();
        if (this.watched.size > 0) return;
        this.onEnd();
        dropInOrder(this.ready, this.queue);
      },
    };
  }

  private async follow(): Promise<void> {
    for (;;) {
      await this.ready.wait();
      const again: number[] = [];
      for (const token of this.queue.take(MOST_AT_ONCE)) if (this.watched.get(token)?.() === true) again.push(token);
      if (again.length > 0) this.queue.arm(Uint32Array.from(again));
    }
  }
}

const MOST_AT_ONCE = 256;
