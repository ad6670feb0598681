import { encodeBase64url } from "./base64url.ts";
import { encodeUtf8 } from "./utf8.ts";

/** What a token says. */
export interface TokenClaims {
  /** Who it is for. */
  subject: string;
  groups: readonly string[];
  /** Seconds since 1970 from which on it is no longer valid: a u64, exact. */
  expiresAt: bigint;
  /** The id under which verifiers know the signing key. */
  issuer: string;
  /** Who is to accept it. */
  audience: string;
  /** SHA-256 of the client's leaf certificate (32 bytes), if the token is bound to one. */
  certificateSha256: Uint8Array | undefined;
  /** The RFC 9266 `tls-exporter` value of one connection (32 bytes), if the token is bound to it. */
  tlsExporter: Uint8Array | undefined;
}

/** The first characters of every token. */
export const TOKEN_PREFIX = "cap:";

/** The longest payload that verifiers take, in bytes. */
export const MAX_TOKEN_PAYLOAD = 4096;

/**
 * The text that is signed: base64url of the claims as compact JSON, members in a fixed order, so that equal claims give
 * equal bytes. `tls-exporter` is written only where there is one: tokens without are those of the format's first users.
 *
 * @param claims texts have to be well-formed; a lone surrogate would change
 * @returns undefined if the payload is longer than verifiers take
 */
export function encodeTokenPayload(claims: TokenClaims): string | undefined {
  const members = [
    `"sub":${JSON.stringify(claims.subject)}`,
    `"groups":${JSON.stringify(claims.groups)}`,
    `"exp":${claims.expiresAt}`,
    `"iss":${JSON.stringify(claims.issuer)}`,
    `"aud":${JSON.stringify(claims.audience)}`,
    `"cnf":${binding(claims.certificateSha256)}`,
    ...(claims.tlsExporter === undefined ? [] : [`"tls-exporter":${binding(claims.tlsExporter)}`]),
  ];
  const payload = encodeUtf8(`{${members.join(",")}}`);
  return payload.length > MAX_TOKEN_PAYLOAD ? undefined : encodeBase64url(payload);
}

/** A token from the text that was signed and its signature. */
export function assembleToken(payload: string, signature: Uint8Array): string {
  return `${TOKEN_PREFIX}${payload}.${encodeBase64url(signature)}`;
}

function binding(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? "null" : `"${encodeBase64url(bytes)}"`;
}
