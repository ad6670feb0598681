import { inspect } from "node:util";
import { beforeAll, expect, test } from "vitest";
import { identityClasses } from "../../../host/identity/identity-classes.ts";
import { KeyPair } from "../../../host/identity/private-identity.ts";
import { AnchorSet } from "../../../host/identity/trust-anchors.ts";
import { Ledger } from "../../../host/io/ledger.ts";
import { type Certified, makeCertificate, toPem } from "../../support/pki.ts";

const leaves: Certified[] = [];

beforeAll(async () => {
  const issuer = await makeCertificate({ isCa: true });
  for (const keyType of ["p256", "ed25519", "rsa2048"] as const) leaves.push(await makeCertificate({ keyType }, issuer));
});

/** Every spelling in which parts of a key might show up: 12 bytes of any place of the secret. */
function traces(leaf: Certified): string[] {
  const jwk = leaf.privateKey.export({ format: "jwk" });
  const secret = Buffer.from(jwk.d!, "base64url");
  const parts = [0, 8, secret.length - 15].map((at) => secret.subarray(at, at + 15));
  const lines = leaf.keyPem.split("\n").slice(1, -2);
  return [
    ...parts.flatMap((part) => [
      part.toString("hex"),
      part.toString("base64").slice(0, 16),
      part.toString("base64url").slice(0, 16),
      part.toString("latin1"),
      part.join(", "),
      part.join(","),
      part.toString("hex").replace(/..(?=.)/g, "$& "),
    ]),
    ...lines,
    jwk.d!,
    "PRIVATE KEY",
  ];
}

/** All that a careless log line, a debugger or a crash report would print of a value. */
function faces(value: object): string[] {
  const names = new Set<PropertyKey>();
  for (let at: object | null = value; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at) as object | null)
    for (const name of Reflect.ownKeys(at)) names.add(name);
  const options = {
    showHidden: true,
    depth: Infinity,
    maxArrayLength: null,
    maxStringLength: null,
    breakLength: Infinity,
    compact: true,
  } as const;
  const own = Object.getOwnPropertyNames(value).map((name) => inspect(Reflect.get(value, name), options));
  return [
    inspect(value, options),
    inspect(value, { ...options, customInspect: false }),
    inspect(value, { ...options, getters: true }),
    JSON.stringify(value) ?? "",
    String(value),
    `${Object.entries(value)}`,
    [...names].map(String).join(),
    ...own,
  ];
}

function expectNoTrace(texts: string[], leaf: Certified): void {
  for (const trace of traces(leaf))
    for (const text of texts) expect(text.includes(trace), `a key shows as ${JSON.stringify(trace.slice(0, 20))}`).toBe(false);
}

test("the search finds a key where there is one", () => {
  for (const leaf of leaves) {
    for (const text of [
      leaf.keyPem,
      inspect(leaf.keyDer, { maxArrayLength: null, breakLength: Infinity, compact: true }),
      JSON.stringify(leaf.privateKey.export({ format: "jwk" })),
    ])
      expect(traces(leaf).some((trace) => text.includes(trace))).toBe(true);
  }
});

test("no property, inspection, JSON or text of a key pair or a resource shows the key", () => {
  for (const leaf of leaves) {
    const pair = KeyPair.parse(leaf.keyDer, [leaf.der], "host");
    pair.credentials();
    const identities = new Map([["name", pair]]);
    const classes = identityClasses({ ledger: new Ledger(), identities, hostAnchors: AnchorSet.fromX509([]) });
    const opened = classes.PrivateIdentity.open("name");
    const brought = classes.PrivateIdentity.parse(leaf.keyDer, [leaf.der]);
    const pem = classes.PrivateIdentity.parsePem(Buffer.from(leaf.keyPem + leaf.pem), undefined);
    for (const value of [
      pair,
      opened,
      brought,
      pem,
      brought.keyPair,
      opened.publicIdentity(),
      identities,
      classes,
      classes.PrivateIdentity,
    ])
      expectNoTrace(faces(value), leaf);
  }
});

test("a packed pair on its way to a worker shows a handle and no key", () => {
  for (const leaf of leaves) expectNoTrace(faces(KeyPair.parse(leaf.keyDer, [leaf.der], "host").forWorker()), leaf);
});

test("spreading or assigning a key pair takes no key along", () => {
  for (const leaf of leaves) expectNoTrace(faces({ ...KeyPair.parse(leaf.keyDer, [leaf.der], "host") }), leaf);
});

test("no error of a failed parse shows the key or the passphrase", async () => {
  const other = await makeCertificate();
  const passphrase = "correct horse battery";
  for (const leaf of leaves) {
    const locked = leaf.privateKey.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase }).toString();
    const attempts = [
      () => KeyPair.parse(leaf.keyDer, [other.der], "guest"),
      () => KeyPair.parse(leaf.keyDer.subarray(0, -1), [leaf.der], "guest"),
      () => KeyPair.parse(leaf.keyDer, [leaf.keyDer], "guest"),
      () => KeyPair.parsePem(Buffer.from(leaf.keyPem + leaf.keyPem + leaf.pem), undefined, "guest"),
      () => KeyPair.parsePem(Buffer.from(toPem("DSA PRIVATE KEY", leaf.keyDer) + leaf.pem), undefined, "guest"),
      () => KeyPair.parsePem(Buffer.from(toPem("EC PRIVATE KEY", leaf.keyDer) + leaf.pem), undefined, "guest"),
      () => KeyPair.parsePem(Buffer.from(leaf.keyPem.replace("\n", "\n!") + leaf.pem), undefined, "guest"),
      () => KeyPair.parsePem(Buffer.from(locked + leaf.pem), `${passphrase}.`, "guest"),
      () => KeyPair.parsePem(Buffer.from(locked + other.pem), passphrase, "guest"),
    ];
    for (const attempt of attempts) {
      const error = failureOf(attempt);
      const texts = [...faces(error), error.stack ?? "", inspect(error.cause)].map((text) =>
        text.replaceAll("EC PRIVATE KEY", "").replaceAll("DSA PRIVATE KEY", ""),
      );
      expectNoTrace(
        texts.map((text) => text.replaceAll(/"?PRIVATE KEY"?/g, "")),
        leaf,
      );
      for (const text of texts) expect(text).not.toContain(passphrase);
    }
  }
});

function failureOf(attempt: () => unknown): Error {
  try {
    attempt();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("the attempt was expected to fail");
}
