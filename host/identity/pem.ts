import { parsePem, type PemBlock } from "../../src/wire/pem.ts";
import { WireError } from "../../src/wire/wire-error.ts";
import { IdentityError } from "./identity-error.ts";

export type { PemBlock };

/**
 * All blocks of a PEM text. Text around the blocks is ignored, whatever its encoding.
 *
 * @param maxBytes of the whole text
 * @throws {IdentityError} `bad-format`, `too-large`
 */
export function readPem(bytes: Uint8Array, maxBytes: number): PemBlock[] {
  if (bytes.length > maxBytes) throw new IdentityError("too-large", `PEM text of more than ${maxBytes} bytes`);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  try {
    return parsePem(text, { length: maxBytes });
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new IdentityError(error.code === "too-large" ? "too-large" : "bad-format", error.message);
  }
}
