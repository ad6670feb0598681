/**
 * Whether 32 bytes may be taken for the encoding of a public key, or for the R of a signature, under strict verification:
 * the y coordinate is below the field's prime, and the point is none of the eight of small order (with the two that spell
 * x = 0 with a sign). A key of small order makes one signature fit many messages.
 *
 * Says nothing of whether the point is on the curve.
 */
export function isStrictPointEncoding(bytes: Uint8Array): boolean {
  if (bytes.length !== 32) return false;
  let y = "";
  for (let at = 31; at >= 0; at--) y += (at === 31 ? bytes[at]! & 0x7f : bytes[at]!).toString(16).padStart(2, "0");
  // Equal length and one alphabet: texts compare as the numbers do.
  return y < PRIME && !smallOrder.has(y);
}

/** Whether 64 bytes may be a signature: a scalar below the group's order, and an R that is a strict encoding. */
export function isStrictSignatureEncoding(bytes: Uint8Array): boolean {
  if (bytes.length !== 64) return false;
  let scalar = "";
  for (let at = 63; at >= 32; at--) scalar += bytes[at]!.toString(16).padStart(2, "0");
  return scalar < ORDER && isStrictPointEncoding(bytes.subarray(0, 32));
}

/** 2^255 - 19. */
const PRIME = "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed";
/** 2^252 + 27742317777372353535851937790883648493 (RFC 8032, section 5.1). */
const ORDER = "1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed";

/** The y coordinates of the points whose order divides eight. */
const smallOrder = new Set([
  // Order 4: x is a square root of -1.
  "0".repeat(64),
  // The neutral element, and the point of order 2.
  "1".padStart(64, "0"),
  "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffec",
  // Order 8.
  "7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7",
  "05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826",
]);
