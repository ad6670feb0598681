import { type Framing, HttpError, type MessageParser, type RequestHead, requestParser } from "../../src/http1/index.ts";
import { Cancelled, clearTimer, type Nanoseconds, Scope, setTimer, TimedOut, timeout } from "../../src/reactor/index.ts";
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
  let first = reader.tryRead(READ_SIZE);
  while (first !== undefined && first.length === 0) {
    if (!(await untilReadable(reader, bounds.idleTime, scope, idle))) return { tag: "end" };
    first = reader.tryRead(READ_SIZE);
  }
  if (first === undefined) return { tag: "end" };
  const head = new HeadReader(reader, bounds.headBytes);
  try {
    // Most heads come whole: no clock is needed for them.
    return head.take(first) ?? (await timeout(bounds.headTime, (waiting) => head.rest(waiting), scope));
  } catch (error) {
    if (error instanceof TimedOut) return { tag: "refused", status: 408, why: "the request head took too long" };
    if (!(error instanceof HttpError)) throw error;
    return { tag: "refused", status: error.code === "ERR_SALLYPORT_HTTP_LIMIT" ? 431 : 400, why: error.message };
  }
}

/** Wait for the first byte. @returns false if none is to be waited for any more */
async function untilReadable(reader: Reader, patience: Nanoseconds, scope: Scope, idle: Scope): Promise<boolean> {
  const waiting = new Scope(scope);
  const timer = setTimer(patience, () => waiting.cancel(NO_LONGER));
  const release = idle.onCancel(() => waiting.cancel(NO_LONGER));
  try {
    await reader.readable(waiting);
    return true;
  } catch (error) {
    if (error === NO_LONGER) return false;
    throw error;
  } finally {
    clearTimer(timer);
    release();
    waiting[Symbol.dispose]();
  }
}

/** One head, from its first bytes on. */
class HeadReader {
  private readonly reader: Reader;
  private readonly parser: MessageParser<RequestHead>;
  private read = 0;

  constructor(reader: Reader, headBytes: number) {
    this.reader = reader;
    this.parser = requestParser({ head: headBytes, line: Math.min(headBytes, MAX_LINE) });
  }

  /** The request, if these bytes complete its head; what follows is given back. @throws {HttpError} */
  take(bytes: Uint8Array): Incoming | undefined {
    this.read += bytes.length;
    this.parser.push(bytes);
    const part = this.parser.next();
    if (part?.tag !== "head") return undefined;
    const rest = this.parser.takeRest();
    this.reader.unread(rest);
    return { tag: "request", head: part.head, framing: part.framing, bytes: this.read - rest.length };
  }

  /** @throws {HttpError} @throws {StreamFailure} @throws the scope's reason */
  async rest(scope: Scope): Promise<Incoming> {
    for (;;) {
      const bytes = await this.reader.read(READ_SIZE, scope);
      if (bytes === undefined) return { tag: "cut" };
      const incoming = this.take(bytes);
      if (incoming !== undefined) return incoming;
    }
  }
}

/** Nobody waits for a request any more. */
const NO_LONGER = new Cancelled("no further request is waited for");
const READ_SIZE = 16 * 1024;
const MAX_LINE = 16 * 1024;
