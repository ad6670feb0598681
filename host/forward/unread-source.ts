import { ByteQueue } from "../io/byte-queue.ts";
import { Signal } from "../io/signal.ts";
import type { Source, SourceState, StreamOwner } from "../io/source.ts";

/** A source into which bytes that were read can be put back. */
export class UnreadSource implements Source {
  readonly changed: Signal;
  readonly owner: StreamOwner | undefined;
  readonly #inner: Source;
  readonly #front = new ByteQueue();

  constructor(inner: Source) {
    this.#inner = inner;
    this.changed = inner.changed;
    this.owner = inner.owner;
  }

  /** The source itself, if nothing stands before it: what knows it by its class goes on to know it. */
  get plain(): Source {
    return this.#front.length === 0 ? this.#inner : this;
  }

  /** Bytes that were put back and not read again. */
  get held(): number {
    return this.#front.length;
  }

  /** Bytes to come before all others. */
  unread(bytes: Uint8Array): void {
    this.#front.unshift(bytes);
  }

  available(): number {
    return this.#front.length + this.#inner.available();
  }

  state(): SourceState {
    return this.#inner.state();
  }

  read(max: number, scratch?: Uint8Array): Uint8Array {
    return this.#front.length > 0 ? this.#front.take(max, scratch) : this.#inner.read(max, scratch);
  }

  readChunk(max: number): Uint8Array {
    return this.#front.length > 0 ? this.#front.shift(max) : this.#inner.readChunk(max);
  }

  close(): void {
    this.#front.clear();
    this.#inner.close();
  }
}
