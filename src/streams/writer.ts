import type { OutputStream } from "wasi:io/streams@0.2.12";
import { DroppedError } from "../bindings/drop.ts";
import { numberOfU64 } from "../bindings/integers.ts";
import { Event } from "../reactor/event.ts";
import type { Scope } from "../reactor/cancel.ts";
import { StreamClosed, streamError } from "./failure.ts";

/**
 * Writes to a wasi:io output-stream within the windows that it grants, without blocking the guest. Owns the stream and its
 * pollable. One write at a time.
 */
export class Writer implements Disposable {
  private output: OutputStream | undefined;
  private readonly ready: Event;

  /** @param stream owned from here on */
  constructor(stream: OutputStream) {
    this.output = stream;
    this.ready = new Event(() => stream.subscribe());
  }

  /** The stream, for calls that take it borrowed, such as splice. @throws {DroppedError} */
  get stream(): OutputStream {
    if (this.output === undefined) throw new DroppedError("the output stream");
    return this.output;
  }

  /**
   * Write all of `bytes`. Resolves when the stream has taken them, not when they have left: see `flush`.
   *
   * @throws {StreamClosed} @throws {StreamFailure} @throws {Cancelled} when closed meanwhile, or the scope's reason: some of
   *   the bytes may have been written then.
   */
  async write(bytes: Uint8Array, scope?: Scope): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const permit = this.permit();
      if (permit === 0) {
        await this.writable(scope);
        continue;
      }
      const end = permit < bytes.length - at ? at + permit : bytes.length;
      const part = at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end);
      this.call((stream) => stream.write(part));
      at = end;
    }
  }

  /** How many bytes the stream takes now. @throws {StreamClosed} @throws {StreamFailure} */
  permit(): number {
    return numberOfU64(this.call((stream) => stream.checkWrite()));
  }

  /** Resolves when `permit` would not answer 0. */
  writable(scope?: Scope): Promise<void> {
    return this.ready.wait(scope);
  }

  /** Resolves when what was written has left for where the stream leads. @throws as `write` */
  async flush(scope?: Scope): Promise<void> {
    this.call((stream) => stream.flush());
    // A flush under way answers 0 to check-write (wasi:io/streams, `flush`); the first other answer is its end.
    while (this.permit() === 0) await this.writable(scope);
  }

  /** Flush, then drop the stream, which ends it. @throws as `write`; the stream is dropped all the same. */
  async close(scope?: Scope): Promise<void> {
    try {
      await this.flush(scope);
    } finally {
      this[Symbol.dispose]();
    }
  }

  /** Hand the stream on, to `forward` for example. This writer is closed afterwards. */
  release(): OutputStream {
    const stream = this.stream;
    this.output = undefined;
    this[Symbol.dispose]();
    return stream;
  }

  /** Drop the pollable, then the stream. A write under way ends with `Cancelled`. */
  [Symbol.dispose](): void {
    this.ready[Symbol.dispose]();
    const stream = this.output;
    this.output = undefined;
    stream?.[Symbol.dispose]();
  }

  private call<T>(operation: (stream: OutputStream) => T): T {
    const stream = this.stream;
    try {
      return operation(stream);
    } catch (thrown) {
      const error = streamError(thrown);
      throw error === "closed" ? new StreamClosed() : error;
    }
  }
}
