import { IdentityError } from "./identity-error.ts";

/**
 * What has to be known about a key's container before OpenSSL sees it: that it is one, and what opening it costs.
 */

/** The most that opening an encrypted key may cost: about half a second, in which nothing else of this thread runs. */
const MAX_ITERATIONS = 1_000_000;

const SEQUENCE = 0x30;
const INTEGER = 0x02;
const OCTET_STRING = 0x04;
const OBJECT_IDENTIFIER = 0x06;

const PBES2 = "2a864886f70d01050d";
const PBKDF2 = "2a864886f70d01050c";
/** AES-128, -192 and -256 in CBC mode; triple DES, which older tools write. */
const CIPHERS = new Set(["608648016503040102", "608648016503040116", "60864801650304012a", "2a864886f70d0307"]);

/**
 * The frame of PrivateKeyInfo (RFC 5958, section 2), so that a key of an unknown algorithm is told from garbage.
 *
 * @throws {IdentityError} `bad-format`
 */
export function checkPrivateKeyInfo(der: Uint8Array): void {
  const info = inside(der, SEQUENCE);
  info.next(INTEGER);
  inside(info.next(SEQUENCE), SEQUENCE).next(OBJECT_IDENTIFIER);
  info.next(OCTET_STRING);
}

/**
 * EncryptedPrivateKeyInfo (RFC 5958, section 3) with PBES2 and PBKDF2 (RFC 8018). The iteration count is the writer's word
 * on how long the host is to work.
 *
 * @throws {IdentityError} `bad-format`; `unsupported-algorithm` for other schemes and more than 1,000,000 iterations
 */
export function checkEncryption(der: Uint8Array): void {
  const info = inside(der, SEQUENCE);
  const algorithm = inside(info.next(SEQUENCE), SEQUENCE);
  info.next(OCTET_STRING);
  if (oidOf(algorithm) !== PBES2) throw unsupported("PBES2");
  const scheme = inside(algorithm.next(SEQUENCE), SEQUENCE);
  const derivation = inside(scheme.next(SEQUENCE), SEQUENCE);
  const cipher = inside(scheme.next(SEQUENCE), SEQUENCE);
  if (oidOf(derivation) !== PBKDF2) throw unsupported("PBKDF2");
  if (!CIPHERS.has(oidOf(cipher))) throw unsupported("AES-CBC");
  const parameters = inside(derivation.next(SEQUENCE), SEQUENCE);
  parameters.next(OCTET_STRING);
  const iterations = BigInt(`0x${content(parameters.next(INTEGER), INTEGER) || "0"}`);
  if (iterations > BigInt(MAX_ITERATIONS)) throw unsupported(`at most ${MAX_ITERATIONS} iterations of PBKDF2`);
}

/** A walk over the elements of one constructed DER value. */
class Elements {
  readonly #der: Uint8Array;
  #at: number;

  constructor(der: Uint8Array, at: number) {
    this.#der = der;
    this.#at = at;
  }

  /** The next element, header included, which must have this tag. */
  next(tag: number): Uint8Array {
    const { end } = extent(this.#der, this.#at, tag);
    const element = this.#der.subarray(this.#at, end);
    this.#at = end;
    return element;
  }
}

/** The elements of `der`, which is exactly one value of this tag. */
function inside(der: Uint8Array, tag: number): Elements {
  const { start, end } = extent(der, 0, tag);
  if (end !== der.length) throw malformed();
  return new Elements(der, start);
}

function extent(der: Uint8Array, at: number, tag: number): { start: number; end: number } {
  const first = der[at + 1];
  if (der[at] !== tag || first === undefined || first === 0x80 || first > 0x83) throw malformed();
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  const start = at + 2 + lengthBytes;
  let length = lengthBytes === 0 ? first : 0;
  for (let i = at + 2; i < start; i++) length = length * 256 + (der[i] ?? 0);
  const end = start + length;
  if (end > der.length) throw malformed();
  return { start, end };
}

function oidOf(elements: Elements): string {
  return content(elements.next(OBJECT_IDENTIFIER), OBJECT_IDENTIFIER);
}

/** What follows the header of an element, hexadecimal. */
function content(element: Uint8Array, tag: number): string {
  const { start, end } = extent(element, 0, tag);
  return Buffer.from(element.subarray(start, end)).toString("hex");
}

function malformed(): IdentityError {
  return new IdentityError("bad-format", "not the DER of a private key");
}

function unsupported(what: string): IdentityError {
  return new IdentityError("unsupported-algorithm", `the key is encrypted in another way than with ${what}: encrypt it anew`);
}
