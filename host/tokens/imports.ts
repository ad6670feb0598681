import { WitError } from "../io/error.ts";
import { type Ledger, Resource } from "../io/ledger.ts";
import { type SignerGrant, SigningError, SigningKey } from "./signing-key.ts";
import { verifyStrictly } from "./verify.ts";

/** What an instance may have signed, by the name under which it opens the key. */
export type SignerGrants = Readonly<Record<string, SignerGrant>>;

/** The WIT enum `sallyport:policy/ed25519.sign-error`. */
export type SignErrorCode = "not-found" | "invalid-argument" | "too-large" | "not-permitted";

/** The WIT record `claims-to-sign`. */
interface ClaimsToSign {
  subject: string;
  groups: string[];
  expiresAt: bigint;
  audience: string;
  certificateSha256: Uint8Array | undefined;
  tlsExporter: Uint8Array | undefined;
}

/**
 * The interface `sallyport:policy/ed25519`.
 *
 * @throws {SigningError} bad-key, bad-issuer: a grant is not what it should be
 */
export function ed25519Imports(ledger: Ledger, grants: SignerGrants = {}): Record<string, object> {
  for (const grant of Object.values(grants)) SigningKey.fromGrant(grant);

  class Signer extends Resource {
    readonly #key: SigningKey;
    readonly #limits: SignerGrant["limits"];

    private constructor(grant: SignerGrant) {
      super(ledger);
      this.#key = SigningKey.fromGrant(grant);
      this.#limits = grant.limits;
    }

    static open(name: string): Signer {
      if (!Object.hasOwn(grants, name)) throw new WitError<SignErrorCode>("not-found");
      return new Signer(grants[name]!);
    }

    issuer(): string {
      return this.#key.issuer;
    }

    publicKey(): Uint8Array {
      return this.#key.publicKey.slice();
    }

    sign(claims: ClaimsToSign): string {
      const { subject, groups, expiresAt, audience, certificateSha256, tlsExporter } = claims;
      try {
        // One by one: nothing that a guest shaped goes further than its type says.
        return this.#key.sign({ subject, groups, expiresAt, audience, certificateSha256, tlsExporter }, this.#limits);
      } catch (error) {
        if (error instanceof SigningError) throw new WitError<SignErrorCode>(wordOf(error));
        throw error;
      }
    }
  }
  return { "sallyport:policy/ed25519": { verify: verifyStrictly, Signer } };
}

function wordOf({ code }: SigningError): SignErrorCode {
  return code === "too-large" || code === "not-permitted" ? code : "invalid-argument";
}
