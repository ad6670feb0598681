const EMPTY = new Uint8Array(0);

/**
 * Bytes that arrive in pieces and are looked at from the front. One contiguous buffer, so that a peer that sends byte by
 * byte costs bytes and not objects. Views that `take` and `peek` return stay valid: nothing that was appended is ever
 * overwritten.
 */
export class ByteWindow {
  #buffer: Uint8Array = EMPTY;
  #start = 0;
  #end = 0;

  /** Bytes held. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** Append. The chunk must not change afterwards: it is kept without a copy where that is possible. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    if (this.length === 0) {
      this.#buffer = chunk;
      this.#start = 0;
      this.#end = chunk.length;
      return;
    }
    // A chunk that was kept without a copy is full to its end, so it is never written to.
    if (this.#buffer.length - this.#end < chunk.length) this.#grow(chunk.length);
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** The byte at `index`, or undefined if it has not arrived. */
  at(index: number): number | undefined {
    return index < this.length ? this.#buffer[this.#start + index] : undefined;
  }

  /** The first `length` bytes, which must be there. */
  peek(length: number = this.length): Uint8Array {
    return this.#buffer.subarray(this.#start, this.#start + Math.min(length, this.length));
  }

  /** The first `length` bytes, which are held no longer. */
  take(length: number = this.length): Uint8Array {
    const bytes = this.peek(length);
    this.#start += bytes.length;
    if (this.#start === this.#end) {
      this.#buffer = EMPTY;
      this.#start = 0;
      this.#end = 0;
    }
    return bytes;
  }

  #grow(more: number): void {
    const held = this.length;
    const buffer = new Uint8Array(Math.max(2 * held, held + more, 256));
    buffer.set(this.peek());
    this.#buffer = buffer;
    this.#start = 0;
    this.#end = held;
  }
}
