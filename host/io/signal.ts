/** Something that can be waited for: `ready` is evaluated lazily, `listen` tells when it is worth asking again. */
export interface Readiness {
  /** Whether a wait would return at once. Cheap, without side effects. */
  ready(): boolean;
  /** Call `wake` at every change that may have made this ready, until the returned function is called. */
  listen(wake: () => void): () => void;
}

/** How deep changes may cause one another on one stack. */
const MAX_DEPTH = 32;

let depth = 0;

/** The state of something changed. Listeners are told that, not what; they look for themselves. */
export class Signal {
  #listeners: Set<() => void> | undefined;

  /** Call `wake` on each `notify` until the returned function is called. */
  listen(wake: () => void): () => void {
    const listeners = (this.#listeners ??= new Set());
    listeners.add(wake);
    return () => listeners.delete(wake);
  }

  /**
   * Tell the listeners, before this returns unless changes already cause one another many times over: a guest can chain
   * thousands of streams, and the stack would not hold them.
   */
  notify(): void {
    if (this.#listeners === undefined || this.#listeners.size === 0) return;
    if (depth >= MAX_DEPTH) return queueMicrotask(() => this.notify());
    depth++;
    try {
      this.#tell(this.#listeners);
    } finally {
      depth--;
    }
  }

  #tell(current: Set<() => void>): void {
    // A listener may add or remove listeners: those added now are for the next change.
    const listeners = Array.from(current);
    for (const wake of listeners) if (current.has(wake)) wake();
  }

  /** A readiness over this signal. */
  when(ready: () => boolean): Readiness {
    return { ready, listen: (wake) => this.listen(wake) };
  }
}
