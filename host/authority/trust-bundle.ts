import { getCACertificates } from "node:tls";
import { encodePem } from "../../src/wire/pem.ts";
import { AuthorityError } from "./authority-error.ts";

/** DER certificates as PEM text. */
export function pemOf(certificates: readonly Uint8Array[]): string {
  return certificates.map((der) => encodePem("CERTIFICATE", der)).join("");
}

/**
 * What a program has to trust that takes one file in place of its own roots: the system's (or those that `SSL_CERT_FILE`
 * and `SSL_CERT_DIR` name), then the given ones. Where the system has none, the roots that come with Node.
 *
 * @param roots DER
 * @returns PEM
 * @throws {AuthorityError} `unreadable` if there are no roots at all: with them left out, a program would reach nothing
 */
export function trustBundle(roots: readonly Uint8Array[]): string {
  const system = getCACertificates("system");
  const base = system.length > 0 ? system : getCACertificates("bundled");
  if (base.length === 0) throw new AuthorityError("unreadable", "this system has no certification authorities to put into a bundle");
  // A folder of certificates names each of them again by its hash.
  const distinct = new Set(base.map((pem) => `${pem.trim()}\n`));
  return [...distinct].join("") + pemOf(roots);
}
