import { X509Certificate } from "node:crypto";
import { describe, expect, it } from "vitest";
import { makeEphemeralPki } from "../../../host/cli/ephemeral-pki.ts";
import { readCertificate } from "../../../src/wire/certificate.ts";

describe("an ephemeral authority", () => {
  it("signs one certificate for exactly the names asked for, and is itself no server", () => {
    const { caDer, caPem, identity } = makeEphemeralPki(["A.test", "*.b.test", "127.0.0.1", "::1"]);
    const ca = new X509Certificate(caPem);
    const leaf = new X509Certificate(Buffer.from(identity.chain.der[0]!));
    expect({ verified: leaf.verify(ca.publicKey), issued: leaf.checkIssued(ca), ca: ca.ca, leafCa: leaf.ca }).toEqual({
      verified: true,
      issued: true,
      ca: true,
      leafCa: false,
    });
    expect(readCertificate(identity.chain.der[0]!).alternativeNames).toEqual({
      dns: ["a.test", "*.b.test"],
      ip: ["127.0.0.1", "::1"],
      otherCount: 0,
    });
    expect(readCertificate(caDer)).toMatchObject({ pathLength: 0, alternativeNames: { dns: [], ip: [] } });
    expect(identity.chain.der).toHaveLength(1);
  });

  it("is valid now, for a day, and is another one each time", () => {
    const [one, two] = [makeEphemeralPki(["a.test"]), makeEphemeralPki(["a.test"])];
    const { notBefore, notAfter, serial } = readCertificate(one.caDer);
    expect(Number(notAfter - notBefore)).toBe(24 * 3600 + 300);
    expect(Number(notBefore)).toBeLessThan(Date.now() / 1000);
    expect(readCertificate(two.caDer).serial).not.toBe(serial);
    expect(new X509Certificate(Buffer.from(two.identity.chain.der[0]!)).verify(new X509Certificate(one.caPem).publicKey)).toBe(false);
  });

  it.each(["", "a b", "*", "*.*.test", "a.*.test", "127.0.0.1.", "[::1]", "a.test.", "a\0.test", `${"x".repeat(64)}.test`])(
    "is not made for %j",
    (name) => {
      expect(() => makeEphemeralPki([name])).toThrow();
    },
  );
});
