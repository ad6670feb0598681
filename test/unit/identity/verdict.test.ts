import { beforeAll, describe, expect, test } from "vitest";
import { PublicChain } from "../../../host/identity/public-identity.ts";
import { AnchorSet } from "../../../host/identity/trust-anchors.ts";
import { alertFor, type Evidence, verdict } from "../../../host/identity/verdict.ts";
import type { CertificateError } from "../../../host/io/source.ts";
import { parseServerName } from "../../../src/wire/server-name.ts";
import { type CertificateOptions, type Certified, EKU, makeCertificate, makeCrl, makePki, type TestPki } from "../../support/pki.ts";
import { verifyClient, verifyPeer } from "../../support/verify-peer.ts";

const names = [parseServerName("localhost")];
const dns = ["localhost"];
const DAY = 86_400_000;
const past = { notBefore: new Date(Date.now() - 20 * DAY), notAfter: new Date(Date.now() - 10 * DAY) };
const future = { notBefore: new Date(Date.now() + 10 * DAY), notAfter: new Date(Date.now() + 20 * DAY) };

let pki: TestPki;
let issuer: Certified;
let stranger: Certified;
let anchors: AnchorSet;

beforeAll(async () => {
  pki = await makePki();
  issuer = pki.intermediates[0]!;
  stranger = await makeCertificate({ isCa: true });
  anchors = AnchorSet.fromX509([pki.root.der]);
});

const now = () => BigInt(Math.floor(Date.now() / 1000));

/** The verdict on a chain that a real server presents in a real handshake. */
async function judge(chain: Certified[], trust: AnchorSet = anchors, more: Partial<Evidence> = {}): Promise<CertificateError[]> {
  const report = await verifyPeer({ key: chain[0]!.keyPem, cert: chain.map((c) => c.pem).join("") }, trust);
  return verdict({ verifyError: report, chain: chainOf(chain), peer: "server", names, anchors: trust, now: now(), ...more });
}

function chainOf(chain: Certified[]): PublicChain {
  return PublicChain.parse(chain.map((c) => c.der));
}

const leafOf = (options: CertificateOptions, by: Certified = issuer) => makeCertificate({ dns, ...options }, by);

describe("a server", () => {
  test("with nothing wrong gets an empty verdict", async () => {
    expect(await judge([pki.leaf, issuer])).toEqual([]);
  });

  test("may send certificates that no path needs, an expired one too", async () => {
    const useless = await makeCertificate({ isCa: true, ...past }, stranger);
    expect(await judge([pki.leaf, issuer, useless])).toEqual([]);
  });

  test("may be an anchor itself", async () => {
    const own = await makeCertificate({ dns });
    expect(await judge([own], AnchorSet.fromX509([own.der]))).toEqual([]);
  });

  test.each<[string, CertificateOptions, CertificateError[]]>([
    ["has expired", past, ["expired"]],
    ["is not yet valid", future, ["not-yet-valid"]],
    ["has another name", { dns: ["other.test"] }, ["name-mismatch"]],
    ["has its name in the common name only", { dns: [], cn: "localhost" }, ["name-mismatch"]],
    ["is for clients only", { eku: [EKU.clientAuth] }, ["bad-usage"]],
    ["is for signing code", { eku: [EKU.codeSigning] }, ["bad-usage"]],
    ["may not sign", { keyUsage: 32 }, ["bad-usage"]],
    ["may only encipher keys", { keyUsage: 4 }, ["bad-usage"]],
    ["is an authority", { isCa: true, keyUsage: 1 | 32, eku: [EKU.serverAuth] }, ["bad-usage"]],
    ["is of version 1", { version: 1, cn: "localhost" }, ["name-mismatch", "bad-usage"]],
    ["has a wrong signature", { brokenSignature: true }, ["bad-signature"]],
    ["has expired and another name", { ...past, dns: ["other.test"] }, ["expired", "name-mismatch"]],
    ["has expired and is for clients only", { ...past, eku: [EKU.clientAuth] }, ["expired", "bad-usage"]],
    ["has expired and a wrong signature", { ...past, brokenSignature: true }, ["expired", "bad-signature"]],
  ])("whose leaf %s is refused with exactly that", async (_, options, expected) => {
    expect(await judge([await leafOf(options), issuer])).toEqual(expected);
  });

  test("that signed itself is self-signed", async () => {
    expect(await judge([await makeCertificate({ dns })])).toEqual(["self-signed"]);
  });

  test("that signed itself and has expired is both, though the verifier reports expired alone", async () => {
    const own = await makeCertificate({ dns, ...past });
    expect((await verifyPeer({ key: own.keyPem, cert: own.pem }, anchors))?.code).toBe("CERT_HAS_EXPIRED");
    expect(await judge([own])).toEqual(["expired", "self-signed"]);
  });

  test("whose issuer nobody knows, and that has expired, is both", async () => {
    expect(await judge([await leafOf(past, stranger)])).toEqual(["expired", "unknown-issuer"]);
    expect(await judge([await leafOf(past, stranger), stranger])).toEqual(["expired", "self-signed"]);
  });

  test("that leaves out its intermediate, or has another root, has an unknown issuer", async () => {
    expect(await judge([pki.leaf])).toEqual(["unknown-issuer"]);
    expect(await judge([pki.leaf, issuer], AnchorSet.fromX509([stranger.der]))).toEqual(["unknown-issuer"]);
    expect(await judge([pki.leaf, issuer], AnchorSet.fromX509([]))).toEqual(["unknown-issuer"]);
  });

  test("that sends a root which is no anchor is self-signed", async () => {
    expect(await judge([pki.leaf, issuer, pki.root], AnchorSet.fromX509([stranger.der]))).toEqual(["self-signed"]);
  });

  test("with an authority of the same name and another key has a bad signature", async () => {
    const cn = "one name";
    const real = await makeCertificate({ isCa: true, cn });
    const fake = await makeCertificate({ isCa: true, cn });
    const found = await judge([await leafOf({}, fake)], AnchorSet.fromX509([real.der]));
    expect(found).not.toEqual([]);
    expect(found.every((error) => error === "bad-signature" || error === "unknown-issuer")).toBe(true);
  });

  test("under an expired intermediate has expired", async () => {
    const old = await makeCertificate({ isCa: true, ...past }, pki.root);
    expect(await judge([await leafOf({}, old), old])).toEqual(["expired"]);
  });

  test("under a leaf that plays the authority is of bad usage, and an expired date hides nothing of it", async () => {
    expect(await judge([await leafOf({}, pki.leaf), pki.leaf, issuer])).toContain("bad-usage");
    expect(await judge([await leafOf(past, pki.leaf), pki.leaf, issuer])).toEqual(["expired", "bad-usage"]);
  });

  test("under an authority of version 1 that is no anchor is of bad usage", async () => {
    const old = await makeCertificate({ version: 1 }, pki.root);
    expect(await judge([await leafOf({}, old), old])).toEqual(["bad-usage"]);
  });

  test("past a path length, or outside a permitted subtree, or inside an excluded one violates a constraint", async () => {
    const short = await makeCertificate({ isCa: true, pathLength: 0 }, pki.root);
    const below = await makeCertificate({ isCa: true }, short);
    expect(await judge([await leafOf({}, below), below, short])).toEqual(["constraint-violated"]);
    expect(await judge([await leafOf(past, below), below, short])).toEqual(["expired", "constraint-violated"]);
    for (const nameConstraints of [{ permittedDns: ["other.test"] }, { excludedDns: ["localhost"] }]) {
      const limited = await makeCertificate({ isCa: true, nameConstraints }, pki.root);
      expect(await judge([await leafOf({}, limited), limited])).toEqual(["constraint-violated"]);
      expect(await judge([await leafOf(past, limited), limited])).toEqual(["expired", "constraint-violated"]);
    }
  });

  test("outside a constraint of an authority that nobody knows is refused for both", async () => {
    const limited = await makeCertificate({ isCa: true, nameConstraints: { permittedDns: ["other.test"] } }, stranger);
    expect(await judge([await leafOf({}, limited), limited])).toEqual(["unknown-issuer", "constraint-violated"]);
  });

  test("that is revoked, or for which a list is missing, is revoked", async () => {
    const rootList = await makeCrl(pki.root);
    const withLists = (...crls: Uint8Array[]) => AnchorSet.fromX509([pki.root.der], crls);
    expect(await judge([pki.leaf, issuer], withLists(rootList, await makeCrl(issuer)))).toEqual([]);
    expect(await judge([pki.leaf, issuer], withLists(rootList, await makeCrl(issuer, [pki.leaf])))).toEqual(["revoked"]);
    expect(await judge([pki.leaf, issuer], withLists(rootList))).toEqual(["revoked"]);
  });

  test("that has expired under revocation lists counts as revoked too, since the verifier no longer tells", async () => {
    const old = await leafOf(past);
    const trust = AnchorSet.fromX509([pki.root.der], [await makeCrl(pki.root), await makeCrl(issuer, [old])]);
    expect((await verifyPeer({ key: old.keyPem, cert: old.pem + issuer.pem }, trust))?.code).toBe("CERT_HAS_EXPIRED");
    expect(await judge([old, issuer], trust)).toEqual(["expired", "revoked"]);
  });

  test("is judged by every name that is asked for, and by no name if there is none", async () => {
    expect(await judge([pki.leaf, issuer], anchors, { names: [parseServerName("x.test"), ...names] })).toEqual([]);
    expect(await judge([pki.leaf, issuer], anchors, { names: [] })).toEqual(["name-mismatch"]);
  });
});

describe("a client", () => {
  async function judgeClient(chain: Certified[]): Promise<CertificateError[]> {
    const server = { key: pki.leaf.keyPem, cert: pki.chainPem };
    const report = await verifyClient({ key: chain[0]!.keyPem, cert: chain.map((c) => c.pem).join("") }, server, anchors);
    return verdict({ verifyError: report, chain: chainOf(chain), peer: "client", names: [], anchors, now: now() });
  }

  test("passes without any name", async () => {
    expect(await judgeClient([await makeCertificate({ eku: [EKU.clientAuth] }, issuer), issuer])).toEqual([]);
  });

  test("is refused with a server's certificate, an unknown issuer, an expired date", async () => {
    expect(await judgeClient([await makeCertificate({ eku: [EKU.serverAuth] }, issuer), issuer])).toEqual(["bad-usage"]);
    expect(await judgeClient([await makeCertificate({}, stranger)])).toEqual(["unknown-issuer"]);
    expect(await judgeClient([await makeCertificate(past, issuer), issuer])).toEqual(["expired"]);
  });

  test("that presents nothing gets none-presented, whatever the verifier says", async () => {
    const report = await verifyClient(undefined, { key: pki.leaf.keyPem, cert: pki.chainPem }, anchors);
    for (const verifyError of [report, undefined])
      expect(verdict({ verifyError, chain: undefined, peer: "client", names: [], anchors, now: now() })).toEqual(["none-presented"]);
  });
});

describe("a verifier's error", () => {
  const report = (code: string, reason = "") =>
    verdict({ verifyError: { code, reason }, chain: chainOf([pki.leaf, issuer]), peer: "server", names, anchors, now: now() });

  test.each(["UNSPECIFIED", "OUT_OF_MEM", "SOMETHING_NEW", "", "__proto__"])("that nobody knows (%j) is never an empty verdict", (code) => {
    expect(report(code)).toEqual(["other"]);
  });

  test.each<[string, string, CertificateError]>([
    ["INVALID_CA", "", "bad-usage"],
    ["UNABLE_TO_GET_CRL", "", "revoked"],
    ["CRL_NOT_YET_VALID", "", "revoked"],
    ["CERT_CHAIN_TOO_LONG", "", "constraint-violated"],
    ["UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY", "", "bad-encoding"],
    ["UNABLE_TO_GET_ISSUER_CERT", "", "unknown-issuer"],
    ["UNSPECIFIED", "permitted subtree violation", "constraint-violated"],
    ["UNSPECIFIED", "key usage does not include certificate signing", "bad-usage"],
    ["UNSPECIFIED", "unhandled critical extension", "other"],
  ])("%s %j counts even if the second look finds nothing", (code, reason, expected) => {
    expect(report(code, reason)).toEqual([expected]);
  });
});

test("a leaf that our stricter parser refuses is of bad encoding", () => {
  const odd = Buffer.from(pki.leaf.der);
  // A validity date that no calendar has; OpenSSL compares it only when it verifies.
  odd.write("1331", odd.indexOf(Buffer.from([0x17, 0x0d])) + 4, "latin1");
  const chain = PublicChain.parse([odd]);
  expect(verdict({ verifyError: undefined, chain, peer: "server", names, anchors, now: now() })).toEqual(["bad-encoding"]);
});

test("every refusal has the alert of RFC 8446", () => {
  const alerts: Record<CertificateError, number> = {
    expired: 45,
    "not-yet-valid": 45,
    "name-mismatch": 42,
    "unknown-issuer": 48,
    "self-signed": 48,
    revoked: 44,
    "bad-usage": 43,
    "bad-encoding": 42,
    "bad-signature": 42,
    "constraint-violated": 42,
    "none-presented": 116,
    other: 46,
  };
  for (const [error, alert] of Object.entries(alerts)) expect(alertFor(error as CertificateError)).toBe(alert);
});
