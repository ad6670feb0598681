export { decodeUtf8, encodeUtf8 } from "../wire/utf8.ts";

/**
 * The one way by which strings made from foreign bytes go to the host: a lone surrogate in an argument ends the instance
 * and every connection in it, uncatchably. Replaces each with U+FFFD.
 */
export function wellFormed(text: string): string {
  return text.toWellFormed();
}
