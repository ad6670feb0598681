import { DerReader, derTag, readBitString, readBoolean, readOid, readSmallInteger } from "./der.ts";
import { formatIpAddress } from "./ip-address.ts";
import { printable } from "./printable.ts";
import { latin1 } from "./utf8.ts";
import { WireError } from "./wire-error.ts";

/** KeyUsage bits (RFC 5280, section 4.2.1.3): bit n of the RFC is 1 << n. */
export const keyUsageBit = {
  digitalSignature: 1 << 0,
  nonRepudiation: 1 << 1,
  keyEncipherment: 1 << 2,
  dataEncipherment: 1 << 3,
  keyAgreement: 1 << 4,
  keyCertSign: 1 << 5,
  crlSign: 1 << 6,
  encipherOnly: 1 << 7,
  decipherOnly: 1 << 8,
} as const;

/** Subject alternative names (RFC 5280, section 4.2.1.6), printable. */
export interface AlternativeNames {
  /** dNSName values as the certificate spells them; a wildcard is a name like `*.example.com`. */
  readonly dns: readonly string[];
  /** iPAddress values as canonical text. */
  readonly ip: readonly string[];
  /** How many names of other kinds there are. */
  readonly otherCount: number;
}

/** What the extensions of a certificate say. Without an extension its field has the value that its absence means. */
export interface CertificateExtensions {
  readonly alternativeNames: AlternativeNames;
  /** BasicConstraints cA; false if absent. */
  readonly isCa: boolean;
  /** BasicConstraints pathLenConstraint; undefined if unlimited. */
  readonly pathLength: number | undefined;
  /** Sum of {@link keyUsageBit}; undefined if the extension is absent. */
  readonly keyUsage: number | undefined;
  /** KeyPurposeId object identifiers; undefined if the extension is absent. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  /** Object identifiers of critical extensions that are not read here. */
  readonly otherCritical: readonly string[];
}

/**
 * Reads Extensions (RFC 5280, section 4.1.2.9).
 *
 * @param reader stands before the SEQUENCE; undefined for a certificate without extensions
 * @throws WireError `invalid-der`, and `invalid-certificate` for an extension that appears twice or does not add up
 */
export function readCertificateExtensions(reader: DerReader | undefined): CertificateExtensions {
  const { values, otherCritical } = collect(reader);
  const basic = basicConstraints(values.get(BASIC_CONSTRAINTS));
  return {
    alternativeNames: alternativeNames(values.get(SUBJECT_ALTERNATIVE_NAME)),
    ...basic,
    keyUsage: keyUsage(values.get(KEY_USAGE)),
    extendedKeyUsage: extendedKeyUsage(values.get(EXTENDED_KEY_USAGE)),
    otherCritical,
  };
}

function collect(reader: DerReader | undefined): { values: Map<string, Uint8Array>; otherCritical: string[] } {
  const values = new Map<string, Uint8Array>();
  const otherCritical: string[] = [];
  if (reader === undefined) return { values, otherCritical };
  const list = reader.enter(derTag.sequence);
  reader.end();
  do {
    const extension = list.enter(derTag.sequence);
    const oid = readOid(extension.take(derTag.oid).content);
    // DER leaves FALSE out; certificates that write it are common enough to be read.
    const critical = extension.optional(derTag.boolean);
    const value = extension.take(derTag.octetString).content;
    extension.end();
    if (values.has(oid)) throw invalid(`extension ${oid} appears twice`);
    values.set(oid, value);
    if (critical !== undefined && readBoolean(critical.content) && !known.has(oid)) otherCritical.push(oid);
  } while (!list.done);
  return { values, otherCritical };
}

function basicConstraints(value: Uint8Array | undefined): { isCa: boolean; pathLength: number | undefined } {
  if (value === undefined) return { isCa: false, pathLength: undefined };
  const sequence = sequenceOf(value);
  const ca = sequence.optional(derTag.boolean);
  const pathLength = sequence.optional(derTag.integer);
  sequence.end();
  return {
    isCa: ca !== undefined && readBoolean(ca.content),
    pathLength: pathLength && readSmallInteger(pathLength.content, 0xffff),
  };
}

function keyUsage(value: Uint8Array | undefined): number | undefined {
  if (value === undefined) return undefined;
  const outer = new DerReader(value);
  const { bytes } = readBitString(outer.take(derTag.bitString).content);
  outer.end();
  let usage = 0;
  for (let bit = 0; bit < Math.min(9, bytes.length * 8); bit++) usage |= ((bytes[bit >> 3]! >> (7 - (bit & 7))) & 1) << bit;
  return usage;
}

function extendedKeyUsage(value: Uint8Array | undefined): string[] | undefined {
  if (value === undefined) return undefined;
  const sequence = sequenceOf(value);
  const purposes: string[] = [];
  do purposes.push(readOid(sequence.take(derTag.oid).content));
  while (!sequence.done);
  return purposes;
}

function alternativeNames(value: Uint8Array | undefined): AlternativeNames {
  const dns: string[] = [];
  const ip: string[] = [];
  let otherCount = 0;
  if (value === undefined) return { dns, ip, otherCount };
  const sequence = sequenceOf(value);
  while (!sequence.done) {
    const { tag, content } = sequence.any();
    if (tag === DNS_NAME) {
      if (content.some((byte) => byte > 0x7f)) throw invalid("a DNS name is not ASCII");
      dns.push(printable(latin1(content)));
    } else if (tag === IP_ADDRESS) {
      if (content.length !== 4 && content.length !== 16) throw invalid("an IP address is neither 4 nor 16 bytes long");
      ip.push(formatIpAddress(content));
    } else {
      otherCount++;
    }
  }
  return { dns, ip, otherCount };
}

function sequenceOf(value: Uint8Array): DerReader {
  const outer = new DerReader(value);
  const sequence = outer.enter(derTag.sequence);
  outer.end();
  return sequence;
}

function invalid(message: string): WireError {
  return new WireError("invalid-certificate", message);
}

const KEY_USAGE = "2.5.29.15";
const SUBJECT_ALTERNATIVE_NAME = "2.5.29.17";
const BASIC_CONSTRAINTS = "2.5.29.19";
const EXTENDED_KEY_USAGE = "2.5.29.37";
const known: ReadonlySet<string> = new Set([KEY_USAGE, SUBJECT_ALTERNATIVE_NAME, BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE]);

/** GeneralName choices, as implicit context tags. */
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;
