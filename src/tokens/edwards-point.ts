import { isStrictPointEncoding } from "../wire/ed25519-encoding.ts";
import { canonical, invert, PRIME, rootOfRatio } from "./field.ts";

/** A point of edwards25519 in extended coordinates: x = X/Z, y = Y/Z, xy = T/Z. */
export interface Point {
  x: bigint;
  y: bigint;
  z: bigint;
  t: bigint;
}

/**
 * The point that 32 bytes encode. Refused beside what RFC 8032, section 5.1.3, refuses: y of p or more, and the points of
 * small order.
 *
 * @returns undefined for what is refused
 */
export function decodePoint(bytes: Uint8Array): Point | undefined {
  if (!isStrictPointEncoding(bytes)) return undefined;
  const number = numberOf(bytes);
  const y = number & Y_BITS;
  const yy = (y * y) % PRIME;
  const root = rootOfRatio(yy - 1n, (D * yy + 1n) % PRIME);
  if (root === undefined) return undefined;
  const even = canonical(root);
  const x = (even & 1n) === number >> 255n ? even : PRIME - even;
  return { x, y, z: 1n, t: (x * y) % PRIME };
}

/** The one encoding of a point. */
export function encodePoint({ x, y, z }: Point): Uint8Array {
  const scale = invert(z);
  const sign = (canonical(x * scale) & 1n) << 255n;
  return bytesOf(canonical(y * scale) | sign);
}

/** The number in 32 or 64 bytes, the last of which counts most. */
export function numberOf(bytes: Uint8Array): bigint {
  let text = "0x";
  for (let at = bytes.length - 1; at >= 0; at--) text += hexadecimal[bytes[at]!]!;
  return BigInt(text);
}

/** A number below 2^256 as 32 bytes, the last of which counts most. */
export function bytesOf(number: bigint): Uint8Array {
  const text = number.toString(16).padStart(64, "0");
  const bytes = new Uint8Array(32);
  for (let at = 0; at < 32; at++) bytes[at] = Number.parseInt(text.slice(62 - 2 * at, 64 - 2 * at), 16);
  return bytes;
}

/** The same point on the other side. */
export function negate({ x, y, z, t }: Point): Point {
  return { x: -x, y, z, t: -t };
}

/** Twice a point. */
export function double({ x, y, z }: Point): Point {
  const xx = (x * x) % PRIME;
  const yy = (y * y) % PRIME;
  const zz = (z * z) % PRIME;
  const sum = x + y;
  const h = xx + yy;
  const e = h - ((sum * sum) % PRIME);
  const g = xx - yy;
  const f = zz + zz + g;
  return { x: (e * f) % PRIME, y: (g * h) % PRIME, z: (f * g) % PRIME, t: (e * h) % PRIME };
}

/** A point as it is added: y + x, y - x, 2z and 2dt. */
export interface Addend {
  sum: bigint;
  difference: bigint;
  z2: bigint;
  t2d: bigint;
}

export function addend({ x, y, z, t }: Point): Addend {
  return { sum: y + x, difference: y - x, z2: z + z, t2d: (t * D2) % PRIME };
}

/** The sum of two points. The formula has no exceptions: equal, opposite and neutral ones are fine. */
export function add(point: Point, other: Addend): Point {
  const a = ((point.y - point.x) * other.difference) % PRIME;
  const b = ((point.y + point.x) * other.sum) % PRIME;
  const c = (point.t * other.t2d) % PRIME;
  const d = (point.z * other.z2) % PRIME;
  const e = b - a;
  const f = d - c;
  const g = d + c;
  const h = b + a;
  return { x: (e * f) % PRIME, y: (g * h) % PRIME, z: (f * g) % PRIME, t: (e * h) % PRIME };
}

export const NEUTRAL: Point = { x: 0n, y: 1n, z: 1n, t: 0n };

const Y_BITS = (1n << 255n) - 1n;
const hexadecimal = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** The constant of the curve -x² + y² = 1 + dx²y², which is -121665/121666. */
const D = canonical(-121_665n * invert(121_666n));
const D2 = canonical(2n * D);

/** The base point: y is 4/5, x is even (RFC 8032, section 5.1). */
export const BASE: Point = decodePoint(bytesOf(canonical(4n * invert(5n))))!;
