import { engineBytes } from "./native-base64.ts";
import { WireError } from "./wire-error.ts";

/** Each byte as the character of the same number: the form in which native string functions can work on bytes. */
export function latin1(bytes: Uint8Array): string {
  if (bytes.length <= SLICE) return fromCharCodes(bytes);
  let text = "";
  for (let at = 0; at < bytes.length; at += SLICE) text += fromCharCodes(bytes.subarray(at, at + SLICE));
  return text;
}

/**
 * Text from UTF-8 (RFC 3629). A byte order mark is kept as a character.
 *
 * @throws WireError `invalid-utf8` for stray, missing or overlong bytes, surrogates, and numbers past U+10FFFF
 */
export function decodeUtf8(bytes: Uint8Array): string {
  const text = latin1(bytes);
  const first = text.search(/[\u0080-\u00ff]/);
  return first === -1 ? text : text.slice(0, first) + decodeFrom(bytes, first);
}

/** UTF-8 from text. A lone surrogate, which has no encoding, becomes U+FFFD. */
export function encodeUtf8(text: string): Uint8Array {
  const wellFormed = text.toWellFormed();
  const first = wellFormed.search(/[\u0080-\uffff]/);
  return first === -1 ? asciiBytes(wellFormed) : encodeAll(wellFormed);
}

function fromCharCodes(bytes: Uint8Array): string {
  return Reflect.apply(String.fromCharCode, undefined, bytes);
}

function asciiBytes(text: string): Uint8Array {
  // Natively there and back: QuickJS takes 130 ns for each turn of the loop below.
  if (text.length > SHORT && engineBytes.fromBase64 !== undefined) return engineBytes.fromBase64(btoa(text));
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

function encodeAll(text: string): Uint8Array {
  const bytes = new Uint8Array(3 * text.length);
  let end = 0;
  for (let at = 0; at < text.length; at++) {
    const point = text.codePointAt(at)!;
    if (point < 0x80) {
      bytes[end++] = point;
      continue;
    }
    if (point < 0x800) {
      bytes[end++] = 0xc0 | (point >> 6);
    } else {
      if (point < 0x1_0000) {
        bytes[end++] = 0xe0 | (point >> 12);
      } else {
        at++;
        bytes[end++] = 0xf0 | (point >> 18);
        bytes[end++] = 0x80 | ((point >> 12) & 0x3f);
      }
      bytes[end++] = 0x80 | ((point >> 6) & 0x3f);
    }
    bytes[end++] = 0x80 | (point & 0x3f);
  }
  return bytes.slice(0, end);
}

function decodeFrom(bytes: Uint8Array, from: number): string {
  const parts: string[] = [];
  let points: number[] = [];
  let at = from;
  while (at < bytes.length) {
    const first = bytes[at++]!;
    const more = continuationCount(first);
    if (at + more > bytes.length) throw invalid();
    let point = more === 0 ? first : first & (0x3f >> more);
    for (let index = 0; index < more; index++) {
      const next = bytes[at++]!;
      if ((next & 0xc0) !== 0x80) throw invalid();
      point = (point << 6) | (next & 0x3f);
    }
    if (point < smallest[more]! || point > 0x10_ffff || (point >= 0xd800 && point <= 0xdfff)) throw invalid();
    points.push(point);
    if (points.length < SLICE) continue;
    parts.push(String.fromCodePoint(...points));
    points = [];
  }
  return parts.join("") + String.fromCodePoint(...points);
}

function continuationCount(first: number): number {
  if (first < 0x80) return 0;
  if (first >= 0xc2 && first < 0xe0) return 1;
  if (first >= 0xe0 && first < 0xf0) return 2;
  if (first >= 0xf0 && first < 0xf5) return 3;
  throw invalid();
}

function invalid(): WireError {
  return new WireError("invalid-utf8", "the bytes are not UTF-8 text");
}

/** The smallest code point that needs so many continuation bytes: below it an encoding is overlong. */
const smallest = [0, 0x80, 0x800, 0x1_0000];

/** Arguments of one call: far below any engine's limit. */
const SLICE = 0x1000;

/** Characters that a loop is as fast for. */
const SHORT = 24;

declare function btoa(text: string): string;
