import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { parseDnsName, parseServerName } from "../../src/wire/server-name.ts";
import { encodePem } from "../../src/wire/pem.ts";
import { KeyPair } from "../identity/private-identity.ts";

/** How long what is made here is valid: long enough to try something, too short to be used for more. */
const VALIDITY_MS = 24 * 3_600_000;
/** Clocks differ. */
const BACKDATED_MS = 5 * 60_000;

/** A certification authority that has signed one certificate and cannot sign another: its key is gone. */
export interface EphemeralPki {
  /** The authority's certificate. */
  caDer: Uint8Array;
  caPem: string;
  /** The leaf with its key, in memory only. */
  identity: KeyPair;
}

/**
 * Make an authority and one server certificate of it (RFC 5280), for trying out: P-256, one day.
 *
 * @param names DNS names, wildcards as the leftmost label among them, or IP addresses; at least one
 * @throws {WireError} for what is no name
 */
export function makeEphemeralPki(names: readonly string[]): EphemeralPki {
  const alternativeNames = names.map(generalName);
  const validity = validFrom(Date.now());
  const ca = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const leaf = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const [caSpki, leafSpki] = [spki(ca.publicKey), spki(leaf.publicKey)];
  const caName = commonName(`Sallyport ephemeral CA ${randomBytes(4).toString("hex")}`);
  const caDer = certificate(ca.privateKey, caName, caName, validity, caSpki, [
    extension(OID.basicConstraints, true, tlv(0x30, tlv(0x01, Uint8Array.of(0xff)), tlv(0x02, Uint8Array.of(0)))),
    // keyCertSign and cRLSign.
    extension(OID.keyUsage, true, tlv(0x03, Uint8Array.of(1, 0x06))),
    extension(OID.subjectKeyIdentifier, false, tlv(0x04, keyIdentifier(caSpki))),
  ]);
  const leafDer = certificate(ca.privateKey, caName, commonName("Sallyport ephemeral server"), validity, leafSpki, [
    extension(OID.basicConstraints, true, tlv(0x30)),
    // digitalSignature.
    extension(OID.keyUsage, true, tlv(0x03, Uint8Array.of(7, 0x80))),
    extension(OID.extendedKeyUsage, false, tlv(0x30, oid(OID.serverAuth))),
    extension(OID.subjectAlternativeName, false, tlv(0x30, ...alternativeNames)),
    extension(OID.subjectKeyIdentifier, false, tlv(0x04, keyIdentifier(leafSpki))),
    extension(OID.authorityKeyIdentifier, false, tlv(0x30, tlv(0x80, keyIdentifier(caSpki)))),
  ]);
  const leafKey = new Uint8Array(leaf.privateKey.export({ type: "pkcs8", format: "der" }));
  return { caDer, caPem: encodePem("CERTIFICATE", caDer), identity: KeyPair.parse(leafKey, [leafDer], "host") };
}

function certificate(
  key: KeyObject,
  issuer: Uint8Array,
  subject: Uint8Array,
  validity: Uint8Array,
  publicKey: Uint8Array,
  extensions: Uint8Array[],
): Uint8Array {
  const algorithm = tlv(0x30, oid(OID.ecdsaWithSha256));
  // A serial number is positive and, for a new key each time, has to be unlike all others only by chance.
  const serial = tlv(0x02, Uint8Array.of(0x40, ...randomBytes(15)));
  const version3 = tlv(0xa0, tlv(0x02, Uint8Array.of(2)));
  const tbs = tlv(0x30, version3, serial, algorithm, issuer, validity, subject, publicKey, tlv(0xa3, tlv(0x30, ...extensions)));
  return tlv(0x30, tbs, algorithm, tlv(0x03, Uint8Array.of(0), sign("sha256", tbs, key)));
}

function validFrom(now: number): Uint8Array {
  return tlv(0x30, time(now - BACKDATED_MS), time(now + VALIDITY_MS));
}

/** GeneralizedTime past 2049, UTCTime before (RFC 5280, section 4.1.2.5). */
function time(milliseconds: number): Uint8Array {
  const digits = new Date(milliseconds).toISOString().replaceAll(/[-:T]/g, "").slice(0, 14);
  return digits < "2050" ? tlv(0x17, ascii(`${digits.slice(2)}Z`)) : tlv(0x18, ascii(`${digits}Z`));
}

function generalName(text: string): Uint8Array {
  if (text.startsWith("*.")) return tlv(0x82, ascii(`*.${parseDnsName(text.slice(2)).name}`));
  const name = parseServerName(text);
  return name.tag === "dns" ? tlv(0x82, ascii(name.name)) : tlv(0x87, name.bytes);
}

function commonName(text: string): Uint8Array {
  return tlv(0x30, tlv(0x31, tlv(0x30, oid(OID.commonName), tlv(0x0c, ascii(text)))));
}

function extension(id: string, critical: boolean, value: Uint8Array): Uint8Array {
  return tlv(0x30, oid(id), ...(critical ? [tlv(0x01, Uint8Array.of(0xff))] : []), tlv(0x04, value));
}

function keyIdentifier(publicKey: Uint8Array): Uint8Array {
  return createHash("sha256").update(publicKey).digest().subarray(0, 20);
}

function spki(key: KeyObject): Uint8Array {
  return key.export({ type: "spki", format: "der" });
}

/** An object identifier from its hexadecimal contents. */
function oid(hex: string): Uint8Array {
  return tlv(0x06, Buffer.from(hex, "hex"));
}

function ascii(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}

function tlv(tag: number, ...parts: Uint8Array[]): Uint8Array {
  const body = Buffer.concat(parts);
  const { length } = body;
  const header = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return new Uint8Array(Buffer.concat([Uint8Array.of(tag, ...header), body]));
}

/** DER contents of object identifiers. */
const OID = {
  ecdsaWithSha256: "2a8648ce3d040302",
  commonName: "550403",
  subjectKeyIdentifier: "551d0e",
  keyUsage: "551d0f",
  subjectAlternativeName: "551d11",
  basicConstraints: "551d13",
  authorityKeyIdentifier: "551d23",
  extendedKeyUsage: "551d25",
  serverAuth: "2b06010505070301",
};
