import { WireError } from "./wire-error.ts";

/** Lower-case hexadecimal, two digits a byte. */
export function encodeHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += digits[byte]!;
  return text;
}

/**
 * Bytes from an even number of hexadecimal digits of either case, without separators.
 *
 * @throws WireError `invalid-hex`
 */
export function decodeHex(text: string): Uint8Array {
  if (text.length % 2 !== 0) throw new WireError("invalid-hex", "hexadecimal text has an odd number of digits");
  if (!/^[0-9a-fA-F]*$/.test(text)) throw new WireError("invalid-hex", "hexadecimal text has other characters than digits");
  const bytes = new Uint8Array(text.length / 2);
  for (let at = 0; at < bytes.length; at++) bytes[at] = Number.parseInt(text.slice(2 * at, 2 * at + 2), 16);
  return bytes;
}

const digits = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
