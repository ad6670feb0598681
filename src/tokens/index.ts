export { bindingOf, type Channel } from "./binding.ts";
export type { SpelledClaims } from "./claims.ts";
export { Issuer, signWith, type SignClaims, type TokenRequest } from "./issuer.ts";
export { assertPublicKey, Keyring } from "./keyring.ts";
export { readToken, type UnverifiedToken } from "./token.ts";
export { TokenArgumentError, type TokenArgumentErrorCode, TokenError, type TokenErrorCode } from "./token-error.ts";
export { type VerifiedClaims, Verifier, type VerifierOptions, type VerifySignature } from "./verifier.ts";
