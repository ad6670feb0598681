import { createHash } from "node:crypto";
import { beforeAll, expect, test } from "vitest";
import { identityClasses } from "../../../host/identity/identity-classes.ts";
import { KeyPair } from "../../../host/identity/private-identity.ts";
import { PublicChain, PublicIdentity as BasePublicIdentity } from "../../../host/identity/public-identity.ts";
import { AnchorSet } from "../../../host/identity/trust-anchors.ts";
import { WitError } from "../../../host/io/error.ts";
import { Ledger, Trap } from "../../../host/io/ledger.ts";
import { makeCertificate, makePki, type TestPki } from "../../support/pki.ts";

let pki: TestPki;
const ledger = new Ledger();
const classes = identityClasses({ ledger, identities: new Map(), hostAnchors: AnchorSet.fromX509([]) });

beforeAll(async () => {
  pki = await makePki({ intermediates: 2 });
});

function codeOf(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    if (error instanceof WitError) return error.payload;
    throw error;
  }
  return "no error";
}

test("a chain comes back as it was given, leaf first", () => {
  const identity = classes.PublicIdentity.parse(pki.chainDer);
  expect(identity.exportX509Chain()).toEqual(pki.chainDer);
});

test("fingerprints are SHA-256 of the leaf and of its SubjectPublicKeyInfo", () => {
  const identity = classes.PublicIdentity.parse(pki.chainDer);
  const spki = pki.leaf.x509.publicKey.export({ type: "spki", format: "der" });
  expect(Buffer.from(identity.fingerprint())).toEqual(createHash("sha256").update(pki.leaf.der).digest());
  expect(Buffer.from(identity.spkiFingerprint())).toEqual(createHash("sha256").update(spki).digest());
});

test("two certificates for one key have one SPKI fingerprint and two fingerprints", async () => {
  const privateKey = pki.leaf.privateKey;
  const first = PublicChain.parse([(await makeCertificate({ privateKey })).der]);
  const second = PublicChain.parse([(await makeCertificate({ privateKey })).der]);
  expect(first.spkiFingerprint).toEqual(second.spkiFingerprint);
  expect(first.fingerprint).not.toEqual(second.fingerprint);
});

test("what the caller does to exported bytes does not reach the identity", () => {
  const identity = classes.PublicIdentity.parse(pki.chainDer);
  identity.exportX509Chain()[0]!.fill(0);
  identity.fingerprint().fill(0);
  expect(identity.exportX509Chain()).toEqual(pki.chainDer);
  expect(identity.fingerprint()).not.toEqual(new Uint8Array(32));
});

test("what the caller does to the bytes that were parsed does not reach the identity", () => {
  const bytes = pki.leaf.der.slice();
  const identity = classes.PublicIdentity.parse([bytes]);
  bytes.fill(0);
  expect(identity.exportX509Chain()).toEqual([pki.leaf.der]);
});

test("a version 1 certificate parses: whether it may be used is another question", async () => {
  const old = await makeCertificate({ version: 1 });
  expect(PublicChain.parse([old.der]).der).toHaveLength(1);
});

test("chains differ in their id when their order or their cut differs", () => {
  const [a, b, c] = pki.chainDer as [Uint8Array, Uint8Array, Uint8Array];
  const ids = [[a, b, c], [a, c, b], [a, b], [a]].map((list) => PublicChain.parse(list).id);
  expect(new Set(ids).size).toBe(4);
  expect(PublicChain.parse([a, b, c]).id).toBe(ids[0]);
});

test.each([
  ["no certificate at all", () => []],
  ["an empty certificate", () => [new Uint8Array()]],
  ["noise", () => [new Uint8Array(300).fill(0x30)]],
  ["PEM, which Node would take", () => [Buffer.from(pki.leaf.pem)]],
  ["a byte after the certificate", () => [Buffer.concat([pki.leaf.der, Buffer.from([0])])]],
  ["a certificate cut short", () => [pki.leaf.der.subarray(0, -1)]],
  ["noise behind a good leaf", () => [pki.leaf.der, Buffer.from("x")]],
  ["a public key that cannot be read", () => [withUnknownCurve(pki.leaf.der)]],
])("refuses %s as bad-format", (_, chain) => {
  expect(codeOf(() => classes.PublicIdentity.parse(chain()))).toBe("bad-format");
});

test("refuses a seventeenth certificate and a certificate of more than 64 KiB as too-large", () => {
  expect(codeOf(() => classes.PublicIdentity.parse(Array<Uint8Array>(17).fill(pki.leaf.der)))).toBe("too-large");
  expect(codeOf(() => classes.PublicIdentity.parse([new Uint8Array(64 * 1024 + 1)]))).toBe("too-large");
  expect(classes.PublicIdentity.parse(Array<Uint8Array>(16).fill(pki.leaf.der)).exportX509Chain()).toHaveLength(16);
});

test("objects of one instance are not objects of another, nor is one of the base class an object of either", () => {
  const others = identityClasses({ ledger, identities: new Map(), hostAnchors: AnchorSet.fromX509([]) });
  const mine = classes.PublicIdentity.parse(pki.chainDer);
  expect(mine).toBeInstanceOf(classes.PublicIdentity);
  expect(mine).not.toBeInstanceOf(others.PublicIdentity);
  expect(new BasePublicIdentity(ledger, mine.chain)).not.toBeInstanceOf(classes.PublicIdentity);
});

test("an identity is entered in the ledger until it is dropped, and refused past the limit of handles", () => {
  const small = new Ledger({ limits: { handles: 1 } });
  const { PublicIdentity } = identityClasses({ ledger: small, identities: new Map(), hostAnchors: AnchorSet.fromX509([]) });
  const identity = PublicIdentity.parse(pki.chainDer);
  expect(small.count("PublicIdentity")).toBe(1);
  expect(() => PublicIdentity.parse(pki.chainDer)).toThrow(Trap);
  identity[Symbol.dispose]();
  expect(small.handles).toBe(0);
});

test("bytes that an instance makes the host keep are bounded, and dropping gives them back", async () => {
  const big = await makeCertificate({ dns: Array.from({ length: 1700 }, (_, i) => `name-${i}.${"x".repeat(20)}.test`) });
  const { PublicIdentity, TrustAnchors } = identityClasses({ ledger, identities: new Map(), hostAnchors: AnchorSet.fromX509([]) });
  expect(big.der.length).toBeGreaterThan(60_000);
  const lists = Array<Uint8Array>(1000).fill(big.der);
  const held = TrustAnchors.fromX509(lists, false, []);
  expect(codeOf(() => TrustAnchors.fromX509(lists, false, []))).toBe("too-large");
  held[Symbol.dispose]();
  held[Symbol.dispose]();
  const again = TrustAnchors.fromX509(lists, false, []);
  expect(codeOf(() => Array.from({ length: 200 }, () => PublicIdentity.parse([big.der])))).toBe("too-large");
  again[Symbol.dispose]();
});

test("the chain of an identity that the guest brought stays charged after the identity is dropped", async () => {
  const { PrivateIdentity } = identityClasses({ ledger, identities: new Map(), hostAnchors: AnchorSet.fromX509([]) });
  const big = await makeCertificate({ dns: Array.from({ length: 1700 }, (_, i) => `name-${i}.${"x".repeat(20)}.test`) });
  const chain = Array<Uint8Array>(16).fill(big.der);
  const hoard = () => {
    for (let i = 0; i < 100; i++) {
      using identity = PrivateIdentity.parse(big.keyDer, chain);
      identity.publicIdentity();
    }
  };
  expect(hoard).toThrow(/too-large|too many bytes/);
});

test("a chain of the host's own is not charged to the instance", () => {
  const granted = KeyPair.parse(pki.leaf.keyDer, pki.chainDer, "host");
  const { PrivateIdentity } = identityClasses({ ledger, identities: new Map([["a", granted]]), hostAnchors: AnchorSet.fromX509([]) });
  const identity = PrivateIdentity.open("a");
  expect(identity.publicIdentity().exportX509Chain()).toEqual(pki.chainDer);
});

/** Changes the curve's object identifier to one that nobody has assigned. */
function withUnknownCurve(der: Uint8Array): Uint8Array {
  const bytes = Buffer.from(der);
  const curve = Buffer.from("06082a8648ce3d030107", "hex");
  bytes[bytes.indexOf(curve) + curve.length - 1] = 0x77;
  return bytes;
}
