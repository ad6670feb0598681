import { encodeHex } from "./hex.ts";
import { encodeUtf8 } from "./utf8.ts";

/**
 * Text that is safe to print, log and show: control characters, line separators, invisible and direction-changing
 * characters, and lone surrogates are written as a backslash and two hexadecimal digits for each UTF-8 byte, in the manner
 * of RFC 4514. A backslash is doubled, so that nothing can imitate an escape.
 */
export function printable(text: string): string {
  return text.toWellFormed().replaceAll(/[\\]|[^ -~]/gu, (character) => {
    if (character === "\\") return "\\\\";
    return isUnsafe(character.codePointAt(0)!) ? escaped(character) : character;
  });
}

/** Each UTF-8 byte of the text as a backslash and two digits. */
function escaped(text: string): string {
  return encodeHex(encodeUtf8(text)).replaceAll(/../g, "\\$&").toUpperCase();
}

function isUnsafe(point: number): boolean {
  if (point < 0xa0) return true;
  return unsafeRanges.some(([first, last]) => point >= first && point <= last);
}

/** Characters of Unicode's categories Cf, Zl, Zp and Co that hide, reorder or break lines, with blanks that look empty. */
const unsafeRanges: readonly (readonly [number, number])[] = [
  [0xa0, 0xa0],
  [0xad, 0xad],
  [0x034f, 0x034f],
  [0x0600, 0x0605],
  [0x061c, 0x061c],
  [0x06dd, 0x06dd],
  [0x070f, 0x070f],
  [0x115f, 0x1160],
  [0x17b4, 0x17b5],
  [0x180b, 0x180f],
  [0x2000, 0x200f],
  [0x2028, 0x202f],
  [0x205f, 0x206f],
  [0x2800, 0x2800],
  [0x3000, 0x3000],
  [0x3164, 0x3164],
  [0xe000, 0xf8ff],
  [0xfe00, 0xfe0f],
  [0xfeff, 0xfeff],
  [0xffa0, 0xffa0],
  [0xfff0, 0xffff],
  [0x1_bca0, 0x1_bca3],
  [0x1_d173, 0x1_d17a],
  [0xe_0000, 0x10_ffff],
];
