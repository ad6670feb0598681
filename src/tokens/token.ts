import { decodeBase64url } from "../wire/base64url.ts";
import { MAX_TOKEN_PAYLOAD, TOKEN_PREFIX } from "../wire/token-text.ts";
import { WireError } from "../wire/wire-error.ts";
import { readClaims, type SpelledClaims } from "./claims.ts";
import { TokenError } from "./token-error.ts";

/** A token that was read, and whose claims nobody vouches for yet. */
export interface UnverifiedToken {
  claims: SpelledClaims;
  /** What the signature is of: the payload's text as it came, never decoded and encoded again. */
  signedBytes: Uint8Array;
  /** 64 bytes. */
  signature: Uint8Array;
}

/**
 * Read a token, without trusting anything in it.
 *
 * The order of the checks is part of the format; only that a text of more than 64 KiB is refused before anything else is
 * done with it is an addition.
 *
 * @throws {TokenError} missing-prefix, malformed, invalid-base64url, bad-signature (its length), too-large, invalid-claims
 */
export function readToken(token: string): UnverifiedToken {
  if (!token.startsWith(TOKEN_PREFIX)) throw new TokenError("missing-prefix");
  if (token.length > MAX_TOKEN) throw new TokenError("too-large");
  const dot = token.indexOf(".");
  if (dot === -1) throw new TokenError("malformed");
  const signature = bytesOf(token.slice(dot + 1));
  if (signature.length !== 64) throw new TokenError("bad-signature");
  const signed = token.slice(TOKEN_PREFIX.length, dot);
  const payload = bytesOf(signed);
  if (payload.length > MAX_TOKEN_PAYLOAD) throw new TokenError("too-large");
  return { claims: readClaims(payload), signedBytes: asciiBytes(signed), signature };
}

/** @throws {TokenError} invalid-base64url */
export function bytesOf(text: string): Uint8Array {
  try {
    return decodeBase64url(text);
  } catch (error) {
    if (error instanceof WireError) throw new TokenError("invalid-base64url");
    throw error;
  }
}

/** An ASCII text as bytes, by way of functions that are native in the sandbox: a loop of ours costs ten times as much there. */
function asciiBytes(text: string): Uint8Array {
  return decodeBase64url(btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", ""));
}

/** Characters. Twelve times what the longest acceptable token needs. */
const MAX_TOKEN = 65_536;

// Every engine has it; the sandbox's type library does not know it.
declare function btoa(binary: string): string;
