import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { derTag } from "../../src/wire/der.ts";
import type { ServerName } from "../../src/wire/server-name.ts";
import { certificateParts, extensionOid } from "./certificate-parts.ts";
import { der, derTime } from "./der-writer.ts";
import { keyIdentifier, randomSerial } from "./certificate-fields.ts";

/** What differs from leaf to leaf. */
export interface LeafFields {
  /** The subject alternative names, exactly these. At least one. */
  names: readonly ServerName[];
  /** First and last second of validity, Unix time. */
  notBefore: bigint;
  notAfter: bigint;
}

/** A leaf that has just been made, with its key. */
export interface MadeLeaf {
  certificate: Uint8Array;
  key: KeyObject;
  serial: Uint8Array;
}

/**
 * Makes leaves from a template, which is taken apart once: writing each with the library that made the template costs ten
 * times as much.
 */
export class LeafWriter {
  readonly #before: readonly Uint8Array[];
  readonly #signatureAlgorithm: Uint8Array;
  readonly #extensions: readonly Uint8Array[];

  /** @param template DER, made by `writeLeafTemplate` */
  constructor(template: Uint8Array) {
    const { version, signatureAlgorithm, issuer, extensions } = certificateParts(template);
    this.#before = [version, signatureAlgorithm, issuer];
    this.#signatureAlgorithm = signatureAlgorithm;
    this.#extensions = extensions.filter(({ oid }) => !replaced.has(oid)).map((extension) => extension.der);
  }

  /** Make a P-256 key and a certificate for it. @param issuerKey P-256 */
  write(fields: LeafFields, issuerKey: KeyObject): MadeLeaf {
    const { privateKey: key, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const spki = publicKey.export({ type: "spki", format: "der" });
    const serial = randomSerial();
    const [version, signatureAlgorithm, issuer] = this.#before as [Uint8Array, Uint8Array, Uint8Array];
    const subject = subjectOf(fields.names);
    const tbs = der(
      derTag.sequence,
      version,
      der(derTag.integer, serial),
      signatureAlgorithm,
      issuer,
      der(derTag.sequence, derTime(fields.notBefore), derTime(fields.notAfter)),
      subject,
      spki,
      der(
        EXTENSIONS,
        der(derTag.sequence, ...this.#extensions, subjectKeyIdentifier(spki), alternativeNames(fields.names, isEmpty(subject))),
      ),
    );
    const signature = sign("sha256", tbs, issuerKey);
    const certificate = der(derTag.sequence, tbs, this.#signatureAlgorithm, der(derTag.bitString, Uint8Array.of(0), signature));
    return { certificate, key, serial };
  }
}

/**
 * The first host name as common name if it fits into one (64, RFC 5280, appendix A.1). Some verifiers hold a common name
 * against DNS constraints, so an address must not stand there.
 */
function subjectOf(names: readonly ServerName[]): Uint8Array {
  const first = names.find((name) => name.tag === "dns");
  if (first === undefined || first.name.length > MAX_COMMON_NAME) return der(derTag.sequence);
  const value = der(derTag.utf8String, Buffer.from(first.name, "latin1"));
  return der(derTag.sequence, der(derTag.set, der(derTag.sequence, COMMON_NAME, value)));
}

function subjectKeyIdentifier(spki: Uint8Array): Uint8Array {
  return der(derTag.sequence, SUBJECT_KEY_IDENTIFIER, der(derTag.octetString, der(derTag.octetString, keyIdentifier(spki))));
}

/** @param critical where there is no subject that could name anything (RFC 5280, section 4.2.1.6) */
function alternativeNames(names: readonly ServerName[], critical: boolean): Uint8Array {
  const list = names.map((name) => (name.tag === "dns" ? der(0x82, Buffer.from(name.name, "latin1")) : der(0x87, name.bytes)));
  const flag = critical ? [der(derTag.boolean, Uint8Array.of(0xff))] : [];
  return der(derTag.sequence, SUBJECT_ALTERNATIVE_NAME, ...flag, der(derTag.octetString, der(derTag.sequence, ...list)));
}

function isEmpty(name: Uint8Array): boolean {
  return name[1] === 0;
}

const replaced: ReadonlySet<string> = new Set([extensionOid.subjectKeyIdentifier, extensionOid.subjectAlternativeName]);

/** Object identifiers as DER: id-at-commonName, id-ce-subjectKeyIdentifier, id-ce-subjectAltName. */
const COMMON_NAME = Uint8Array.of(0x06, 0x03, 0x55, 0x04, 0x03);
const SUBJECT_KEY_IDENTIFIER = Uint8Array.of(0x06, 0x03, 0x55, 0x1d, 0x0e);
const SUBJECT_ALTERNATIVE_NAME = Uint8Array.of(0x06, 0x03, 0x55, 0x1d, 0x11);

/** Context tag of TBSCertificate.extensions. */
const EXTENSIONS = 0xa3;
const MAX_COMMON_NAME = 64;
