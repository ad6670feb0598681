import { type KeyObject, randomUUID, sign, verify } from "node:crypto";
import { createSecureContext } from "node:tls";
import { inspect } from "node:util";
import { type Ledger, Resource } from "../io/ledger.ts";
import { closeContext } from "./close-context.ts";
import type { Holding } from "./holding.ts";
import { IdentityError } from "./identity-error.ts";
import { readPem } from "./pem.ts";
import { isPrivateKeyLabel, parsePkcs8, parsePrivateKeyBlock } from "./private-key.ts";
import { MAX_CERTIFICATE, MAX_CHAIN, PublicChain } from "./public-identity.ts";

/** Bytes of a PEM text with key and chain. */
const MAX_PEM = 2 * MAX_CHAIN * MAX_CERTIFICATE;

const POSSESSION = Buffer.from("sallyport: does this key belong to that certificate?");

/** Who brought a key: the host, which granted it, or the guest, which has seen it. */
export type KeyOrigin = "host" | "guest";

/**
 * A private key and its certificate chain, which belong together: every object of this class has been checked.
 *
 * The key is in a private field and leaves only through `credentials` and `forWorker`. Nothing else shows it: no
 * property, no JSON, no inspection, no error.
 */
export class KeyPair {
  readonly chain: PublicChain;
  readonly origin: KeyOrigin;
  /**
   * For cache keys: two pairs with the same id may share TLS contexts and sessions. Derived from the chain for a host's
   * pair, so that it is the same in every thread; unique for each pair that a guest brings, which must share nothing
   * with an identity that it may not have been granted.
   */
  readonly id: string;
  readonly #key: KeyObject;

  /**
   * @param key of an algorithm that TLS can use here; see `parsePkcs8` and `parsePrivateKeyBlock`
   * @param isMade see `made`
   * @throws {IdentityError} `key-mismatch`; `unsupported-algorithm` if node:tls refuses the pair (a CA key too small,
   * a signature algorithm too weak)
   */
  constructor(key: KeyObject, chain: PublicChain, origin: KeyOrigin, isMade = false) {
    if (!isMade && !belongsTo(key, chain))
      throw new IdentityError("key-mismatch", "the private key does not belong to the first certificate");
    this.#key = key;
    this.chain = chain;
    this.origin = origin;
    this.id = origin === "host" ? chain.id : `guest:${randomUUID()}`;
    if (isMade) return;
    try {
      closeContext(createSecureContext(this.credentials()));
    } catch {
      throw new IdentityError("unsupported-algorithm", "a certificate of the chain is too weak or of a kind that TLS cannot use here");
    }
  }

  /**
   * @param privateKey PKCS#8 DER
   * @param x509Chain DER, leaf first
   * @throws {IdentityError} all codes but `not-found` and `wrong-passphrase`
   */
  static parse(privateKey: Uint8Array, x509Chain: readonly Uint8Array[], origin: KeyOrigin): KeyPair {
    const chain = PublicChain.parse(x509Chain);
    return new KeyPair(parsePkcs8(privateKey), chain, origin);
  }

  /**
   * @param pem one private key and at least one certificate, in any order of blocks; the first certificate is the leaf
   * @param passphrase used if the key is encrypted
   * @throws {IdentityError} all codes but `not-found`
   */
  static parsePem(pem: Uint8Array, passphrase: string | undefined, origin: KeyOrigin): KeyPair {
    const blocks = readPem(pem, MAX_PEM);
    const certificates = blocks.filter((block) => block.label === "CERTIFICATE");
    const keys = blocks.filter((block) => isPrivateKeyLabel(block.label));
    if (certificates.length === 0) throw new IdentityError("bad-format", "no PEM block CERTIFICATE");
    if (keys.length !== 1) throw new IdentityError("bad-format", `${keys.length} private keys where one is expected`);
    const chain = PublicChain.parse(certificates.map((block) => block.bytes));
    return new KeyPair(parsePrivateKeyBlock(keys[0]!, passphrase), chain, origin);
  }

  /** A key and a leaf that this host itself made a moment ago: the checks would cost twice what making them did. */
  static made(key: KeyObject, chain: PublicChain): KeyPair {
    return new KeyPair(key, chain, "host", true);
  }

  /** A pair that `forWorker` packed in another thread. */
  static fromWorker(packed: PackedKeyPair): KeyPair {
    return new KeyPair(packed.key, PublicChain.parse(packed.chain), "host");
  }

  /** What structured clone takes to another thread of this host. */
  forWorker(): PackedKeyPair {
    return { key: this.#key, chain: [...this.chain.der] };
  }

  /** What `tls.createSecureContext` takes: PEM is the only form. For that call only: do not keep it. */
  credentials(): { key: string; cert: string } {
    return { key: this.#key.export({ type: "pkcs8", format: "pem" }).toString(), cert: this.chain.pem };
  }

  /** `ec`, `rsa` or `ed25519`. */
  get algorithm(): string {
    return this.#key.asymmetricKeyType ?? "unknown";
  }

  toString(): string {
    return `KeyPair(${this.algorithm}, leaf sha256:${Buffer.from(this.chain.fingerprint).toString("hex")})`;
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/** A pair on its way to another thread. `key` is a handle; its bytes are not in this object. */
export interface PackedKeyPair {
  key: KeyObject;
  chain: Uint8Array[];
}

/**
 * The WIT resource `sallyport:tls/identities.private-identity`. Its static functions are made for each instance, since
 * they depend on what was granted to it.
 */
export class PrivateIdentity extends Resource {
  readonly #keyPair: KeyPair;
  readonly #holding: Holding | undefined;

  /** @param holding what the instance is charged for it while it lives */
  constructor(ledger: Ledger, keyPair: KeyPair, holding?: Holding) {
    super(ledger);
    this.#keyPair = keyPair;
    this.#holding = holding;
  }

  /** For host code. */
  get keyPair(): KeyPair {
    return this.#keyPair;
  }

  protected override release(): void {
    this.#holding?.end();
  }
}

/**
 * A comparison of public halves is not enough: PKCS#8 carries a public key of its own, which OpenSSL believes. With the
 * owner's public half in it, any scalar would pass for the key of a certificate that somebody else owns.
 */
function belongsTo(key: KeyObject, chain: PublicChain): boolean {
  const hash = key.asymmetricKeyType === "ed25519" ? null : "sha256";
  try {
    return chain.leaf.checkPrivateKey(key) && verify(hash, POSSESSION, chain.leaf.publicKey, sign(hash, POSSESSION, key));
  } catch {
    return false;
  }
}
