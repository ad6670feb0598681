import type { CertificateError, PublicIdentity, UnverifiedPeer as WitUnverifiedPeer } from "sallyport:tls/connection@0.1.0";
import type { SuspendError } from "sallyport:tls/connection@0.1.0";
import { attempt } from "../bindings/errors.ts";
import { optional } from "../bindings/option.ts";
import { Event } from "../reactor/event.ts";
import type { Scope } from "../reactor/cancel.ts";
import { type Endpoint, failureOf } from "./tls-connection.ts";
import { tls } from "./tls-error.ts";

/** A peer that has shown its certificate and waits for a decision. Return to let it pass as far as the verdict does. */
export interface UnverifiedPeer {
  /** Everything that the host found wrong. */
  readonly verdict: readonly CertificateError[];
  readonly presented: boolean;
  /** DER, leaf first. Only until the decision is made. @throws {TlsError} */
  chain(): Uint8Array[];
  /** SHA-256 of the leaf's SubjectPublicKeyInfo. Only until the decision is made. @throws {TlsError} */
  spkiFingerprint(): Uint8Array;
  /** Go on in spite of these. @throws {TlsError} `not-permitted` without a grant of the embedder */
  accept(overriding: readonly CertificateError[]): void;
}

/** Thrown by a decision to refuse the peer with an alert of its own choice; anything else that it throws sends 80. */
export class RefusePeer extends Error {
  readonly code = "ERR_SALLYPORT_REFUSED";
  readonly alert: number;

  /** @param alert AlertDescription of RFC 8446, section 6; 42 is bad_certificate */
  constructor(message: string, alert = 42) {
    super(message);
    this.alert = alert;
  }
}

interface Suspension {
  unverifiedChain(): PublicIdentity;
  acceptPeer(overriding: CertificateError[]): void;
  [Symbol.dispose](): void;
}

export function unverifiedPeer(suspension: Suspension, { verdict, presented }: WitUnverifiedPeer): UnverifiedPeer {
  const withChain = <T>(use: (chain: PublicIdentity) => T): T => {
    using chain = tls(() => suspension.unverifiedChain());
    return use(chain);
  };
  return {
    verdict,
    presented,
    chain: () => withChain((chain) => chain.exportX509Chain()),
    spkiFingerprint: () => withChain((chain) => chain.spkiFingerprint()),
    accept: (overriding) => tls(() => suspension.acceptPeer([...overriding])),
  };
}

/**
 * Take every suspension of an endpoint in turn, let `decide` look at it, and resume, until no point is left.
 *
 * @param points how many were asked for; a connection may pass without reaching all of them
 * @throws {TlsError} when the connection ends; what `decide` threw, after the alert for it was sent
 */
export async function decideAll<S extends Suspension>(
  endpoint: Endpoint & { suspend(): S },
  points: number,
  resume: (suspension: S) => void,
  decide: (suspension: S) => Promise<void> | void,
  scope: Scope | undefined,
): Promise<void> {
  // Not `using`: the build lowers it to a helper that costs QuickJS eight microseconds.
  const reached = new Event(() => endpoint.subscribe());
  try {
    // Waiting comes first: asking too early is an error of the host's, which costs more than the wait.
    for (let passed = 0; passed < points; passed++) {
      await reached.wait(scope);
      const taken = attempt<S, SuspendError>(() => endpoint.suspend());
      if (taken.tag === "err") return throwIfFailed(endpoint);
      const suspension = taken.val;
      try {
        const decided = decide(suspension);
        if (decided !== undefined) await decided;
      } catch (error) {
        attempt(() => endpoint.abort(error instanceof RefusePeer ? error.alert : 80));
        suspension[Symbol.dispose]();
        throw error;
      }
      const resumed = attempt(() => resume(suspension));
      if (resumed.tag === "err") throw failureOf(endpoint);
    }
    await reached.wait(scope);
    throwIfFailed(endpoint);
  } finally {
    reached[Symbol.dispose]();
  }
}

/** How many of these were given. */
export function count(...decisions: (unknown | undefined)[]): number {
  return decisions.filter((decision) => decision !== undefined).length;
}

function throwIfFailed(endpoint: Endpoint): void {
  if (optional(endpoint.outcome())?.tag === "err") throw failureOf(endpoint);
}
