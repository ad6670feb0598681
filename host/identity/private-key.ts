import { createPrivateKey, type KeyObject } from "node:crypto";
import { IdentityError } from "./identity-error.ts";
import { checkEncryption, checkOldKey, checkPrivateKeyInfo } from "./private-key-info.ts";
import type { PemBlock } from "./pem.ts";

/** Bytes of one private key: a 16,384-bit RSA key has 9.3 KiB. */
export const MAX_KEY = 16 * 1024;

/** Bytes of a passphrase: what Node takes. */
const MAX_PASSPHRASE = 1024;

const CURVES = new Set(["prime256v1", "secp384r1", "secp521r1"]);
const RSA_BITS = { min: 2048, max: 8192 };

/** The PEM labels of private keys. */
export function isPrivateKeyLabel(label: string): boolean {
  return label.endsWith("PRIVATE KEY");
}

/**
 * A PKCS#8 PrivateKeyInfo (RFC 5958), unencrypted.
 *
 * @throws {IdentityError} `bad-format`, `unsupported-algorithm`, `too-large`
 */
export function parsePkcs8(der: Uint8Array): KeyObject {
  checkSize(der);
  checkPrivateKeyInfo(der);
  return usable(() => createPrivateKey({ key: Buffer.from(der), format: "der", type: "pkcs8" }));
}

/**
 * A private key block: PKCS#8, plain or encrypted, or the older `EC PRIVATE KEY` and `RSA PRIVATE KEY`.
 *
 * @param passphrase used only if the key is encrypted
 * @throws {IdentityError} `bad-format`, `unsupported-algorithm`, `wrong-passphrase`, `too-large`
 */
export function parsePrivateKeyBlock(block: PemBlock, passphrase: string | undefined): KeyObject {
  const { bytes: der, label } = block;
  if (block.text.length > 2 * MAX_KEY) throw tooLarge();
  checkSize(der);
  // Only encrypted keys of the old style have headers.
  if (block.headers.length > 0) return decrypt(block, passphrase);
  if (label === "PRIVATE KEY") return parsePkcs8(der);
  if (label === "ENCRYPTED PRIVATE KEY") {
    checkEncryption(der);
    return decrypt(block, passphrase);
  }
  if (label === "EC PRIVATE KEY") {
    checkOldKey(der, "ec");
    return usable(() => createPrivateKey({ key: Buffer.from(der), format: "der", type: "sec1" }));
  }
  if (label === "RSA PRIVATE KEY") {
    checkOldKey(der, "rsa");
    return usable(() => createPrivateKey({ key: Buffer.from(der), format: "der", type: "pkcs1" }));
  }
  throw new IdentityError("unsupported-algorithm", `a key of the kind "${label}": convert it to PKCS#8`);
}

function decrypt(block: PemBlock, passphrase: string | undefined): KeyObject {
  if (passphrase === undefined) throw new IdentityError("wrong-passphrase", "the key is encrypted and no passphrase was given");
  if (Buffer.byteLength(passphrase) > MAX_PASSPHRASE) throw wrongPassphrase();
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: block.text, format: "pem", passphrase });
  } catch {
    // With CBC a wrong passphrase may also look like a damaged key: the two cannot be told apart.
    throw wrongPassphrase();
  }
  return usable(() => key);
}

/** The algorithms that node:tls, with its own security level, can authenticate with. */
function usable(make: () => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = make();
  } catch {
    throw new IdentityError("bad-format", "not a private key of the form that it claims to have");
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === "ed25519") return key;
  if (type === "ec" && CURVES.has(details?.namedCurve ?? "")) return key;
  const bits = details?.modulusLength ?? 0;
  if (type === "rsa" && bits >= RSA_BITS.min && bits <= RSA_BITS.max) return key;
  throw new IdentityError("unsupported-algorithm", "the key is not EC on P-256, P-384 or P-521, RSA of 2048 to 8192 bits, or Ed25519");
}

function checkSize(der: Uint8Array): void {
  if (der.length > MAX_KEY) throw tooLarge();
}

function tooLarge(): IdentityError {
  return new IdentityError("too-large", `a private key has at most ${MAX_KEY} bytes`);
}

function wrongPassphrase(): IdentityError {
  return new IdentityError("wrong-passphrase", "the passphrase does not open the key");
}
