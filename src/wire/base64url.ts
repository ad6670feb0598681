import { engineBytes } from "./native-base64.ts";
import { latin1 } from "./utf8.ts";
import { WireError } from "./wire-error.ts";

/** base64url without padding (RFC 4648, section 5). */
export function encodeBase64url(bytes: Uint8Array): string {
  return encodeBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/**
 * Bytes from base64url. Exactly one text decodes to given bytes: no padding, no white space, no other alphabet, and the
 * bits that the last character has too many must be zero.
 *
 * @throws WireError `invalid-base64url`
 */
export function decodeBase64url(text: string): Uint8Array {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw invalid("base64url text has a character that does not belong there");
  const tail = text.length % 4;
  if (tail === 1) throw invalid("base64url text is cut short");
  const unused = tail === 2 ? 0b1111 : tail === 3 ? 0b11 : 0;
  if ((alphabet.indexOf(text.slice(-1)) & unused) !== 0) throw invalid("base64url text ends with stray bits");
  if (engineBytes.fromBase64 !== undefined) return engineBytes.fromBase64(text, { alphabet: "base64url" });
  return binaryBytes(atob(text.replaceAll("-", "+").replaceAll("_", "/") + "=".repeat((4 - tail) % 4)));
}

/** base64 with padding, in one line (RFC 4648, section 4). */
export function encodeBase64(bytes: Uint8Array): string {
  return btoa(latin1(bytes));
}

/** Bytes from padded base64 that the caller has checked; undefined if it is not that after all. */
export function decodeBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  const bytes = binaryBytes(atob(text));
  return encodeBase64(bytes.subarray(-(bytes.length % 3 || 3))) === text.slice(-4) ? bytes : undefined;
}

function binaryBytes(binary: string): Uint8Array {
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

function invalid(message: string): WireError {
  return new WireError("invalid-base64url", message);
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// Both engines and Node have these two; the sandbox's type library does not know them.
declare function atob(text: string): string;
declare function btoa(binary: string): string;
