/** Thrown out of a wait that was given up: by its scope, or because what it waited for was closed. */
export class Cancelled extends Error {
  readonly code = "ERR_SALLYPORT_CANCELLED";

  constructor(why = "the operation was cancelled") {
    super(why);
  }
}

/** Thrown by `timeout` when the time was up first. */
export class TimedOut extends Error {
  readonly code = "ERR_SALLYPORT_TIMEOUT";

  constructor(why = "the operation took too long") {
    super(why);
  }
}

/**
 * Something to cancel a group of waits with. Scopes nest: cancelling one cancels the scopes made from it, never its parent.
 * What waits inside passes the scope on, as with an AbortSignal, which QuickJS does not have.
 */
export class Scope implements Disposable {
  private readonly parent: Scope | undefined;
  private why: Error | undefined;
  private listeners: Set<(reason: Error) => void> | undefined;
  private detach: (() => void) | undefined;

  constructor(parent?: Scope) {
    this.parent = parent;
    if (parent?.reason !== undefined) this.why = parent.reason;
    else this.detach = parent?.onCancel((reason) => this.cancel(reason));
  }

  /** Why this was cancelled; `undefined` while it was not. */
  get reason(): Error | undefined {
    return this.why ?? this.parent?.reason;
  }

  /** Cancel every wait in here, once; later calls change nothing. */
  cancel(reason: Error = new Cancelled()): void {
    if (this.why !== undefined) return;
    this.why = reason;
    const listeners = this.listeners;
    this[Symbol.dispose]();
    for (const listener of listeners ?? []) listener(reason);
  }

  /** Call `listener` when this is cancelled, until the returned function is called. */
  onCancel(listener: (reason: Error) => void): () => void {
    if (this.why !== undefined) {
      listener(this.why);
      return () => {};
    }
    const listeners = (this.listeners ??= new Set());
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** @throws the reason, if this was cancelled. */
  throwIfCancelled(): void {
    if (this.reason !== undefined) throw this.reason;
  }

  /** Let go of the parent and of all listeners without cancelling anything. */
  [Symbol.dispose](): void {
    this.detach?.();
    this.detach = undefined;
    this.listeners = undefined;
  }
}
