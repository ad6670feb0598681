import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { inspect } from "node:util";
import { MessageChannel, receiveMessageOnPort } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import { Ledger } from "../../../host/io/ledger.ts";
import { ed25519Imports, type SignErrorCode } from "../../../host/tokens/imports.ts";
import { type SignerGrant, SigningError, SigningKey } from "../../../host/tokens/signing-key.ts";
import { CERTIFICATE, channel, issuerOf, NOW, request, seedOf, verifierOf } from "./tokens.ts";

const key = SigningKey.fromPem(String(issuerOf("x").nodeKey.export({ format: "pem", type: "pkcs8" })), "ops-1");
const claims = {
  subject: "alice",
  groups: ["BEAM"],
  expiresAt: NOW + 60n,
  audience: "ioc:beam",
  certificateSha256: CERTIFICATE,
  tlsExporter: undefined,
};

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof SigningError) return error.code;
    const payload = (error as { payload?: unknown }).payload;
    if (typeof payload === "string") return payload;
    throw error;
  }
  return "done";
}

describe("a signing key of the host", () => {
  test("makes the very token that the library makes from the same seed", () => {
    expect(key.sign(claims)).toBe(issuerOf("ops-1", seedOf(7)).issuer.issue(request));
  });

  test("comes back from its PEM with its issuer", () => {
    const again = SigningKey.fromPem(key.toPem());
    expect(again.issuer).toBe("ops-1");
    expect(again.sign(claims)).toBe(key.sign(claims));
    expect(SigningKey.fromPem(key.toPem(), "other").issuer).toBe("other");
  });

  test("is named by its fingerprint where nobody names it", () => {
    const pem = String(createPrivateKey(key.toPem()).export({ format: "pem", type: "pkcs8" }));
    expect(SigningKey.fromPem(pem).issuer).toMatch(/^ed25519:[\w-]{22}$/);
    expect(SigningKey.generate().issuer).not.toBe(SigningKey.generate().issuer);
  });

  test("shows no key when it is printed, cloned as JSON or fails", () => {
    const secret = /BEGIN PRIVATE|BwcHBwcHBwc|0707070707/;
    expect(inspect(key, { depth: 9, showHidden: true })).not.toMatch(secret);
    expect(JSON.stringify(key)).not.toMatch(secret);
    try {
      SigningKey.fromPem(key.toPem().replace("MC4", "MC5"));
    } catch (error) {
      expect(inspect(error)).not.toMatch(secret);
    }
  });

  test.each(["", " ops", "ops ", "a\nb", "a\u0085b", "a\u2028b", "x".repeat(201), "\ud800"])("has no such issuer: %j", (issuer) => {
    expect(codeOf(() => SigningKey.generate(issuer))).toBe("bad-issuer");
  });

  test("is no key of another kind, no public key and no text", () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    expect(codeOf(() => SigningKey.fromPem(String(privateKey.export({ format: "pem", type: "pkcs8" }))))).toBe("bad-key");
    expect(codeOf(() => SigningKey.fromPem(key.publicPem()))).toBe("bad-key");
    expect(codeOf(() => SigningKey.fromPem("hello"))).toBe("bad-key");
    expect(codeOf(() => SigningKey.fromPem(""))).toBe("bad-key");
  });

  test("signs no bindings of another length, no claims that are too long and no half surrogate pairs", () => {
    expect(codeOf(() => key.sign({ ...claims, certificateSha256: new Uint8Array(31) }))).toBe("invalid-argument");
    expect(codeOf(() => key.sign({ ...claims, tlsExporter: new Uint8Array(33) }))).toBe("invalid-argument");
    expect(codeOf(() => key.sign({ ...claims, subject: "\ud800" }))).toBe("invalid-argument");
    expect(codeOf(() => key.sign({ ...claims, subject: "s".repeat(4096) }))).toBe("too-large");
  });
});

describe("sallyport:policy/ed25519", () => {
  interface Signer {
    issuer(): string;
    publicKey(): Uint8Array;
    sign(claims: object): string;
    [Symbol.dispose](): void;
  }
  const ledger = new Ledger();
  const seconds = Math.floor(Date.now() / 1000);
  const imports = ed25519Imports(ledger, { ops: key.grant({ lifetime: 600 }) })["sallyport:policy/ed25519"] as {
    Signer: { open(name: string): Signer };
    verify(message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean;
  };

  test("signs under the issuer of the grant, whatever the guest hands in beside the claims", () => {
    const signer = imports.Signer.open("ops");
    expect(signer.issuer()).toBe("ops-1");
    const token = signer.sign({ ...claims, expiresAt: BigInt(seconds + 60), issuer: "root", extra: 1 });
    const verifier = verifierOf([], { now: () => BigInt(seconds) });
    verifier.keyring.trust("ops-1", signer.publicKey());
    expect(verifier.verify(token, channel).issuer).toBe("ops-1");
    expect(Buffer.from(token.slice(4).split(".")[0]!, "base64url").toString()).not.toContain("root");
    signer[Symbol.dispose]();
    expect(ledger.handles).toBe(0);
  });

  test("answers not-found for names that were not granted, those that every object has included", () => {
    for (const name of ["", "OPS", "__proto__", "constructor"])
      expect(codeOf(() => imports.Signer.open(name))).toBe("not-found" satisfies SignErrorCode);
  });

  test("signs nothing that lives longer than the grant allows", () => {
    const signer = imports.Signer.open("ops");
    expect(codeOf(() => signer.sign({ ...claims, expiresAt: BigInt(seconds + 600) }))).toBe("done");
    expect(codeOf(() => signer.sign({ ...claims, expiresAt: BigInt(seconds + 660) }))).toBe("not-permitted");
    expect(codeOf(() => signer.sign({ ...claims, expiresAt: 2n ** 64n - 1n }))).toBe("not-permitted");
    signer[Symbol.dispose]();
  });

  test("takes grants that were posted to another thread, and none that is not of an Ed25519 private key", () => {
    const { port1, port2 } = new MessageChannel();
    port1.postMessage({ posted: key.grant() });
    const { posted } = (receiveMessageOnPort(port2) as { message: { posted: SignerGrant } }).message;
    expect(SigningKey.fromGrant(posted).sign(claims)).toBe(key.sign(claims));
    port1.close();
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    expect(codeOf(() => ed25519Imports(ledger, { x: { issuer: "x", key: privateKey } }))).toBe("bad-key");
    expect(codeOf(() => ed25519Imports(ledger, { x: { issuer: "x", key: createPublicKey(posted.key) } }))).toBe("bad-key");
    expect(codeOf(() => ed25519Imports(ledger, { x: { issuer: "", key: posted.key } }))).toBe("bad-issuer");
  });

  test("hands out a copy of the public key", () => {
    const signer = imports.Signer.open("ops");
    signer.publicKey().fill(0);
    expect(signer.publicKey()).toEqual(key.publicKey);
    signer[Symbol.dispose]();
  });

  test("verifies what the library signed, and nothing else", () => {
    const token = key.sign(claims);
    const message = Buffer.from(token.slice(4).split(".")[0]!);
    const signature = Buffer.from(token.split(".")[1]!, "base64url");
    expect(imports.verify(message, signature, key.publicKey)).toBe(true);
    expect(imports.verify(message.subarray(1), signature, key.publicKey)).toBe(false);
    expect(imports.verify(message, signature, new Uint8Array(32))).toBe(false);
  });
});
