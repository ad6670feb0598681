import { add, type Addend, addend, double, NEUTRAL, type Point } from "./edwards-point.ts";

/**
 * Every sum of the eight multiples P, 2^32 P, … 2^224 P, by which of them take part. Eight bits of a scalar, 32 apart, are
 * then one addition, and a whole scalar 32 additions and 32 doublings.
 */
export type Comb = readonly (Addend | undefined)[];

export function combOf(point: Point): Comb {
  const sums: (Point | undefined)[] = [undefined];
  let tooth = point;
  for (let index = 0; index < TEETH; index++) {
    const last = addend(tooth);
    const before = sums.length;
    sums.push(tooth);
    for (let at = 1; at < before; at++) sums.push(add(sums[at]!, last));
    if (index < TEETH - 1) for (let times = 0; times < COLUMNS; times++) tooth = double(tooth);
  }
  return sums.map((sum) => sum && addend(sum));
}

/** @param scalar 32 bytes, the last of which counts most */
export function multiply(comb: Comb, scalar: Uint8Array): Point {
  const digits = digitsOf(scalar);
  let sum = NEUTRAL;
  for (let column = COLUMNS - 1; column >= 0; column--) {
    sum = double(sum);
    const term = comb[digits[column]!];
    if (term !== undefined) sum = add(sum, term);
  }
  return sum;
}

/** The sum of two multiples, for the doublings of one. */
export function multiplyBoth(first: Comb, firstScalar: Uint8Array, second: Comb, secondScalar: Uint8Array): Point {
  const firstDigits = digitsOf(firstScalar);
  const secondDigits = digitsOf(secondScalar);
  let sum = NEUTRAL;
  for (let column = COLUMNS - 1; column >= 0; column--) {
    sum = double(sum);
    const one = first[firstDigits[column]!];
    if (one !== undefined) sum = add(sum, one);
    const other = second[secondDigits[column]!];
    if (other !== undefined) sum = add(sum, other);
  }
  return sum;
}

/** For each column the bits that stand in it, the first tooth's lowest. */
function digitsOf(scalar: Uint8Array): Uint8Array {
  const digits = new Uint8Array(COLUMNS);
  for (let tooth = 0; tooth < TEETH; tooth++) {
    const at = 4 * tooth;
    const word = scalar[at]! | (scalar[at + 1]! << 8) | (scalar[at + 2]! << 16) | (scalar[at + 3]! << 24);
    for (let column = 0; column < COLUMNS; column++) digits[column]! |= ((word >>> column) & 1) << tooth;
  }
  return digits;
}

const TEETH = 8;
const COLUMNS = 32;
