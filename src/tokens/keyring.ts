import { isStrictPointEncoding } from "../wire/ed25519-encoding.ts";
import { decodePoint } from "./edwards-point.ts";
import { TokenArgumentError } from "./token-error.ts";

/** The keys that are trusted, by the id of their issuer. */
export class Keyring {
  readonly #keys = new Map<string, Uint8Array>();

  /**
   * Trust a key. A key that was trusted under this id before is replaced.
   *
   * @param issuer exact, letter case included
   * @param publicKey 32 bytes (RFC 8032)
   * @throws {TokenArgumentError} invalid-key, weak-key
   */
  trust(issuer: string, publicKey: Uint8Array): void {
    assertPublicKey(publicKey);
    this.#keys.set(issuer, publicKey.slice());
  }

  /** Trust no key under this id any more. Returns whether one was. */
  untrust(issuer: string): boolean {
    return this.#keys.delete(issuer);
  }

  /** The key trusted under this id. Not to be changed. */
  keyOf(issuer: string): Uint8Array | undefined {
    return this.#keys.get(issuer);
  }

  /** Every trusted key, in the order of the issuers' ids by UTF-16 units. */
  export(): { issuer: string; publicKey: Uint8Array }[] {
    return Array.from(this.#keys.keys())
      .sort()
      .map((issuer) => ({ issuer, publicKey: this.#keys.get(issuer)!.slice() }));
  }
}

/** @throws {TokenArgumentError} invalid-key, weak-key */
export function assertPublicKey(publicKey: Uint8Array): void {
  if (publicKey.length !== 32) throw new TokenArgumentError("invalid-key", "an Ed25519 public key has 32 bytes");
  if (decodePoint(publicKey) !== undefined) return;
  if (isSmallOrder(publicKey)) throw new TokenArgumentError("weak-key", "this public key has a small order: no honest key has");
  throw new TokenArgumentError("invalid-key", "these 32 bytes are not the encoding of a point on edwards25519");
}

/** Whether y is below p, so that only the order can be what a strict reader minds. */
function isSmallOrder(publicKey: Uint8Array): boolean {
  return !isStrictPointEncoding(publicKey) && !isPastPrime(publicKey);
}

function isPastPrime(bytes: Uint8Array): boolean {
  return bytes[0]! >= 0xed && (bytes[31]! & 0x7f) === 0x7f && bytes.subarray(1, 31).every((byte) => byte === 0xff);
}
