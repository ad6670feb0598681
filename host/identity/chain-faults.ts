import type { X509Certificate } from "node:crypto";
import { type Certificate, keyUsageBit, readCertificate } from "../../src/wire/certificate.ts";
import type { CertificateError } from "../io/source.ts";
import type { PublicChain } from "./public-identity.ts";
import type { AnchorSet } from "./trust-anchors.ts";

/**
 * What is wrong with the path from a leaf to the anchors, found without OpenSSL's verifier.
 *
 * Only for chains that the verifier refused. It reports one error where there are several, and the last one it met: a
 * self-signed leaf that has also expired reads as expired. Whoever then overrides "expired" would let in anybody. So
 * everything that may hide behind that one error is looked for again. Where a second opinion is impossible (revocation,
 * which would need the lists read) the fault is assumed.
 *
 * @param now Unix time in seconds
 */
export function chainFaults(chain: PublicChain, anchors: AnchorSet, now: bigint): Set<CertificateError> {
  const faults = new Set<CertificateError>();
  const path = walk(chain, anchors, faults);
  for (const [depth, certificate] of path.entries()) {
    const read = readOrUndefined(certificate);
    if (read === undefined) {
      faults.add("bad-encoding");
      continue;
    }
    for (const fault of validity(read, now)) faults.add(fault);
    if (read.otherCritical.some((oid) => !CHECKED_BY_OPENSSL.has(oid))) faults.add("other");
    const isAnchor = anchors.has(certificate);
    if (!isAnchor && WEAK_SIGNATURES.has(read.signatureAlgorithm)) faults.add("other");
    if (isWeakKey(certificate)) faults.add("other");
    if (depth > 0) for (const fault of issuerFaults(read, depth - 1, isAnchor)) faults.add(fault);
  }
  if (anchors.crls.length > 0) faults.add("revoked");
  return faults;
}

/** `expired` or `not-yet-valid`, if one of them applies. @param now Unix time in seconds */
export function validity(certificate: Certificate, now: bigint): CertificateError[] {
  if (now < certificate.notBefore) return ["not-yet-valid"];
  return now > certificate.notAfter ? ["expired"] : [];
}

/** Read by our own, stricter parser; `undefined` if it refuses. */
export function readOrUndefined(certificate: X509Certificate): Certificate | undefined {
  try {
    return readCertificate(new Uint8Array(certificate.raw));
  } catch {
    return undefined;
  }
}

/**
 * From the leaf upwards, preferring issuers whose signature holds, and anchors among those. It never goes back, so a
 * path may be missed; that only makes the verdict longer.
 */
function walk(chain: PublicChain, anchors: AnchorSet, faults: Set<CertificateError>): X509Certificate[] {
  const unused = new Set(chain.certificates.slice(1));
  const path = [chain.leaf];
  for (let current = chain.leaf; !anchors.has(current);) {
    const named = [...anchors.parsed, ...unused].filter((candidate) => mayHaveIssued(current, candidate));
    const signed = named.find((candidate) => isSignedBy(current, candidate));
    const issuer = signed ?? named[0];
    if (issuer === undefined || path.length > MAX_PATH) {
      faults.add(isSignedBy(current, current) ? "self-signed" : "unknown-issuer");
      return path;
    }
    if (issuer === current || issuer.raw.equals(current.raw)) {
      faults.add(signed === undefined ? "bad-signature" : "self-signed");
      return path;
    }
    if (signed === undefined) faults.add("bad-signature");
    unused.delete(issuer);
    path.push(issuer);
    current = issuer;
  }
  return path;
}

/** Node's check also wants the key usage of an authority, whose lack is a fault to be named and not a missing issuer. */
function mayHaveIssued(certificate: X509Certificate, candidate: X509Certificate): boolean {
  if (certificate.checkIssued(candidate)) return true;
  return certificate.issuer === candidate.subject && isSignedBy(certificate, candidate);
}

function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.verify(issuer.publicKey);
  } catch {
    return false;
  }
}

/** @param below how many issuers stand between this one and the leaf */
function issuerFaults(issuer: Certificate, below: number, isAnchor: boolean): CertificateError[] {
  // An anchor is a key and a name; roots of version 1 cannot say that they are authorities.
  const saysCa = issuer.isCa || (isAnchor && issuer.version < 3);
  if (!saysCa) return ["bad-usage"];
  if (issuer.keyUsage !== undefined && (issuer.keyUsage & keyUsageBit.keyCertSign) === 0) return ["bad-usage"];
  return issuer.pathLength !== undefined && below > issuer.pathLength ? ["constraint-violated"] : [];
}

function isWeakKey(certificate: X509Certificate): boolean {
  try {
    const { modulusLength } = certificate.publicKey.asymmetricKeyDetails ?? {};
    return modulusLength !== undefined && modulusLength < 2048;
  } catch {
    return true;
  }
}

const MAX_PATH = 16;

/** name constraints, policies, policy mappings and constraints, inhibit-any-policy. */
const CHECKED_BY_OPENSSL = new Set(["2.5.29.30", "2.5.29.32", "2.5.29.33", "2.5.29.36", "2.5.29.54"]);

/** RSA with MD2, MD5, SHA-1; DSA and ECDSA with SHA-1. */
const WEAK_SIGNATURES = new Set([
  "1.2.840.113549.1.1.2",
  "1.2.840.113549.1.1.4",
  "1.2.840.113549.1.1.5",
  "1.2.840.10040.4.3",
  "1.2.840.10045.4.1",
]);
