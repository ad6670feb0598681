import { createPublicKey, type KeyObject } from "node:crypto";
import { decodeBase64url, encodeBase64url } from "../../src/wire/base64url.ts";
import { WireError } from "../../src/wire/wire-error.ts";
import { issuerLine, publicKeyBytes } from "./signing-key.ts";
import { StateFileError } from "./state-file.ts";

/** A key that is trusted, as the file has it. */
export interface TrustedKey {
  issuer: string;
  /** 32 bytes. */
  publicKey: Uint8Array;
}

/** A subject whose tokens are refused. */
export interface Revocation {
  issuer: string;
  subject: string;
}

/**
 * Read a keyring: `docs/schemas/token-keyring.schema.json`.
 *
 * @param path for messages
 * @throws {StateFileError} bad-content
 */
export function parseKeyring(text: string, path: string): TrustedKey[] {
  const keys = entries(text, path, KEYRING, "keys").map((entry, index) => {
    const at = `${path}: keys[${index}]`;
    const { issuer, algorithm, publicKey } = textMembers(entry, ["issuer", "algorithm", "publicKey"], at);
    if (algorithm !== "Ed25519") throw new StateFileError("bad-content", `${at}: algorithm is Ed25519, and nothing else`);
    return { issuer: issuer!, publicKey: keyBytes(publicKey!, at) };
  });
  if (new Set(keys.map((key) => key.issuer)).size < keys.length) throw new StateFileError("bad-content", `${path}: an issuer has two keys`);
  return keys;
}

export function formatKeyring(keys: readonly TrustedKey[]): string {
  const entry = ({ issuer, publicKey }: TrustedKey) => ({ issuer, algorithm: "Ed25519", publicKey: encodeBase64url(publicKey) });
  return document(KEYRING, "keys", keys.map(entry));
}

/**
 * Read revocations: `docs/schemas/token-revocations.schema.json`.
 *
 * @throws {StateFileError} bad-content
 */
export function parseRevocations(text: string, path: string): Revocation[] {
  return entries(text, path, REVOCATIONS, "revoked").map((entry, index) => {
    const { issuer, subject } = textMembers(entry, ["issuer", "subject"], `${path}: revoked[${index}]`);
    return { issuer: issuer!, subject: subject! };
  });
}

export function formatRevocations(revoked: readonly Revocation[]): string {
  return document(REVOCATIONS, "revoked", revoked);
}

/** Where the revocations of a keyring are kept unless somebody says otherwise: beside it. */
export function revocationsBeside(keyring: string): string {
  return `${keyring.replace(/\.json$/, "")}.revocations.json`;
}

/**
 * A public key as people hand it over: PEM, whose text may name its issuer (`Issuer: ops-1`), or base64url of 32 bytes.
 *
 * @param source for messages
 * @throws {StateFileError} bad-content
 */
export function parsePublicKey(text: string, source: string): { issuer: string | undefined; publicKey: Uint8Array } {
  if (!text.includes("-----BEGIN")) return { issuer: undefined, publicKey: keyBytes(text.trim(), source) };
  if (text.includes("PRIVATE KEY")) throw new StateFileError("bad-content", `${source}: a private key; what is trusted is the public one`);
  let key: KeyObject;
  try {
    key = createPublicKey(text);
  } catch {
    throw new StateFileError("bad-content", `${source}: no public key in PEM`);
  }
  if (key.asymmetricKeyType !== "ed25519") throw new StateFileError("bad-content", `${source}: not an Ed25519 key`);
  return { issuer: issuerLine(text), publicKey: publicKeyBytes(key) };
}

function document(format: string, list: string, items: readonly object[]): string {
  return `${JSON.stringify({ format, [list]: items }, undefined, 2)}\n`;
}

function entries(text: string, path: string, format: string, list: string): unknown[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new StateFileError("bad-content", `${path}: not JSON`);
  }
  const members = objectMembers(value, ["format", list], path);
  if (members["format"] !== format) throw new StateFileError("bad-content", `${path}: format is not ${JSON.stringify(format)}`);
  const items = members[list];
  if (!Array.isArray(items)) throw new StateFileError("bad-content", `${path}: ${list} is not a list`);
  return items;
}

function textMembers(value: unknown, names: string[], at: string): Record<string, string> {
  const members = objectMembers(value, names, at);
  for (const name of names)
    if (typeof members[name] !== "string" || !members[name].isWellFormed())
      throw new StateFileError("bad-content", `${at}: ${name} is not a text`);
  return members as Record<string, string>;
}

/** Exactly these members: one that is misspelled would be silently without effect. */
function objectMembers(value: unknown, names: string[], at: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new StateFileError("bad-content", `${at}: not an object`);
  const missing = names.find((name) => !Object.hasOwn(value, name));
  if (missing !== undefined) throw new StateFileError("bad-content", `${at}: ${missing} is missing`);
  if (Object.keys(value).length !== names.length)
    throw new StateFileError("bad-content", `${at}: has other members than ${names.join(", ")}`);
  return value as Record<string, unknown>;
}

function keyBytes(text: string, at: string): Uint8Array {
  try {
    const bytes = decodeBase64url(text);
    if (bytes.length === 32) return bytes;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
  }
  throw new StateFileError("bad-content", `${at}: a public key is 32 bytes in base64url without padding`);
}

const KEYRING = "sallyport-keyring/1";
const REVOCATIONS = "sallyport-revocations/1";
