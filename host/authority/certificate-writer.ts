import { createPublicKey, type KeyObject, sign } from "node:crypto";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { DerReader, derTag } from "../../src/wire/der.ts";
import { keyIdentifier, randomSerial } from "./certificate-fields.ts";
import { certificateParts, extensionOid } from "./certificate-parts.ts";
import { der } from "./der-writer.ts";
import type { Limits } from "./limits.ts";
import { encodeNameConstraints } from "./name-constraints.ts";

/** What differs from one certificate of an authority to the next; all else is fixed by its profile. */
export interface AuthorityCertificate {
  /** Of the subject; P-256. */
  key: KeyObject;
  limits: Limits;
  /** First and last second of validity, Unix time. */
  notBefore: bigint;
  notAfter: bigint;
}

/** Who signs: its certificate and key. */
export interface Issuer {
  certificate: Uint8Array;
  key: KeyObject;
}

/**
 * The root: what clients trust. It carries the constraints too, for the verifiers that apply those of an anchor; the
 * intermediate has them for the others.
 *
 * @returns DER
 */
export async function writeRoot(root: AuthorityCertificate): Promise<Uint8Array> {
  const name = commonName("Sallyport root", root.key);
  const extensions = [...authorityExtensions(root, 1)];
  return await write(name, name, root, extensions, root.key);
}

/**
 * The intermediate that signs leaves, and nothing but leaves for servers within its limits: every verifier applies the
 * constraints of an intermediate, while those of an anchor may be ignored (RFC 5280, section 6.1, takes a trust anchor to be
 * a name and a key).
 *
 * @returns DER
 */
export async function writeIntermediate(intermediate: AuthorityCertificate, issuer: Issuer): Promise<Uint8Array> {
  const extensions = [
    ...authorityExtensions(intermediate, 0),
    new AuthorityKeyIdentifierExtension(keyIdOf(issuer.certificate)),
    new ExtendedKeyUsageExtension([SERVER_AUTH]),
  ];
  const name = commonName("Sallyport issuing CA", intermediate.key);
  return await write(name, nameOf(issuer.certificate), intermediate, extensions, issuer.key);
}

/**
 * A leaf with everything that all leaves of an issuer have in common, for `LeafWriter` to fill in the rest. Nobody signed
 * it.
 *
 * @param issuer DER
 * @returns DER
 */
export async function writeLeafTemplate(issuer: Uint8Array): Promise<Uint8Array> {
  const certificate = await X509CertificateGenerator.create({
    serialNumber: "01",
    issuer: nameOf(issuer),
    subject: new Name([]),
    notBefore: new Date(0),
    notAfter: new Date(0),
    // Any key will do: each leaf has its own.
    publicKey: Uint8Array.from(certificateParts(issuer).spki),
    signature: new Uint8Array(1),
    signingAlgorithm: ALGORITHM,
    extensions: [
      new AuthorityKeyIdentifierExtension(keyIdOf(issuer)),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([SERVER_AUTH]),
      new SubjectKeyIdentifierExtension("00"),
      new SubjectAlternativeNameExtension([{ type: "dns", value: "template.invalid" }]),
    ],
  });
  return new Uint8Array(certificate.rawData);
}

function authorityExtensions({ key, limits }: AuthorityCertificate, pathLength: number): Extension[] {
  const keyId = Buffer.from(keyIdentifier(spkiOf(key))).toString("hex");
  return [
    new BasicConstraintsExtension(true, pathLength, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    new SubjectKeyIdentifierExtension(keyId),
    new Extension(extensionOid.nameConstraints, true, Uint8Array.from(encodeNameConstraints(limits))),
  ];
}

/** The library writes what is to be signed; the signature is made by Node, whose keys it does not take. */
async function write(
  subject: Name,
  issuer: Name,
  { key, notBefore, notAfter }: AuthorityCertificate,
  extensions: Extension[],
  signingKey: KeyObject,
): Promise<Uint8Array> {
  const unsigned = await X509CertificateGenerator.create({
    serialNumber: Buffer.from(randomSerial()).toString("hex"),
    subject,
    issuer,
    notBefore: new Date(Number(notBefore) * 1000),
    notAfter: new Date(Number(notAfter) * 1000),
    publicKey: spkiOf(key),
    signature: new Uint8Array(1),
    signingAlgorithm: ALGORITHM,
    extensions,
  });
  const { tbs, signatureAlgorithm } = certificateParts(new Uint8Array(unsigned.rawData));
  const signature = sign("sha256", tbs, signingKey);
  return der(derTag.sequence, tbs, signatureAlgorithm, der(derTag.bitString, Uint8Array.of(0), signature));
}

/** With a part of the key's identifier, so that an authority and its successor never share a name. */
function commonName(text: string, key: KeyObject): Name {
  const suffix = Buffer.from(keyIdentifier(spkiOf(key)).subarray(0, 4)).toString("hex");
  return new Name([{ CN: [`${text} ${suffix}`] }]);
}

function nameOf(certificate: Uint8Array): Name {
  return new Name(Uint8Array.from(certificateParts(certificate).subject));
}

/** The certificate's own word for its key, hexadecimal. */
function keyIdOf(certificate: Uint8Array): string {
  const extension = certificateParts(certificate).extensions.find(({ oid }) => oid === extensionOid.subjectKeyIdentifier);
  const value = extension?.value ?? der(derTag.octetString);
  return Buffer.from(new DerReader(value).take(derTag.octetString).content).toString("hex");
}

function spkiOf(key: KeyObject): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createPublicKey(key).export({ type: "spki", format: "der" }));
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
