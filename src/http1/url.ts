import { parseServerName } from "../wire/server-name.ts";
import { WireError } from "../wire/wire-error.ts";

/** A host, and a port if one was written. */
export interface Authority {
  /** A DNS name in lower case, or an IP address in its canonical spelling, without brackets. */
  readonly host: string;
  readonly port: number | undefined;
}

/** An http or https URL that can be asked for. A fragment is dropped: it never leaves the client. */
export interface HttpUrl {
  readonly scheme: "http" | "https";
  /** As in `Authority`. */
  readonly host: string;
  /** 1 to 65535; the scheme's if none was written. */
  readonly port: number;
  /** Path and query as written, dot segments removed: what a request line carries. Begins with `/`. */
  readonly path: string;
  /** What the Host field says: brackets around IPv6, the port if it is not the scheme's. */
  readonly authority: string;
}

/** A text is no URL that can be asked for. The message says why, for the person who wrote it. */
export class UrlError extends Error {
  readonly code = "ERR_SALLYPORT_URL";
}

/** The longest URL that is looked at, in characters. */
export const MAX_URL_LENGTH = 16 * 1024;

/**
 * Parse an absolute http or https URL (RFC 3986), strictly: ASCII as the RFC allows it and nothing else, so that no two
 * readers of it disagree. Percent-encoding in the path stays as it is.
 *
 * @throws {UrlError} also for user information, which would leak into logs and is refused by the RFC for http (RFC 9110,
 *   section 4.2.4)
 */
export function parseUrl(text: string): HttpUrl {
  checkText(text);
  const match = ABSOLUTE.exec(text);
  if (match === null) throw new UrlError("not a URL of the form https://host/path");
  const scheme = match[1]!.toLowerCase();
  if (scheme !== "http" && scheme !== "https") throw new UrlError("only http and https URLs are known");
  return make(scheme, parseAuthority(match[2]!), match[3]!, match[4] ?? "");
}

/**
 * Resolve a reference against the URL it came with, as for the Location of a redirect (RFC 3986, section 5.2).
 *
 * @throws {UrlError}
 */
export function resolveUrl(base: HttpUrl, reference: string): HttpUrl {
  checkText(reference);
  if (/^[A-Za-z][A-Za-z0-9+.-]*:/.test(reference)) return parseUrl(reference);
  if (reference.startsWith("//")) return parseUrl(`${base.scheme}:${reference}`);
  const [, path, query] = RELATIVE.exec(reference)!;
  const basePath = base.path.split("?", 1)[0]!;
  const authority = { host: base.host, port: base.port };
  if (path === "") return make(base.scheme, authority, basePath, query ?? base.path.slice(basePath.length));
  const merged = path!.startsWith("/") ? path! : basePath.slice(0, basePath.lastIndexOf("/") + 1) + path!;
  return make(base.scheme, authority, merged, query ?? "");
}

/** The URL as text. */
export function formatUrl(url: HttpUrl): string {
  return `${url.scheme}://${url.authority}${url.path}`;
}

/**
 * Parse `host`, `host:port`, `[IPv6]` or `[IPv6]:port`.
 *
 * @throws {UrlError}
 */
export function parseAuthority(text: string): Authority {
  if (text.includes("@")) throw new UrlError("a user name or password in a URL is refused");
  const match = AUTHORITY.exec(text);
  if (match === null) throw new UrlError("the host is malformed");
  const [, bracketed, plain, digits] = match;
  return { host: parseHost(bracketed, plain), port: digits === undefined ? undefined : parsePort(digits) };
}

/** As written in a URL or a Host field: an IPv6 address gets its brackets. */
export function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

const ABSOLUTE = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?$/;
const RELATIVE = /^([^?#]*)(\?[^#]*)?(?:#.*)?$/;
const AUTHORITY = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+))(?::([0-9]{1,5}))?$/;

/** Unreserved, reserved and percent-encoded characters of RFC 3986, section 2. */
const URL_TEXT = /^(?:[A-Za-z0-9._~:/?#[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*$/;

/** Brackets stand around an IPv6 address only. */
const PATH_TEXT = /^[^[\]]*$/;

function checkText(text: string): void {
  if (text.length > MAX_URL_LENGTH) throw new UrlError(`a URL of more than ${MAX_URL_LENGTH} characters`);
  if (!URL_TEXT.test(text)) throw new UrlError("a character that has to be percent-encoded in a URL");
}

function make(scheme: "http" | "https", authority: Authority, path: string, query: string): HttpUrl {
  const standard = scheme === "https" ? 443 : 80;
  const port = authority.port ?? standard;
  const host = bracketed(authority.host);
  if (!PATH_TEXT.test(path + query)) throw new UrlError("a bracket in the path or query has to be percent-encoded");
  return {
    scheme,
    host: authority.host,
    port,
    path: withoutDotSegments(path) + query,
    authority: port === standard ? host : `${host}:${port}`,
  };
}

function parseHost(inBrackets: string | undefined, plain: string | undefined): string {
  try {
    const name = parseServerName(inBrackets ?? plain!, { trailingDot: "drop" });
    if (name.tag === "dns") return name.name;
    if ((name.tag === "ipv6") === (inBrackets !== undefined)) return name.text;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new UrlError(`the host is malformed: ${error.message}`, { cause: error });
  }
  throw new UrlError("the host is malformed: brackets are for IPv6 addresses");
}

function parsePort(digits: string): number {
  const port = Number(digits);
  if (port < 1 || port > 65_535) throw new UrlError("a port is a number from 1 to 65535");
  return port;
}

/** RFC 3986, section 5.2.4, for a path that is empty or begins with a slash. */
function withoutDotSegments(path: string): string {
  if (!path.includes("/.")) return path === "" ? "/" : path;
  const segments = path.split("/");
  const kept: string[] = [];
  for (let i = 1; i < segments.length; i++) {
    const segment = segments[i]!;
    const last = i === segments.length - 1;
    if (segment === "..") kept.pop();
    if (segment === "." || segment === "..") {
      if (last) kept.push("");
    } else kept.push(segment);
  }
  return `/${kept.join("/")}`;
}
