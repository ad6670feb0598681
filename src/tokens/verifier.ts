import type { Channel } from "./binding.ts";
import type { SpelledClaims } from "./claims.ts";
import { equalInConstantTime } from "./equal.ts";
import { Keyring } from "./keyring.ts";
import { bytesOf, readToken } from "./token.ts";
import { TokenError } from "./token-error.ts";

/** Whether an Ed25519 signature verifies, in the strict sense of `ed25519.ts`. */
export type VerifySignature = (message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array) => boolean;

export interface VerifierOptions {
  /** Who this verifier is: tokens must name it exactly. The empty text turns that check off. */
  audience: string;
  verifySignature: VerifySignature;
  /** Seconds since 1970. */
  now: () => bigint;
  /** Whether a token must be bound to the connection itself (`tls-exporter`), asked each time. No by default. */
  requireTlsExporter?: () => boolean;
  /** How many texts whose signature held are remembered. 0 for none. */
  cacheSize?: number;
}

/** What a token says, and its issuer vouches for. Only `verify` makes one. */
export interface VerifiedClaims extends Omit<SpelledClaims, "certificateBinding" | "exporterBinding"> {
  /** What it is bound to, and this channel has. */
  boundTo: ("certificate" | "tls-exporter")[];
}

/** Verifies tokens under the keys that it trusts. Nothing is trusted, and nobody revoked, at first. */
export class Verifier {
  readonly keyring = new Keyring();
  readonly #options: VerifierOptions;
  readonly #revoked = new Map<string, Set<string>>();
  readonly #cache: SignatureCache;

  constructor(options: VerifierOptions) {
    this.#options = options;
    this.#cache = new SignatureCache(options.cacheSize ?? DEFAULT_CACHE_SIZE);
  }

  /** Refuse this subject's tokens of this issuer from now on, those that exist included. The same name elsewhere is another. */
  revoke(issuer: string, subject: string): void {
    const subjects = this.#revoked.get(issuer) ?? new Set();
    this.#revoked.set(issuer, subjects.add(subject));
  }

  /** Take a revocation back. Returns whether there was one. */
  unrevoke(issuer: string, subject: string): boolean {
    return this.#revoked.get(issuer)?.delete(subject) ?? false;
  }

  /** Whether this subject of this issuer is revoked. */
  isRevoked(issuer: string, subject: string): boolean {
    return this.#revoked.get(issuer)?.has(subject) ?? false;
  }

  /** Every revocation, sorted by issuer and subject. */
  revocations(): { issuer: string; subject: string }[] {
    return Array.from(this.#revoked.keys())
      .sort()
      .flatMap((issuer) =>
        Array.from(this.#revoked.get(issuer)!)
          .sort()
          .map((subject) => ({ issuer, subject })),
      );
  }

  /**
   * Verify a token that came over a channel. The checks run in the order of `TokenErrorCode`, and the first that fails decides.
   *
   * @param channel what its host knows of the channel; a token without any binding is refused whatever this says
   * @throws {TokenError}
   */
  verify(token: string, channel: Channel = {}): VerifiedClaims {
    const { subject, groups, expiresAt, issuer, audience, ...bindings } = this.#signedClaims(token);
    if (expiresAt <= this.#options.now()) throw new TokenError("expired");
    if (this.isRevoked(issuer, subject)) throw new TokenError("revoked");
    if (this.#options.audience !== "" && audience !== this.#options.audience) throw new TokenError("audience-mismatch");
    const boundTo: VerifiedClaims["boundTo"] = [];
    if (holds(bindings.certificateBinding, channel.certificateSha256)) boundTo.push("certificate");
    if (holds(bindings.exporterBinding, channel.tlsExporter)) boundTo.push("tls-exporter");
    const needed = this.#options.requireTlsExporter?.() ? boundTo.includes("tls-exporter") : boundTo.length > 0;
    if (!needed) throw new TokenError("unbound");
    return { subject, groups: [...groups], expiresAt, issuer, audience, boundTo };
  }

  /** Claims whose issuer is trusted and signed them. What is remembered is this alone; all else is asked every time. */
  #signedClaims(token: string): SpelledClaims {
    const known = this.#cache.find(token);
    if (known !== undefined && known.key === this.keyring.keyOf(known.claims.issuer)) return known.claims;
    const { claims, signedBytes, signature } = readToken(token);
    const key = this.keyring.keyOf(claims.issuer);
    if (key === undefined) throw new TokenError("unknown-issuer");
    if (!this.#options.verifySignature(signedBytes, signature, key)) throw new TokenError("bad-signature");
    this.#cache.remember(token, { claims, key });
    return claims;
  }
}

/**
 * Whether a binding of the token is there and is that of the channel.
 *
 * @throws {TokenError} invalid-base64url, binding-mismatch
 */
function holds(spelled: string | undefined, actual: Uint8Array | undefined): boolean {
  if (spelled === undefined) return false;
  const bound = bytesOf(spelled);
  // A short value on both sides would be equal and bind to nothing.
  if (actual === undefined || actual.length !== 32 || !equalInConstantTime(bound, actual)) throw new TokenError("binding-mismatch");
  return true;
}

/** Texts of which it is known that they carry a good signature of a key. Least recently used first. */
class SignatureCache {
  readonly #entries = new Map<string, SignedClaims>();
  readonly #size: number;

  constructor(size: number) {
    this.#size = size;
  }

  find(token: string): SignedClaims | undefined {
    const entry = this.#entries.get(token);
    if (entry === undefined) return undefined;
    this.#entries.delete(token);
    this.#entries.set(token, entry);
    return entry;
  }

  remember(token: string, entry: SignedClaims): void {
    if (this.#size === 0) return;
    this.#entries.delete(token);
    this.#entries.set(token, entry);
    if (this.#entries.size > this.#size) this.#entries.delete(this.#entries.keys().next().value!);
  }
}

interface SignedClaims {
  claims: SpelledClaims;
  /** The very bytes in the keyring: a key that was taken out and put in again is another. */
  key: Uint8Array;
}

const DEFAULT_CACHE_SIZE = 1024;
