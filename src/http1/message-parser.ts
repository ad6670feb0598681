import { BodyParser } from "./body.ts";
import { type Fields, parseFields } from "./fields.ts";
import type { Framing } from "./framing.ts";
import { HttpError } from "./http-error.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { LineReader } from "./line-reader.ts";

/** One piece of a message, in order: interim heads, the head, body bytes, the end. */
export type Part<H> =
  | { tag: "interim"; head: H }
  | { tag: "head"; head: H; framing: Framing }
  /** Body bytes: a view of the bytes that were pushed, from `start` to `end` of them. Chunk framing is taken off. */
  | { tag: "body"; bytes: Uint8Array; start: number; end: number }
  | { tag: "end"; trailers: Fields | undefined };

/** What the parser of one kind of message decides on its head. */
export interface HeadReader<H> {
  /** Whether empty lines before the start line are passed over. */
  readonly skipsEmptyLines: boolean;
  /** @throws {HttpError} */
  parse(startLine: string, fields: Fields): { head: H; framing: Framing; interim: boolean };
}

/**
 * Incremental parser of one HTTP/1 message (RFC 9112): push bytes, take parts until there is none, push more.
 *
 * ```ts
 * parser.push(bytes);
 * for (let part = parser.next(); part !== undefined; part = parser.next()) …
 * ```
 *
 * Holds one head at most, and never body bytes. After an error every call throws that error again.
 */
export class MessageParser<H> {
  private readonly headReader: HeadReader<H>;
  private readonly limits: Limits;
  private readonly lines = new LineReader();
  private bytes: Uint8Array = EMPTY;
  private at = 0;
  private headLines: string[] = [];
  private headBytes = 0;
  private begun = false;
  private interims = 0;
  private body: BodyParser | undefined;
  private complete = false;
  private failure: HttpError | undefined;

  constructor(reader: HeadReader<H>, limits?: Partial<Limits>) {
    this.headReader = reader;
    this.limits = limits === undefined ? defaultLimits : { ...defaultLimits, ...limits };
  }

  /** Whether the message is complete. */
  get done(): boolean {
    return this.complete;
  }

  /** Whether a byte of the message has come: a connection that ends before is idle, not cut. */
  get started(): boolean {
    return this.begun;
  }

  /**
   * Body bytes that are known to come next without a break: after the head all of a body with a length, Infinity for one
   * that the close ends, the rest of the chunk for a chunked one. A forwarder may move these, after those in `rest`, and
   * then says so with `skipBody`.
   */
  get bodyLeft(): number {
    return this.body?.left ?? 0;
  }

  /** More bytes, once the earlier ones are used up (`next` answered `undefined`). They must not change meanwhile. */
  push(bytes: Uint8Array): void {
    this.check();
    if (this.at < this.bytes.length) throw new HttpError("ERR_SALLYPORT_HTTP_ARGUMENT", "push before the earlier bytes were used");
    this.bytes = bytes;
    this.at = 0;
  }

  /** The next part; `undefined` when more bytes are needed, or the message is done. @throws {HttpError} */
  next(): Part<H> | undefined {
    this.check();
    if (this.complete) return undefined;
    try {
      return this.body === undefined ? this.readHead() : this.readBody(this.body);
    } catch (error) {
      throw this.fail(error);
    }
  }

  /** The bytes behind what was used: of the next message, of the protocol after an upgrade, or of a body moved elsewhere. */
  rest(): Uint8Array {
    return this.bytes.subarray(this.at);
  }

  /** Take `rest` out: the parser forgets it. Body bytes among it are counted with `skipBody`. */
  takeRest(): Uint8Array {
    const rest = this.rest();
    this.bytes = EMPTY;
    this.at = 0;
    return rest;
  }

  /** So many body bytes went another way. @throws {HttpError} ERR_SALLYPORT_HTTP_ARGUMENT for more than `bodyLeft` */
  skipBody(count: number): void {
    this.check();
    if (this.body === undefined) throw new HttpError("ERR_SALLYPORT_HTTP_ARGUMENT", "there is no body yet");
    this.body.skip(count);
  }

  /**
   * The transport ended, and everything before was used. Afterwards `next` gives the end of a body that the close ends.
   *
   * @throws {HttpError} ERR_SALLYPORT_HTTP_TRUNCATED when the message is not complete
   */
  close(): void {
    this.check();
    if (this.complete) return;
    try {
      if (this.body === undefined) throw new HttpError("ERR_SALLYPORT_HTTP_TRUNCATED", "the connection ended before a whole head");
      this.body.close();
    } catch (error) {
      throw this.fail(error);
    }
  }

  private readHead(): Part<H> | undefined {
    for (;;) {
      if (this.at >= this.bytes.length) return undefined;
      this.begun = true;
      const taken = this.lines.take(this.bytes, this.at, this.headLines, this.limits.line, HEAD_SLICE);
      this.headBytes += taken.at - this.at;
      this.at = taken.at;
      if (this.headBytes > this.limits.head) throw new HttpError("ERR_SALLYPORT_HTTP_LIMIT", "the head is too large");
      if (this.headLines.length > this.limits.fields + 1) throw new HttpError("ERR_SALLYPORT_HTTP_LIMIT", "the head has too many fields");
      if (taken.tag === "more") return undefined;
      if (this.headLines.length > 0) return this.headPart();
      if (!this.headReader.skipsEmptyLines)
        throw new HttpError("ERR_SALLYPORT_HTTP_START_LINE", "an empty line in place of the start line");
    }
  }

  private headPart(): Part<H> {
    const lines = this.headLines;
    this.headLines = [];
    this.headBytes = 0;
    const { head, framing, interim } = this.headReader.parse(lines[0]!, parseFields(lines, 1));
    if (!interim) {
      this.body = new BodyParser(framing, this.limits);
      return { tag: "head", head, framing };
    }
    if (++this.interims > this.limits.interim) throw new HttpError("ERR_SALLYPORT_HTTP_LIMIT", "too many interim responses");
    return { tag: "interim", head };
  }

  private readBody(body: BodyParser): Part<H> | undefined {
    const step = body.step(this.bytes, this.at);
    this.at = step.at;
    if (step.tag === "more") return undefined;
    if (step.tag === "data") return { tag: "body", bytes: this.bytes.subarray(step.start, step.at), start: step.start, end: step.at };
    this.complete = true;
    return { tag: "end", trailers: step.trailers };
  }

  private check(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  private fail(error: unknown): unknown {
    if (error instanceof HttpError) this.failure = error;
    return error;
  }
}

const EMPTY = new Uint8Array(0);

/** Most heads fit: they become a string in one go. */
const HEAD_SLICE = 4096;
