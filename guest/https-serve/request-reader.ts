import type { Scope } from "../../src/reactor/index.ts";
import { Cancelled, type Nanoseconds, timeout, TimedOut } from "../../src/reactor/index.ts";
import { type Framing, HttpError, type Limits, type MessageParser, type RequestHead, requestParser } from "../../src/http1/index.ts";
import type { Reader } from "../../src/streams/index.ts";

/** What comes next on a connection. */
export type Incoming =
  | { tag: "request"; head: RequestHead; framing: Framing }
  /** Something that is answered with this status, and then the connection ends. */
  | { tag: "refused"; status: 400 | 408 | 414 | 431 }
  /** Nothing more: the client is done, or was silent for too long. */
  | { tag: "end" };

/** Bounds on a request head, in bytes: tighter than what a parser of any message allows. */
const LIMITS: Partial<Limits> = { head: 32 * 1024, line: 8 * 1024 };

/** Reads the requests of one connection in turn. What a client sends ahead stays in the stream until its turn comes. */
export class RequestReader {
  private readonly reader: Reader;
  private readonly timeouts: { idle: Nanoseconds; header: Nanoseconds };

  /** @param reader borrowed */
  constructor(reader: Reader, timeouts: { idle: Nanoseconds; header: Nanoseconds }) {
    this.reader = reader;
    this.timeouts = timeouts;
  }

  /**
   * The next request head. Bytes of a body, or of further requests, are left in the stream.
   *
   * @param stopping cancelled when a connection that waits for a request is to wait no longer
   * @throws {StreamFailure} when the connection breaks
   */
  async next(stopping: Scope): Promise<Incoming> {
    const first = await this.first(stopping);
    if (first === undefined) return { tag: "end" };
    const line = new FirstLine();
    const parser = requestParser(LIMITS);
    try {
      // Most heads come whole: no clock is needed for them.
      return this.head(parser, line, first) ?? (await timeout(this.timeouts.header, (scope) => this.restOfHead(parser, line, scope)));
    } catch (error) {
      if (error instanceof TimedOut) return { tag: "refused", status: 408 };
      if (!(error instanceof HttpError)) throw error;
      if (error.code !== "ERR_SALLYPORT_HTTP_LIMIT") return { tag: "refused", status: 400 };
      return { tag: "refused", status: line.length > LIMITS.line! ? 414 : 431 };
    }
  }

  private async first(stopping: Scope): Promise<Uint8Array | undefined> {
    const bytes = this.reader.tryRead();
    if (bytes === undefined || bytes.length > 0) return bytes;
    try {
      return await timeout(this.timeouts.idle, (scope) => this.reader.read(undefined, scope), stopping);
    } catch (error) {
      if (error instanceof TimedOut || error instanceof Cancelled) return undefined;
      throw error;
    }
  }

  private async restOfHead(parser: MessageParser<RequestHead>, line: FirstLine, scope: Scope): Promise<Incoming> {
    for (;;) {
      const bytes = await this.reader.read(undefined, scope);
      if (bytes === undefined) return { tag: "refused", status: 400 };
      const incoming = this.head(parser, line, bytes);
      if (incoming !== undefined) return incoming;
    }
  }

  /** The request, if these bytes complete its head. @throws {HttpError} */
  private head(parser: MessageParser<RequestHead>, line: FirstLine, bytes: Uint8Array): Incoming | undefined {
    line.push(bytes);
    parser.push(bytes);
    const part = parser.next();
    if (part?.tag !== "head") return undefined;
    this.reader.unread(parser.takeRest());
    return { tag: "request", head: part.head, framing: part.framing };
  }
}

/** How long the first line is, as far as it has come: a line that is too long is the target if it is the first. */
class FirstLine {
  length = 0;
  private done = false;

  push(bytes: Uint8Array): void {
    if (this.done) return;
    const end = bytes.indexOf(0x0a);
    this.done = end >= 0;
    this.length += end < 0 ? bytes.length : end;
  }
}
