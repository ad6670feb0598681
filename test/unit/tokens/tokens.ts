import { createHash, createPrivateKey, type KeyObject, sign } from "node:crypto";
import { PrivateKey, verify } from "../../../src/tokens/ed25519.ts";
import { Issuer, signWith, TokenArgumentError, TokenError, Verifier, type VerifierOptions } from "../../../src/tokens/index.ts";

/** A second in which these tests happen. */
export const NOW = 1_900_000_000n;

export const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
export const sha256 = (text: string): Uint8Array => new Uint8Array(createHash("sha256").update(text).digest());

/** SHA-256 of what stands for the client's certificate. */
export const CERTIFICATE = sha256("a certificate");
export const EXPORTER = sha256("a connection");

export const seedOf = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);

export interface TestIssuer {
  issuer: Issuer;
  publicKey: Uint8Array;
  /** The same key in Node. */
  nodeKey: KeyObject;
}

export function issuerOf(id: string, seed: Uint8Array = seedOf(7), now: () => bigint = () => NOW): TestIssuer {
  const key = new PrivateKey(seed);
  const issuer = new Issuer(
    id,
    signWith((message) => key.sign(message)),
    now,
  );
  return { issuer, publicKey: key.publicKey, nodeKey: nodeKeyOf(seed) };
}

/** A verifier that trusts these issuers. */
export function verifierOf(issuers: TestIssuer[], options: Partial<VerifierOptions> = {}): Verifier {
  const verifier = new Verifier({ audience: "ioc:beam", verifySignature: verify, now: () => NOW, ...options });
  for (const { issuer, publicKey } of issuers) verifier.keyring.trust(issuer.id, publicKey);
  return verifier;
}

/** A request with everything in order. */
export const request = {
  subject: "alice",
  groups: ["BEAM"],
  audience: "ioc:beam",
  lifetime: 60n,
  channel: { certificateSha256: CERTIFICATE },
};
export const channel = { certificateSha256: CERTIFICATE };

/** A token around any payload, signed by Node. */
export function tokenOf(payload: string | Uint8Array, key: KeyObject): string {
  return signedToken(Buffer.from(payload).toString("base64url"), key);
}

/** A token around any text in place of the payload, signed by Node. */
export function signedToken(payloadText: string, key: KeyObject): string {
  return `cap:${payloadText}.${sign(null, Buffer.from(payloadText), key).toString("base64url")}`;
}

/** The claims of `request` as JSON, with changes to the text of single members; undefined leaves one out. */
export function claimsText(changes: Record<string, string | undefined> = {}): string {
  const members = {
    sub: '"alice"',
    groups: '["BEAM"]',
    exp: String(NOW + 60n),
    iss: '"ops-1"',
    aud: '"ioc:beam"',
    cnf: JSON.stringify(Buffer.from(CERTIFICATE).toString("base64url")),
    ...changes,
  };
  const texts = Object.entries(members).flatMap(([name, text]) => (text === undefined ? [] : [`${JSON.stringify(name)}:${text}`]));
  return `{${texts.join(",")}}`;
}

/** The code of the error that `run` throws. */
export function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof TokenError || error instanceof TokenArgumentError) return error.code;
    throw error;
  }
  return "accepted";
}

export function nodeKeyOf(seed: Uint8Array): KeyObject {
  const prefix = Buffer.from("302e020100300506032b657004220420", "hex");
  return createPrivateKey({ key: Buffer.concat([prefix, seed]), format: "der", type: "pkcs8" });
}
