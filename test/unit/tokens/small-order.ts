import {
  add,
  addend,
  bytesOf,
  decodePoint,
  double,
  encodePoint,
  NEUTRAL,
  numberOf,
  type Point,
} from "../../../src/tokens/edwards-point.ts";

/** p of edwards25519. */
export const PRIME = 2n ** 255n - 19n;
/** L, the order of the base point. */
export const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

/** A point that many times, by the schoolbook's way: it shares no table with the code under test. */
export function times(point: Point, scalar: bigint): Point {
  let sum = NEUTRAL;
  for (const bit of scalar.toString(2)) {
    sum = double(sum);
    if (bit === "1") sum = add(sum, addend(point));
  }
  return sum;
}

/** A point of order 8: what is left of a point outside the base point's group when that group's part is taken away. */
export const torsion: Point = (() => {
  for (let y = 2n; ; y++) {
    const point = decodePoint(bytesOf(y));
    if (point === undefined) continue;
    const left = times(point, ORDER);
    if (numberOf(encodePoint(times(left, 4n))) !== 1n) return left;
  }
})();

/** The encodings of its multiples, from 0 times to 7 times. */
export const smallOrder: Uint8Array[] = Array.from({ length: 8 }, (_, index) => encodePoint(times(torsion, BigInt(index))));
