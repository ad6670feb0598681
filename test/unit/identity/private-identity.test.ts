import { generateKeyPairSync, sign, verify } from "node:crypto";
import { createSecureContext } from "node:tls";
import { MessageChannel, receiveMessageOnPort } from "node:worker_threads";
import { beforeAll, describe, expect, test } from "vitest";
import { identityClasses } from "../../../host/identity/identity-classes.ts";
import { KeyPair } from "../../../host/identity/private-identity.ts";
import { AnchorSet } from "../../../host/identity/trust-anchors.ts";
import { WitError } from "../../../host/io/error.ts";
import { Ledger } from "../../../host/io/ledger.ts";
import { makeCertificate, makeKey, makePki, type TestPki, tlv, toPem } from "../../support/pki.ts";

let pki: TestPki;
let granted: KeyPair;
let classes: ReturnType<typeof identityClasses>;

beforeAll(async () => {
  pki = await makePki();
  granted = KeyPair.parse(pki.leaf.keyDer, pki.chainDer, "host");
  const identities = new Map([
    ["zeta", granted],
    ["alpha", granted],
  ]);
  classes = identityClasses({ ledger: new Ledger(), identities, hostAnchors: AnchorSet.fromX509([pki.root.der]) });
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

const bytes = (text: string) => Buffer.from(text, "latin1");
const encrypted = (passphrase: string) =>
  pki.leaf.privateKey.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase }).toString();

describe("granted identities", () => {
  test("are listed by name, sorted, and open with their whole chain", () => {
    expect(classes.PrivateIdentity.names()).toEqual(["alpha", "zeta"]);
    expect(classes.PrivateIdentity.open("zeta").publicIdentity().exportX509Chain()).toEqual(pki.chainDer);
  });

  test.each(["", "Alpha", "alpha ", "beta", "__proto__", "constructor"])("an identity named %j is not found", (name) => {
    expect(codeOf(() => classes.PrivateIdentity.open(name))).toBe("not-found");
  });

  test("an identity that was not granted is told to people with the flag that grants it, bounded and printable", () => {
    const lines: string[] = [];
    const other = identityClasses({
      ledger: new Ledger(),
      identities: new Map(),
      hostAnchors: AnchorSet.fromX509([]),
      onRefusal: (line) => lines.push(line),
    });
    codeOf(() => other.PrivateIdentity.open("site"));
    codeOf(() => other.PrivateIdentity.open(`\u001b[2J${"x".repeat(5000)}`));
    expect(lines[0]).toBe('sallyport: refused: open the identity "site"; grant it with --identity site=CERT,KEY');
    expect(lines[1]).not.toContain("\u001b");
    expect(lines[1]!.length).toBeLessThan(1000);
    expect(lines).toHaveLength(2);
  });

  test("one instance cannot open what was granted to another", () => {
    const other = identityClasses({ ledger: new Ledger(), identities: new Map(), hostAnchors: AnchorSet.fromX509([]) });
    expect(codeOf(() => other.PrivateIdentity.open("alpha"))).toBe("not-found");
    expect(other.PrivateIdentity.names()).toEqual([]);
  });

  test("every identity and its public identity are instances of the classes of the instance", () => {
    const identity = classes.PrivateIdentity.open("alpha");
    expect(identity).toBeInstanceOf(classes.PrivateIdentity);
    expect(identity.publicIdentity()).toBeInstanceOf(classes.PublicIdentity);
    expect(new classes.PrivateIdentity(granted)).toBeInstanceOf(classes.PrivateIdentity);
  });
});

describe("a key that the guest brings", () => {
  test.each(["p256", "p384", "p521", "rsa2048", "ed25519"] as const)(
    "may be %s, as DER and as PEM, and node:tls takes it",
    async (keyType) => {
      const leaf = await makeCertificate({ keyType }, pki.root);
      const fromDer = classes.PrivateIdentity.parse(leaf.keyDer, [leaf.der]);
      const fromPem = classes.PrivateIdentity.parsePem(bytes(leaf.keyPem + leaf.pem), undefined);
      expect(() => createSecureContext(fromDer.keyPair.credentials())).not.toThrow();
      expect(fromPem.keyPair.credentials()).toEqual(fromDer.keyPair.credentials());
    },
  );

  test("may stand anywhere among the certificates, of which the first is the leaf", () => {
    const [leaf, issuer] = [pki.leaf.pem, pki.intermediates[0]!.pem];
    for (const pem of [leaf + issuer + pki.leaf.keyPem, `a comment\n${leaf}${pki.leaf.keyPem}${issuer}`]) {
      const identity = classes.PrivateIdentity.parsePem(bytes(pem), undefined);
      expect(identity.publicIdentity().exportX509Chain()).toEqual(pki.chainDer);
    }
  });

  test("may be in the older forms of EC and RSA keys, with or without a passphrase", async () => {
    const rsa = await makeCertificate({ keyType: "rsa2048" });
    for (const [certified, type] of [
      [pki.leaf, "sec1"],
      [rsa, "pkcs1"],
    ] as const) {
      const plain = certified.privateKey.export({ type, format: "pem" }).toString();
      const locked = certified.privateKey.export({ type, format: "pem", cipher: "aes-128-cbc", passphrase: "p" }).toString();
      expect(locked).toContain("Proc-Type: 4,ENCRYPTED");
      expect(codeOf(() => classes.PrivateIdentity.parsePem(bytes(plain + certified.pem), undefined))).toBe("no error");
      expect(codeOf(() => classes.PrivateIdentity.parsePem(bytes(locked + certified.pem), "p"))).toBe("no error");
      expect(codeOf(() => classes.PrivateIdentity.parsePem(bytes(locked + certified.pem), "q"))).toBe("wrong-passphrase");
    }
  });

  test("may be encrypted, and a passphrase for a plain key does no harm", () => {
    expect(codeOf(() => classes.PrivateIdentity.parsePem(bytes(encrypted("right") + pki.leaf.pem), "right"))).toBe("no error");
    expect(codeOf(() => classes.PrivateIdentity.parsePem(bytes(pki.leaf.keyPem + pki.leaf.pem), "unused"))).toBe("no error");
  });

  test.each([undefined, "", "wrong", "right ", "x".repeat(2000)])("does not open with the passphrase %j", (passphrase) => {
    expect(codeOf(() => classes.PrivateIdentity.parsePem(bytes(encrypted("right") + pki.leaf.pem), passphrase))).toBe("wrong-passphrase");
  });

  test("is refused with another's certificate", async () => {
    const other = await makeCertificate();
    expect(codeOf(() => classes.PrivateIdentity.parse(other.keyDer, pki.chainDer))).toBe("key-mismatch");
    expect(codeOf(() => classes.PrivateIdentity.parsePem(bytes(other.keyPem + pki.chainPem), undefined))).toBe("key-mismatch");
    expect(codeOf(() => classes.PrivateIdentity.parse(pki.leaf.keyDer, pki.chainDer.toReversed()))).toBe("key-mismatch");
  });

  test("is refused if it only claims the public half of the certificate, which OpenSSL would believe", () => {
    const forged = Buffer.from(pki.leaf.keyDer);
    const scalarAt = 36;
    Buffer.from(makeKey("p256").export({ type: "pkcs8", format: "der" })).copy(forged, scalarAt, scalarAt, scalarAt + 32);
    expect(codeOf(() => classes.PrivateIdentity.parse(forged, pki.chainDer))).toBe("key-mismatch");
  });

  test.each(["rsa1024", "secp256k1"] as const)("is refused as %s", async (keyType) => {
    const leaf = await makeCertificate({ keyType }, pki.root);
    expect(codeOf(() => classes.PrivateIdentity.parse(leaf.keyDer, [leaf.der]))).toBe("unsupported-algorithm");
    expect(codeOf(() => classes.PrivateIdentity.parsePem(bytes(leaf.keyPem + leaf.pem), undefined))).toBe("unsupported-algorithm");
  });

  test("is refused if it is for key agreement, or of an algorithm that nobody knows", () => {
    const x25519 = generateKeyPairSync("x25519").privateKey.export({ type: "pkcs8", format: "der" });
    expect(codeOf(() => classes.PrivateIdentity.parse(x25519, pki.chainDer))).toBe("unsupported-algorithm");
  });

  test("is refused with an intermediate that TLS finds too weak", async () => {
    const weak = await makeCertificate({ isCa: true, keyType: "rsa1024" }, pki.root);
    const leaf = await makeCertificate({}, weak);
    expect(codeOf(() => classes.PrivateIdentity.parse(leaf.keyDer, [leaf.der, weak.der]))).toBe("unsupported-algorithm");
  });

  test.each([
    ["an empty key", () => new Uint8Array()],
    ["noise", () => new Uint8Array(100).fill(7)],
    ["a key cut short", () => pki.leaf.keyDer.subarray(0, -1)],
    ["a byte after the key", () => Buffer.concat([pki.leaf.keyDer, Buffer.from([0])])],
    ["a SEC1 key in place of PKCS#8", () => pki.leaf.privateKey.export({ type: "sec1", format: "der" })],
    ["PEM in place of DER", () => bytes(pki.leaf.keyPem)],
    ["a certificate in place of a key", () => pki.leaf.der],
  ])("is refused as bad-format if it is %s", (_, key) => {
    expect(codeOf(() => classes.PrivateIdentity.parse(key(), pki.chainDer))).toBe("bad-format");
  });

  test.each([
    ["no text", () => ""],
    ["no key", () => pki.leaf.pem],
    ["no certificate", () => pki.leaf.keyPem],
    ["two keys", () => pki.leaf.keyPem + pki.leaf.keyPem + pki.leaf.pem],
    ["a key block without its end", () => `${pki.leaf.pem}${pki.leaf.keyPem.slice(0, 80)}`],
    ["a key that is not base64", () => `${pki.leaf.pem}-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n`],
    ["a PKCS#8 key under the name of an older form", () => pki.leaf.pem + toPem("EC PRIVATE KEY", pki.leaf.keyDer)],
    [
      "an EC key under the name of RSA",
      () => pki.leaf.pem + toPem("RSA PRIVATE KEY", pki.leaf.privateKey.export({ type: "sec1", format: "der" })),
    ],
    ["an encrypted key that is none", () => pki.leaf.pem + toPem("ENCRYPTED PRIVATE KEY", pki.leaf.keyDer)],
  ])("is refused as bad-format if the PEM text has %s", (_, pem) => {
    expect(codeOf(() => classes.PrivateIdentity.parsePem(bytes(pem()), "p"))).toBe("bad-format");
  });

  test("is refused past its bounds", () => {
    expect(codeOf(() => classes.PrivateIdentity.parse(new Uint8Array(16 * 1024 + 1), pki.chainDer))).toBe("too-large");
    expect(codeOf(() => classes.PrivateIdentity.parsePem(new Uint8Array(3 * 1024 * 1024), undefined))).toBe("too-large");
    expect(codeOf(() => classes.PrivateIdentity.parsePem(bytes(pki.leaf.keyPem + pki.leaf.pem.repeat(17)), undefined))).toBe("too-large");
  });

  test("is refused before any work if it asks for more than a million rounds of key derivation", () => {
    const oid = (hex: string) => tlv(0x06, Buffer.from(hex, "hex"));
    const iterations = (count: number[]) => tlv(0x30, tlv(0x04, new Uint8Array(16)), tlv(0x02, Uint8Array.from(count)));
    const locked = (kdf: string, costs: Uint8Array, cipher = "60864801650304012a") => {
      const scheme = tlv(0x30, tlv(0x30, oid(kdf), costs), tlv(0x30, oid(cipher), tlv(0x04, new Uint8Array(16))));
      return toPem("ENCRYPTED PRIVATE KEY", tlv(0x30, tlv(0x30, oid("2a864886f70d01050d"), scheme), tlv(0x04, new Uint8Array(64))));
    };
    const [pbkdf2, scrypt] = ["2a864886f70d01050c", "2b06010401da47040b"];
    const open = (key: string) => codeOf(() => classes.PrivateIdentity.parsePem(bytes(key + pki.leaf.pem), "p"));
    expect(open(locked(pbkdf2, iterations([0x7f, 0xff, 0xff, 0xff])))).toBe("unsupported-algorithm");
    expect(open(locked(pbkdf2, iterations([0x0f, 0x42, 0x41])))).toBe("unsupported-algorithm");
    expect(open(locked(scrypt, iterations([0x10])))).toBe("unsupported-algorithm");
    expect(open(locked(pbkdf2, iterations([0x10]), "2a864886f70d0302"))).toBe("unsupported-algorithm");
    expect(open(locked(pbkdf2, iterations([0x10])))).toBe("wrong-passphrase");
  });
});

describe("ids for caches", () => {
  test("a host's pair has the same id whenever it is made, in another thread too", () => {
    const { port1, port2 } = new MessageChannel();
    port1.postMessage(granted.forWorker());
    const there = KeyPair.fromWorker(receiveMessageOnPort(port2)!.message);
    port1.close();
    expect(there.id).toBe(granted.id);
    expect(there.credentials()).toEqual(granted.credentials());
  });

  test("a guest's pair shares its id with nothing, the same key and chain included", () => {
    const pairs = [0, 1].map(() => classes.PrivateIdentity.parse(pki.leaf.keyDer, pki.chainDer).keyPair);
    expect(new Set([granted.id, ...pairs.map((pair) => pair.id)]).size).toBe(3);
  });

  test("the same leaf with another chain is another id", () => {
    expect(KeyPair.parse(pki.leaf.keyDer, [pki.leaf.der], "host").id).not.toBe(granted.id);
  });
});

test("credentials sign for the leaf", () => {
  const { key } = granted.credentials();
  expect(verify("sha256", bytes("x"), pki.leaf.x509.publicKey, sign("sha256", bytes("x"), key))).toBe(true);
});
