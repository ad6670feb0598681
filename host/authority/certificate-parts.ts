import { DerReader, derTag, readBoolean, readOid } from "../../src/wire/der.ts";

/** The fields of a TBSCertificate of version 3, each as its DER (RFC 5280, section 4.1). */
export interface CertificateParts {
  version: Uint8Array;
  signatureAlgorithm: Uint8Array;
  issuer: Uint8Array;
  subject: Uint8Array;
  spki: Uint8Array;
  tbs: Uint8Array;
  extensions: readonly CertificateExtension[];
}

export interface CertificateExtension {
  oid: string;
  critical: boolean;
  /** Content of the OCTET STRING. */
  value: Uint8Array;
  /** The whole extension. */
  der: Uint8Array;
}

/** Object identifiers of the extensions that certificates of an authority have. */
export const extensionOid = {
  subjectKeyIdentifier: "2.5.29.14",
  subjectAlternativeName: "2.5.29.17",
  nameConstraints: "2.5.29.30",
  authorityKeyIdentifier: "2.5.29.35",
} as const;

/** Take a certificate apart. @throws {WireError} `invalid-der` unless it is a certificate of version 3 with extensions */
export function certificateParts(certificate: Uint8Array): CertificateParts {
  const outer = new DerReader(certificate).enter(derTag.sequence);
  const tbsBytes = outer.upcoming();
  const tbs = outer.enter(derTag.sequence);
  const version = tbs.take(0xa0).bytes;
  tbs.take(derTag.integer);
  const signatureAlgorithm = tbs.take(derTag.sequence).bytes;
  const issuer = tbs.take(derTag.sequence).bytes;
  tbs.take(derTag.sequence);
  const subject = tbs.take(derTag.sequence).bytes;
  const spki = tbs.take(derTag.sequence).bytes;
  const extensions = readExtensions(tbs.enter(0xa3).enter(derTag.sequence));
  tbs.end();
  return { version, signatureAlgorithm, issuer, subject, spki, tbs: tbsBytes, extensions };
}

function readExtensions(list: DerReader): CertificateExtension[] {
  const extensions: CertificateExtension[] = [];
  while (!list.done) {
    const der = list.upcoming();
    const extension = list.enter(derTag.sequence);
    const oid = readOid(extension.take(derTag.oid).content);
    const critical = extension.optional(derTag.boolean);
    const value = extension.take(derTag.octetString).content;
    extension.end();
    extensions.push({ oid, critical: critical !== undefined && readBoolean(critical.content), value, der });
  }
  return extensions;
}
