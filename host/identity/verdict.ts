import { type Certificate, keyUsageBit } from "../../src/wire/certificate.ts";
import type { ServerName } from "../../src/wire/server-name.ts";
import type { CertificateError } from "../io/source.ts";
import { chainFaults, readOrUndefined, validity } from "./chain-faults.ts";
import type { PublicChain } from "./public-identity.ts";
import { leafCovers } from "./server-name-check.ts";
import type { AnchorSet } from "./trust-anchors.ts";

/** What there is to judge a peer by. */
export interface Evidence {
  /** What OpenSSL's verifier reported to node:tls; `undefined` if it was content. */
  verifyError: VerifyError | undefined;
  /** What the peer presented; `undefined` if nothing. */
  chain: PublicChain | undefined;
  /** What the peer is in this connection. */
  peer: "server" | "client";
  /** For a server: the names one of which the leaf must cover. Not looked at for a client. */
  names: readonly ServerName[];
  /** Those that the verifier had. */
  anchors: AnchorSet;
  /** Unix time in seconds. */
  now: bigint;
}

/**
 * `code` as Node has it (`CERT_HAS_EXPIRED`), and OpenSSL's text: Node calls everything that it has no name for
 * `UNSPECIFIED`, name constraints among them.
 */
export interface VerifyError {
  code: string;
  reason?: string;
}

/**
 * The verdict on a peer: everything that is wrong with its certificate, without repetition, in the order of the WIT enum.
 * Empty means that the verifier was content with the path and we are with the leaf.
 */
export function verdict(evidence: Evidence): CertificateError[] {
  const { chain, verifyError } = evidence;
  if (chain === undefined) return ["none-presented"];
  const faults = new Set<CertificateError>(leafFaults(chain, evidence));
  if (verifyError !== undefined) {
    const found = chainFaults(chain, evidence.anchors, evidence.now);
    const reported = meaning(verifyError);
    // Both say that no path leads to an anchor; which of the two depends on how far the search got.
    const unanchored = found.has("self-signed") || found.has("unknown-issuer");
    if (!unanchored || (reported !== "self-signed" && reported !== "unknown-issuer")) faults.add(reported);
    for (const fault of found) faults.add(fault);
  }
  return CERTIFICATE_ERRORS.filter((error) => faults.has(error));
}

/** The alert that refuses a peer for this reason (RFC 8446, section 6.2), in TLS 1.3 and, but for 116, in TLS 1.2. */
export function alertFor(error: CertificateError): number {
  return ALERTS[error];
}

/**
 * The leaf by itself. What OpenSSL lets pass is looked for here: a leaf of version 1, a CA as leaf, a name that only the
 * common name has.
 */
function leafFaults(chain: PublicChain, { peer, names, now }: Evidence): CertificateError[] {
  const leaf = readOrUndefined(chain.leaf);
  if (leaf === undefined) return ["bad-encoding"];
  const faults = validity(leaf, now);
  if (peer === "server" && !leafCovers(leaf, names)) faults.push("name-mismatch");
  if (!mayAuthenticate(leaf, peer === "server" ? SERVER_AUTH : CLIENT_AUTH)) faults.push("bad-usage");
  return faults;
}

function mayAuthenticate(leaf: Certificate, purpose: string): boolean {
  if (leaf.version < 3 || leaf.isCa) return false;
  if (leaf.keyUsage !== undefined && (leaf.keyUsage & keyUsageBit.digitalSignature) === 0) return false;
  return leaf.extendedKeyUsage === undefined || leaf.extendedKeyUsage.includes(purpose);
}

function meaning({ code, reason = "" }: VerifyError): CertificateError {
  const known = BY_CODE.get(code);
  if (known !== undefined) return known;
  return BY_REASON.find(([pattern]) => pattern.test(reason))?.[1] ?? "other";
}

const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";

/** The WIT enum `certificate-error`, in its order. */
export const CERTIFICATE_ERRORS: readonly CertificateError[] = [
  "expired",
  "not-yet-valid",
  "name-mismatch",
  "unknown-issuer",
  "self-signed",
  "revoked",
  "bad-usage",
  "bad-encoding",
  "bad-signature",
  "constraint-violated",
  "none-presented",
  "other",
];

const ALERTS: Record<CertificateError, number> = {
  expired: 45,
  "not-yet-valid": 45,
  "name-mismatch": 42,
  "unknown-issuer": 48,
  "self-signed": 48,
  revoked: 44,
  "bad-usage": 43,
  "bad-encoding": 42,
  "bad-signature": 42,
  "constraint-violated": 42,
  "none-presented": 116,
  other: 46,
};

/** Node's names for OpenSSL's X509_V_ERR values. Those that are missing here are `other`. */
const BY_CODE = new Map<string, CertificateError>([
  ["CERT_HAS_EXPIRED", "expired"],
  ["CERT_NOT_YET_VALID", "not-yet-valid"],
  ["UNABLE_TO_GET_ISSUER_CERT", "unknown-issuer"],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "unknown-issuer"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "unknown-issuer"],
  ["CERT_UNTRUSTED", "unknown-issuer"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "self-signed"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "self-signed"],
  ["CERT_REVOKED", "revoked"],
  ["UNABLE_TO_GET_CRL", "revoked"],
  ["CRL_HAS_EXPIRED", "revoked"],
  ["CRL_NOT_YET_VALID", "revoked"],
  ["CRL_SIGNATURE_FAILURE", "revoked"],
  ["UNABLE_TO_DECRYPT_CRL_SIGNATURE", "revoked"],
  ["ERROR_IN_CRL_LAST_UPDATE_FIELD", "revoked"],
  ["ERROR_IN_CRL_NEXT_UPDATE_FIELD", "revoked"],
  ["INVALID_CA", "bad-usage"],
  ["INVALID_PURPOSE", "bad-usage"],
  ["CERT_REJECTED", "bad-usage"],
  ["HOSTNAME_MISMATCH", "name-mismatch"],
  ["PATH_LENGTH_EXCEEDED", "constraint-violated"],
  ["CERT_CHAIN_TOO_LONG", "constraint-violated"],
  ["CERT_SIGNATURE_FAILURE", "bad-signature"],
  ["UNABLE_TO_DECRYPT_CERT_SIGNATURE", "bad-signature"],
  ["UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY", "bad-encoding"],
  ["ERROR_IN_CERT_NOT_BEFORE_FIELD", "bad-encoding"],
  ["ERROR_IN_CERT_NOT_AFTER_FIELD", "bad-encoding"],
]);

/** OpenSSL's texts (X509_verify_cert_error_string) for what Node has no code for. */
const BY_REASON: readonly (readonly [RegExp, CertificateError])[] = [
  [/subtree violation|name constraint|name syntax/, "constraint-violated"],
  [/policy/, "constraint-violated"],
  [/CRL/, "revoked"],
  [/key usage|invalid CA|purpose/, "bad-usage"],
  [/(hostname|IP address) mismatch/i, "name-mismatch"],
];
