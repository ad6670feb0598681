import { isQuickJs } from "./install.ts";

// The generated types say `bigint` for u64. That is true of StarlingMonkey; QuickJS hands out and wants Numbers, and takes
// 64 bits for signed. Everything that crosses the edge goes through here, so that the rest need not know.

/** The largest integer that is exact on every engine. Larger u64 are taken for this: 2^53 - 1. */
export const MAX_EXACT = Number.MAX_SAFE_INTEGER;

/** A u64 argument for an import. Saturates to 0 and 2^53 - 1. */
export function u64(value: bigint | number): bigint {
  const exact = saturate(Number(value));
  // QuickJS panics on a BigInt, which ends the instance.
  return QUICKJS ? (exact as unknown as bigint) : BigInt(exact);
}

/** A u64 that an import returned, as a Number. Saturates at 2^53 - 1. */
export function numberOfU64(value: bigint): number {
  const number = Number(value as bigint | number);
  // On QuickJS 2^63 and more arrive negative.
  return number < 0 ? MAX_EXACT : saturate(number);
}

/** A u64 that an import returned, as a BigInt. Saturates at 2^53 - 1. */
export function bigintOfU64(value: bigint): bigint {
  return BigInt(numberOfU64(value));
}

/** A u32 that an import returned: on QuickJS 2^31 and more arrive negative. */
export function numberOfU32(value: number): number {
  return value >>> 0;
}

/**
 * A u32 argument for an import.
 *
 * @throws {RangeError} for what is no u32, and from 2^31 up on StarlingMonkey, which would pass another number.
 */
export function u32(value: number): number {
  if (value >>> 0 !== value) throw new RangeError(`not a u32: ${value}`);
  if (value < 0x8000_0000) return value;
  // QuickJS clamps a positive number past 2^31 silently; the same bits as a signed number arrive intact.
  if (QUICKJS) return value | 0;
  throw new RangeError(`this engine cannot pass a u32 of ${value}`);
}

const QUICKJS = isQuickJs();

function saturate(number: number): number {
  if (!(number > 0)) return 0;
  return number > MAX_EXACT ? MAX_EXACT : Math.floor(number);
}
