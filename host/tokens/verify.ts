import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { isStrictPointEncoding, isStrictSignatureEncoding } from "../../src/wire/ed25519-encoding.ts";

/**
 * Ed25519 verification as `sallyport:policy/ed25519` promises it. Every OpenSSL checks that S is below L and compares R as
 * bytes. Versions differ in whether they take keys and R of small order, and keys with a y of p or more: so that is looked at
 * here.
 *
 * @param publicKey 32 bytes
 */
export function verifyStrictly(message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean {
  if (!isStrictSignatureEncoding(signature) || !isStrictPointEncoding(publicKey)) return false;
  const key = keyOf(publicKey);
  return key !== undefined && verify(null, message, key, signature);
}

/** @param publicKey 32 bytes */
function keyOf(publicKey: Uint8Array): KeyObject | undefined {
  const name = Buffer.from(publicKey).toString("latin1");
  const kept = keys.get(name);
  if (kept !== undefined) return kept;
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: "der", type: "spki" });
  } catch {
    return undefined;
  }
  if (keys.size >= MAX_KEYS) keys.delete(keys.keys().next().value!);
  keys.set(name, key);
  return key;
}

/** Making a KeyObject costs about as much as a verification. Oldest first. */
const keys = new Map<string, KeyObject>();
const MAX_KEYS = 256;

/** SubjectPublicKeyInfo of an Ed25519 key, up to the key itself (RFC 8410, section 4). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");
