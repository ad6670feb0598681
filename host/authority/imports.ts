import { printable } from "../../src/wire/printable.ts";
import { formatIpAddress } from "../../src/wire/ip-address.ts";
import type { IdentityClasses } from "../identity/identity-classes.ts";
import type { PublicIdentity } from "../identity/public-identity.ts";
import { WitError } from "../io/error.ts";
import { type Ledger, Resource, Trap } from "../io/ledger.ts";
import { HoldingLimit } from "../identity/holding.ts";
import type { Authority as IssuingAuthority, IssuedLeaf } from "./authority.ts";
import { IssueError, type IssueErrorCode } from "./authority-error.ts";
import { type LeafRequest, MAX_NAMES, type RequestedName } from "./leaf-plan.ts";

/** What the host records of an authority's work. Texts are printable and bounded, whatever the guest sent. */
export type AuthorityEvent =
  | {
      tag: "issued";
      /** By which the guest opened it. */
      authority: string;
      names: string[];
      /** Hexadecimal, as certificate viewers show it. */
      serial: string;
      /** SHA-256 of the certificate, hexadecimal. */
      fingerprint: string;
      /** First and last second of validity, Unix time. */
      notBefore: bigint;
      notAfter: bigint;
    }
  | { tag: "refused"; authority: string; names: string[]; reason: IssueErrorCode };

/** What one instance may use. */
export interface AuthorityContext {
  ledger: Ledger;
  /** Of the same instance. */
  identities: IdentityClasses;
  /** What the embedder granted, by name. */
  authorities: ReadonlyMap<string, IssuingAuthority>;
  /**
   * Called with every certificate before the guest gets it, and with every refusal. If it throws, the certificate is not
   * handed out.
   */
  record: (event: AuthorityEvent) => void;
  /** How much of it the instance may have done. No limit by default. */
  limit?: IssueLimit;
}

/** Bounds on what an instance has issued, of whatever authority. */
export interface IssueLimit {
  /** Whether a certificate for these names may be issued now. If not, that is recorded here. */
  allows(names: readonly string[]): boolean;
  /** It was issued. */
  issued(names: readonly string[]): void;
}

/** The class of one instance, as the WIT has the resource `authority`. */
export interface AuthorityImports {
  Authority: {
    names(): string[];
    /** @throws {WitError<"not-found">} */
    open(name: string): AuthorityHandle;
  };
}

/** The WIT resource `authority`. */
export interface AuthorityHandle extends Disposable {
  chain(): PublicIdentity;
  limits(): {
    permittedDns: string[];
    permittedIp: { address: Uint8Array; prefixLength: number }[];
    longestLifetime: bigint;
    notAfter: bigint;
  };
  /** @throws {WitError<IssueErrorCode>} */
  issue(request: LeafRequest): ReturnType<IdentityClasses["PrivateIdentity"]["open"]>;
}

/**
 * The imports `sallyport:gateway/authorities` of one instance.
 */
export function authorityImports(context: AuthorityContext): AuthorityImports {
  const { ledger, identities, authorities, record } = context;
  const limit = new HoldingLimit(MAX_HELD);

  /** What the guest makes the host keep is counted as long as one handle to it lives. */
  class IssuedIdentity extends identities.PrivateIdentity {
    override publicIdentity() {
      const holding = limit.hold(1);
      if (holding === undefined) throw new Trap("limit reached: this instance holds too many issued certificates");
      return new identities.PublicIdentity(this.keyPair.chain, holding);
    }
  }

  class Authority extends Resource {
    readonly #name: string;
    readonly #authority: IssuingAuthority;

    constructor(name: string, authority: IssuingAuthority) {
      super(ledger);
      this.#name = name;
      this.#authority = authority;
    }

    /** Sorted. */
    static names(): string[] {
      return [...authorities.keys()].sort();
    }

    /** @throws {WitError<"not-found">} */
    static open(name: string): Authority {
      const authority = authorities.get(name);
      if (authority === undefined) throw new WitError("not-found");
      return new Authority(name, authority);
    }

    chain() {
      return new identities.PublicIdentity(this.#authority.chain);
    }

    limits() {
      const { limits, longestLifetime, notAfter } = this.#authority.bounds;
      return {
        permittedDns: [...limits.dns],
        permittedIp: limits.ip.map(({ address, length }) => ({ address: address.bytes.slice(), prefixLength: length })),
        longestLifetime,
        notAfter,
      };
    }

    /** @throws {WitError<IssueErrorCode>} */
    issue(request: LeafRequest): IssuedIdentity {
      // First, and without a record of each: an instance that asks without end must not fill the log.
      if (context.limit?.allows(request.names.slice(0, MAX_NAMES).map(shown)) === false) throw new WitError<IssueErrorCode>("over-limit");
      const holding = limit.hold(1);
      if (holding === undefined) return this.#refuse(request, "too-many-held");
      try {
        return new IssuedIdentity(this.#made(request).keyPair, holding);
      } catch (error) {
        holding.end();
        if (error instanceof IssueError) return this.#refuse(request, error.code);
        throw error;
      }
    }

    #made(request: LeafRequest): IssuedLeaf {
      const leaf = this.#authority.issue(request);
      const { names, serial, fingerprint, notBefore, notAfter } = leaf;
      try {
        record({ tag: "issued", authority: this.#name, names, serial, fingerprint, notBefore, notAfter });
      } catch {
        throw new IssueError("not-recorded");
      }
      context.limit?.issued(names);
      return leaf;
    }

    #refuse({ names }: LeafRequest, reason: IssueErrorCode): never {
      try {
        record({ tag: "refused", authority: this.#name, names: names.slice(0, MAX_NAMES).map(shown), reason });
      } catch {
        // Refused all the same.
      }
      throw new WitError(reason);
    }
  }

  return { Authority };
}

/** A name of the guest's for people: in ASCII alone, since a letter of another script can pass for one of a permitted name. */
function shown(name: RequestedName): string {
  if (name.tag === "dns")
    return printable(name.val.slice(0, MAX_SHOWN))
      .replaceAll(/[^ -~]/gu, escaped)
      .slice(0, MAX_SHOWN);
  const isAddress = name.val.length === 4 || name.val.length === 16;
  return isAddress ? formatIpAddress(name.val) : `${name.val.length} bytes`;
}

function escaped(character: string): string {
  return `\\u{${character.codePointAt(0)!.toString(16)}}`;
}

/** Issued identities, and chains made from them, that one instance may hold at a time. */
const MAX_HELD = 4096;
const MAX_SHOWN = 256;
