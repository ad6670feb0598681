import { checkInteger, DerReader, derTag, readBitString, readOid } from "./der.ts";

/**
 * Names the algorithm of a SubjectPublicKeyInfo for people, for example `EC P-256`, `RSA 2048`, `Ed25519`; an object
 * identifier if it is none of those that are known.
 *
 * @param spki DER of SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7)
 * @throws WireError `invalid-der`
 */
export function publicKeyAlgorithm(spki: Uint8Array): string {
  const outer = new DerReader(spki);
  const reader = outer.enter(derTag.sequence);
  outer.end();
  const algorithm = reader.enter(derTag.sequence);
  const oid = readOid(algorithm.take(derTag.oid).content);
  const parameters = algorithm.done ? undefined : algorithm.any();
  algorithm.end();
  const key = readBitString(reader.take(derTag.bitString).content).bytes;
  reader.end();

  if (oid === EC) {
    if (parameters?.tag !== derTag.oid) return "EC with explicit parameters";
    const curve = readOid(parameters.content);
    return `EC ${curves.get(curve) ?? curve}`;
  }
  if (oid === RSA || oid === RSA_PSS) return `${oid === RSA ? "RSA" : "RSA-PSS"} ${modulusBits(key)}`;
  return names.get(oid) ?? oid;
}

/** Length of the modulus of an RSAPublicKey (RFC 8017, appendix A.1.1). */
function modulusBits(key: Uint8Array): number {
  const outer = new DerReader(key);
  const modulus = checkInteger(outer.enter(derTag.sequence).take(derTag.integer).content);
  outer.end();
  const first = modulus.findIndex((byte) => byte !== 0);
  if (first === -1) return 0;
  return (modulus.length - first) * 8 - (Math.clz32(modulus[first]!) - 24);
}

const EC = "1.2.840.10045.2.1";
const RSA = "1.2.840.113549.1.1.1";
const RSA_PSS = "1.2.840.113549.1.1.10";

const curves: ReadonlyMap<string, string> = new Map([
  ["1.2.840.10045.3.1.7", "P-256"],
  ["1.3.132.0.34", "P-384"],
  ["1.3.132.0.35", "P-521"],
  ["1.3.132.0.10", "secp256k1"],
  ["1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"],
  ["1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1"],
  ["1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1"],
]);

const names: ReadonlyMap<string, string> = new Map([
  ["1.3.101.110", "X25519"],
  ["1.3.101.111", "X448"],
  ["1.3.101.112", "Ed25519"],
  ["1.3.101.113", "Ed448"],
  ["1.2.840.10040.4.1", "DSA"],
  ["2.16.840.1.101.3.4.3.17", "ML-DSA-44"],
  ["2.16.840.1.101.3.4.3.18", "ML-DSA-65"],
  ["2.16.840.1.101.3.4.3.19", "ML-DSA-87"],
]);
