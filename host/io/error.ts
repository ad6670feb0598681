import { type Ledger, Resource } from "./ledger.ts";
import type { IoFailure } from "./source.ts";

/** wasi:io/error `error`. Deliberately not a JavaScript Error: jco would take that for a trap. */
export class IoError extends Resource {
  readonly failure: IoFailure;

  constructor(ledger: Ledger, failure: IoFailure) {
    super(ledger);
    this.failure = failure;
  }

  toDebugString(): string {
    return this.failure.message.toWellFormed();
  }
}

/** What a function of the WIT type `result<_, E>` throws: jco hands `payload` to the guest. */
export class WitError<E> extends Error {
  override readonly name = "WitError";
  readonly payload: E;

  constructor(payload: E) {
    // It is an answer, not a fault: nobody looks at its stack, and taking one is most of what an answer costs.
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(describe(payload));
    Error.stackTraceLimit = limit;
    this.payload = payload;
  }
}

function describe(payload: unknown): string {
  if (typeof payload === "string") return payload;
  if (typeof payload === "object" && payload !== null && "tag" in payload) return String(payload.tag);
  return "error";
}
