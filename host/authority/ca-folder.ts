import { randomBytes } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { lstatSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { encodePem } from "../../src/wire/pem.ts";
import { IdentityError } from "../identity/identity-error.ts";
import { readPem } from "../identity/pem.ts";
import { AuthorityError } from "./authority-error.ts";
import { IssuingCa, parseKey } from "./issuing-ca.ts";
import { attempt, readPrivateFile, readPublicFile, safeFolder, syncFolder, writeNewFile } from "./private-file.ts";

/** The files of one authority, each PEM with one block. */
export const caFiles = { root: "root.pem", intermediate: "intermediate.pem", key: "intermediate-key.pem" } as const;

/** Mode of a file that holds a private key, and of one that does not. */
export const PRIVATE = 0o600;
export const PUBLIC = 0o644;

/**
 * Read the authority in a folder.
 *
 * @throws {AuthorityError} `not-found`, `incomplete`, `unreadable`, `unsafe-file`, and what `IssuingCa` throws
 */
export function readCaFolder(path: string): IssuingCa {
  const missing = missingFiles(path);
  if (missing.length === Object.keys(caFiles).length)
    throw new AuthorityError("not-found", `${path}: no authority here: make one with sallyport ca init`);
  if (missing.length > 0)
    throw new AuthorityError(
      "incomplete",
      `${path}: ${missing.join(" and ")} missing: restore what was there, or remove the rest yourself`,
    );
  const folder = safeFolder(path);
  const root = readBlock(join(folder, caFiles.root), readPublicFile, "CERTIFICATE");
  const intermediate = readBlock(join(folder, caFiles.intermediate), readPublicFile, "CERTIFICATE");
  const key = readKeyFile(join(folder, caFiles.key));
  return within(path, () => new IssuingCa(root, intermediate, key));
}

/**
 * Write a new authority, all of it or nothing: the folder appears when everything in it is on the disk.
 *
 * @param path must not exist, or be empty; the folder above it must be safe
 * @throws {AuthorityError} `exists`, `cannot-write`, `unsafe-file`
 */
export function writeCaFolder(path: string, ca: IssuingCa): void {
  const parent = safeFolder(dirname(path));
  const temporary = join(parent, `.new-${randomBytes(8).toString("hex")}`);
  attempt("cannot-write", temporary, () => mkdirSync(temporary, { mode: 0o700 }));
  try {
    writeNewFile(join(temporary, caFiles.key), keyPem(ca.key), PRIVATE);
    writeNewFile(join(temporary, caFiles.intermediate), encodePem("CERTIFICATE", ca.intermediate), PUBLIC);
    writeNewFile(join(temporary, caFiles.root), encodePem("CERTIFICATE", ca.root), PUBLIC);
    syncFolder(temporary);
    // A folder with anything in it is not replaced by a rename.
    attempt("cannot-write", path, () => renameSync(temporary, path));
    syncFolder(parent);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw error;
  }
}

/** Read one private key. @throws {AuthorityError} `unreadable`, `unsafe-file`, `bad-content` */
export function readKeyFile(path: string): KeyObject {
  const pkcs8 = readBlock(path, readPrivateFile, "PRIVATE KEY");
  return within(path, () => parseKey(pkcs8));
}

/** Write one private key into a file that must not exist. @throws {AuthorityError} `exists`, `cannot-write`, `unsafe-file` */
export function writeKeyFile(path: string, key: KeyObject): void {
  safeFolder(dirname(path));
  writeNewFile(path, keyPem(key), PRIVATE);
  syncFolder(dirname(path));
}

/** A certificate file. @throws {AuthorityError} `unreadable`, `unsafe-file`, `bad-content` */
export function readCertificateFile(path: string): Uint8Array {
  return readBlock(path, readPublicFile, "CERTIFICATE");
}

/** Whether anything of that name is there, a dangling link included. */
export function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function missingFiles(path: string): string[] {
  return Object.values(caFiles).filter((name) => !isThere(join(path, name)));
}

function readBlock(path: string, read: (path: string) => Uint8Array, label: string): Uint8Array {
  const content = read(path);
  try {
    const [block, ...more] = readPem(content, content.length);
    if (block?.label === label && more.length === 0) return block.bytes;
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error;
  }
  throw new AuthorityError("bad-content", `${path}: not exactly one PEM block ${label}`);
}

/** Name the folder or file that an error is about. */
function within<T>(path: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof AuthorityError) throw new AuthorityError(error.code, `${path}: ${error.message}`);
    throw error;
  }
}

function keyPem(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}
