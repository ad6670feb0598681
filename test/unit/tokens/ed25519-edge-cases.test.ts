import { describe, expect, test } from "vitest";
import { verifyStrictly } from "../../../host/tokens/verify.ts";
import { verify } from "../../../src/tokens/ed25519.ts";
import { add, addend, BASE, bytesOf, encodePoint, negate, NEUTRAL, numberOf, type Point } from "../../../src/tokens/edwards-point.ts";
import { sha512 } from "../../../src/tokens/sha2.ts";
import { ORDER, PRIME, times, torsion } from "./small-order.ts";

/**
 * The twelve kinds of signatures on which Ed25519 verifiers were found to disagree: Chalkias, Garillot and Nikolaenko, "Taming
 * the many EdDSAs" (2020), table 6c, and the verdict that it has for strict verification. The signatures are made here, and of
 * each it is shown that the equation holds that a laxer verifier goes by: it is refused for what it is, not for a mistake.
 */

/** What is signed for, and the points behind its two encodings. */
interface Made {
  message: Uint8Array;
  r: Uint8Array;
  rPoint: Point;
  s: bigint;
  a: Uint8Array;
  aPoint: Point;
  /** What the hash is of, where a verifier encodes the points again before it hashes. */
  hashed?: { r?: Uint8Array; a?: Uint8Array };
}

/** A secret scalar and a nonce, as good as any. */
const secret = 0x1234_5678_9abc_def0_1234_5678n;
const nonce = 0x0fed_cba9_8765_4321n;
const small = (multiple: number) => times(torsion, BigInt(multiple));
const plus = (point: Point, other: Point) => add(point, addend(other));
const mixedKey = plus(times(BASE, secret), torsion);

/** Points of small order that are written with a y of p or more. */
const neutralRespelled = bytesOf(PRIME + 1n);
const order4Respelled = bytesOf(PRIME);
/** y is 0: both points of order 4 have it, and this is the one whose x is even. */
const order4 = [small(2), small(6)].find((point) => encodePoint(point)[31] === 0)!;

const refusedThoughItHolds = { accepted: false, cofactorless: true, cofactored: true };
const heldByTheCofactorAlone = { accepted: false, cofactorless: false, cofactored: true };

const cases: { what: string; accepted: boolean; cofactorless: boolean; cofactored: boolean; made: Made }[] = [
  {
    what: "0: key and R of small order, S is 0",
    ...refusedThoughItHolds,
    made: withHash({ aPoint: torsion, rPoint: small(3) }, (k) => (k % 8n === 5n ? 0n : undefined)),
  },
  {
    what: "1: key of small order, R with a part of it",
    ...refusedThoughItHolds,
    made: withHash({ aPoint: torsion, rPoint: plus(times(BASE, nonce), small(3)) }, (k) => (k % 8n === 5n ? nonce : undefined)),
  },
  {
    what: "2: R of small order, key with a part of it",
    ...refusedThoughItHolds,
    made: withHash({ aPoint: mixedKey, rPoint: small(3) }, (k) => (k % 8n === 5n ? k * secret : undefined)),
  },
  {
    what: "3: key and R with parts of small order that cancel out",
    accepted: true,
    cofactorless: true,
    cofactored: true,
    made: withHash({ aPoint: mixedKey, rPoint: plus(times(BASE, nonce), small(3)) }, (k) =>
      k % 8n === 5n ? nonce + k * secret : undefined,
    ),
  },
  {
    what: "4: key and R with parts of small order that do not",
    ...heldByTheCofactorAlone,
    made: withHash({ aPoint: mixedKey, rPoint: plus(times(BASE, nonce), small(3)) }, (k) =>
      k % 8n === 4n ? nonce + k * secret : undefined,
    ),
  },
  {
    what: "5: key with a part of small order, R without",
    ...heldByTheCofactorAlone,
    made: withHash({ aPoint: mixedKey, rPoint: times(BASE, nonce) }, (k) => (k % 8n === 1n ? nonce + k * secret : undefined)),
  },
  {
    what: "6: S is L more than it should be",
    ...refusedThoughItHolds,
    made: respelled((s) => s + ORDER),
  },
  {
    what: "7: S is far above L",
    ...refusedThoughItHolds,
    made: respelled((s) => s + 14n * ORDER),
  },
  {
    what: "8: R of small order and not canonical, hashed in its canonical spelling",
    ...refusedThoughItHolds,
    made: withHash({ aPoint: mixedKey, rPoint: NEUTRAL, r: neutralRespelled, hashed: { r: encodePoint(NEUTRAL) } }, (k) =>
      k % 8n === 0n ? k * secret : undefined,
    ),
  },
  {
    what: "9: R of small order and not canonical, hashed as it is",
    ...refusedThoughItHolds,
    made: withHash({ aPoint: mixedKey, rPoint: NEUTRAL, r: neutralRespelled }, (k) => (k % 8n === 0n ? k * secret : undefined)),
  },
  {
    what: "10: key of small order and not canonical, hashed in its canonical spelling",
    ...refusedThoughItHolds,
    made: withHash(
      { aPoint: order4, a: order4Respelled, rPoint: plus(times(BASE, nonce), order4), hashed: { a: encodePoint(order4) } },
      (k) => (k % 4n === 3n ? nonce : undefined),
    ),
  },
  {
    what: "11: key of small order and not canonical, hashed as it is",
    ...refusedThoughItHolds,
    made: withHash({ aPoint: order4, a: order4Respelled, rPoint: plus(times(BASE, nonce), order4) }, (k) =>
      k % 4n === 3n ? nonce : undefined,
    ),
  },
];

describe("the twelve kinds of signatures that verifiers disagree on", () => {
  test.each(cases)("$what: accepted is $accepted", ({ made, accepted, cofactorless, cofactored }) => {
    expect(equationHolds(made, 1n)).toBe(cofactorless);
    expect(equationHolds(made, 8n)).toBe(cofactored);
    const signature = Buffer.concat([made.r, bytesOf(made.s)]);
    expect(verify(made.message, signature, made.a)).toBe(accepted);
    expect(verifyStrictly(made.message, signature, made.a)).toBe(accepted);
  });
});

function hash({ message, r, a, hashed }: Pick<Made, "message" | "r" | "a" | "hashed">): bigint {
  return numberOf(sha512(hashed?.r ?? r, hashed?.a ?? a, message)) % ORDER;
}

/** [cofactor][S]B = [cofactor]R + [cofactor][k]A, whatever the encodings are. */
function equationHolds(made: Made, cofactor: bigint): boolean {
  const right = plus(made.rPoint, times(made.aPoint, hash(made)));
  const difference = plus(times(BASE, made.s), negate(right));
  return numberOf(encodePoint(times(difference, cofactor))) === 1n;
}

/** The first of many messages under whose hash there is an S. */
function withHash(
  points: { aPoint: Point; rPoint: Point; a?: Uint8Array; r?: Uint8Array; hashed?: Made["hashed"] },
  scalar: (k: bigint) => bigint | undefined,
): Made {
  const { aPoint, rPoint, a = encodePoint(aPoint), r = encodePoint(rPoint), hashed } = points;
  for (let index = 0; ; index++) {
    const begun = { message: new Uint8Array(Buffer.from(`message ${index}`)), r, rPoint, a, aPoint, ...(hashed ? { hashed } : {}) };
    const s = scalar(hash(begun));
    if (s !== undefined) return { ...begun, s: s % ORDER };
  }
}

/** An ordinary signature with another spelling of S. */
function respelled(spell: (s: bigint) => bigint): Made {
  const made = withHash({ aPoint: times(BASE, secret), rPoint: times(BASE, nonce) }, (k) => nonce + k * secret);
  return { ...made, s: spell(made.s) };
}
