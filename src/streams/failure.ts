import type { Error as IoError } from "wasi:io/error@0.2.12";
import type { StreamError } from "wasi:io/streams@0.2.12";
import { payloadOf } from "../bindings/errors.ts";

/** A stream failed: the transport broke, or what is behind it refused. The end of a stream is not a failure. */
export class StreamFailure extends Error {
  readonly code = "ERR_SALLYPORT_STREAM";
  /** What a classifier of `onStreamFailure` made of the host's error: a TLS error, for example. */
  readonly detail: unknown;

  constructor(message: string, detail: unknown) {
    super(message);
    this.detail = detail;
  }
}

/** Writing to a stream whose other side takes no more. */
export class StreamClosed extends Error {
  readonly code = "ERR_SALLYPORT_STREAM_CLOSED";

  constructor() {
    super("the stream is closed: its other side takes no more bytes");
  }
}

/**
 * Have failures looked at before they are thrown: `classify` gets the host's error and answers what it stands for, or
 * `undefined` if that is not its kind. The error is dropped afterwards, so it must not be kept.
 */
export function onStreamFailure(classify: (error: IoError) => unknown): void {
  classifiers.push(classify);
}

/**
 * What an operation of wasi:io/streams threw, as what it means: `"closed"`, or a failure with the host's error read and
 * dropped. What is no stream error is returned as it is.
 */
export function streamError(thrown: unknown): "closed" | Error {
  const error = payloadOf(thrown) as StreamError | undefined;
  if (error?.tag === "closed") return "closed";
  if (error?.tag !== "last-operation-failed") return thrown instanceof Error ? thrown : new StreamFailure(String(thrown), undefined);
  using cause = error.val;
  let detail: unknown;
  for (let i = 0; i < classifiers.length && detail === undefined; i++) detail = classifiers[i]!(cause);
  return new StreamFailure(cause.toDebugString(), detail);
}

const classifiers: ((error: IoError) => unknown)[] = [];
