import { inspect } from "node:util";
import { X509Certificate } from "node:crypto";
import { createSecureContext, getCACertificates } from "node:tls";
import { beforeAll, expect, test } from "vitest";
import { identityClasses } from "../../../host/identity/identity-classes.ts";
import { AnchorSet } from "../../../host/identity/trust-anchors.ts";
import { WitError } from "../../../host/io/error.ts";
import { Ledger } from "../../../host/io/ledger.ts";
import { makeCertificate, makeCrl, makePki, type TestPki, toPem } from "../../support/pki.ts";
import { verifyPeer } from "../../support/verify-peer.ts";

let pki: TestPki;
let other: TestPki;
let hostAnchors: AnchorSet;
let TrustAnchors: ReturnType<typeof identityClasses>["TrustAnchors"];

beforeAll(async () => {
  [pki, other] = [await makePki(), await makePki()];
  hostAnchors = AnchorSet.fromX509([pki.root.der]);
  TrustAnchors = identityClasses({ ledger: new Ledger(), identities: new Map(), hostAnchors }).TrustAnchors;
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

const server = (of: TestPki) => ({ key: of.leaf.keyPem, cert: of.chainPem });

test("the host's anchors are what the embedder gave the instance", async () => {
  const host = TrustAnchors.host();
  expect(host).toBeInstanceOf(TrustAnchors);
  expect(host.anchors).toBe(hostAnchors);
  expect(await verifyPeer(server(pki), host.anchors)).toBeUndefined();
  expect((await verifyPeer(server(other), host.anchors))?.code).toBe("UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
});

test("anchors of one's own stand alone unless the host's are asked for", async () => {
  const alone = TrustAnchors.fromX509([other.root.der], false, []).anchors;
  const both = TrustAnchors.fromX509([other.root.der], true, []).anchors;
  expect(await verifyPeer(server(other), alone)).toBeUndefined();
  expect((await verifyPeer(server(pki), alone))?.code).toBe("UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
  expect(await verifyPeer(server(other), both)).toBeUndefined();
  expect(await verifyPeer(server(pki), both)).toBeUndefined();
});

test("an empty set trusts nobody, the machine's own roots included", async () => {
  const nobody = TrustAnchors.fromX509([], false, []).anchors;
  expect(nobody.tlsOptions().ca).toEqual([]);
  expect((await verifyPeer(server(pki), nobody))?.code).toBe("UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
});

test("an intermediate and a self-signed leaf can be anchors, since somebody said so", async () => {
  expect(await verifyPeer(server(pki), AnchorSet.fromX509([pki.intermediates[0]!.der]))).toBeUndefined();
  const own = await makeCertificate({ dns: ["localhost"] });
  expect(await verifyPeer({ key: own.keyPem, cert: own.pem }, AnchorSet.fromX509([own.der]))).toBeUndefined();
});

test("a root of version 1 is an anchor", async () => {
  const root = await makeCertificate({ version: 1 });
  const leaf = await makeCertificate({ dns: ["localhost"] }, root);
  expect(await verifyPeer({ key: leaf.keyPem, cert: leaf.pem }, AnchorSet.fromX509([root.der]))).toBeUndefined();
});

test("a leaf as anchor vouches for itself and for nothing that it signed", async () => {
  const below = await makeCertificate({ dns: ["localhost"] }, pki.leaf);
  const fault = await verifyPeer({ key: below.keyPem, cert: below.pem }, AnchorSet.fromX509([pki.leaf.der]));
  expect(fault).toBeDefined();
});

test("with revocation lists, a chain passes only if current lists cover all of it and name none of it", async () => {
  const issuer = pki.intermediates[0]!;
  const rootList = await makeCrl(pki.root);
  const codeWith = async (...crls: Uint8Array[]) => (await verifyPeer(server(pki), AnchorSet.fromX509([pki.root.der], crls)))?.code;
  expect(await codeWith(rootList, await makeCrl(issuer))).toBeUndefined();
  expect(await codeWith(rootList, await makeCrl(issuer, [pki.leaf]))).toBe("CERT_REVOKED");
  expect(await codeWith(rootList)).toBe("UNABLE_TO_GET_CRL");
  expect(await codeWith(rootList, await makeCrl(issuer, [], { nextUpdate: new Date(Date.now() - 60_000) }))).toBe("CRL_HAS_EXPIRED");
  expect(await codeWith(rootList, await makeCrl({ ...issuer, privateKey: other.root.privateKey }))).toBe("CRL_SIGNATURE_FAILURE");
});

test.each([
  ["an empty certificate", () => TrustAnchors.fromX509([new Uint8Array()], false, [])],
  ["PEM in place of DER", () => TrustAnchors.fromX509([Buffer.from(pki.root.pem)], false, [])],
  ["a key in place of a certificate", () => TrustAnchors.fromX509([pki.root.keyDer], true, [])],
  ["two certificates in one", () => TrustAnchors.fromX509([Buffer.concat([pki.root.der, other.root.der])], false, [])],
  ["a bad certificate among good ones", () => TrustAnchors.fromX509([pki.root.der, Buffer.from("x")], false, [])],
  ["a certificate in place of a list", () => TrustAnchors.fromX509([pki.root.der], false, [pki.root.der])],
  ["an empty list", () => TrustAnchors.fromX509([pki.root.der], false, [new Uint8Array()])],
])("refuses %s as bad-format", (_, make) => {
  expect(codeOf(make)).toBe("bad-format");
});

test("refuses a revocation list with bytes after it", async () => {
  const list = Buffer.concat([await makeCrl(pki.root), Buffer.from([0])]);
  expect(codeOf(() => TrustAnchors.fromX509([], false, [list]))).toBe("bad-format");
});

test("refuses more certificates, lists or bytes than it takes as too-large", () => {
  const many = (count: number) => Array<Uint8Array>(count).fill(pki.root.der);
  expect(codeOf(() => TrustAnchors.fromX509(many(1025), false, []))).toBe("too-large");
  expect(codeOf(() => TrustAnchors.fromX509([], false, many(65)))).toBe("too-large");
  expect(codeOf(() => TrustAnchors.fromX509([], false, [new Uint8Array(16 * 1024 * 1024 + 1)]))).toBe("too-large");
  expect(codeOf(() => TrustAnchors.fromX509([new Uint8Array(64 * 1024 + 1)], false, []))).toBe("too-large");
});

test("a bundle gives certificates and lists, and is refused without a certificate", async () => {
  const list = toPem("X509 CRL", await makeCrl(pki.root));
  const bundle = AnchorSet.fromPem(Buffer.from(`# roots\n${pki.root.pem}${list}${other.root.pem}`));
  expect(bundle.certificates).toEqual([pki.root.der, other.root.der]);
  expect(bundle.crls).toHaveLength(1);
  expect(() => AnchorSet.fromPem(Buffer.from(list))).toThrow(expect.objectContaining({ code: "bad-format" }));
  expect(() => AnchorSet.fromPem(Buffer.from(pki.root.pem.slice(0, 100)))).toThrow(expect.objectContaining({ code: "bad-format" }));
});

test("the system's anchors are made once and are what Node trusts", () => {
  const system = AnchorSet.system();
  expect(AnchorSet.system()).toBe(system);
  const trusted = getCACertificates("default").map((pem) => new X509Certificate(pem).raw.toString("hex"));
  expect(system.certificates.map((der) => Buffer.from(der).toString("hex"))).toEqual(trusted);
  expect(trusted.length).toBeGreaterThan(0);
  expect(() => createSecureContext(system.tlsOptions())).not.toThrow();
});

test("ids are equal for equal contents and differ for any difference", async () => {
  const list = await makeCrl(pki.root);
  const sets = () => [
    AnchorSet.fromX509([pki.root.der]),
    AnchorSet.fromX509([pki.root.der, other.root.der]),
    AnchorSet.fromX509([pki.root.der], [list]),
    AnchorSet.fromX509([]),
  ];
  const ids = sets().map((set) => set.id);
  expect(new Set(ids).size).toBe(4);
  expect(sets().map((set) => set.id)).toEqual(ids);
});

test("a set prints as counts, not as certificates", () => {
  expect(inspect(AnchorSet.fromX509([other.root.der], [], hostAnchors))).toBe("AnchorSet(2 certificates, 0 lists, host's own included)");
});
