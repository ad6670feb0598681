import { IoError, WitError } from "./error.ts";
import type { InputStream, StreamError } from "./input-stream.ts";
import { type Ledger, Resource, Trap } from "./ledger.ts";
import { Pollable, untilReady } from "./poll.ts";
import type { Readiness } from "./signal.ts";
import type { Sink } from "./source.ts";
import { breathe } from "./turn.ts";

/** The limit that wasi:io sets on `blocking-write-and-flush`. */
const MAX_BLOCKING_WRITE = 4096;

/** wasi:io/streams `output-stream` over a `Sink`. */
export class OutputStream extends Resource {
  #sink: Sink | undefined;
  #flushing = false;
  #failureTold = false;

  /** @param parent the resource that must outlive this stream */
  constructor(ledger: Ledger, sink: Sink, parent?: Resource) {
    super(ledger, parent);
    this.#sink = sink;
  }

  /** @throws {WitError<StreamError>} */
  checkWrite(): bigint {
    const sink = this.#open();
    this.#throwIfOver();
    return BigInt(this.#isFlushing() ? 0 : sink.capacity());
  }

  /** @throws {WitError<StreamError>} @throws {Trap} past what check-write permitted */
  write(contents: Uint8Array): void {
    const sink = this.#open();
    this.#throwIfOver();
    if (contents.length > (this.#isFlushing() ? 0 : sink.capacity())) throw new Trap("write: more bytes than check-write permitted");
    sink.write(contents);
  }

  /** @throws {WitError<StreamError>} @throws {Trap} past 4096 bytes */
  async blockingWriteAndFlush(contents: Uint8Array): Promise<void> {
    if (contents.length > MAX_BLOCKING_WRITE) throw new Trap(`blocking-write-and-flush: at most ${MAX_BLOCKING_WRITE} bytes`);
    await breathe();
    for (let at = 0; at < contents.length;) {
      await untilReady(this.readiness());
      const chunk = contents.subarray(at, at + Number(this.checkWrite()));
      this.write(chunk);
      at += chunk.length;
    }
    await this.blockingFlush();
  }

  /** @throws {WitError<StreamError>} */
  flush(): void {
    this.#throwIfOver();
    this.#flushing = true;
  }

  /** @throws {WitError<StreamError>} */
  async blockingFlush(): Promise<void> {
    const sink = this.#open();
    this.flush();
    await breathe();
    await untilReady(sink.changed.when(() => !this.#isFlushing() || sink.state().tag !== "open"));
    this.#throwIfOver();
  }

  subscribe(): Pollable {
    return new Pollable(this.ledger, this.readiness(), this);
  }

  /** @throws {WitError<StreamError>} @throws {Trap} past what check-write permitted */
  writeZeroes(len: bigint): void {
    const sink = this.#open();
    this.#throwIfOver();
    if (len > BigInt(this.#isFlushing() ? 0 : sink.capacity())) throw new Trap("write-zeroes: more bytes than check-write permitted");
    sink.write(new Uint8Array(Number(len)));
  }

  /** @throws {WitError<StreamError>} @throws {Trap} past 4096 bytes */
  async blockingWriteZeroesAndFlush(len: bigint): Promise<void> {
    if (len > BigInt(MAX_BLOCKING_WRITE)) throw new Trap(`blocking-write-zeroes-and-flush: at most ${MAX_BLOCKING_WRITE} bytes`);
    await this.blockingWriteAndFlush(new Uint8Array(Number(len)));
  }

  /** @throws {WitError<StreamError>} */
  splice(source: InputStream, len: bigint): bigint {
    const permit = this.checkWrite();
    const max = Number(len < permit ? len : permit);
    if (max === 0) return 0n;
    const sink = this.#open();
    let moved = 0;
    while (moved < max) {
      const chunk = source.source.readChunk(max - moved);
      if (chunk.length === 0) break;
      sink.write(chunk);
      moved += chunk.length;
    }
    if (moved === 0) source.throwIfOver();
    return BigInt(moved);
  }

  /** @throws {WitError<StreamError>} */
  async blockingSplice(source: InputStream, len: bigint): Promise<bigint> {
    await breathe();
    await untilReady(this.readiness());
    const output = this.readiness();
    const input = source.readiness();
    // An output that dies must not leave this waiting for an input that has nothing to say.
    await untilReady({
      ready: () => input.ready() || this.#open().state().tag !== "open",
      listen: (wake) => {
        const stops = [input.listen(wake), output.listen(wake)];
        return () => stops.forEach((stop) => stop());
      },
    });
    return this.splice(source, len);
  }

  /** Ready when check-write would not answer 0. */
  readiness(): Readiness {
    const sink = this.#open();
    return sink.changed.when(() => sink.state().tag !== "open" || (!this.#isFlushing() && sink.capacity() > 0));
  }

  get sink(): Sink {
    return this.#open();
  }

  /** As `InputStream.consume`. */
  consume(): Sink | undefined {
    if (this.hasChildren) return undefined;
    const sink = this.#sink;
    this.#sink = undefined;
    this[Symbol.dispose]();
    return sink;
  }

  protected override release(): void {
    this.#sink?.end();
    this.#sink = undefined;
  }

  #open(): Sink {
    if (this.#sink === undefined) throw new Trap("output-stream used after it was dropped");
    return this.#sink;
  }

  #isFlushing(): boolean {
    if (this.#flushing && this.#open().pending() === 0) this.#flushing = false;
    return this.#flushing;
  }

  #throwIfOver(): void {
    const state = this.#open().state();
    if (state.tag === "open") return;
    if (state.tag === "failed" && !this.#failureTold) {
      this.#failureTold = true;
      throw new WitError<StreamError>({ tag: "last-operation-failed", val: new IoError(this.ledger, state.failure) });
    }
    throw new WitError<StreamError>({ tag: "closed" });
  }
}
