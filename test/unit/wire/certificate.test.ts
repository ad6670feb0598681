import { getCACertificates } from "node:tls";
import { X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { keyUsageBit, readCertificate, readSerialAndEnd } from "../../../src/wire/certificate.ts";
import { parsePem } from "../../../src/wire/pem.ts";
import * as build from "../../support/der-bytes.ts";
import { EKU, makeCertificate } from "../../support/pki.ts";
import { expectWireError } from "../../support/wire-errors.ts";

const { attribute, certificateBytes, commonName, extension, nameBytes, time, tlv } = build;
const seconds = (text: string) => BigInt(Date.parse(text)) / 1000n;
const KEY_USAGE = [0x55, 0x1d, 15];
const ALTERNATIVE_NAME = [0x55, 0x1d, 17];
const BASIC_CONSTRAINTS = [0x55, 0x1d, 19];
const EXTENDED_KEY_USAGE = [0x55, 0x1d, 37];

describe("readSerialAndEnd", () => {
  test("reads the same as the whole reader does", () => {
    for (const pem of getCACertificates("bundled")) {
      const { bytes } = parsePem(pem)[0]!;
      const { serial, notAfter } = readCertificate(bytes);
      expect(readSerialAndEnd(bytes)).toEqual({ serial, notAfter });
    }
  });

  test("refuses what is no certificate, and one that is cut short anywhere", async () => {
    const { der } = await makeCertificate({ dns: ["a.test"] });
    expectWireError(() => readSerialAndEnd(Uint8Array.of(0x30, 0)), "invalid-der");
    for (let length = 0; length < der.length; length += 7) expectWireError(() => readSerialAndEnd(der.subarray(0, length)), "invalid-der");
  });
});

describe("readCertificate agrees with Node", () => {
  test("on every root that Node ships", () => {
    const roots = getCACertificates("bundled");
    expect(roots.length).toBeGreaterThan(100);
    for (const pem of roots) {
      const certificate = readCertificate(parsePem(pem)[0]!.bytes);
      const reference = new X509Certificate(pem);
      expect(BigInt(`0x${certificate.serial}`)).toBe(BigInt(`0x${reference.serialNumber}`));
      expect(certificate.notBefore).toBe(seconds(reference.validFrom));
      expect(certificate.notAfter).toBe(seconds(reference.validTo));
      expect(certificate.isCa).toBe(reference.ca);
      expect(Buffer.from(certificate.spki).equals(reference.publicKey.export({ type: "spki", format: "der" }))).toBe(true);
      const commonNames = reference.toLegacyObject().subject.CN;
      if (typeof commonNames === "string") expect(certificate.subject.commonName).toBe(commonNames);
      expect(certificate.publicKeyAlgorithm).toMatch(/^(RSA [0-9]{4}|EC P-[0-9]{3})$/);
    }
  });

  test("on a leaf with names, and on its issuer", async () => {
    const ca = await makeCertificate({ isCa: true, pathLength: 1, cn: "Test Root" });
    const leaf = await makeCertificate(
      { dns: ["a.test", "*.b.test"], ip: ["127.0.0.1", "2001:db8::1"], eku: [EKU.serverAuth], serial: "00ff01" },
      ca,
    );
    const read = readCertificate(leaf.der);
    expect(read).toMatchObject({
      version: 3,
      serial: "ff01",
      alternativeNames: { dns: ["a.test", "*.b.test"], ip: ["127.0.0.1", "2001:db8::1"], otherCount: 0 },
      isCa: false,
      pathLength: undefined,
      keyUsage: keyUsageBit.digitalSignature,
      extendedKeyUsage: [EKU.serverAuth],
      signatureAlgorithm: "1.2.840.10045.4.3.2",
      publicKeyAlgorithm: "EC P-256",
      otherCritical: [],
    });
    expect(read.issuer.text).toBe("CN=Test Root");
    expect(readCertificate(ca.der)).toMatchObject({
      isCa: true,
      pathLength: 1,
      keyUsage: keyUsageBit.keyCertSign | keyUsageBit.crlSign,
      extendedKeyUsage: undefined,
      subject: { commonName: "Test Root" },
    });
    expect(readCertificate(ca.der).subject.der).toEqual(read.issuer.der);
  });

  test.each([
    ["p384", "EC P-384"],
    ["p521", "EC P-521"],
    ["secp256k1", "EC secp256k1"],
    ["ed25519", "Ed25519"],
    ["rsa2048", "RSA 2048"],
    ["rsa1024", "RSA 1024"],
  ] as const)("on the key %s", async (keyType, expected) => {
    const issuer = await makeCertificate({ isCa: true });
    expect(readCertificate((await makeCertificate({ keyType }, issuer)).der).publicKeyAlgorithm).toBe(expected);
  });

  test("on an RSA key whose length is no multiple of eight", () => {
    const rsa = tlv(0x30, [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1], [5, 0]);
    const spki = tlv(0x30, rsa, tlv(3, [0], tlv(0x30, tlv(2, [0x1f, ...new Uint8Array(127)]), [2, 3, 1, 0, 1])));
    expect(readCertificate(certificateBytes({ spki })).publicKeyAlgorithm).toBe("RSA 1021");
  });

  test("on a certificate of version 1", async () => {
    const read = readCertificate((await makeCertificate({ version: 1 })).der);
    expect(read).toMatchObject({ version: 1, isCa: false, keyUsage: undefined, alternativeNames: { dns: [], ip: [], otherCount: 0 } });
  });

  test("on critical extensions that are not read here", async () => {
    const ca = await makeCertificate({ isCa: true, nameConstraints: { permittedDns: ["test"] } });
    expect(readCertificate(ca.der).otherCritical).toEqual(["2.5.29.30"]);
  });
});

describe("names as text", () => {
  const subject = (...sets: number[][][]) => readCertificate(certificateBytes({ subject: nameBytes(sets) })).subject;
  const utf8 = (text: string) => [...new TextEncoder().encode(text)];

  test("put the most specific first and join attributes of one level", () => {
    const country = attribute([0x55, 4, 6], 0x13, utf8("DE"));
    const unit = attribute([0x55, 4, 11], 0x0c, utf8("Unit"));
    expect(subject([country], [unit, commonName("x")])).toMatchObject({ text: "OU=Unit+CN=x,C=DE", commonName: "x" });
  });

  test("name unknown attributes by number, and show what is no text as bytes", () => {
    expect(subject([attribute([0x2a, 3, 4], 0x0c, utf8("v"))], [attribute([0x2a, 3, 5], 2, [7])]).text).toBe("1.2.3.5=#020107,1.2.3.4=v");
    expect(subject([attribute([0x55, 4, 3], 0x0c, [0xff])])).toMatchObject({ text: "CN=#0c01ff", commonName: undefined });
    expect(subject([attribute([0x55, 4, 3], 0x1e, [0, 65, 0])]).text).toBe("CN=#1e03004100");
  });

  test("read wide and Latin-1 strings", () => {
    expect(subject([attribute([0x55, 4, 3], 0x1e, [0, 65, 0x20, 0xac])]).commonName).toBe("A€");
    expect(subject([attribute([0x55, 4, 3], 0x1c, [0, 1, 0xf6, 0])]).commonName).toBe("😀");
    expect(subject([attribute([0x55, 4, 3], 0x14, [0xfc])]).commonName).toBe("ü");
  });

  test("escape what would make another name, or another line, of it", () => {
    expect(subject([commonName("a,CN=b")]).text).toBe("CN=a\\,CN=b");
    expect(subject([commonName('#<"+;>')]).text).toBe('CN=\\#\\<\\"\\+\\;\\>');
    expect(subject([commonName(" a ")]).text).toBe("CN=\\ a\\ ");
    expect(subject([commonName(" ")]).text).toBe("CN=\\ ");
    expect(subject([commonName("a\n\u001b[31m\u202e\\")])).toMatchObject({
      text: "CN=a\\0A\\1B[31m\\E2\\80\\AE\\\\",
      commonName: "a\\0A\\1B[31m\\E2\\80\\AE\\\\",
    });
    expect(subject([attribute([0x55, 4, 3], 0x1e, [0xd8, 0])]).commonName).toBe("\\EF\\BF\\BD");
  });

  test("may be empty", () => expect(subject()).toMatchObject({ text: "", commonName: undefined }));
});

describe("extensions", () => {
  const read = (...extensions: number[][]) => readCertificate(certificateBytes({ extensions }));
  const names = (...general: number[][]) => read(extension(ALTERNATIVE_NAME, tlv(0x30, ...general))).alternativeNames;

  test("count names of other kinds", () => {
    expect(names(tlv(0x81, [97]), tlv(0xa4, nameBytes([])), tlv(0x82, [97]))).toEqual({ dns: ["a"], ip: [], otherCount: 2 });
  });

  test("cannot smuggle a second name through a control byte", () => {
    expect(names(tlv(0x82, [97, 0, 98])).dns).toEqual(["a\\00b"]);
  });

  test("take a critical FALSE that is written out", () => {
    expect(read(extension(BASIC_CONSTRAINTS, tlv(0x30, [1, 1, 0xff]), [1, 1, 0])).isCa).toBe(true);
    expect(read(extension([0x2a, 3], [], [1, 1, 0])).otherCritical).toEqual([]);
  });

  test("give the ninth key usage bit its place", () => {
    expect(read(extension(KEY_USAGE, [3, 3, 7, 0, 0x80])).keyUsage).toBe(keyUsageBit.decipherOnly);
  });

  const faults: [string, string, number[]][] = [
    ["no content", "invalid-der", extension(ALTERNATIVE_NAME, [])],
    ["trailing bytes", "invalid-der", extension(BASIC_CONSTRAINTS, [...tlv(0x30), 0])],
    ["a non-ASCII DNS name", "invalid-certificate", extension(ALTERNATIVE_NAME, tlv(0x30, tlv(0x82, [0xfc])))],
    ["an address of 5 bytes", "invalid-certificate", extension(ALTERNATIVE_NAME, tlv(0x30, tlv(0x87, [1, 2, 3, 4, 5])))],
    ["a boolean of 1", "invalid-der", extension(BASIC_CONSTRAINTS, tlv(0x30, [1, 1, 1]))],
    ["a negative path length", "invalid-der", extension(BASIC_CONSTRAINTS, tlv(0x30, [1, 1, 0xff, 2, 1, 0xff]))],
    ["a key usage that is no bit string", "invalid-der", extension(KEY_USAGE, [4, 1, 0])],
    ["an empty list of purposes", "invalid-der", extension(EXTENDED_KEY_USAGE, tlv(0x30))],
    ["a critical flag of 2", "invalid-der", extension([0x2a, 3], [], [1, 1, 2])],
    ["something after its value", "invalid-der", tlv(0x30, tlv(6, [0x2a, 3]), tlv(4), [5, 0])],
  ];
  test.each(faults)("are refused with %s", (_, code, bytes) => expectWireError(() => read(bytes), code));
  test("are refused twice", () => expectWireError(() => read(extension([0x2a, 3], []), extension([0x2a, 3], [])), "invalid-certificate"));
  test("are refused if there are none in their block", () => expectWireError(() => read(), "invalid-der"));
});

describe("readCertificate refuses", () => {
  const refuses = (parts: build.CertificateParts, code: string = "invalid-der") =>
    expectWireError(() => readCertificate(certificateBytes(parts)), code);

  test("every cut and every byte too many", () => {
    const whole = certificateBytes({ extensions: [extension(BASIC_CONSTRAINTS, tlv(0x30))] });
    expect(readCertificate(whole).version).toBe(3);
    for (let end = 0; end < whole.length; end++) expectWireError(() => readCertificate(whole.subarray(0, end)), "invalid-der");
    expectWireError(() => readCertificate(Uint8Array.from([...whole, 0])), "invalid-der");
  });
  test("more than 64 KiB", () => expectWireError(() => readCertificate(new Uint8Array(0x1_0001)), "too-large"));
  test("a version past 3", () => refuses({ version: tlv(0xa0, [2, 1, 3]) }));
  test("extensions in an older version", () => {
    refuses({ version: tlv(0xa0, [2, 1, 1]), extensions: [extension([0x2a, 3], [])] }, "invalid-certificate");
    refuses({ version: [], extensions: [extension([0x2a, 3], [])] }, "invalid-certificate");
  });
  test("unique identifiers in version 1", () => refuses({ version: [], rest: tlv(0x81, [0, 1]) }, "invalid-certificate"));
  test("two signature algorithms", () => refuses({ outerAlgorithm: tlv(0x30, [6, 3, 0x2b, 0x65, 0x70]) }, "invalid-certificate"));
  test("a serial number that is padded, empty or endless", () => {
    refuses({ serial: [2, 2, 0, 1] });
    refuses({ serial: [2, 0] });
    refuses({ serial: tlv(2, Array<number>(65).fill(1)) }, "invalid-certificate");
  });
  test("a validity with one time, three times or a bad one", () => {
    const good = time(0x17, "260101000000Z");
    refuses({ validity: tlv(0x30, good) });
    refuses({ validity: tlv(0x30, good, good, good) });
    refuses({ validity: tlv(0x30, good, time(0x17, "261301000000Z")) });
  });
  test("an attribute without value, and an empty level of a name", () => {
    refuses({ subject: nameBytes([[tlv(0x30, tlv(6, [0x55, 4, 3]))]]) });
    refuses({ subject: nameBytes([[]]) });
  });
  test("a malformed public key", () => refuses({ spki: tlv(0x30, tlv(0x30), tlv(3, [0])) }));
  test("anything after the extensions", () => refuses({ rest: [5, 0] }));

  test("and shows negative serial numbers as such", () => {
    expect(readCertificate(certificateBytes({ serial: [2, 1, 0xff] })).serial).toBe("-01");
    expect(readCertificate(certificateBytes({ serial: [2, 1, 0x80] })).serial).toBe("-80");
    expect(readCertificate(certificateBytes({ serial: [2, 1, 0] })).serial).toBe("00");
  });
});
