import { type Ledger, Trap } from "../io/ledger.ts";
import { type OnRefusal, refusalLine } from "../net/access.ts";
import { type Holding, HoldingLimit } from "./holding.ts";
import { forGuest, IdentityError } from "./identity-error.ts";
import { KeyPair, PrivateIdentity as BasePrivateIdentity } from "./private-identity.ts";
import { PublicChain, PublicIdentity as BasePublicIdentity } from "./public-identity.ts";
import { AnchorSet, TrustAnchors as BaseTrustAnchors } from "./trust-anchors.ts";

/** What one instance may use. */
export interface IdentityContext {
  ledger: Ledger;
  /** What the embedder granted, by name. */
  identities: ReadonlyMap<string, KeyPair>;
  /** What the embedder lets this instance call the host's own anchors. */
  hostAnchors: AnchorSet;
  onRefusal?: OnRefusal;
}

/** The classes of one instance. Host code makes every identity that it gives to that instance with these. */
export interface IdentityClasses {
  PublicIdentity: {
    /** @param chain parsed by the host */
    new (chain: PublicChain, holding?: Holding): BasePublicIdentity;
    parse(x509Chain: Uint8Array[]): BasePublicIdentity;
  };
  PrivateIdentity: {
    /** @param keyPair checked by the host */
    new (keyPair: KeyPair, holding?: Holding): BasePrivateIdentity & { publicIdentity(): BasePublicIdentity };
    names(): string[];
    open(name: string): BasePrivateIdentity & { publicIdentity(): BasePublicIdentity };
    parse(privateKey: Uint8Array, x509Chain: Uint8Array[]): BasePrivateIdentity & { publicIdentity(): BasePublicIdentity };
    parsePem(pem: Uint8Array, passphrase: string | undefined): BasePrivateIdentity & { publicIdentity(): BasePublicIdentity };
  };
  TrustAnchors: {
    /** @param anchors parsed by the host */
    new (anchors: AnchorSet, holding?: Holding): BaseTrustAnchors;
    host(): BaseTrustAnchors;
    fromX509(certificates: Uint8Array[], includeHost: boolean, crls: Uint8Array[]): BaseTrustAnchors;
  };
}

/**
 * The imports `sallyport:tls/identities` of one instance. The generated glue tests every resource with `instanceof`
 * against these very classes, so objects of the base classes would not pass.
 */
export function identityClasses(context: IdentityContext): IdentityClasses {
  const { ledger, identities } = context;
  const limit = new HoldingLimit(MAX_HELD);
  const hold = (bytes: number) => limit.hold(bytes) ?? forGuest(tooMuch);

  class PublicIdentity extends BasePublicIdentity {
    /** @param chain parsed by the host */
    constructor(chain: PublicChain, holding?: Holding) {
      super(ledger, chain, holding);
    }

    /** @throws {WitError<IdentityErrorCode>} `bad-format`, `too-large` */
    static parse(x509Chain: Uint8Array[]): PublicIdentity {
      const chain = forGuest(() => PublicChain.parse(x509Chain));
      return new PublicIdentity(chain, hold(chain.size));
    }
  }

  class PrivateIdentity extends BasePrivateIdentity {
    /** @param keyPair checked by the host */
    constructor(keyPair: KeyPair, holding?: Holding) {
      super(ledger, keyPair, holding);
    }

    /** Sorted. */
    static names(): string[] {
      return [...identities.keys()].sort();
    }

    /** @throws {WitError<IdentityErrorCode>} `not-found` */
    static open(name: string): PrivateIdentity {
      const keyPair = identities.get(name);
      if (keyPair === undefined) {
        context.onRefusal?.(refusalLine(`open the identity ${JSON.stringify(name)}`, `--identity ${name}=CERT,KEY`));
        return forGuest(notFound);
      }
      return new PrivateIdentity(keyPair);
    }

    /** @throws {WitError<IdentityErrorCode>} `bad-format`, `key-mismatch`, `unsupported-algorithm`, `too-large` */
    static parse(privateKey: Uint8Array, x509Chain: Uint8Array[]): PrivateIdentity {
      const keyPair = forGuest(() => KeyPair.parse(privateKey, x509Chain, "guest"));
      return new PrivateIdentity(keyPair, hold(keyPair.chain.size));
    }

    /** @throws {WitError<IdentityErrorCode>} as `parse`, and `wrong-passphrase` */
    static parsePem(pem: Uint8Array, passphrase: string | undefined): PrivateIdentity {
      const keyPair = forGuest(() => KeyPair.parsePem(pem, passphrase, "guest"));
      return new PrivateIdentity(keyPair, hold(keyPair.chain.size));
    }

    publicIdentity(): PublicIdentity {
      const { chain, origin } = this.keyPair;
      if (origin === "host") return new PublicIdentity(chain);
      const holding = limit.hold(chain.size);
      if (holding === undefined) throw new Trap("limit reached: this instance holds too many bytes of certificates");
      return new PublicIdentity(chain, holding);
    }
  }

  class TrustAnchors extends BaseTrustAnchors {
    /** @param anchors parsed by the host */
    constructor(anchors: AnchorSet, holding?: Holding) {
      super(ledger, anchors, holding);
    }

    static host(): TrustAnchors {
      return new TrustAnchors(context.hostAnchors);
    }

    /** @throws {WitError<IdentityErrorCode>} `bad-format`, `too-large` */
    static fromX509(certificates: Uint8Array[], includeHost: boolean, crls: Uint8Array[]): TrustAnchors {
      const anchors = forGuest(() => AnchorSet.fromX509(certificates, crls, includeHost ? context.hostAnchors : undefined));
      return new TrustAnchors(anchors, hold(anchors.ownSize));
    }
  }

  return { PublicIdentity, PrivateIdentity, TrustAnchors };
}

function tooMuch(): never {
  throw new IdentityError("too-large", "this instance holds too many bytes of certificates");
}

/** Bytes of certificates and lists that one instance may have made the host keep. */
const MAX_HELD = 64 * 1024 * 1024;

function notFound(): never {
  throw new IdentityError("not-found", "no identity of that name is granted");
}
