import { type CertificateExtensions, readCertificateExtensions } from "./certificate-extensions.ts";
import { checkInteger, DerReader, derTag, readBitString, readOid, readSmallInteger } from "./der.ts";
import { readTime } from "./der-time.ts";
import { type DistinguishedName, readDistinguishedName } from "./distinguished-name.ts";
import { encodeHex } from "./hex.ts";
import { publicKeyAlgorithm } from "./public-key.ts";
import { WireError } from "./wire-error.ts";

export { type AlternativeNames, type CertificateExtensions, keyUsageBit } from "./certificate-extensions.ts";
export type { DistinguishedName } from "./distinguished-name.ts";

/** What a certificate says of itself: read, not verified. All texts are printable. Bytes are views of the input. */
export interface Certificate extends CertificateExtensions {
  /** 1, 2 or 3. */
  readonly version: number;
  /** Lower-case hexadecimal, an even number of digits, no leading zero byte; `-` before a negative one. */
  readonly serial: string;
  readonly issuer: DistinguishedName;
  readonly subject: DistinguishedName;
  /** Unix time in seconds of the first and the last second of the validity period. */
  readonly notBefore: bigint;
  readonly notAfter: bigint;
  /** Object identifier. */
  readonly signatureAlgorithm: string;
  /** For people, for example `EC P-256`, `RSA 2048`, `Ed25519`. */
  readonly publicKeyAlgorithm: string;
  /** DER of SubjectPublicKeyInfo: what key pins are hashes of. */
  readonly spki: Uint8Array;
  /** DER of TBSCertificate: what the signature covers. */
  readonly tbs: Uint8Array;
}

/**
 * Reads an X.509 certificate (RFC 5280, section 4.1). Strict about the encoding, tolerant of what it does not know. Says
 * nothing about trust: signature, chain and dates are for a TLS library to check.
 *
 * @param der exactly one certificate, 64 KiB at most
 * @throws WireError `invalid-der`, `invalid-certificate`, `too-large`
 */
export function readCertificate(der: Uint8Array): Certificate {
  if (der.length > MAX_CERTIFICATE_LENGTH) throw new WireError("too-large", "a certificate is longer than 64 KiB");
  const outer = new DerReader(der);
  const certificate = outer.enter(derTag.sequence);
  outer.end();
  const tbsBytes = certificate.upcoming();
  const tbs = certificate.enter(derTag.sequence);
  const outerAlgorithm = certificate.take(derTag.sequence).bytes;
  readBitString(certificate.take(derTag.bitString).content);
  certificate.end();

  const version = readVersion(tbs);
  const serial = readSerial(tbs.take(derTag.integer).content);
  const innerAlgorithm = tbs.upcoming();
  const signatureAlgorithm = readOid(tbs.enter(derTag.sequence).take(derTag.oid).content);
  // RFC 5280, section 4.1.1.2: the outer one is not signed, so it has to repeat the inner one.
  if (encodeHex(innerAlgorithm) !== encodeHex(outerAlgorithm)) throw invalid("the two signature algorithms differ");
  const issuer = readDistinguishedName(tbs);
  const validity = tbs.enter(derTag.sequence);
  const notBefore = readTime(validity.any());
  const notAfter = readTime(validity.any());
  validity.end();
  const subject = readDistinguishedName(tbs);
  const spki = tbs.take(derTag.sequence).bytes;
  const uniqueIds = [tbs.optional(ISSUER_UNIQUE_ID), tbs.optional(SUBJECT_UNIQUE_ID)];
  if (version === 1 && uniqueIds.some((id) => id !== undefined)) throw invalid("a version 1 certificate has unique identifiers");
  const extensions = tbs.peekTag() === EXTENSIONS ? tbs.enter(EXTENSIONS) : undefined;
  if (extensions !== undefined && version !== 3) throw invalid("a certificate has extensions but is not of version 3");
  tbs.end();

  return {
    version,
    serial,
    issuer,
    subject,
    notBefore,
    notAfter,
    signatureAlgorithm,
    publicKeyAlgorithm: publicKeyAlgorithm(spki),
    spki,
    tbs: tbsBytes,
    ...readCertificateExtensions(extensions),
  };
}

/**
 * What tells a certificate from others of its issuer, and how long it is good: all there is to learn of one that was asked for
 * by oneself, at a tenth of the work of reading the whole.
 *
 * @param der one certificate
 * @throws WireError as `readCertificate`, for what it has to read
 */
export function readSerialAndEnd(der: Uint8Array): Pick<Certificate, "serial" | "notAfter"> {
  const tbs = new DerReader(der).enter(derTag.sequence).enter(derTag.sequence);
  readVersion(tbs);
  const serial = readSerial(tbs.take(derTag.integer).content);
  tbs.take(derTag.sequence);
  tbs.take(derTag.sequence);
  const validity = tbs.enter(derTag.sequence);
  validity.any();
  return { serial, notAfter: readTime(validity.any()) };
}

function readVersion(tbs: DerReader): number {
  if (tbs.peekTag() !== VERSION) return 1;
  const explicit = tbs.enter(VERSION);
  const version = readSmallInteger(explicit.take(derTag.integer).content, 2) + 1;
  explicit.end();
  return version;
}

/** RFC 5280 wants at most 20 bytes, positive; older certificates break that, and their numbers still have to be shown. */
function readSerial(content: Uint8Array): string {
  if (content.length > MAX_SERIAL_LENGTH) throw invalid("the serial number is too long");
  const bytes = checkInteger(content);
  if (bytes[0]! < 0x80) return encodeHex(bytes.length > 1 && bytes[0] === 0 ? bytes.subarray(1) : bytes);
  const magnitude = (1n << BigInt(8 * bytes.length)) - BigInt(`0x${encodeHex(bytes)}`);
  const digits = magnitude.toString(16);
  return `-${digits.length % 2 === 0 ? digits : `0${digits}`}`;
}

function invalid(message: string): WireError {
  return new WireError("invalid-certificate", message);
}

const MAX_CERTIFICATE_LENGTH = 0x1_0000;
const MAX_SERIAL_LENGTH = 64;

/** Context tags of TBSCertificate. */
const VERSION = 0xa0;
const ISSUER_UNIQUE_ID = 0x81;
const SUBJECT_UNIQUE_ID = 0x82;
const EXTENSIONS = 0xa3;
