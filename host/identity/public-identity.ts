import { createHash, X509Certificate } from "node:crypto";
import { inspect } from "node:util";
import { encodePem } from "../../src/wire/pem.ts";
import { type Ledger, Resource } from "../io/ledger.ts";
import type { Holding } from "./holding.ts";
import { IdentityError } from "./identity-error.ts";

/** Certificates in a chain, leaf included. */
export const MAX_CHAIN = 16;

/** Bytes of one DER certificate. */
export const MAX_CERTIFICATE = 64 * 1024;

/** A parsed certificate chain, leaf first. Parsed, not verified. */
export class PublicChain {
  /** DER, leaf first. Not to be written to. */
  readonly der: readonly Uint8Array[];
  /** The same, parsed by Node. */
  readonly certificates: readonly X509Certificate[];
  #fingerprint: Uint8Array | undefined;
  #spkiFingerprint: Uint8Array | undefined;
  #pem: string | undefined;
  #id: string | undefined;

  /** @param certificates at least one, leaf first: for chains that Node has parsed, such as a peer's */
  constructor(certificates: readonly X509Certificate[]) {
    if (certificates.length === 0) throw new RangeError("a chain holds at least the leaf");
    this.certificates = certificates;
    this.der = certificates.map((certificate) => new Uint8Array(certificate.raw));
  }

  /**
   * @param x509Chain DER certificates, leaf first; at most 16 of at most 64 KiB
   * @throws {IdentityError} `bad-format`, `too-large`
   */
  static parse(x509Chain: readonly Uint8Array[]): PublicChain {
    if (x509Chain.length === 0) throw new IdentityError("bad-format", "the chain holds no certificate");
    if (x509Chain.length > MAX_CHAIN) throw new IdentityError("too-large", `a chain holds at most ${MAX_CHAIN} certificates`);
    return new PublicChain(x509Chain.map(parseCertificate));
  }

  get leaf(): X509Certificate {
    return this.certificates[0]!;
  }

  /** SHA-256 of the leaf's DER. */
  get fingerprint(): Uint8Array {
    return (this.#fingerprint ??= sha256(this.der[0]!));
  }

  /** SHA-256 of the leaf's SubjectPublicKeyInfo (RFC 7469, section 2.4). */
  get spkiFingerprint(): Uint8Array {
    return (this.#spkiFingerprint ??= sha256(this.leaf.publicKey.export({ type: "spki", format: "der" })));
  }

  /** Bytes of all certificates. */
  get size(): number {
    return this.der.reduce((sum, der) => sum + der.length, 0);
  }

  /** All certificates as PEM, leaf first: what node:tls takes as `cert`. */
  get pem(): string {
    return (this.#pem ??= this.der.map((der) => encodePem("CERTIFICATE", der)).join(""));
  }

  /** The same for the same certificates in the same order; for cache keys. */
  get id(): string {
    return (this.#id ??= digestOf(this.der));
  }

  [inspect.custom](): string {
    return `PublicChain(${this.der.length}, sha256:${Buffer.from(this.fingerprint).toString("hex")})`;
  }
}

/** The WIT resource `sallyport:tls/identities.public-identity`. Its static `parse` is made for each instance. */
export class PublicIdentity extends Resource {
  readonly #chain: PublicChain;
  readonly #holding: Holding | undefined;

  /** @param holding what the instance is charged for it while it lives */
  constructor(ledger: Ledger, chain: PublicChain, holding?: Holding) {
    super(ledger);
    this.#chain = chain;
    this.#holding = holding;
  }

  /** For host code. */
  get chain(): PublicChain {
    return this.#chain;
  }

  exportX509Chain(): Uint8Array[] {
    return this.#chain.der.map((der) => der.slice());
  }

  fingerprint(): Uint8Array {
    return this.#chain.fingerprint.slice();
  }

  spkiFingerprint(): Uint8Array {
    return this.#chain.spkiFingerprint.slice();
  }

  protected override release(): void {
    this.#holding?.end();
  }
}

/**
 * One DER certificate of at most 64 KiB, and nothing before or after it.
 *
 * @throws {IdentityError} `bad-format`, `too-large`
 */
export function parseCertificate(der: Uint8Array): X509Certificate {
  if (der.length > MAX_CERTIFICATE) throw new IdentityError("too-large", `a certificate has at most ${MAX_CERTIFICATE} bytes`);
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(der);
    // Node parses lazily: a key that cannot be read would throw in the middle of something else.
    void certificate.publicKey;
  } catch {
    throw new IdentityError("bad-format", "not a DER certificate");
  }
  // Node also takes PEM, and ignores what follows the certificate.
  if (!certificate.raw.equals(der)) throw new IdentityError("bad-format", "not exactly one DER certificate");
  return certificate;
}

/** A name for a list of DER values: equal for equal lists only. Hexadecimal. */
export function digestOf(list: readonly Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const der of list) hash.update(`${der.length}:`).update(der);
  return hash.digest("hex");
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}
