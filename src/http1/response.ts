import { type Fields, hasControls } from "./fields.ts";
import { declaredFraming, type Framing } from "./framing.ts";
import { HttpError } from "./http-error.ts";
import type { Limits } from "./limits.ts";
import { type HeadReader, MessageParser } from "./message-parser.ts";

/** Status line and fields of a response. */
export interface ResponseHead {
  /** Of HTTP/1.x: 0 or 1. */
  readonly minorVersion: number;
  /** 100 to 599. */
  readonly status: number;
  /** For people; may be empty. Bytes as the code points 0 to 255. */
  readonly reason: string;
  readonly fields: Fields;
  /** Whether the connection may carry another request once this message is done. */
  readonly reusable: boolean;
  /** After this head the connection belongs to another protocol (101, or a CONNECT that succeeded): `rest` is its bytes. */
  readonly upgraded: boolean;
}

/**
 * A parser for the response to one request: interim responses (1xx), the head, the body, the end. See `MessageParser`.
 *
 * @param requestMethod the response to HEAD has no body, that to CONNECT none if it succeeds (RFC 9112, section 6.3)
 */
export function responseParser(requestMethod: string, limits?: Partial<Limits>): MessageParser<ResponseHead> {
  return new MessageParser(new ResponseHeadReader(requestMethod), limits);
}

class ResponseHeadReader implements HeadReader<ResponseHead> {
  readonly skipsEmptyLines = false;
  private readonly method: string;

  constructor(method: string) {
    this.method = method;
  }

  parse(startLine: string, fields: Fields): { head: ResponseHead; framing: Framing; interim: boolean } {
    const match = hasControls([startLine]) ? null : STATUS_LINE.exec(startLine);
    if (match === null) throw new HttpError("ERR_SALLYPORT_HTTP_START_LINE", "this is no HTTP/1 response");
    const minorVersion = match[1] === "1" ? 1 : 0;
    const status = Number(match[2]);
    const framing = this.framingOf(status, fields, minorVersion);
    const upgraded = this.upgrades(status);
    const reusable = !upgraded && framing.tag !== "close" && persists(minorVersion, fields);
    const head = { minorVersion, status, reason: match[3] ?? "", fields, reusable, upgraded };
    return { head, framing, interim: status < 200 && status !== 101 };
  }

  private framingOf(status: number, fields: Fields, minorVersion: number): Framing {
    // Looked at even where there is no body: what contradicts itself is not to be trusted with the next message either.
    const declared = declaredFraming(fields, minorVersion, true);
    if ((status < 200 || status === 204) && declared?.tag === "chunked") {
      throw new HttpError("ERR_SALLYPORT_HTTP_FRAMING", "Transfer-Encoding on a response that cannot have a body");
    }
    if (status < 200 || status === 204 || status === 304) return { tag: "none" };
    if (this.method === "HEAD" || this.upgrades(status)) return { tag: "none" };
    return declared ?? { tag: "close" };
  }

  private upgrades(status: number): boolean {
    return status === 101 || (this.method === "CONNECT" && status >= 200 && status < 300);
  }
}

/** Whether the sender keeps the connection (RFC 9112, section 9.3). */
export function persists(minorVersion: number, fields: Fields): boolean {
  const options = fields.tokens("connection");
  if (options.includes("close")) return false;
  return minorVersion >= 1 || options.includes("keep-alive");
}

/** The space before an empty reason is required; many servers leave it out, and nothing can be misread by that. */
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5][0-9][0-9])(?: (.*))?$/;
