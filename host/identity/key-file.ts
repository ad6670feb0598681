import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { getSystemErrorName } from "node:util";
import { IdentityError } from "./identity-error.ts";
import { readPem } from "./pem.ts";
import { KeyPair } from "./private-identity.ts";
import { isPrivateKeyLabel } from "./private-key.ts";
import { AnchorSet } from "./trust-anchors.ts";

export type KeyFileErrorCode =
  /** The option itself is malformed. */
  | "bad-option"
  /** The file cannot be opened or read, or is no regular file. */
  | "unreadable"
  /** Others than its owner may read or write the key file, or it belongs to somebody else. */
  | "not-private"
  /** Longer than the host takes. */
  | "too-large"
  /** The contents are not what they should be. */
  | "bad-content";

/** Why an identity or anchors could not be loaded. The message names the file and what to do, and never what is in it. */
export class KeyFileError extends Error {
  override readonly name = "KeyFileError";
  readonly code: KeyFileErrorCode;

  constructor(code: KeyFileErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** One `--identity` option, parsed. */
export interface IdentityOption {
  /** By which guests open it: 1 to 64 of letters, digits, `.`, `_` and `-`. */
  name: string;
  /** PEM: leaf first. */
  certificateFile: string;
  /** PEM: one private key. The same file as the certificates if only one was named. */
  keyFile: string;
  /** Name of the environment variable with the key's passphrase. */
  passphraseVariable: string | undefined;
}

/**
 * `name=cert.pem,key.pem`, `name=both.pem`, and either with `,env:VARIABLE` for the passphrase of an encrypted key. A path
 * with a comma in it cannot be named.
 *
 * @throws {KeyFileError} `bad-option`
 */
export function parseIdentityOption(text: string): IdentityOption {
  const match = /^([A-Za-z0-9._-]{1,64})=([^,]+)(?:,(?!env:)([^,]+))?(?:,env:([A-Za-z_][A-Za-z0-9_]*))?$/.exec(text);
  if (match === null)
    throw new KeyFileError("bad-option", `--identity ${text}: write name=cert.pem,key.pem, with ,env:VARIABLE if the key has a passphrase`);
  const [, name = "", certificateFile = "", keyFile = certificateFile, passphraseVariable] = match;
  return { name, certificateFile, keyFile, passphraseVariable };
}

/**
 * Load what an `--identity` option names.
 *
 * @param environment where the passphrase is looked up
 * @throws {KeyFileError}
 */
export function loadIdentity(option: IdentityOption, environment: Readonly<Record<string, string | undefined>> = process.env): KeyPair {
  const { certificateFile, keyFile, passphraseVariable } = option;
  const passphrase = passphraseVariable === undefined ? undefined : environment[passphraseVariable];
  if (passphraseVariable !== undefined && passphrase === undefined)
    throw new KeyFileError("bad-option", `identity ${option.name}: the environment variable ${passphraseVariable} is not set`);
  const key = readFile(keyFile, true);
  const certificates = certificateFile === keyFile ? key : readFile(certificateFile, false);
  const fromFiles = certificateFile === keyFile ? keyFile : `${certificateFile}, ${keyFile}`;
  return explain(fromFiles, passphraseVariable, () => {
    const only = (pem: Uint8Array, isWanted: (label: string) => boolean) =>
      readPem(pem, MAX_FILE)
        .filter((block) => isWanted(block.label))
        .map((block) => block.text);
    const blocks = [...only(certificates, (label) => label === "CERTIFICATE"), ...only(key, isPrivateKeyLabel)];
    return KeyPair.parsePem(Buffer.from(blocks.join(""), "latin1"), passphrase, "host");
  });
}

/**
 * Load the PEM bundle that a `--ca` option names: certificates, and revocation lists if it has any.
 *
 * @throws {KeyFileError}
 */
export function loadAnchors(file: string): AnchorSet {
  const bundle = readFile(file, false);
  return explain(file, undefined, () => AnchorSet.fromPem(bundle));
}

/**
 * Read a file with a secret in it: a regular file, no link, that its owner alone has access to.
 *
 * @throws {KeyFileError} unreadable, not-private, too-large
 */
export function readPrivateFile(path: string): Uint8Array {
  return readFile(path, true);
}

/** @param isKey the stricter rules for files with a secret in them */
function readFile(path: string, isKey: boolean): Uint8Array {
  let file: number;
  try {
    // Without O_NONBLOCK, opening a FIFO would wait for somebody to write to it.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | (isKey ? constants.O_NOFOLLOW : 0));
  } catch (error) {
    throw unreadable(path, error);
  }
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw new KeyFileError("unreadable", `${path}: not a regular file`);
    if (isKey) checkPrivate(path, stats);
    if (stats.size > MAX_FILE) throw new KeyFileError("too-large", `${path}: longer than ${MAX_FILE} bytes`);
    return readAll(path, file);
  } finally {
    closeSync(file);
  }
}

/** The file may grow while it is read, so its size is not believed. */
function readAll(path: string, file: number): Uint8Array {
  const buffer = new Uint8Array(MAX_FILE + 1);
  let length = 0;
  try {
    for (let read = -1; read !== 0 && length < buffer.length; length += read)
      read = readSync(file, buffer, length, buffer.length - length, null);
  } catch (error) {
    throw unreadable(path, error);
  }
  if (length > MAX_FILE) throw new KeyFileError("too-large", `${path}: longer than ${MAX_FILE} bytes`);
  return buffer.slice(0, length);
}

function checkPrivate(path: string, stats: Stats): void {
  // Windows has neither owners nor modes of this kind.
  const user = process.geteuid?.();
  if (user === undefined) return;
  if (stats.uid !== user && stats.uid !== 0)
    throw new KeyFileError("not-private", `${path}: belongs to another user: chown it to the user that runs this program`);
  if ((stats.mode & 0o077) !== 0)
    throw new KeyFileError("not-private", `${path}: others than its owner have access to this private key: run chmod 600 on it`);
}

function unreadable(path: string, error: unknown): KeyFileError {
  const { errno } = error as { errno?: number };
  const name = errno === undefined ? "error" : getSystemErrorName(errno);
  const advice = name === "ELOOP" ? "is a symbolic link: name the file that it points to" : `cannot be read (${name})`;
  return new KeyFileError("unreadable", `${path}: ${advice}`);
}

function explain<T>(file: string, passphraseVariable: string | undefined, load: () => T): T {
  try {
    return load();
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error;
    if (error.code !== "wrong-passphrase")
      throw new KeyFileError(error.code === "too-large" ? "too-large" : "bad-content", `${file}: ${error.message}`);
    const advice =
      passphraseVariable === undefined ? "add ,env:VARIABLE to the option" : `look at the environment variable ${passphraseVariable}`;
    throw new KeyFileError("bad-content", `${file}: ${error.message}: ${advice}`);
  }
}

/** Bytes of one file. */
const MAX_FILE = 16 * 1024 * 1024;
