import { isStrictSignatureEncoding } from "../wire/ed25519-encoding.ts";
import { type Comb, combOf, multiply, multiplyBoth } from "./comb.ts";
import { BASE, bytesOf, decodePoint, encodePoint, negate, numberOf } from "./edwards-point.ts";
import { sha512 } from "./sha2.ts";

/**
 * Ed25519 verification (RFC 8032, section 5.1.7) in its strict form: keys and R must be canonical and not of small order,
 * S is below L, and the equation is the one without the cofactor. So a signature has one spelling, and no key fits all.
 *
 * The multiples of the keys used last are kept: the first verification under a key costs several times the next ones.
 *
 * @param signature R and S, 64 bytes
 * @param publicKey 32 bytes
 * @returns false for whatever does not verify, keys and signatures of other lengths included
 */
export function verify(message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean {
  if (!isStrictSignatureEncoding(signature)) return false;
  const key = multiplesOf(publicKey);
  if (key === undefined) return false;
  const r = signature.subarray(0, 32);
  const k = sha512(r, publicKey, message);
  const expected = encodePoint(multiplyBoth(baseComb, signature.subarray(32), key, bytesOf(numberOf(k) % ORDER)));
  return expected.every((byte, at) => byte === r[at]);
}

/**
 * An Ed25519 private key (RFC 8032, section 5.1.5). Its arithmetic does not run in constant time: whoever can time its
 * signatures very closely and often can learn about it. Where that matters, sign outside the sandbox.
 */
export class PrivateKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly #scalar: bigint;
  readonly #prefix: Uint8Array;

  /**
   * @param seed 32 random bytes
   * @throws {RangeError} for another length
   */
  constructor(seed: Uint8Array) {
    if (seed.length !== 32) throw new RangeError("an Ed25519 seed has 32 bytes");
    const hash = sha512(seed);
    hash[0]! &= 0xf8;
    hash[31] = (hash[31]! & 0x7f) | 0x40;
    this.#scalar = numberOf(hash.subarray(0, 32));
    this.#prefix = hash.slice(32);
    this.publicKey = encodePoint(multiply(baseComb, hash.subarray(0, 32)));
  }

  /** The one signature of this message by this key (RFC 8032, section 5.1.6): 64 bytes. */
  sign(message: Uint8Array): Uint8Array {
    const r = numberOf(sha512(this.#prefix, message)) % ORDER;
    const signature = new Uint8Array(64);
    signature.set(encodePoint(multiply(baseComb, bytesOf(r))));
    const k = numberOf(sha512(signature.subarray(0, 32), this.publicKey, message)) % ORDER;
    signature.set(bytesOf((r + k * this.#scalar) % ORDER), 32);
    return signature;
  }
}

/** The comb of the negated key; undefined for what is no strict key. */
function multiplesOf(publicKey: Uint8Array): Comb | undefined {
  const name = String.fromCharCode(...publicKey);
  const kept = combs.get(name);
  if (kept !== undefined) {
    combs.delete(name);
    combs.set(name, kept);
    return kept;
  }
  const point = decodePoint(publicKey);
  if (point === undefined) return undefined;
  const comb = combOf(negate(point));
  combs.set(name, comb);
  if (combs.size > MAX_COMBS) combs.delete(combs.keys().next().value!);
  return comb;
}

/** Least recently used first. */
const combs = new Map<string, Comb>();
/** About 60 kB each. */
const MAX_COMBS = 32;

/** The order of the base point. */
const ORDER = 0x1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3edn;

// Made when a component is built: it is part of the memory that an instance starts with.
const baseComb = combOf(BASE);
