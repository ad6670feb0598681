import { assembleToken, encodeTokenPayload, type TokenClaims } from "../wire/token-text.ts";
import { encodeUtf8 } from "../wire/utf8.ts";
import type { Channel } from "./binding.ts";
import { MAX_U64 } from "./claims.ts";
import { TokenArgumentError } from "./token-error.ts";

/** What a token is to say. */
export interface TokenRequest {
  subject: string;
  groups?: readonly string[];
  audience: string;
  /** Seconds from now. 0 makes a token that has expired already. */
  lifetime: bigint;
  /** What the token is bound to. One that is bound to nothing is made, and refused by every verifier. */
  channel?: Channel;
}

/** Turns claims into a token: with a private key, or by asking somebody who holds one. */
export type SignClaims = (claims: TokenClaims) => string;

/** Makes tokens. The same claims in the same second by the same key are the same token. */
export class Issuer {
  /** The id under which verifiers know the key. */
  readonly id: string;
  readonly #sign: SignClaims;
  readonly #now: () => bigint;

  /** @param now seconds since 1970; a clock that stands before that counts as 0 */
  constructor(id: string, sign: SignClaims, now: () => bigint) {
    this.id = id;
    this.#sign = sign;
    this.#now = now;
  }

  /**
   * Make a token. Subject, groups and audience are taken as they are, the empty text included. An expiry past 2^64 - 1 is
   * 2^64 - 1.
   *
   * @throws {TokenArgumentError} invalid-argument, too-large, and what the signer throws
   */
  issue({ subject, groups = [], audience, lifetime, channel = {} }: TokenRequest): string {
    if (lifetime < 0n) throw new TokenArgumentError("invalid-argument", "a lifetime is not negative");
    const now = this.#now();
    const expiresAt = (now < 0n ? 0n : now) + lifetime;
    const claims = { subject, groups, expiresAt: expiresAt > MAX_U64 ? MAX_U64 : expiresAt, issuer: this.id, audience };
    const bindings = { certificateSha256: channel.certificateSha256, tlsExporter: channel.tlsExporter };
    assertSpellable(claims, bindings);
    return this.#sign({ ...claims, ...bindings });
  }
}

/**
 * Signs with a key in this program.
 *
 * @param sign an Ed25519 signature of 64 bytes over a message
 */
export function signWith(sign: (message: Uint8Array) => Uint8Array): SignClaims {
  return (claims) => {
    const payload = encodeTokenPayload(claims);
    if (payload === undefined) throw new TokenArgumentError("too-large", "the claims are longer than any verifier takes");
    return assembleToken(payload, sign(encodeUtf8(payload)));
  };
}

function assertSpellable(claims: Omit<TokenClaims, "certificateSha256" | "tlsExporter">, bindings: Channel): void {
  const texts = [claims.subject, ...claims.groups, claims.issuer, claims.audience];
  if (!texts.every((text) => text.isWellFormed())) throw new TokenArgumentError("invalid-argument", "a text is not well-formed Unicode");
  for (const bytes of [bindings.certificateSha256, bindings.tlsExporter])
    if (bytes !== undefined && bytes.length !== 32) throw new TokenArgumentError("invalid-argument", "a binding has 32 bytes");
}
