import { createPublicKey, generateKeyPairSync, randomBytes, sign, verify as verifyInNode } from "node:crypto";
import { describe, expect, test } from "vitest";
import { verifyStrictly } from "../../../host/tokens/verify.ts";
import { PrivateKey, verify } from "../../../src/tokens/ed25519.ts";
import { add, addend, BASE, bytesOf, decodePoint, encodePoint, numberOf } from "../../../src/tokens/edwards-point.ts";
import { assertPublicKey } from "../../../src/tokens/index.ts";
import { sha256, sha512 } from "../../../src/tokens/sha2.ts";
import { createHash } from "node:crypto";
import { ORDER, PRIME, smallOrder, times, torsion } from "./small-order.ts";
import { codeOf } from "./tokens.ts";

const hex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));

/** Ours in the sandbox, and the host's: they must never differ. */
const verifiers = { verify, verifyStrictly };

function bothSay(message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean {
  const [ours, host] = Object.values(verifiers).map((check) => check(message, signature, publicKey));
  expect(ours).toBe(host);
  return ours!;
}

/** What OpenSSL says by itself. */
function nodeSays(message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean {
  const key = createPublicKey({ key: Buffer.concat([hex("302a300506032b6570032100"), publicKey]), format: "der", type: "spki" });
  return verifyInNode(null, message, key, signature);
}

/** The same points and others in encodings that no writer makes: y is p more, or x is 0 and has a sign. */
const notCanonical = [
  ...Array.from({ length: 19 }, (_, y) => [bytesOf(PRIME + BigInt(y)), bytesOf((PRIME + BigInt(y)) | (1n << 255n))]).flat(),
  bytesOf(1n | (1n << 255n)),
  bytesOf((PRIME - 1n) | (1n << 255n)),
];

describe("RFC 8032, section 7.1", () => {
  test.each([
    [
      "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
      "",
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
      "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
      "72",
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
      "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
      "af82",
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
  ])("seed %s", (seed, message, signature) => {
    const key = new PrivateKey(hex(seed));
    expect(Buffer.from(key.sign(hex(message))).toString("hex")).toBe(signature);
    expect(bothSay(hex(message), hex(signature), key.publicKey)).toBe(true);
  });
});

describe("beside Node", () => {
  test("signatures and public keys are the same bytes, and verify on both sides", () => {
    for (let length = 0; length < 300; length += 7) {
      const { privateKey, publicKey } = generateKeyPairSync("ed25519");
      const seed = privateKey.export({ format: "der", type: "pkcs8" }).subarray(-32);
      const message = randomBytes(length);
      const ours = new PrivateKey(new Uint8Array(seed));
      expect(Buffer.compare(ours.publicKey, publicKey.export({ format: "der", type: "spki" }).subarray(-32))).toBe(0);
      expect(Buffer.compare(ours.sign(message), sign(null, message, privateKey))).toBe(0);
      expect(bothSay(message, ours.sign(message), ours.publicKey)).toBe(true);
      expect(bothSay(randomBytes(length + 1), ours.sign(message), ours.publicKey)).toBe(false);
    }
  });

  test("hashes are the same at every length around a block", () => {
    for (let length = 0; length < 400; length++) {
      const bytes = randomBytes(length);
      expect(Buffer.from(sha512(bytes)).toString("hex")).toBe(createHash("sha512").update(bytes).digest("hex"));
      expect(Buffer.from(sha256(bytes.subarray(0, length >> 1), bytes.subarray(length >> 1))).toString("hex")).toBe(
        createHash("sha256").update(bytes).digest("hex"),
      );
    }
  });

  test("a seed of another length is refused", () => {
    for (const length of [0, 31, 33, 64]) expect(() => new PrivateKey(new Uint8Array(length))).toThrow(RangeError);
  });
});

describe("strictness", () => {
  const key = new PrivateKey(new Uint8Array(32).fill(3));
  const message = hex("736f6d65206d657373616765");
  const signature = key.sign(message);

  test("the eight points of small order are eight, and refused as keys and as R", () => {
    expect(new Set(smallOrder.map((bytes) => Buffer.from(bytes).toString("hex"))).size).toBe(8);
    for (const point of smallOrder) {
      expect(codeOf(() => assertPublicKey(point))).toBe("weak-key");
      for (const r of smallOrder) expect(bothSay(message, Buffer.concat([r, new Uint8Array(32)]), point)).toBe(false);
      expect(bothSay(message, Buffer.concat([point, signature.subarray(32)]), key.publicKey)).toBe(false);
    }
  });

  test("what is refused there is a real hole: under such a key the equation holds for every second message, whatever it says", () => {
    const [neutral, point] = [smallOrder[0]!, smallOrder[4]!];
    const fitting = Array.from({ length: 50 }, (_, index) => Buffer.from([index])).filter((text) => {
      const k = numberOf(sha512(neutral, point, text)) % ORDER;
      return Buffer.compare(encodePoint(times(times(torsion, 4n), k)), neutral) === 0;
    });
    expect(fitting.length).toBeGreaterThan(5);
    for (const text of fitting) expect(bothSay(text, Buffer.concat([neutral, new Uint8Array(32)]), point)).toBe(false);
  });

  test("encodings that are not canonical are refused as keys and as R", () => {
    for (const bytes of notCanonical) {
      expect(["invalid-key", "weak-key"]).toContain(codeOf(() => assertPublicKey(bytes)));
      expect(bothSay(message, signature, bytes)).toBe(false);
      expect(bothSay(message, Buffer.concat([bytes, signature.subarray(32)]), key.publicKey)).toBe(false);
      expect(bothSay(message, Buffer.concat([bytes, new Uint8Array(32)]), smallOrder[0]!)).toBe(false);
    }
  });

  test("an S of the group's order or more is refused", () => {
    const s = numberOf(signature.subarray(32));
    for (let more = 1n; s + more * ORDER < 1n << 256n; more++) {
      const respelled = Buffer.concat([signature.subarray(0, 32), bytesOf(s + more * ORDER)]);
      expect(bothSay(message, respelled, key.publicKey)).toBe(false);
    }
    for (const scalar of [ORDER, ORDER + 1n, (1n << 256n) - 1n])
      expect(bothSay(message, Buffer.concat([signature.subarray(0, 32), bytesOf(scalar)]), key.publicKey)).toBe(false);
  });

  test("32 bytes that are on no curve, and other lengths, are refused", () => {
    for (let y = 2n; y < 40n; y++) {
      const bytes = bytesOf(y);
      if (decodePoint(bytes) !== undefined) continue;
      expect(codeOf(() => assertPublicKey(bytes))).toBe("invalid-key");
      expect(bothSay(message, signature, bytes)).toBe(false);
    }
    for (const length of [0, 31, 33]) {
      expect(codeOf(() => assertPublicKey(new Uint8Array(length).fill(9)))).toBe("invalid-key");
      expect(bothSay(message, signature, new Uint8Array(length).fill(9))).toBe(false);
    }
    for (const length of [0, 63, 65]) expect(bothSay(message, new Uint8Array(length).fill(9), key.publicKey)).toBe(false);
  });

  test("keys and R with a part of small order verify by the equation without the cofactor: with the part gone or not at all", () => {
    const secret = 0x1234_5678_9abc_def0n;
    const publicKey = encodePoint(add(times(BASE, secret), addend(torsion)));
    const verdicts = new Map<bigint, boolean>();
    for (let index = 0; verdicts.size < 8; index++) {
      const text = Buffer.from(`message ${index}`);
      const r = BigInt(1000 + index);
      const encodedR = encodePoint(times(BASE, r));
      const k = numberOf(sha512(encodedR, publicKey, text)) % ORDER;
      const made = Buffer.concat([encodedR, bytesOf((r + k * secret) % ORDER)]);
      const verdict = bothSay(text, made, publicKey);
      expect(verdict).toBe(nodeSays(text, made, publicKey));
      verdicts.set(k % 8n, verdict);
    }
    expect(Array.from(verdicts).filter(([, verdict]) => verdict)).toEqual([[0n, true]]);
    const mixedR = encodePoint(add(times(BASE, 77n), addend(torsion)));
    const k = numberOf(sha512(mixedR, key.publicKey, message)) % ORDER;
    const scalar = numberOf(clamped(new Uint8Array(32).fill(3)));
    expect(bothSay(message, Buffer.concat([mixedR, bytesOf((77n + k * scalar) % ORDER)]), key.publicKey)).toBe(false);
  });

  test("more keys than are remembered take turns without mistakes", () => {
    const many = Array.from({ length: 40 }, (_, fill) => new PrivateKey(new Uint8Array(32).fill(fill)));
    const signatures = many.map((one) => one.sign(message));
    for (let round = 0; round < 2; round++)
      for (const [index, one] of many.entries()) {
        expect(verify(message, signatures[index]!, one.publicKey)).toBe(true);
        expect(verify(message, signatures[(index + 1) % 40]!, one.publicKey)).toBe(false);
      }
  });
});

function clamped(seed: Uint8Array): Uint8Array {
  const bytes = sha512(seed).slice(0, 32);
  bytes[0]! &= 0xf8;
  bytes[31] = (bytes[31]! & 0x7f) | 0x40;
  return bytes;
}
