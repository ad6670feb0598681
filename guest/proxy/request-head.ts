import { type Framing, HttpError, type RequestHead, requestParser } from "../../src/http1/index.ts";
import { type Nanoseconds, race, type Scope, TimedOut, timeout } from "../../src/reactor/index.ts";
import type { Reader } from "../../src/streams/index.ts";

/** What came in place of, or as, the next request. */
export type Incoming =
  | { readonly tag: "request"; readonly head: RequestHead; readonly framing: Framing; /** Of the head. */ readonly bytes: number }
  /** The client ended, between two requests. */
  | { readonly tag: "end" }
  /** It began a request and left. */
  | { readonly tag: "cut" }
  /** What came is no request that can be answered but in this way. */
  | { readonly tag: "refused"; readonly status: 400 | 408 | 431; readonly why: string };

/** Bounds on one head. */
export interface HeadBounds {
  /** Bytes. */
  readonly headBytes: number;
  /** From its first byte to its last. */
  readonly headTime: Nanoseconds;
  /** Until its first byte. */
  readonly idleTime: Nanoseconds;
}

/**
 * Read one request head. Bytes behind it stay in the reader.
 *
 * @param idle cancelled when no further request is wanted: only looked at before the first byte
 * @throws {StreamFailure} when the connection fails @throws the reason of `scope`
 */
export async function nextRequest(reader: Reader, bounds: HeadBounds, scope: Scope, idle: Scope): Promise<Incoming> {
  if (reader.buffered === 0) {
    try {
      await race([(waiting) => timeout(bounds.idleTime, (s) => reader.readable(s), waiting), (waiting) => cancelled(idle, waiting)], scope);
    } catch (error) {
      if (error instanceof TimedOut || error === idle.reason) return { tag: "end" };
      throw error;
    }
  }
  try {
    return await timeout(bounds.headTime, (waiting) => readHead(reader, bounds.headBytes, waiting), scope);
  } catch (error) {
    if (error instanceof TimedOut) return { tag: "refused", status: 408, why: "the request head took too long" };
    throw error;
  }
}

async function readHead(reader: Reader, headBytes: number, scope: Scope): Promise<Incoming> {
  const parser = requestParser({ head: headBytes, line: Math.min(headBytes, MAX_LINE) });
  let read = 0;
  try {
    for (;;) {
      const part = parser.next();
      if (part?.tag === "head") {
        const rest = parser.takeRest();
        reader.unread(rest);
        return { tag: "request", head: part.head, framing: part.framing, bytes: read - rest.length };
      }
      const bytes = await reader.read(READ_SIZE, scope);
      if (bytes === undefined) return parser.started ? { tag: "cut" } : { tag: "end" };
      read += bytes.length;
      parser.push(bytes);
    }
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    return { tag: "refused", status: error.code === "ERR_SALLYPORT_HTTP_LIMIT" ? 431 : 400, why: error.message };
  }
}

function cancelled(idle: Scope, waiting: Scope): Promise<never> {
  return new Promise((_, reject) => {
    const release = idle.onCancel(reject);
    waiting.onCancel(() => release());
  });
}

const READ_SIZE = 16 * 1024;
const MAX_LINE = 16 * 1024;
