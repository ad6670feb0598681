import { isToken } from "./fields.ts";
import { argument, type FieldLine, writeHead } from "./write-head.ts";

/** A request to write. */
export interface RequestToWrite {
  readonly method: string;
  /** Path and query, as `HttpUrl.path`; for CONNECT `host:port`. */
  readonly target: string;
  /** In this order. Host has to be among them. */
  readonly fields: readonly FieldLine[];
}

/**
 * The head of an HTTP/1.1 request as bytes.
 *
 * @throws {HttpError} ERR_SALLYPORT_HTTP_ARGUMENT for anything that cannot be written safely: CR, LF, NUL and other
 *   controls, non-ASCII, a missing Host, two Hosts, contradicting lengths
 */
export function requestHead(request: RequestToWrite): Uint8Array {
  if (!isToken(request.method)) throw argument("the method is not a token");
  if (!/^[\x21\x22\x24-\x7e]+$/.test(request.target)) throw argument("the request target has characters that it cannot carry");
  if (!request.fields.some(([name]) => name.toLowerCase() === "host")) throw argument("the Host field is missing");
  return writeHead(`${request.method} ${request.target} HTTP/1.1`, request.fields);
}
