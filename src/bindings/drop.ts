/**
 * Drop resources in this order. wasi:io is strict about it: a pollable goes before the stream it came from, a stream before
 * its socket, or the host ends the instance. So pass children first.
 *
 * All are dropped even if one of them throws; the first error is thrown at the end.
 */
export function dropInOrder(...resources: (Disposable | undefined)[]): void {
  let failure: { error: unknown } | undefined;
  for (const resource of resources) {
    try {
      resource?.[Symbol.dispose]();
    } catch (error) {
      failure ??= { error };
    }
  }
  if (failure !== undefined) throw failure.error;
}

/** Something was used after it was closed or handed on. */
export class DroppedError extends Error {
  readonly code = "ERR_SALLYPORT_DROPPED";

  constructor(name: string) {
    super(`${name} was used after it was closed`);
  }
}
