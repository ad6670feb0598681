import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  formatKeyring,
  formatRevocations,
  parseKeyring,
  parsePublicKey,
  parseRevocations,
  revocationsBeside,
} from "../../../host/tokens/token-files.ts";
import { SigningKey } from "../../../host/tokens/signing-key.ts";
import { StateFileError } from "../../../host/tokens/state-file.ts";
import { issuerOf } from "./tokens.ts";

const { publicKey } = issuerOf("x");
const key = { issuer: "ops-1", publicKey };

function faultOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof StateFileError) return error.message;
    throw error;
  }
  return "read";
}

interface Schema {
  properties: { format: { const: string } } & Record<string, { items?: { required: string[] } }>;
  required: string[];
}
const schemaOf = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../../docs/schemas/${name}.schema.json`, import.meta.url), "utf8")) as Schema;

describe("the files of keyring and revocations", () => {
  test("are read as they were written", () => {
    expect(parseKeyring(formatKeyring([key, { ...key, issuer: "" }]), "f")).toEqual([key, { ...key, issuer: "" }]);
    const revoked = [{ issuer: "a", subject: "ä\u{1f511}" }];
    expect(parseRevocations(formatRevocations(revoked), "f")).toEqual(revoked);
  });

  test("are what their schemas say", () => {
    for (const [name, list, text] of [
      ["token-keyring", "keys", formatKeyring([key])],
      ["token-revocations", "revoked", formatRevocations([{ issuer: "a", subject: "b" }])],
    ] as const) {
      const schema = schemaOf(name);
      const document = JSON.parse(text) as Record<string, unknown>;
      expect(Object.keys(document)).toEqual(schema.required);
      expect(document["format"]).toBe(schema.properties.format.const);
      expect(Object.keys((document[list] as object[])[0]!)).toEqual(schema.properties[list]!.items!.required);
    }
  });

  const entry = { issuer: "a", algorithm: "Ed25519", publicKey: Buffer.from(publicKey).toString("base64url") };
  const ring = (keys: unknown, more: object = {}) => JSON.stringify({ format: "sallyport-keyring/1", keys, ...more });
  test.each<[string, string]>([
    ["f: not JSON", "{"],
    ["f: not an object", "[]"],
    ["f: not an object", "null"],
    ["f: format is missing", '{"keys":[]}'],
    ["f: keys is missing", '{"format":"sallyport-keyring/1"}'],
    ['f: format is not "sallyport-keyring/1"', '{"format":"sallyport-keyring/9","keys":[]}'],
    ["f: has other members than format, keys", ring([], { comment: "" })],
    ["f: keys is not a list", ring({})],
    ["f: an issuer has two keys", ring([entry, entry])],
    ["f: keys[0]: not an object", ring([null])],
    ["f: keys[1]: issuer is missing", ring([entry, { ...entry, issuer: undefined }])],
    ["f: keys[0]: issuer is not a text", ring([{ ...entry, issuer: 1 }])],
    ["f: keys[0]: issuer is not a text", ring([{ ...entry, issuer: "\ud800" }])],
    ["f: keys[0]: algorithm is Ed25519, and nothing else", ring([{ ...entry, algorithm: "none" }])],
    ["f: keys[0]: a public key is 32 bytes in base64url without padding", ring([{ ...entry, publicKey: `${entry.publicKey}=` }])],
    ["f: keys[0]: a public key is 32 bytes in base64url without padding", ring([{ ...entry, publicKey: "AAAA" }])],
  ])("%s", (fault, text) => expect(faultOf(() => parseKeyring(text, "f"))).toBe(fault));

  test("of revocations want a subject and an issuer each", () => {
    for (const one of [{ issuer: "a" }, { subject: "a" }, { issuer: "a", subject: null }, { issuer: "a", subject: "b", reason: "c" }])
      expect(faultOf(() => parseRevocations(JSON.stringify({ format: "sallyport-revocations/1", revoked: [one] }), "f"))).toMatch(
        /^f: revoked\[0\]: /,
      );
  });

  test("lie beside each other", () => {
    expect(revocationsBeside("a/ring.json")).toBe("a/ring.revocations.json");
    expect(revocationsBeside("ring")).toBe("ring.revocations.json");
  });
});

describe("a public key", () => {
  test("is read from PEM with its issuer, and from base64url without", () => {
    const made = SigningKey.generate("ops-7");
    expect(parsePublicKey(made.publicPem(), "f")).toEqual({ issuer: "ops-7", publicKey: made.publicKey });
    expect(parsePublicKey(`${Buffer.from(publicKey).toString("base64url")}\n`, "f")).toEqual({ issuer: undefined, publicKey });
  });

  test("is no private key, which is not shown either, and no text", () => {
    const pem = SigningKey.generate().toPem();
    const fault = faultOf(() => parsePublicKey(pem, "f"));
    expect(fault).toBe("f: a private key; what is trusted is the public one");
    for (const text of ["", "x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
      expect(faultOf(() => parsePublicKey(text, "f"))).toMatch(/^f: /);
  });
});
