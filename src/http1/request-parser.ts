import { type Fields, hasControls, isToken } from "./fields.ts";
import { declaredFraming, type Framing } from "./framing.ts";
import { HttpError } from "./http-error.ts";
import type { Limits } from "./limits.ts";
import { type HeadReader, MessageParser } from "./message-parser.ts";
import { persists } from "./response.ts";
import { type Authority, parseAuthority, parseUrl, UrlError } from "./url.ts";

/** Request line and fields of a request. */
export interface RequestHead {
  /** As sent: methods are case-sensitive. */
  readonly method: string;
  /** The request target as sent: visible ASCII, no fragment. */
  readonly target: string;
  /** Which form the target has (RFC 9112, section 3.2). */
  readonly form: "origin" | "absolute" | "authority" | "asterisk";
  /** Path and query: `/…`; `*` for the asterisk form, empty for the authority form. */
  readonly path: string;
  /** Whom the request is for: from Host, or from the target where that names it (they have to agree). */
  readonly authority: Authority | undefined;
  /** Of HTTP/1.x: 0 or 1. */
  readonly minorVersion: number;
  readonly fields: Fields;
  /** Whether the client keeps the connection for another request. */
  readonly persistent: boolean;
  /** Whether the client waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean;
}

/** A parser for one request. See `MessageParser`. Requests never end with the connection. */
export function requestParser(limits?: Partial<Limits>): MessageParser<RequestHead> {
  return new MessageParser(new RequestHeadReader(), limits);
}

class RequestHeadReader implements HeadReader<RequestHead> {
  // RFC 9112, section 2.2: some clients send an extra CR LF after a body.
  readonly skipsEmptyLines = true;

  parse(startLine: string, fields: Fields): { head: RequestHead; framing: Framing; interim: boolean } {
    const match = hasControls([startLine]) ? null : REQUEST_LINE.exec(startLine);
    if (match === null || !isToken(match[1]!)) throw new HttpError("ERR_SALLYPORT_HTTP_START_LINE", "this is no HTTP/1 request");
    const [method, target] = [match[1]!, match[2]!];
    const minorVersion = match[3] === "1" ? 1 : 0;
    const host = hostOf(fields, minorVersion);
    const { form, path, authority } = readTarget(method, target, host);
    const framing = declaredFraming(fields, minorVersion, false) ?? { tag: "none" };
    const head: RequestHead = {
      method,
      target,
      form,
      path,
      authority,
      minorVersion,
      fields,
      persistent: persists(minorVersion, fields),
      expectsContinue: expectation(fields, minorVersion),
    };
    return { head, framing, interim: false };
  }
}

/** Exactly one space between the parts, and no fragment. */
const REQUEST_LINE = /^([^ ]+) ([\x21\x22\x24-\x7e]+) HTTP\/1\.([01])$/;

type Target = Pick<RequestHead, "form" | "path" | "authority">;

function readTarget(method: string, target: string, host: Authority | undefined): Target {
  if (method === "CONNECT") {
    const authority = authorityOf(target);
    // A CONNECT to no port would be a guess (RFC 9110, section 9.3.6).
    if (authority.port === undefined) throw startLine("a CONNECT target without a port");
    return { form: "authority", path: "", authority };
  }
  if (target.startsWith("/")) return { form: "origin", path: target, authority: host };
  if (target === "*" && method === "OPTIONS") return { form: "asterisk", path: target, authority: host };
  const url = absolute(target);
  if (host !== undefined && !isFor(url, host))
    throw new HttpError("ERR_SALLYPORT_HTTP_HOST", "Host and request target name different servers");
  return { form: "absolute", path: url.path, authority: { host: url.host, port: url.port } };
}

function absolute(target: string): ReturnType<typeof parseUrl> {
  try {
    return parseUrl(target);
  } catch (error) {
    if (error instanceof UrlError) throw startLine("a request target that is neither a path nor an http or https URL");
    throw error;
  }
}

function authorityOf(text: string): Authority {
  try {
    return parseAuthority(text);
  } catch (error) {
    if (error instanceof UrlError) throw startLine("a CONNECT target that is no host and port");
    throw error;
  }
}

function isFor(url: ReturnType<typeof parseUrl>, host: Authority): boolean {
  return host.host === url.host && (host.port ?? (url.scheme === "https" ? 443 : 80)) === url.port;
}

function hostOf(fields: Fields, minorVersion: number): Authority | undefined {
  const values = fields.getAll("host");
  if (values.length > 1) throw new HttpError("ERR_SALLYPORT_HTTP_HOST", "more than one Host field");
  if (values.length === 0) {
    if (minorVersion === 0) return undefined;
    throw new HttpError("ERR_SALLYPORT_HTTP_HOST", "the Host field is missing");
  }
  try {
    return parseAuthority(values[0]!);
  } catch (error) {
    if (error instanceof UrlError) throw new HttpError("ERR_SALLYPORT_HTTP_HOST", "the Host field is no host");
    throw error;
  }
}

function expectation(fields: Fields, minorVersion: number): boolean {
  return minorVersion >= 1 && fields.tokens("expect").includes("100-continue");
}

function startLine(what: string): HttpError {
  return new HttpError("ERR_SALLYPORT_HTTP_START_LINE", `the request has ${what}`);
}
