import { encodeUtf8 } from "../wire/utf8.ts";
import { isToken, isWritableValue } from "./fields.ts";
import { HttpError } from "./http-error.ts";

/** A field to write. */
export type FieldLine = readonly [name: string, value: string];

/**
 * Serialise a head. Whatever would end a line early, or be read differently by another parser, is refused: this is where
 * text from elsewhere becomes protocol.
 *
 * @throws {HttpError} ERR_SALLYPORT_HTTP_ARGUMENT
 */
export function writeHead(startLine: string, fields: readonly FieldLine[]): Uint8Array {
  let text = `${startLine}\r\n`;
  const once = new Set<string>();
  for (const [name, value] of fields) {
    if (!isToken(name)) throw argument("a field name is not a token");
    if (!isWritableValue(value)) throw argument(`the value of ${name} has characters that a field cannot carry`);
    const key = name.toLowerCase();
    if (ONLY_ONCE.has(key)) {
      if (once.has(key)) throw argument(`${name} is given twice`);
      once.add(key);
    }
    if (key === "content-length" && !/^[0-9]{1,16}$/.test(value)) throw argument("Content-Length is not a number");
    text += `${name}: ${value}\r\n`;
  }
  if (once.has("content-length") && once.has("transfer-encoding")) throw argument("both Content-Length and Transfer-Encoding");
  return encodeUtf8(`${text}\r\n`);
}

export function argument(what: string): HttpError {
  return new HttpError("ERR_SALLYPORT_HTTP_ARGUMENT", what);
}

const ONLY_ONCE = new Set(["host", "content-length", "transfer-encoding"]);
