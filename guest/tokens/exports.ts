import { now } from "wasi:clocks/wall-clock@0.2.12";
import type { Channel, Claims, IssueError, KeyError, TokenError as TokenErrorValue } from "sallyport:policy/tokens@0.1.0";
import { bigintOfU64, ErrorResult, numberOfU32, optional, u64 } from "../../src/bindings/index.ts";
import {
  bindingOf,
  type Issuer as IssuerOfLibrary,
  readToken,
  TokenArgumentError,
  TokenError,
  Verifier as VerifierOfLibrary,
  type VerifySignature,
} from "../../src/tokens/index.ts";

/** An issuer and what can be told of its key. */
export interface OpenIssuer {
  issuer: IssuerOfLibrary;
  publicKey: Uint8Array;
  seed?: Uint8Array;
}

/** What differs between the builds: who verifies signatures, and where issuers come from. */
export interface Build {
  verifySignature: VerifySignature;
  generate(id: string): OpenIssuer;
  fromSeed(id: string, seed: Uint8Array): OpenIssuer;
  open(name: string): OpenIssuer;
}

/** The exported interface `sallyport:policy/tokens`. */
export function tokensExports(build: Build) {
  class Issuer {
    readonly #open: OpenIssuer;

    constructor(open: OpenIssuer) {
      this.#open = open;
    }

    id(): string {
      return this.#open.issuer.id;
    }

    publicKey(): Uint8Array {
      return this.#open.publicKey;
    }

    seed(): Uint8Array | null {
      return this.#open.seed ?? null;
    }

    issue(subject: string, groups: string[], audience: string, lifetime: number, bindTo: Channel): string {
      const request = { subject, groups, audience, lifetime: BigInt(numberOfU32(lifetime)), channel: channelOf(bindTo) };
      try {
        return this.#open.issuer.issue(request);
      } catch (error) {
        if (error instanceof TokenArgumentError && (error.code === "invalid-argument" || error.code === "too-large"))
          throw failure<IssueError>(error.code);
        throw error;
      }
    }
  }

  class Verifier {
    readonly #keys;
    readonly #verifier: VerifierOfLibrary;
    #requireExporter = false;

    constructor(audience: string) {
      this.#verifier = new VerifierOfLibrary({
        audience,
        verifySignature: build.verifySignature,
        now: secondsNow,
        requireTlsExporter: () => this.#requireExporter,
      });
      this.#keys = this.#verifier.keyring;
    }

    trust(issuer: string, publicKey: Uint8Array): void {
      try {
        this.#keys.trust(issuer, publicKey);
      } catch (error) {
        if (error instanceof TokenArgumentError && (error.code === "invalid-key" || error.code === "weak-key"))
          throw failure<KeyError>(error.code);
        throw error;
      }
    }

    untrust(issuer: string): boolean {
      return this.#keys.untrust(issuer);
    }

    export(): { issuer: string; publicKey: Uint8Array }[] {
      return this.#keys.export();
    }

    revoke(issuer: string, subject: string): void {
      this.#verifier.revoke(issuer, subject);
    }

    unrevoke(issuer: string, subject: string): boolean {
      return this.#verifier.unrevoke(issuer, subject);
    }

    revocations(): { issuer: string; subject: string }[] {
      return this.#verifier.revocations();
    }

    requireTlsExporter(required: boolean): void {
      this.#requireExporter = required;
    }

    verify(token: string, over: Channel): Claims {
      return refusing(() => {
        const { boundTo, ...claims } = this.#verifier.verify(token, channelOf(over));
        return {
          ...claims,
          expiresAt: u64(claims.expiresAt),
          certificateBound: boundTo.includes("certificate"),
          exporterBound: boundTo.includes("tls-exporter"),
        };
      });
    }
  }

  return {
    Issuer,
    Verifier,
    generateIssuer: (id: string) => new Issuer(build.generate(id)),
    issuerFromSeed: (id: string, seed: Uint8Array) => new Issuer(build.fromSeed(id, seed)),
    openIssuer: (name: string) => new Issuer(build.open(name)),
    createVerifier: (audience: string) => new Verifier(audience),
    inspect,
    certificateSha256: bindingOf,
  };
}

/** Seconds since 1970 by the runtime's clock. */
export function secondsNow(): bigint {
  return bigintOfU64(now().seconds);
}

/** What an export throws for the error case of its result. */
export function failure<E extends string>(code: E): ErrorResult<E> {
  return new ErrorResult(code, code);
}

function inspect(token: string): Claims {
  return refusing(() => {
    const { certificateBinding, exporterBinding, ...claims } = readToken(token).claims;
    return {
      ...claims,
      expiresAt: u64(claims.expiresAt),
      certificateBound: certificateBinding !== undefined,
      exporterBound: exporterBinding !== undefined,
    };
  });
}

function channelOf({ certificateSha256, tlsExporter }: Channel) {
  return { certificateSha256: optional(certificateSha256), tlsExporter: optional(tlsExporter) };
}

function refusing<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof TokenError) throw failure<TokenErrorValue>(error.code);
    throw error;
  }
}
