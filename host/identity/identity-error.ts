import { WitError } from "../io/error.ts";

/** The WIT enum `sallyport:tls/identities.identity-error`. */
export type IdentityErrorCode = "bad-format" | "key-mismatch" | "unsupported-algorithm" | "wrong-passphrase" | "too-large" | "not-found";

/** Why an identity or a set of anchors could not be made. The message is for people and holds nothing of what was parsed. */
export class IdentityError extends Error {
  override readonly name = "IdentityError";
  readonly code: IdentityErrorCode;

  constructor(code: IdentityErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Run `make` for a guest: an `IdentityError` becomes the WIT error of the same name. @throws {WitError<IdentityErrorCode>} */
export function forGuest<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (error instanceof IdentityError) throw new WitError<IdentityErrorCode>(error.code);
    throw error;
  }
}
