/** Something that can be waited for: `ready` is evaluated lazily, `listen` tells when it is worth asking again. */
export interface Readiness {
  /** Whether a wait would return at once. Cheap, without side effects. */
  ready(): boolean;
  /** Call `wake` at every change that may have made this ready, until the returned function is called. */
  listen(wake: () => void): () => void;
}

/** The state of something changed. Listeners are told that, not what; they look for themselves. */
export class Signal {
  #listeners: Set<() => void> | undefined;

  /** Call `wake` on each `notify` until the returned function is called. */
  listen(wake: () => void): () => void {
    const listeners = (this.#listeners ??= new Set());
    listeners.add(wake);
    return () => listeners.delete(wake);
  }

  notify(): void {
    if (this.#listeners === undefined || this.#listeners.size === 0) return;
    // A listener may add or remove listeners: those added now are for the next change.
    const listeners = Array.from(this.#listeners);
    for (const wake of listeners) if (this.#listeners.has(wake)) wake();
  }

  /** A readiness over this signal. */
  when(ready: () => boolean): Readiness {
    return { ready, listen: (wake) => this.listen(wake) };
  }
}
