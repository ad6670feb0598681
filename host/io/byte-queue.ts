const EMPTY = new Uint8Array(0);

/** Chunks up to this size are gathered once more than `FEW` wait: an object for each would outweigh its bytes many times. */
const SMALL = 512;
const FEW = 16;
const GATHERED = 16 * 1024;

/** The buffer of every stream: chunks in order, taken from the front without copying where one chunk is enough. */
export class ByteQueue {
  #chunks: Uint8Array[] = [];
  #head = 0;
  #length = 0;
  /** What the last chunk is a view of, if small ones are gathered there, and how much of it is used. */
  #gathered: Uint8Array | undefined;
  #used = 0;

  /** Bytes held. */
  get length(): number {
    return this.#length;
  }

  /** Append; the queue owns the chunk from here on. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#length += chunk.length;
    if (chunk.length <= SMALL && this.#chunks.length - this.#head > FEW) return this.#gather(chunk);
    this.#gathered = undefined;
    this.#chunks.push(chunk);
  }

  /** Put back in front what was taken before. */
  unshift(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.splice(0, this.#head, chunk);
    this.#head = 0;
    this.#length += chunk.length;
  }

  /** The next chunk as it was pushed, cut to `max` bytes. Never copies. Empty if nothing is held. */
  shift(max: number = Infinity): Uint8Array {
    const chunk = this.#chunks[this.#head];
    if (chunk === undefined || max <= 0) return EMPTY;
    if (chunk.length > max) {
      this.#chunks[this.#head] = chunk.subarray(max);
      this.#length -= max;
      return chunk.subarray(0, max);
    }
    this.#advance();
    this.#length -= chunk.length;
    return chunk;
  }

  /**
   * Up to `max` bytes in one piece, copying only when they are spread over chunks.
   *
   * @param scratch where to copy to if they are, if it is large enough; the result is then a view of it
   */
  take(max: number, scratch?: Uint8Array): Uint8Array {
    const first = this.#chunks[this.#head];
    if (first === undefined || max <= 0) return EMPTY;
    if (first.length >= max || first.length === this.#length) return this.shift(max);
    const length = Math.min(max, this.#length);
    const bytes = scratch !== undefined && scratch.length >= length ? scratch.subarray(0, length) : new Uint8Array(length);
    let at = 0;
    while (at < bytes.length) {
      const chunk = this.shift(bytes.length - at);
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytes;
  }

  clear(): void {
    this.#chunks = [];
    this.#head = 0;
    this.#length = 0;
    this.#gathered = undefined;
  }

  /** What was given out before stays as it is: only unused room is written to. */
  #gather(chunk: Uint8Array): void {
    if (this.#gathered === undefined || this.#used + chunk.length > GATHERED) {
      this.#gathered = new Uint8Array(GATHERED);
      this.#used = 0;
      this.#chunks.push(this.#gathered.subarray(0, 0));
    }
    this.#gathered.set(chunk, this.#used);
    this.#used += chunk.length;
    const last = this.#chunks.length - 1;
    this.#chunks[last] = this.#gathered.subarray(this.#chunks[last]!.byteOffset, this.#used);
  }

  #advance(): void {
    this.#chunks[this.#head++] = EMPTY;
    if (this.#head < 64 && this.#head < this.#chunks.length) return;
    this.#chunks.splice(0, this.#head);
    this.#head = 0;
  }
}
