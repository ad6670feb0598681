import { X509Certificate } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import type { Authority } from "../../../host/authority/authority.ts";
import { certificateParts, extensionOid } from "../../../host/authority/certificate-parts.ts";
import { derTime } from "../../../host/authority/der-writer.ts";
import { IssuingCa, makeCa, renewCa } from "../../../host/authority/issuing-ca.ts";
import { encodeNameConstraints, readNameConstraints } from "../../../host/authority/name-constraints.ts";
import { parseLimits } from "../../../host/authority/parse-limits.ts";
import { AnchorSet } from "../../../host/identity/trust-anchors.ts";
import { readCertificate } from "../../../src/wire/certificate.ts";
import { DerReader } from "../../../src/wire/der.ts";
import { readTime } from "../../../src/wire/der-time.ts";
import { codeOf, dns, ip, makeAuthority, misissued } from "../../support/authority.ts";
import { mutatedBytes, seededRandom } from "../../support/mutated-bytes.ts";
import { type CertificateOptions, EKU, makeCertificate, toPem } from "../../support/pki.ts";
import { verifyPeer } from "../../support/verify-peer.ts";

const DAY = 86_400n;
const now = BigInt(Math.floor(Date.now() / 1000));
const extensionOf = (der: Uint8Array, oid: string) => certificateParts(der).extensions.find((it) => it.oid === oid);
const keyIdOf = (der: Uint8Array) => Buffer.from(extensionOf(der, extensionOid.subjectKeyIdentifier)!.value.subarray(2)).toString("hex");
const issuerKeyIdOf = (der: Uint8Array) =>
  Buffer.from(extensionOf(der, extensionOid.authorityKeyIdentifier)!.value.subarray(4)).toString("hex");

let authority: Authority;
let intermediate: Uint8Array;
let root: Uint8Array;

beforeAll(async () => {
  authority = await makeAuthority({ dns: ["localhost.test", "example.com"], ip: ["127.0.0.0/8"] });
  [intermediate, root] = authority.chain.der as [Uint8Array, Uint8Array];
});

describe("the intermediate", () => {
  test("signs leaves for servers and nothing else", () => {
    const it = readCertificate(intermediate);
    expect(it).toMatchObject({ version: 3, isCa: true, pathLength: 0, extendedKeyUsage: [EKU.serverAuth], publicKeyAlgorithm: "EC P-256" });
    // keyCertSign and cRLSign.
    expect(it.keyUsage).toBe((1 << 5) | (1 << 6));
    expect(it.otherCritical).toEqual([extensionOid.nameConstraints]);
  });

  test("permits its names and ranges, and of the other family an address that no host has", () => {
    const extension = extensionOf(intermediate, extensionOid.nameConstraints)!;
    expect(extension.critical).toBe(true);
    expect(Buffer.from(extension.value).toString("hex")).toBe(
      `3053a0513010820e6c6f63616c686f73742e74657374300d820b6578616d706c652e636f6d300a87087f000000ff00000030228720ff${"00".repeat(15)}${"ff".repeat(16)}`,
    );
    expect(readNameConstraints(intermediate)).toEqual(authority.bounds.limits);
  });

  test("excludes every address where none is permitted", () => {
    const value = Buffer.from(encodeNameConstraints(parseLimits({ dns: ["a.test"] }))).toString("hex");
    expect(value.endsWith(`a130300a8708${"00".repeat(8)}30228720${"00".repeat(32)}`)).toBe(true);
  });

  test("permits no IPv4 address that a host can have where only IPv6 is permitted", () => {
    const value = Buffer.from(encodeNameConstraints(parseLimits({ dns: ["a.test"], ip: ["fd00::/12"] }))).toString("hex");
    expect(value.endsWith(`30228720fd00${"00".repeat(14)}fff0${"00".repeat(14)}300a8708${"ff".repeat(8)}`)).toBe(true);
  });

  test("permits exactly the ranges where both families have some", () => {
    const limits = parseLimits({ dns: ["a.test"], ip: ["10.0.0.0/9", "fd00::/12"] });
    const value = Buffer.from(encodeNameConstraints(limits)).toString("hex");
    expect(value.endsWith(`300a87080a000000ff80000030228720fd00${"00".repeat(14)}fff0${"00".repeat(14)}`)).toBe(true);
  });

  test("names its issuer's key and its own", () => {
    expect(issuerKeyIdOf(intermediate)).toBe(keyIdOf(root));
    expect(keyIdOf(intermediate)).toMatch(/^[0-9a-f]{40}$/);
    expect(keyIdOf(intermediate)).not.toBe(keyIdOf(root));
  });

  test("begins five minutes back, with a random positive serial of 16 bytes", () => {
    const it = readCertificate(intermediate);
    expect(it.notAfter - it.notBefore).toBe(DAY + 300n);
    expect(it.serial).toMatch(/^[4-7][0-9a-f]{31}$/);
    expect(it.serial).not.toBe(readCertificate(root).serial);
  });
});

test("the root is self-signed, constrained too, and allows one authority below it", () => {
  const it = readCertificate(root);
  expect(it).toMatchObject({ isCa: true, pathLength: 1, extendedKeyUsage: undefined });
  expect(it.issuer.der).toEqual(it.subject.der);
  expect(new X509Certificate(root).verify(new X509Certificate(root).publicKey)).toBe(true);
  expect(readNameConstraints(root).coversAll(authority.bounds.limits)).toBe(true);
});

test("certificates reach past 2049", async () => {
  const { ca } = await makeCa({ limits: parseLimits({ dns: ["a.test"] }), validity: 3650n * DAY, now: 2_500_000_000n });
  expect(readCertificate(ca.intermediate).notAfter).toBe(2_500_000_000n + 3650n * DAY);
  expect(new X509Certificate(ca.intermediate).validTo).toMatch(/2059/);
});

test.each([
  [0n, 0x17],
  [2_524_607_999n, 0x17],
  [2_524_608_000n, 0x18],
])("a time of %d is written as certificates want it", (seconds, tag) => {
  const element = new DerReader(derTime(seconds)).any();
  expect(element.tag).toBe(tag);
  expect(readTime(element)).toBe(seconds);
});

describe("a leaf", () => {
  test("says exactly what was asked for", () => {
    const { keyPair, serial, names, notBefore, notAfter } = authority.issue({
      names: [dns("www.example.com")],
      lifetime: 3600n,
      key: "p256",
    });
    const leaf = readCertificate(keyPair.chain.der[0]!);
    expect(leaf).toMatchObject({
      version: 3,
      isCa: false,
      keyUsage: 1,
      extendedKeyUsage: [EKU.serverAuth],
      publicKeyAlgorithm: "EC P-256",
    });
    expect(leaf.alternativeNames).toEqual({ dns: ["www.example.com"], ip: [], otherCount: 0 });
    expect(leaf.subject.text).toBe("CN=www.example.com");
    expect(leaf.serial).toBe(serial);
    expect(names).toEqual(["www.example.com"]);
    expect([leaf.notBefore, leaf.notAfter]).toEqual([notBefore, notAfter]);
    expect(leaf.issuer.der).toEqual(readCertificate(intermediate).subject.der);
    expect(issuerKeyIdOf(keyPair.chain.der[0]!)).toBe(keyIdOf(intermediate));
    expect(keyPair.chain.der[1]).toEqual(intermediate);
    expect(keyPair.chain.der).toHaveLength(2);
  });

  test("has no common name past 64 bytes, and then a critical alternative name", () => {
    const fitting = `${"a".repeat(52)}.example.com`;
    const long = `a${fitting}`;
    const issue = (name: string) => authority.issue({ names: [dns(name)], lifetime: 60n, key: "p256" }).keyPair.chain.der[0]!;
    expect(readCertificate(issue(fitting)).subject.text).toBe(`CN=${fitting}`);
    expect(readCertificate(issue(long)).subject.text).toBe("");
    expect(extensionOf(issue(long), extensionOid.subjectAlternativeName)!.critical).toBe(true);
    expect(extensionOf(issue(fitting), extensionOid.subjectAlternativeName)!.critical).toBe(false);
  });

  test("has no common name for an address", () => {
    const [der] = authority.issue({ names: [ip(127, 0, 0, 1)], lifetime: 60n, key: "p256" }).keyPair.chain.der;
    expect(readCertificate(der!)).toMatchObject({ subject: { text: "" }, alternativeNames: { dns: [], ip: ["127.0.0.1"] } });
  });

  test("never shares key or serial with another", () => {
    const leaves = Array.from({ length: 50 }, () => authority.issue({ names: [dns("example.com")], lifetime: 60n, key: "p256" }));
    expect(new Set(leaves.map((leaf) => leaf.serial)).size).toBe(50);
    expect(new Set(leaves.map((leaf) => Buffer.from(leaf.keyPair.chain.spkiFingerprint).toString("hex"))).size).toBe(50);
  });

  test("comes with the key that belongs to it", () => {
    const { keyPair } = authority.issue({ names: [dns("example.com")], lifetime: 60n, key: "p256" });
    const { key, cert } = keyPair.credentials();
    expect(key).toContain("BEGIN PRIVATE KEY");
    expect(cert.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(JSON.stringify(keyPair)).not.toContain("PRIVATE");
  });
});

describe("in a handshake, with the root as anchor", () => {
  const anchors = () => AnchorSet.fromX509([root]);

  test.each([
    ["a name", [dns("www.example.com")]],
    ["an address", [ip(127, 0, 0, 1)]],
    ["a name too long for a common name", [dns(`${"a".repeat(63)}.${"b".repeat(63)}.example.com`)]],
    ["several of both", [dns("example.com"), dns("localhost.test"), ip(127, 0, 0, 1), ip(127, 1, 1, 1)]],
  ])("a leaf for %s is accepted", async (_, names) => {
    const { keyPair } = authority.issue({ names, lifetime: 60n, key: "p256" });
    expect(await verifyPeer(keyPair.credentials(), anchors())).toBeUndefined();
  });

  test.each([
    ["evil.test"],
    ["notexample.com"],
    ["example.com.evil.test"],
    ["10.0.0.1"],
    ["::1"],
    ["example.com", "10.0.0.1"],
    ["example.com", "evil.test"],
  ])("a leaf for %s that its own key signed is refused for its name", async (...names) => {
    const { certificate, key } = misissued(authority, names);
    const cert = toPem("CERTIFICATE", certificate) + toPem("CERTIFICATE", intermediate);
    const report = await verifyPeer({ key: key.export({ type: "pkcs8", format: "pem" }).toString(), cert }, anchors());
    expect(report?.reason).toMatch(/permitted subtree violation|excluded subtree violation/);
  });

  test("a leaf is refused under another authority of the same limits", async () => {
    const other = await makeAuthority({ dns: ["example.com"] });
    const { keyPair } = other.issue({ names: [dns("example.com")], lifetime: 60n, key: "p256" });
    expect(await verifyPeer(keyPair.credentials(), anchors())).toBeDefined();
  });
});

describe("a CA that is not one of ours is refused", () => {
  const constraints = { permittedDns: ["a.test"], excludedIp: ["0.0.0.0/0.0.0.0", "::/::"] };
  const good: CertificateOptions = { isCa: true, pathLength: 0, eku: [EKU.serverAuth], nameConstraints: constraints };

  async function pair(options: CertificateOptions, rootOptions: CertificateOptions = {}) {
    const above = await makeCertificate({ isCa: true, nameConstraints: constraints, ...rootOptions });
    const below = await makeCertificate({ ...good, ...options }, above);
    return { above, below };
  }
  const codeFor = async (options: CertificateOptions, rootOptions: CertificateOptions = {}) => {
    const { above, below } = await pair(options, rootOptions);
    return await codeOf(() => new IssuingCa(above.der, below.der, below.privateKey));
  };

  test("but one of the same form is not", async () => expect(await codeFor({})).toBe("no error"));

  test.each<[string, CertificateOptions, string]>([
    ["without constraints", { nameConstraints: undefined }, "unconstrained"],
    ["with constraints on addresses alone", { nameConstraints: { excludedIp: constraints.excludedIp } }, "unconstrained"],
    ["that leaves addresses open", { nameConstraints: { permittedDns: ["a.test"] } }, "unconstrained"],
    ["that leaves IPv6 open", { nameConstraints: { permittedDns: ["a.test"], excludedIp: ["0.0.0.0/0.0.0.0"] } }, "unconstrained"],
    ["that permits com", { nameConstraints: { ...constraints, permittedDns: ["com"] } }, "bad-limits"],
    ["that permits a public suffix", { nameConstraints: { ...constraints, permittedDns: ["a.test", "co.uk"] } }, "bad-limits"],
    ["that permits every name", { nameConstraints: { ...constraints, permittedDns: [""] } }, "bad-content"],
    ["that permits every address", { nameConstraints: { ...constraints, permittedIp: ["0.0.0.0/0.0.0.0"] } }, "bad-limits"],
    [
      "that permits IPv4 and leaves IPv6 open",
      { nameConstraints: { permittedDns: ["a.test"], permittedIp: ["10.0.0.0/255.0.0.0"] } },
      "unconstrained",
    ],
    ["whose range has a mask with holes", { nameConstraints: { ...constraints, permittedIp: ["10.0.0.0/255.0.255.0"] } }, "unconstrained"],
    ["that is a leaf", { isCa: false, pathLength: undefined }, "not-an-authority"],
    ["that may sign further authorities", { pathLength: undefined }, "not-an-authority"],
    ["with a longer path", { pathLength: 1 }, "not-an-authority"],
    ["without key usage for certificates", { keyUsage: 1 }, "not-an-authority"],
    ["for any purpose", { eku: [] }, "not-an-authority"],
    ["for clients too", { eku: [EKU.serverAuth, EKU.clientAuth] }, "not-an-authority"],
    ["on P-384", { keyType: "p384" }, "not-an-authority"],
    ["with a broken signature", { brokenSignature: true }, "not-an-authority"],
  ])("%s", async (_, options, code) => expect(await codeFor(options)).toBe(code));

  test("whose root permits less", async () => {
    const rootOptions = { nameConstraints: { ...constraints, permittedDns: ["b.a.test"] } };
    expect(await codeFor({}, rootOptions)).toBe("not-covering");
  });

  test("whose root is unconstrained", async () => expect(await codeFor({}, { nameConstraints: undefined })).toBe("unconstrained"));

  test("whose key is another", async () => {
    const { above, below } = await pair({});
    const other = await makeCertificate();
    expect(await codeOf(() => new IssuingCa(above.der, below.der, other.privateKey))).toBe("key-mismatch");
    expect(await codeOf(() => new IssuingCa(above.der, below.der, above.privateKey))).toBe("key-mismatch");
  });

  test("whose root is another", async () => {
    const { below } = await pair({});
    const { above } = await pair({});
    expect(await codeOf(() => new IssuingCa(above.der, below.der, below.privateKey))).toBe("not-an-authority");
  });

  test("that is no certificate", async () => {
    const { above, below } = await pair({});
    expect(await codeOf(() => new IssuingCa(above.der, Uint8Array.of(0x30, 0), below.privateKey))).toBe("bad-content");
  });

  test("whose bytes were changed anywhere", async () => {
    const { above, below } = await pair({});
    const random = seededRandom(4);
    for (let round = 0; round < 300; round++) {
      const changed = mutatedBytes(below.der, random);
      if (Buffer.from(changed).equals(below.der)) continue;
      expect(await codeOf(() => new IssuingCa(above.der, changed, below.privateKey))).not.toBe("no error");
    }
  });
});

describe("renewal", () => {
  test("keeps key, name and limits, so that old leaves chain to the new certificate", async () => {
    const { ca, rootKey } = await makeCa({ limits: parseLimits({ dns: ["a.test"] }), validity: DAY, rootValidity: 100n * DAY });
    const renewed = await renewCa(ca, rootKey, { validity: 10n * DAY, now: now + 5n });
    expect(readCertificate(renewed.intermediate).spki).toEqual(readCertificate(ca.intermediate).spki);
    expect(readCertificate(renewed.intermediate).subject.der).toEqual(readCertificate(ca.intermediate).subject.der);
    expect(readCertificate(renewed.intermediate).serial).not.toBe(readCertificate(ca.intermediate).serial);
    expect(renewed.notAfter).toBe(now + 5n + 10n * DAY);
    expect(renewed.limits).toEqual(ca.limits);
  });

  test("ends with the root", async () => {
    const { ca, rootKey } = await makeCa({ limits: parseLimits({ dns: ["a.test"] }), validity: DAY, rootValidity: 2n * DAY });
    expect((await renewCa(ca, rootKey, { validity: 10n * DAY })).notAfter).toBe(readCertificate(ca.root).notAfter);
  });

  test("is refused with another root's key, and past the root's end", async () => {
    const limits = parseLimits({ dns: ["a.test"] });
    const { ca, rootKey } = await makeCa({ limits, validity: DAY });
    const other = await makeCa({ limits, validity: DAY });
    expect(await codeOf(() => renewCa(ca, other.rootKey, { validity: DAY }))).toBe("key-mismatch");
    expect(await codeOf(() => renewCa(ca, ca.key, { validity: DAY }))).toBe("key-mismatch");
    expect(await codeOf(() => renewCa(ca, rootKey, { validity: DAY, now: now + 3n * DAY }))).toBe("not-valid-now");
  });

  test.each([0n, 59n, -1n, 3651n * DAY])("a validity of %d seconds is refused", async (validity) => {
    expect(await codeOf(() => makeCa({ limits: parseLimits({ dns: ["a.test"] }), validity }))).toBe("bad-limits");
  });
});
