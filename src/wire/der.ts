import { WireError } from "./wire-error.ts";

/** Identifier octets of the universal types that certificates and keys use. */
export const derTag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  visibleString: 0x1a,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** One element. The bytes are views. */
export interface DerElement {
  /** The whole identifier octet: class, constructed bit and number, for example 0x30 or 0xa3. */
  readonly tag: number;
  readonly content: Uint8Array;
  /** Identifier, length and content. */
  readonly bytes: Uint8Array;
}

/**
 * Reads DER (X.690) elements one after another. Strict: definite lengths in their shortest form, tag numbers below 31,
 * nothing past the end, bounded depth. Reads only what it is asked for, so the shape is the caller's to insist on.
 *
 * @throws WireError `invalid-der` from every method
 */
export class DerReader {
  // Not `#`: the guests' build turns that into a WeakMap, and a certificate has hundreds of elements.
  private readonly source: Uint8Array;
  private readonly depth: number;
  private at = 0;

  /** @param depth levels above these bytes; leave it out and use {@link enter} to descend */
  constructor(bytes: Uint8Array, depth: number = 0) {
    if (depth > MAX_DEPTH) throw invalid("DER is nested too deeply");
    this.source = bytes;
    this.depth = depth;
  }

  get done(): boolean {
    return this.at === this.source.length;
  }

  /** The next element's tag, or undefined at the end. */
  peekTag(): number | undefined {
    return this.source[this.at];
  }

  /** The next element, whatever it is. */
  any(): DerElement {
    const from = this.at;
    const tag = this.byte();
    if ((tag & 0x1f) === 0x1f) throw invalid("a DER tag number is past 30");
    const length = this.length();
    if (length > this.source.length - this.at) throw invalid("a DER element is cut short");
    const contentFrom = this.at;
    this.at += length;
    return { tag, content: this.source.subarray(contentFrom, this.at), bytes: this.source.subarray(from, this.at) };
  }

  /** The next element, which must have this tag. */
  take(tag: number): DerElement {
    if (this.peekTag() !== tag) throw invalid(`a DER element with tag 0x${tag.toString(16).padStart(2, "0")} is missing`);
    return this.any();
  }

  /** The next element if it has this tag. */
  optional(tag: number): DerElement | undefined {
    return this.peekTag() === tag ? this.any() : undefined;
  }

  /** The bytes of the next element, which stays the next one. */
  upcoming(): Uint8Array {
    const from = this.at;
    const { bytes } = this.any();
    this.at = from;
    return bytes;
  }

  /** A reader of the content of the next element, which must have this tag. */
  enter(tag: number): DerReader {
    return new DerReader(this.take(tag).content, this.depth + 1);
  }

  /** Refuse anything more. */
  end(): void {
    if (!this.done) throw invalid("DER has trailing bytes");
  }

  private byte(): number {
    const byte = this.source[this.at];
    if (byte === undefined) throw invalid("a DER element is cut short");
    this.at++;
    return byte;
  }

  private length(): number {
    const first = this.byte();
    if (first < 0x80) return first;
    const count = first & 0x7f;
    if (count === 0) throw invalid("DER has an indefinite length");
    if (count > 4) throw invalid("a DER length is too large");
    let length = 0;
    for (let index = 0; index < count; index++) length = length * 0x100 + this.byte();
    if (length < 0x80 || length < 0x100 ** (count - 1)) throw invalid("a DER length is not in its shortest form");
    return length;
  }
}

/** Object identifier content as dotted decimal. Throws WireError `invalid-der`. */
export function readOid(content: Uint8Array): string {
  if (content.length === 0 || content.length > MAX_OID_LENGTH) throw invalid("an object identifier is empty or too long");
  if (content.at(-1)! >= 0x80) throw invalid("an object identifier is cut short");
  const arcs: bigint[] = [];
  let arc = 0n;
  let isFirstByte = true;
  for (const byte of content) {
    if (isFirstByte && byte === 0x80) throw invalid("an object identifier is not in its shortest form");
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    isFirstByte = byte < 0x80;
    if (!isFirstByte) continue;
    arcs.push(arc);
    arc = 0n;
  }
  const [first, ...rest] = arcs as [bigint, ...bigint[]];
  const root = first < 80n ? first / 40n : 2n;
  return [root, first - 40n * root, ...rest].join(".");
}

/** Integer content, of which the shortest form is required. Throws WireError `invalid-der`. */
export function checkInteger(content: Uint8Array): Uint8Array {
  const [first, second] = content;
  if (first === undefined) throw invalid("an integer is empty");
  if (second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
    throw invalid("an integer is not in its shortest form");
  }
  return content;
}

/** Integer content as a number from 0 to `maximum`. Throws WireError `invalid-der`. */
export function readSmallInteger(content: Uint8Array, maximum: number): number {
  let value = 0;
  for (const byte of checkInteger(content)) value = Math.min(value * 0x100 + byte, 2 ** 32);
  if (content[0]! >= 0x80 || value > maximum) throw invalid("an integer is out of range");
  return value;
}

/** Boolean content: 0x00 or 0xff. Throws WireError `invalid-der`. */
export function readBoolean(content: Uint8Array): boolean {
  if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) throw invalid("a boolean is neither true nor false");
  return content[0] === 0xff;
}

/** Bit string content: the bits, and how many of the last byte do not count. Throws WireError `invalid-der`. */
export function readBitString(content: Uint8Array): { bytes: Uint8Array; unusedBits: number } {
  const unusedBits = content[0];
  const bytes = content.subarray(1);
  if (unusedBits === undefined || unusedBits > 7 || (bytes.length === 0 && unusedBits > 0)) throw invalid("a bit string is malformed");
  if (bytes.length > 0 && (bytes.at(-1)! & ((1 << unusedBits) - 1)) !== 0) throw invalid("a bit string has stray bits");
  return { bytes, unusedBits };
}

function invalid(message: string): WireError {
  return new WireError("invalid-der", message);
}

const MAX_DEPTH = 32;
const MAX_OID_LENGTH = 64;
