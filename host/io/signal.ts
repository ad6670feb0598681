/** Something that can be waited for: `ready` is evaluated lazily, `listen` tells when it is worth asking again. */
export interface Readiness {
  /** Whether a wait would return at once. Cheap, without side effects. */
  ready(): boolean;
  /** Call `wake` at every change that may have made this ready, until the returned function is called. */
  listen(wake: () => void): () => void;
}

/** Takes bytes, and keeps none of them that are lent. @returns false if it does not take them */
export type Taker = (bytes: Uint8Array, lent: boolean) => boolean;

/** How deep changes may cause one another on one stack. */
const MAX_DEPTH = 32;

let depth = 0;

/** The state of something changed. Listeners are told that, not what; they look for themselves. */
export class Signal {
  /** Most signals have one listener at a time; a Set for each would be a tenth of a connection's memory. */
  #only: (() => void) | undefined;
  #several: Set<() => void> | undefined;
  #taker: Taker | undefined;

  /** Call `wake` on each `notify` until the returned function is called. */
  listen(wake: () => void): () => void {
    if (this.#several !== undefined) this.#several.add(wake);
    else if (this.#only === undefined || this.#only === wake) this.#only = wake;
    else {
      this.#several = new Set([this.#only, wake]);
      this.#only = undefined;
    }
    return () => this.#forget(wake);
  }

  /**
   * Have bytes offered that have just arrived, until the returned function is called: in place of keeping them, telling of them and
   * being asked for them. One taker at a time.
   *
   * @param taker answers false to have them kept, and then has touched nothing
   */
  take(taker: Taker): () => void {
    this.#taker = taker;
    return () => {
      if (this.#taker === taker) this.#taker = undefined;
    };
  }

  /**
   * Offer bytes that would otherwise be kept, and told of.
   *
   * @param lent whether their memory is used again afterwards; otherwise it belongs to the taker
   * @returns whether they were taken
   */
  offer(bytes: Uint8Array, lent = false): boolean {
    // As in `notify`: what is taken may arrive somewhere else by that.
    if (this.#taker === undefined || depth >= MAX_DEPTH) return false;
    depth++;
    try {
      return this.#taker(bytes, lent);
    } finally {
      depth--;
    }
  }

  /**
   * Tell the listeners, before this returns unless changes already cause one another many times over: a guest can chain
   * thousands of streams, and the stack would not hold them.
   */
  notify(): void {
    if (this.#only === undefined && this.#several === undefined) return;
    if (depth >= MAX_DEPTH) return queueMicrotask(() => this.notify());
    depth++;
    try {
      this.#tell();
    } finally {
      depth--;
    }
  }

  #tell(): void {
    if (this.#several === undefined) return this.#only?.();
    // A listener may add or remove listeners: those added now are for the next change.
    const told = Array.from(this.#several);
    for (const wake of told) if (this.#has(wake)) wake();
  }

  #has(wake: () => void): boolean {
    return this.#only === wake || this.#several?.has(wake) === true;
  }

  #forget(wake: () => void): void {
    if (this.#only === wake) this.#only = undefined;
    this.#several?.delete(wake);
    if (this.#several?.size === 0) this.#several = undefined;
  }

  /** A readiness over this signal. */
  when(ready: () => boolean): Readiness {
    return { ready, listen: (wake) => this.listen(wake) };
  }
}
