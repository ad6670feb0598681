import { X509Certificate } from "node:crypto";
import { createSecureContext, getCACertificates } from "node:tls";
import { inspect } from "node:util";
import { DerReader, derTag } from "../../src/wire/der.ts";
import { encodePem } from "../../src/wire/pem.ts";
import { type Ledger, Resource } from "../io/ledger.ts";
import { closeContext } from "./close-context.ts";
import type { Holding } from "./holding.ts";
import { IdentityError } from "./identity-error.ts";
import { readPem } from "./pem.ts";
import { digestOf, parseCertificate } from "./public-identity.ts";

/** Anchors of one set, the host's own not counted. */
const MAX_ANCHORS = 1024;
/** Revocation lists of one set. */
const MAX_CRLS = 64;
/** Bytes of all revocation lists of a set. */
const MAX_CRL_BYTES = 16 * 1024 * 1024;
/** Bytes of a PEM bundle. */
const MAX_BUNDLE = 16 * 1024 * 1024;

/** The options of `tls.createSecureContext` that say whom to trust. */
export interface AnchorOptions {
  ca: string[];
  crl?: string[];
  /** An anchor is trusted because it was named, whether or not it signed itself (RFC 5280, section 6.1). */
  allowPartialTrustChain: true;
}

/** A set of certification authorities with revocation lists. Every object of this class has been parsed. */
export class AnchorSet {
  /** DER. The host's own first, where they are included. */
  readonly certificates: readonly Uint8Array[];
  /** DER. */
  readonly crls: readonly Uint8Array[];
  /** Whether it was made from the host's own anchors and others. */
  readonly includesHost: boolean;
  /** Bytes of certificates and lists, those of the host not counted. */
  readonly ownSize: number;
  #options: AnchorOptions | undefined;
  #x509: readonly X509Certificate[] | undefined;
  #id: string | undefined;
  #contextSize: number | undefined;

  private constructor(certificates: readonly Uint8Array[], crls: readonly Uint8Array[], host?: AnchorSet) {
    this.ownSize = size(certificates) + size(crls);
    this.certificates = host === undefined ? certificates : [...host.certificates, ...certificates];
    this.crls = host === undefined ? crls : [...host.crls, ...crls];
    this.includesHost = host !== undefined;
  }

  /**
   * Anchors from DER. An empty set is allowed and trusts nobody.
   *
   * @param certificates at most 1024 of at most 64 KiB; roots of version 1 are certificates too
   * @param crls at most 64, together at most 16 MiB. With one, every certificate of a chain needs a current list.
   * @param host the host's own anchors, to be trusted as well; their lists count too
   * @throws {IdentityError} `bad-format`, `too-large`
   */
  static fromX509(certificates: readonly Uint8Array[], crls: readonly Uint8Array[] = [], host?: AnchorSet): AnchorSet {
    if (certificates.length > MAX_ANCHORS) throw new IdentityError("too-large", `at most ${MAX_ANCHORS} anchors`);
    if (crls.length > MAX_CRLS || size(crls) > MAX_CRL_BYTES)
      throw new IdentityError("too-large", `at most ${MAX_CRLS} revocation lists, together at most ${MAX_CRL_BYTES} bytes`);
    for (const certificate of certificates) parseCertificate(certificate);
    for (const crl of crls) checkCrl(crl);
    const own = (list: readonly Uint8Array[]) => list.map((der) => der.slice());
    return new AnchorSet(own(certificates), own(crls), host);
  }

  /**
   * Anchors from a PEM bundle: blocks CERTIFICATE and X509 CRL; others are ignored.
   *
   * @throws {IdentityError} `bad-format`, also for a bundle without a certificate; `too-large`
   */
  static fromPem(bundle: Uint8Array): AnchorSet {
    const blocks = readPem(bundle, MAX_BUNDLE);
    const all = (label: string) => blocks.filter((block) => block.label === label).map((block) => block.bytes);
    const certificates = all("CERTIFICATE");
    if (certificates.length === 0) throw new IdentityError("bad-format", "no PEM block CERTIFICATE");
    return AnchorSet.fromX509(certificates, all("X509 CRL"));
  }

  /**
   * What every Node program of this machine trusts by default: the bundled roots, with `NODE_EXTRA_CA_CERTS`, and with
   * the system's own where Node was told so (`NODE_USE_SYSTEM_CA=1`). Made once.
   */
  static system(): AnchorSet {
    return (system ??= new AnchorSet(getCACertificates("default").map(derOfNode), []));
  }

  /** The same for the same certificates and lists in the same order; for cache keys. */
  get id(): string {
    return (this.#id ??= `${digestOf(this.certificates)}-${digestOf(this.crls)}`);
  }

  /** About how many bytes a context with them takes in OpenSSL, for which an entry of a list of 20 bytes is an object of 200. */
  get contextSize(): number {
    return (this.#contextSize ??= 4 * size(this.certificates) + 10 * size(this.crls));
  }

  /** Whether this very certificate is an anchor. */
  has(certificate: X509Certificate): boolean {
    return this.parsed.some((anchor) => anchor.raw.equals(certificate.raw));
  }

  /** All certificates, parsed by Node at first use. */
  get parsed(): readonly X509Certificate[] {
    return (this.#x509 ??= this.certificates.map((der) => new X509Certificate(der)));
  }

  /** Made once: Node wants PEM. */
  tlsOptions(): AnchorOptions {
    return (this.#options ??= {
      ca: this.certificates.map((der) => encodePem("CERTIFICATE", der)),
      ...(this.crls.length > 0 && { crl: this.crls.map((der) => encodePem("X509 CRL", der)) }),
      allowPartialTrustChain: true,
    });
  }

  [inspect.custom](): string {
    return `AnchorSet(${this.certificates.length} certificates, ${this.crls.length} lists${this.includesHost ? ", host's own included" : ""})`;
  }
}

/** The WIT resource `sallyport:tls/identities.trust-anchors`. Its static functions are made for each instance. */
export class TrustAnchors extends Resource {
  readonly #anchors: AnchorSet;
  readonly #holding: Holding | undefined;

  /** @param holding what the instance is charged for it while it lives */
  constructor(ledger: Ledger, anchors: AnchorSet, holding?: Holding) {
    super(ledger);
    this.#anchors = anchors;
    this.#holding = holding;
  }

  /** For host code. */
  get anchors(): AnchorSet {
    return this.#anchors;
  }

  protected override release(): void {
    this.#holding?.end();
  }
}

function size(list: readonly Uint8Array[]): number {
  return list.reduce((sum, der) => sum + der.length, 0);
}

let system: AnchorSet | undefined;

/** Node writes these by itself, in one form, from what it has parsed: no need of a parser for texts of unknown origin. */
function derOfNode(pem: string): Uint8Array {
  return Buffer.from(pem.slice(pem.indexOf("\n") + 1, pem.lastIndexOf("\n-----END")), "base64");
}

/** Node has no parser for lists of its own: making a context with one is the parse. */
function checkCrl(der: Uint8Array): void {
  try {
    // Node ignores what follows the list.
    const outer = new DerReader(der);
    outer.take(derTag.sequence);
    outer.end();
    closeContext(createSecureContext({ ca: [], crl: encodePem("X509 CRL", der) }));
  } catch {
    throw new IdentityError("bad-format", "not a DER revocation list");
  }
}
