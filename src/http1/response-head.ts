import { argument, type FieldLine, writeHead } from "./write-head.ts";

/**
 * The head of an HTTP/1.1 response as bytes, with the registered reason phrase.
 *
 * @param status 100 to 599
 * @throws {HttpError} ERR_SALLYPORT_HTTP_ARGUMENT for anything that cannot be written safely
 */
export function responseHead(status: number, fields: readonly FieldLine[]): Uint8Array {
  if (!Number.isInteger(status) || status < 100 || status > 599) throw argument("a status is a number from 100 to 599");
  return writeHead(`HTTP/1.1 ${status} ${REASONS.get(status) ?? ""}`, fields);
}

/** Of the HTTP Status Code registry: what servers and proxies here answer. */
const REASONS = new Map<number, string>([
  [100, "Continue"],
  [101, "Switching Protocols"],
  [200, "OK"],
  [204, "No Content"],
  [206, "Partial Content"],
  [301, "Moved Permanently"],
  [302, "Found"],
  [304, "Not Modified"],
  [307, "Temporary Redirect"],
  [308, "Permanent Redirect"],
  [400, "Bad Request"],
  [401, "Unauthorized"],
  [403, "Forbidden"],
  [404, "Not Found"],
  [405, "Method Not Allowed"],
  [407, "Proxy Authentication Required"],
  [408, "Request Timeout"],
  [411, "Length Required"],
  [413, "Content Too Large"],
  [414, "URI Too Long"],
  [416, "Range Not Satisfiable"],
  [417, "Expectation Failed"],
  [421, "Misdirected Request"],
  [429, "Too Many Requests"],
  [431, "Request Header Fields Too Large"],
  [500, "Internal Server Error"],
  [501, "Not Implemented"],
  [502, "Bad Gateway"],
  [503, "Service Unavailable"],
  [504, "Gateway Timeout"],
  [505, "HTTP Version Not Supported"],
]);
