import { createHash, randomBytes } from "node:crypto";

/** RFC 7093, section 2, method 1: the first 20 bytes of SHA-256 of the key's bits. @param spki of a P-256 key, DER */
export function keyIdentifier(spki: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(spki.subarray(-P256_POINT)).digest().subarray(0, 20));
}

/** 126 random bits, positive and always 16 bytes long (RFC 5280, section 4.1.2.2, allows 20). */
export function randomSerial(): Uint8Array {
  const serial = new Uint8Array(randomBytes(16));
  serial[0] = (serial[0]! & 0x3f) | 0x40;
  return serial;
}

/** Bytes of an uncompressed point. */
const P256_POINT = 65;
