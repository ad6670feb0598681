import { now } from "wasi:clocks/wall-clock@0.2.12";
import { verify } from "sallyport:policy/ed25519@0.1.0";
import { bigintOfU64 } from "../../src/bindings/integers.ts";
import { FolderError, Preopened } from "../../src/files/preopened.ts";
import { equalInConstantTime } from "../../src/tokens/equal.ts";
import { type Channel, type VerifiedClaims, Verifier } from "../../src/tokens/index.ts";
import { decodeBase64url } from "../../src/wire/base64url.ts";
import { decodeUtf8 } from "../../src/wire/utf8.ts";

/** Whom a token vouches for. */
export interface Holder {
  readonly issuer: string;
  readonly subject: string;
}

/** Somebody who was let in by a token. */
export interface TokenHolder extends Holder {
  /** Seconds since 1970: the token is good before that. */
  readonly expiresAt: bigint;
}

/** The keys whose tokens are accepted and the subjects that are revoked, as the host's files have them now. */
export class AccessKeys {
  private readonly verifier: Verifier;
  /** Of whatever issuer: what `control` says names no issuer. */
  private readonly refusedSubjects = new Set<string>();

  /**
   * @param audience what tokens have to name
   * @param requireTlsExporter whether they have to be bound to the connection itself; asked each time
   * @throws {FolderError}
   */
  constructor(audience: string, requireTlsExporter: () => boolean) {
    this.verifier = new Verifier({ audience, verifySignature: verify, now: seconds, requireTlsExporter });
    this.reload();
  }

  /** @throws {TokenError} */
  verify(token: string, channel: Channel): VerifiedClaims {
    return this.verifier.verify(token, channel);
  }

  /** Whether this holder must not be served any more, whatever its token says. */
  isRevoked({ issuer, subject }: Holder): boolean {
    if (this.isRefused(subject) || this.verifier.keyring.keyOf(issuer) === undefined) return true;
    return this.verifier.isRevoked(issuer, subject);
  }

  /** Whether the token that let this holder in is not good any more. */
  hasExpired({ expiresAt }: TokenHolder): boolean {
    return expiresAt <= seconds();
  }

  /** Whether the host said that nobody of that name must be served. */
  isRefused(subject: string): boolean {
    return this.refusedSubjects.has(subject);
  }

  /** Serve nobody of that name any more. */
  refuse(subject: string): void {
    this.refusedSubjects.add(subject);
  }

  /**
   * Read the host's files anew. What did not change keeps its verified signatures.
   *
   * @throws {FolderError} and nothing has changed
   */
  reload(): void {
    using folders = new Preopened();
    const { keys, revoked } = read(folders);
    const { keyring } = this.verifier;
    const kept = new Set(keys.map(({ issuer }) => issuer));
    for (const { issuer } of keyring.export()) if (!kept.has(issuer)) keyring.untrust(issuer);
    for (const { issuer, publicKey } of keys) {
      const key = decodeBase64url(publicKey);
      // To trust a key again would forget what it is known to have signed.
      const known = keyring.keyOf(issuer);
      if (known === undefined || !equalInConstantTime(known, key)) keyring.trust(issuer, key);
    }
    for (const { issuer, subject } of this.verifier.revocations())
      if (!revoked.some((entry) => entry.issuer === issuer && entry.subject === subject)) this.verifier.unrevoke(issuer, subject);
    for (const { issuer, subject } of revoked) this.verifier.revoke(issuer, subject);
  }
}

function seconds(): bigint {
  return bigintOfU64(now().seconds);
}

/** Where the host puts them, after it has read and checked the operator's files. */
const FOLDER = "/access";

/** One file, so that keys and revocations change together. */
function read(folders: Preopened): { keys: { issuer: string; publicKey: string }[]; revoked: Holder[] } {
  const text = decodeUtf8(folders.readFile(`${FOLDER}/tokens.json`));
  try {
    return JSON.parse(text) as ReturnType<typeof read>;
  } catch {
    throw new FolderError(`${FOLDER}/tokens.json is not JSON`);
  }
}
