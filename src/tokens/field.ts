// Arithmetic modulo p = 2^255 - 19 over BigInt. In QuickJS a product and a remainder in the engine's own C code are several
// times faster than any limbs in interpreted code. Values may be negative between operations: only what is compared,
// encoded or asked for its sign goes through `canonical`. Nothing here runs in constant time.

export const PRIME: bigint = (1n << 255n) - 19n;

/** The representative between 0 and p - 1. */
export function canonical(value: bigint): bigint {
  const rest = value % PRIME;
  return rest < 0n ? rest + PRIME : rest;
}

/** 1 / value; 0 for 0. */
export function invert(value: bigint): bigint {
  const { x250, x11 } = chain(value);
  return (squareTimes(x250, 5) * x11) % PRIME;
}

/** A square root of u / v, or undefined if there is none (RFC 8032, section 5.1.3, steps 2 and 3). */
export function rootOfRatio(u: bigint, v: bigint): bigint | undefined {
  const v3 = (((v * v) % PRIME) * v) % PRIME;
  const uv7 = (((u * v3) % PRIME) * ((v3 * v) % PRIME)) % PRIME;
  // uv7^((p - 5) / 8) = uv7^(2^252 - 3)
  const power = (squareTimes(chain(uv7).x250, 2) * uv7) % PRIME;
  const root = (((u * v3) % PRIME) * power) % PRIME;
  const square = (((v * root) % PRIME) * root) % PRIME;
  if (canonical(square - u) === 0n) return root;
  if (canonical(square + u) === 0n) return (root * ROOT_OF_MINUS_ONE) % PRIME;
  return undefined;
}

/** value^(2^250 - 1) and value^11, from which both exponents of this file are a few steps away. */
function chain(value: bigint): { x250: bigint; x11: bigint } {
  const x2 = (value * value) % PRIME;
  const x9 = (squareTimes(x2, 2) * value) % PRIME;
  const x11 = (x9 * x2) % PRIME;
  const ones5 = (((x11 * x11) % PRIME) * x9) % PRIME;
  const ones10 = (squareTimes(ones5, 5) * ones5) % PRIME;
  const ones20 = (squareTimes(ones10, 10) * ones10) % PRIME;
  const ones40 = (squareTimes(ones20, 20) * ones20) % PRIME;
  const ones50 = (squareTimes(ones40, 10) * ones10) % PRIME;
  const ones100 = (squareTimes(ones50, 50) * ones50) % PRIME;
  const ones200 = (squareTimes(ones100, 100) * ones100) % PRIME;
  return { x250: (squareTimes(ones200, 50) * ones50) % PRIME, x11 };
}

function squareTimes(value: bigint, times: number): bigint {
  let result = value;
  for (let left = times; left > 0; left--) result = (result * result) % PRIME;
  return result;
}

/** 2^((p - 1) / 4). */
const ROOT_OF_MINUS_ONE = 0x2b8324804fc1df0b2b4d00993dfbd7a72f431806ad2fe478c4ee1b274a0ea0b0n;
