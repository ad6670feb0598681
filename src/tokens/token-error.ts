/**
 * Why a token is refused, in the order of the checks. Stable: programs may switch on it, and it is the WIT enum
 * `sallyport:policy/tokens.token-error`.
 */
export type TokenErrorCode =
  /** Does not begin with `cap:`. */
  | "missing-prefix"
  /** No dot between payload and signature. */
  | "malformed"
  /** Payload, signature or a binding is not canonical base64url without padding. */
  | "invalid-base64url"
  /** The signature has another length than 64 bytes, or does not verify strictly. */
  | "bad-signature"
  /** The payload is longer than 4096 bytes, or the whole token than 64 KiB. */
  | "too-large"
  /** The payload is not claims in strict JSON. */
  | "invalid-claims"
  /** No key of that issuer is trusted. */
  | "unknown-issuer"
  /** `exp` is now or in the past. */
  | "expired"
  /** Subject and issuer are on the list of the revoked. */
  | "revoked"
  /** Meant for another audience. */
  | "audience-mismatch"
  /** Bound to another channel, or bound to one while the caller has none. */
  | "binding-mismatch"
  /** Bound to no channel. */
  | "unbound";

/** A token is refused. The message is a sentence for people and holds nothing of the token. */
export class TokenError extends Error {
  override readonly name = "TokenError";
  readonly code: TokenErrorCode;

  constructor(code: TokenErrorCode, detail?: string) {
    super(detail === undefined ? sentences[code] : `${sentences[code]}: ${detail}`);
    this.code = code;
  }
}

/** Why a key, an issuer or claims cannot be used. */
export type TokenArgumentErrorCode =
  /** Not an Ed25519 public key of 32 bytes: not canonical, or not on the curve. */
  | "invalid-key"
  /** A public key of small order: it would make one signature fit many messages. */
  | "weak-key"
  /** A text is not well-formed Unicode, or a binding has not 32 bytes. */
  | "invalid-argument"
  /** Claims longer than any verifier takes. */
  | "too-large";

/** What was handed in cannot be used. The message holds nothing of it. */
export class TokenArgumentError extends Error {
  override readonly name = "TokenArgumentError";
  readonly code: TokenArgumentErrorCode;

  constructor(code: TokenArgumentErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

const sentences: Record<TokenErrorCode, string> = {
  "missing-prefix": "the token does not begin with cap:",
  malformed: "the token has no dot between payload and signature",
  "invalid-base64url": "a part of the token is not canonical base64url",
  "bad-signature": "the signature is not one of the issuer's key over this payload",
  "too-large": "the token is longer than any that is accepted",
  "invalid-claims": "the payload is not the claims of a token",
  "unknown-issuer": "no key of the token's issuer is trusted",
  expired: "the token has expired",
  revoked: "the token's subject is revoked",
  "audience-mismatch": "the token is meant for another audience",
  "binding-mismatch": "the token is bound to another channel than this one",
  unbound: "the token is bound to no channel",
};
