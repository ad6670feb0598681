/** What a fallible import returned. */
export type Result<T, E> = { tag: "ok"; val: T } | { tag: "err"; val: E };

/**
 * Call an import whose WIT type is `result<T, E>`. Anything that is thrown and is not its error goes on as it is: it is a
 * mistake of ours, not an answer of the host.
 */
export function attempt<T, E>(call: () => T): Result<T, E> {
  try {
    return { tag: "ok", val: call() };
  } catch (error) {
    if (!isErrorValue(error)) throw error;
    return { tag: "err", val: error.payload as E };
  }
}

/** Whether this was thrown for the error case of a `result`. */
export function isErrorValue(error: unknown): error is { payload: unknown } {
  return typeof error === "object" && error !== null && "payload" in error;
}

/** The error value inside something thrown by an import, `undefined` for anything else. */
export function payloadOf(error: unknown): unknown {
  return isErrorValue(error) ? error.payload : undefined;
}

/**
 * What an export throws for the error case of its `result`. Any other Error that leaves an export ends the instance, since
 * the engines take it for a fault.
 */
export class ErrorResult<E> extends Error {
  readonly payload: E;

  constructor(message: string, payload: E) {
    super(message);
    this.payload = payload;
  }
}
