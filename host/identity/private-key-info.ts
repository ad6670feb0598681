import { DerReader, derTag, readOid, readSmallInteger } from "../../src/wire/der.ts";
import { WireError } from "../../src/wire/wire-error.ts";
import { IdentityError } from "./identity-error.ts";

/**
 * The frame of PrivateKeyInfo (RFC 5958, section 2), so that a key of an unknown algorithm is told from garbage.
 *
 * @throws {IdentityError} `bad-format`
 */
export function checkPrivateKeyInfo(der: Uint8Array): void {
  read(() => {
    const info = only(der);
    info.take(derTag.integer);
    readOid(info.enter(derTag.sequence).take(derTag.oid).content);
    info.take(derTag.octetString);
  });
}

/**
 * The frame of an ECPrivateKey (RFC 5915) or RSAPrivateKey (RFC 8017, appendix A.1.2): OpenSSL would take any kind of key
 * in its place.
 *
 * @throws {IdentityError} `bad-format`
 */
export function checkOldKey(der: Uint8Array, kind: "ec" | "rsa"): void {
  read(() => {
    const key = only(der);
    key.take(derTag.integer);
    key.take(kind === "ec" ? derTag.octetString : derTag.integer);
  });
}

/**
 * EncryptedPrivateKeyInfo (RFC 5958, section 3) with PBES2 and PBKDF2 (RFC 8018). Whoever wrote the key says how long the
 * host is to work on opening it, so that is looked at before OpenSSL starts.
 *
 * @throws {IdentityError} `bad-format`; `unsupported-algorithm` for other schemes and more than 1,000,000 iterations
 */
export function checkEncryption(der: Uint8Array): void {
  const { scheme, derivation, cipher, iterations } = read(() => encryptionOf(der));
  if (scheme !== PBES2 || derivation !== PBKDF2) throw unsupported("PBES2 and PBKDF2");
  if (!CIPHERS.has(cipher)) throw unsupported("AES-CBC");
  if (iterations > MAX_ITERATIONS) throw unsupported(`at most ${MAX_ITERATIONS} iterations`);
}

function encryptionOf(der: Uint8Array): { scheme: string; derivation: string; cipher: string; iterations: number } {
  const info = only(der);
  const algorithm = info.enter(derTag.sequence);
  info.take(derTag.octetString);
  info.end();
  const scheme = readOid(algorithm.take(derTag.oid).content);
  if (scheme !== PBES2) return { scheme, derivation: "", cipher: "", iterations: 0 };
  const parameters = algorithm.enter(derTag.sequence);
  const derive = parameters.enter(derTag.sequence);
  const derivation = readOid(derive.take(derTag.oid).content);
  const cipher = readOid(parameters.enter(derTag.sequence).take(derTag.oid).content);
  if (derivation !== PBKDF2) return { scheme, derivation, cipher, iterations: 0 };
  const costs = derive.enter(derTag.sequence);
  costs.take(derTag.octetString);
  return { scheme, derivation, cipher, iterations: readSmallInteger(costs.take(derTag.integer).content, 2 ** 31) };
}

/** The elements of the one SEQUENCE that `der` is. */
function only(der: Uint8Array): DerReader {
  const outer = new DerReader(der);
  const elements = outer.enter(derTag.sequence);
  outer.end();
  return elements;
}

function read<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new IdentityError("bad-format", "not the DER of a private key");
  }
}

function unsupported(what: string): IdentityError {
  return new IdentityError("unsupported-algorithm", `the key is encrypted in another way than with ${what}: encrypt it anew`);
}

/** The most that opening an encrypted key may cost: about half a second, in which nothing else of this thread runs. */
const MAX_ITERATIONS = 1_000_000;

const PBES2 = "1.2.840.113549.1.5.13";
const PBKDF2 = "1.2.840.113549.1.5.12";
/** AES-128, -192 and -256 in CBC mode, and triple DES, which older tools write. */
const CIPHERS = new Set(["2.16.840.1.101.3.4.1.2", "2.16.840.1.101.3.4.1.22", "2.16.840.1.101.3.4.1.42", "1.2.840.113549.3.7"]);
