import type { InputStream } from "wasi:io/streams@0.2.12";
import { u64 } from "../bindings/integers.ts";
import { DroppedError } from "../bindings/drop.ts";
import { Event } from "../reactor/event.ts";
import type { Scope } from "../reactor/cancel.ts";
import { streamError } from "./failure.ts";

/** The most that one `read` asks for, and that this host gives in one call, in bytes. */
export const MAX_READ = 256 * 1024;

/** The stream ended before what was asked for was there. */
export class UnexpectedEnd extends Error {
  readonly code = "ERR_SALLYPORT_UNEXPECTED_END";
  /** Bytes that were there. They stay readable. */
  readonly available: number;

  constructor(available: number) {
    super(`the stream ended too early: after ${available} bytes`);
    this.available = available;
  }
}

/** What was looked for did not come within the limit. */
export class TooLong extends Error {
  readonly code = "ERR_SALLYPORT_TOO_LONG";

  constructor(limit: number) {
    super(`more than ${limit} bytes without a delimiter`);
  }
}

/**
 * Reads from a wasi:io input-stream without blocking the guest. Owns the stream and its pollable. One read at a time.
 */
export class Reader implements Disposable {
  private input: InputStream | undefined;
  private readonly ready: Event;
  private pending: Uint8Array = EMPTY;
  private ended = false;

  /** @param stream owned from here on */
  constructor(stream: InputStream) {
    this.input = stream;
    this.ready = new Event(() => stream.subscribe());
  }

  /** Bytes that were read from the stream, or given back, and not handed out yet. */
  get buffered(): number {
    return this.pending.length;
  }

  /** The stream, for calls that take it borrowed, such as splice. Bytes in `buffered` come before it. @throws {DroppedError} */
  get stream(): InputStream {
    if (this.input === undefined) throw new DroppedError("the input stream");
    return this.input;
  }

  /**
   * Whatever is there, at least one byte and at most `max`; `undefined` at the end of the stream, for good.
   *
   * @throws {StreamFailure} @throws {Cancelled} when closed meanwhile, or the scope's reason
   */
  async read(max: number = MAX_READ, scope?: Scope): Promise<Uint8Array | undefined> {
    for (;;) {
      const bytes = this.tryRead(max);
      if (bytes === undefined || bytes.length > 0) return bytes;
      await this.ready.wait(scope);
    }
  }

  /** As `read`, but no bytes are an answer: a reader that has other things to do waits with `readable`. */
  tryRead(max: number = MAX_READ): Uint8Array | undefined {
    if (max < 1) throw new RangeError("read: at least one byte has to be asked for");
    if (this.pending.length > 0) return this.takePending(max);
    if (this.ended) return undefined;
    try {
      return this.stream.read(u64(max < MAX_READ ? max : MAX_READ));
    } catch (thrown) {
      const error = streamError(thrown);
      if (error !== "closed") throw error;
      this.ended = true;
      return undefined;
    }
  }

  /** Resolves when a read would not answer an empty array. */
  async readable(scope?: Scope): Promise<void> {
    if (this.pending.length === 0 && !this.ended) await this.ready.wait(scope);
  }

  /** Exactly `length` bytes. @throws {UnexpectedEnd} if there are fewer; those stay readable. @throws {StreamFailure} */
  async readExact(length: number, scope?: Scope): Promise<Uint8Array> {
    const result = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const bytes = await this.readOrGiveBack(length - filled, () => result.subarray(0, filled), scope);
      if (bytes === undefined) throw new UnexpectedEnd(filled);
      result.set(bytes, filled);
      filled += bytes.length;
    }
    return result;
  }

  /**
   * Up to and including the first `delimiter` byte. What follows stays for the next read.
   *
   * @param limit the most bytes to look at, delimiter included
   * @throws {UnexpectedEnd} @throws {TooLong} @throws {StreamFailure} In each case what was read stays readable.
   */
  async readUntil(delimiter: number, limit: number, scope?: Scope): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let length = 0;
    for (;;) {
      const bytes = await this.readOrGiveBack(MAX_READ, () => concat(parts, length), scope);
      if (bytes === undefined) throw new UnexpectedEnd(length);
      const at = bytes.indexOf(delimiter);
      const taken = at < 0 ? bytes.length : at + 1;
      if (length + taken > limit) {
        parts.push(bytes);
        this.unread(concat(parts, length + bytes.length));
        throw new TooLong(limit);
      }
      parts.push(bytes.subarray(0, taken));
      length += taken;
      if (at < 0) continue;
      this.unread(bytes.subarray(taken));
      return concat(parts, length);
    }
  }

  /** Give bytes back: the next read starts with them. They are kept, not copied. */
  unread(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.pending = this.pending.length === 0 ? bytes : concat([bytes, this.pending], bytes.length + this.pending.length);
  }

  /**
   * Hand the stream on, with the bytes that were read from it already: to `forward`, for example, which wants no pollable
   * alive on it. This reader is closed afterwards.
   */
  release(): { stream: InputStream; buffered: Uint8Array } {
    const stream = this.stream;
    const buffered = this.pending;
    this.input = undefined;
    this[Symbol.dispose]();
    return { stream, buffered };
  }

  /** Drop the pollable, then the stream. A read under way ends with `Cancelled`. */
  [Symbol.dispose](): void {
    this.pending = EMPTY;
    this.ready[Symbol.dispose]();
    const stream = this.input;
    this.input = undefined;
    stream?.[Symbol.dispose]();
  }

  private takePending(max: number): Uint8Array {
    const bytes = this.pending;
    if (bytes.length <= max) {
      this.pending = EMPTY;
      return bytes;
    }
    this.pending = bytes.subarray(max);
    return bytes.subarray(0, max);
  }

  /** A read in the middle of a larger one: at the end, or on an error, what that one had taken is given back. */
  private async readOrGiveBack(max: number, taken: () => Uint8Array, scope: Scope | undefined): Promise<Uint8Array | undefined> {
    let bytes: Uint8Array | undefined;
    try {
      return (bytes = await this.read(max, scope));
    } finally {
      if (bytes === undefined && this.input !== undefined) this.unread(taken());
    }
  }
}

const EMPTY = new Uint8Array(0);

function concat(parts: Uint8Array[], length: number): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
