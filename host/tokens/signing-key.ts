import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { encodeBase64url } from "../../src/wire/base64url.ts";
import { assembleToken, encodeTokenPayload, type TokenClaims } from "../../src/wire/token-text.ts";

/** Why a signing key does not sign, or cannot be made from what was read. */
export type SigningErrorCode = "bad-key" | "bad-issuer" | "invalid-argument" | "too-large" | "not-permitted";

/** The message is for people and holds nothing of the key or the claims. */
export class SigningError extends Error {
  override readonly name = "SigningError";
  readonly code: SigningErrorCode;

  constructor(code: SigningErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** What a component may have signed with a key. */
export interface SigningLimits {
  /** The longest time from now to the end of a token, in seconds. No limit by default. */
  lifetime?: number;
}

/** A key with which an instance may have claims signed. Survives `postMessage`, so that a worker can be granted one. */
export interface SignerGrant {
  issuer: string;
  /** Ed25519, private. */
  key: KeyObject;
  limits?: SigningLimits;
}

/**
 * An Ed25519 key of an issuer of tokens. It leaves this object for the file that keeps it and for a grant, and signs nothing
 * but claims that this object spells itself.
 */
export class SigningKey {
  /** The id under which verifiers know the key. */
  readonly issuer: string;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly #key: KeyObject;

  private constructor(issuer: string, key: KeyObject) {
    if (!ISSUER.test(issuer) || !issuer.isWellFormed())
      throw new SigningError("bad-issuer", "an issuer's id is one line of 1 to 200 characters without spaces at its ends");
    if (key.type !== "private" || key.asymmetricKeyType !== "ed25519") throw new SigningError("bad-key", "not an Ed25519 private key");
    this.#key = key;
    this.publicKey = publicKeyBytes(createPublicKey(key));
    this.issuer = issuer;
  }

  /** A new key. @param issuer by default the key's fingerprint */
  static generate(issuer?: string): SigningKey {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    return new SigningKey(issuer ?? fingerprint(publicKeyBytes(publicKey)), privateKey);
  }

  /**
   * The key in a PEM text (PKCS#8). Text before the block may name the issuer: `Issuer: ops-1`.
   *
   * @param issuer in place of what the text says; the key's fingerprint if neither says anything
   * @throws {SigningError} bad-key, bad-issuer
   */
  static fromPem(pem: string, issuer?: string): SigningKey {
    let key: KeyObject;
    try {
      key = createPrivateKey(pem);
    } catch {
      throw new SigningError("bad-key", "no private key in PEM (PKCS#8) without passphrase");
    }
    if (key.asymmetricKeyType !== "ed25519") throw new SigningError("bad-key", "not an Ed25519 key");
    return new SigningKey(issuer ?? issuerLine(pem) ?? fingerprint(publicKeyBytes(createPublicKey(key))), key);
  }

  /** The key of a grant. @throws {SigningError} bad-key, bad-issuer */
  static fromGrant({ issuer, key }: SignerGrant): SigningKey {
    return new SigningKey(issuer, key);
  }

  /** For an instance that may have claims signed with this key. It gets a handle, and never the key. */
  grant(limits: SigningLimits = {}): SignerGrant {
    return { issuer: this.issuer, key: this.#key, limits };
  }

  /** For the key file. */
  toPem(): string {
    return `Issuer: ${this.issuer}\n${String(this.#key.export({ format: "pem", type: "pkcs8" }))}`;
  }

  /** For whoever is to trust it. */
  publicPem(): string {
    return `Issuer: ${this.issuer}\n${String(createPublicKey(this.#key).export({ format: "pem", type: "spki" }))}`;
  }

  /**
   * The token with these claims.
   *
   * @throws {SigningError} invalid-argument, too-large, not-permitted
   */
  sign(claims: Omit<TokenClaims, "issuer">, limits: SigningLimits = {}, now: number = Math.floor(Date.now() / 1000)): string {
    for (const binding of [claims.certificateSha256, claims.tlsExporter])
      if (binding !== undefined && binding.length !== 32) throw new SigningError("invalid-argument", "a binding has 32 bytes");
    if (![claims.subject, claims.audience, ...claims.groups].every((text) => text.isWellFormed()))
      throw new SigningError("invalid-argument", "a text is not well-formed");
    if (limits.lifetime !== undefined && claims.expiresAt > BigInt(now + limits.lifetime))
      throw new SigningError("not-permitted", "the token would live longer than this key's grant allows");
    const payload = encodeTokenPayload({ ...claims, issuer: this.issuer });
    if (payload === undefined) throw new SigningError("too-large", "the claims are longer than any verifier takes");
    return assembleToken(payload, sign(null, Buffer.from(payload, "latin1"), this.#key));
  }
}

/** The issuer that text before a PEM block names. */
export function issuerLine(pem: string): string | undefined {
  return /^Issuer: (.+?)\r?$/m.exec(pem.slice(0, Math.max(0, pem.indexOf("-----BEGIN"))))?.[1];
}

/** The id of a key that was given none: it says nothing, and no two keys share it. @param publicKey 32 bytes */
export function fingerprint(publicKey: Uint8Array): string {
  return `ed25519:${encodeBase64url(createHash("sha256").update(publicKey).digest().subarray(0, 16))}`;
}

/** The 32 bytes of an Ed25519 public key. */
export function publicKeyBytes(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ format: "der", type: "spki" }).subarray(-32));
}

/** No control characters: it stands on a line of its own in the key file. */
const ISSUER = /^(?! )[^\p{Cc}\p{Zl}\p{Zp}]{1,200}(?<! )$/u;
