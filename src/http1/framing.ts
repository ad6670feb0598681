import type { Fields } from "./fields.ts";
import { trim } from "./fields.ts";
import { HttpError } from "./http-error.ts";

/** How the body of a message is delimited (RFC 9112, section 6.3). */
export type Framing = { tag: "none" } | { tag: "length"; length: number } | { tag: "chunked" } | { tag: "close" };

/** What the fields of a message say on its framing; `undefined` if they say nothing. */
export type DeclaredFraming = { tag: "length"; length: number } | { tag: "chunked" } | undefined;

/**
 * What Content-Length and Transfer-Encoding declare. Everything that two parsers might read differently is refused: both
 * at once, codings other than `chunked`, Transfer-Encoding under HTTP/1.0, lengths that differ or are not plain digits.
 *
 * @param minorVersion of HTTP/1.x
 * @param repeats whether equal Content-Lengths may be repeated
 * @throws {HttpError} ERR_SALLYPORT_HTTP_FRAMING
 */
export function declaredFraming(fields: Fields, minorVersion: number, repeats: boolean): DeclaredFraming {
  const codings = fields.getAll("transfer-encoding");
  const lengths = fields.getAll("content-length");
  if (codings.length > 0) {
    if (lengths.length > 0) throw framing("both Content-Length and Transfer-Encoding");
    if (minorVersion < 1) throw framing("Transfer-Encoding in an HTTP/1.0 message");
    if (codings.length > 1 || codings[0]!.toLowerCase() !== "chunked") throw framing("a transfer coding other than chunked");
    return { tag: "chunked" };
  }
  if (lengths.length === 0) return undefined;
  const members = lengths.join(",").split(",").map(trim);
  if (members.length > 1 && !repeats) throw framing("more than one Content-Length");
  if (members.some((member) => member !== members[0])) throw framing("Content-Lengths that differ");
  return { tag: "length", length: parseLength(members[0]!) };
}

function parseLength(text: string): number {
  if (!/^[0-9]{1,16}$/.test(text)) throw framing("a Content-Length that is no number");
  const length = Number(text);
  if (length > Number.MAX_SAFE_INTEGER) throw framing("a Content-Length that is too large");
  return length;
}

function framing(what: string): HttpError {
  return new HttpError("ERR_SALLYPORT_HTTP_FRAMING", `the message has ${what}`);
}
