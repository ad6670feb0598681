import { malformed } from "./wire-error.ts";

/**
 * A cursor over a complete TLS structure in the presentation language of RFC 8446, section 3. Every read is checked;
 * whatever does not fit is a TlsWireError with alert decode_error.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #at = 0;

  /** @param what the structure's name, for error messages */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#what = what;
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#number(1);
  }

  u16(): number {
    return this.#number(2);
  }

  u24(): number {
    return this.#number(3);
  }

  /** Exactly `length` bytes, as a view. */
  bytes(length: number): Uint8Array {
    if (length > this.left) throw malformed(`${this.#what} is cut short`);
    const from = this.#at;
    this.#at += length;
    return this.#bytes.subarray(from, this.#at);
  }

  /** An opaque vector `<minimum..maximum>` with a length prefix of `prefix` bytes. */
  vector(prefix: 1 | 2 | 3, minimum: number, maximum: number, what: string = this.#what): Uint8Array {
    const length = this.#number(prefix);
    if (length < minimum || length > maximum) throw malformed(`the length of ${what} is out of range`);
    if (length > this.left) throw malformed(`${what} is cut short`);
    return this.bytes(length);
  }

  /** A vector of 16-bit numbers; `minimum` and `maximum` in bytes. */
  numbers(prefix: 1 | 2, minimum: number, maximum: number, what: string): number[] {
    const bytes = this.vector(prefix, minimum, maximum, what);
    if (bytes.length % 2 !== 0) throw malformed(`${what} has an odd length`);
    const numbers: number[] = [];
    for (let at = 0; at < bytes.length; at += 2) numbers.push((bytes[at]! << 8) | bytes[at + 1]!);
    return numbers;
  }

  /** Refuse bytes after the end of the structure. */
  end(): void {
    if (this.left > 0) throw malformed(`${this.#what} has trailing bytes`);
  }

  #number(size: 1 | 2 | 3): number {
    if (size > this.left) throw malformed(`${this.#what} is cut short`);
    let value = 0;
    for (let index = 0; index < size; index++) value = (value << 8) | this.#bytes[this.#at++]!;
    return value;
  }
}
