import { Fields } from "../http1/fields.ts";
import { requestHead } from "../http1/request.ts";
import { type HttpUrl, resolveUrl, UrlError } from "../http1/url.ts";
import type { FieldLine } from "../http1/write-head.ts";
import type { ResponseHead } from "../http1/response.ts";
import { exitCodes, FetchError } from "./exit-code.ts";
import { messageOf } from "./failure.ts";
import type { Options } from "./options.ts";

/** What is asked, at one place. A redirect makes another one of it. */
export interface Request {
  readonly url: HttpUrl;
  readonly method: string;
  readonly fields: Fields;
  readonly without: ReadonlySet<string>;
  readonly body: Uint8Array | undefined;
  /** Whether it still goes to the origin that the user named: only that one is shown what is meant for it. */
  readonly named: boolean;
}

/** The request that the command line asks for. */
export function firstRequest(url: HttpUrl, options: Options, body: Uint8Array | undefined): Request {
  const method = options.method ?? (body === undefined ? "GET" : "POST");
  return { url, method, fields: options.fields, without: options.without, body, named: true };
}

/** Whether the server is asked to agree before a body is sent that would be a waste if it does not. */
export function expectsContinue({ body }: Request): boolean {
  return body !== undefined && body.length > MAX_UNASKED;
}

/** @throws {HttpError} ERR_SALLYPORT_HTTP_ARGUMENT */
export function writeRequestHead(request: Request, options: { keepAlive: boolean; expectContinue: boolean }): Uint8Array {
  return requestHead({ method: request.method, target: request.url.path, fields: requestFields(request, options) });
}

/** The fields as they are sent. */
export function requestFields(request: Request, options: { keepAlive: boolean; expectContinue: boolean }): FieldLine[] {
  const { url, fields, without, body, method } = request;
  const lines: FieldLine[] = [];
  if (!fields.has("host")) lines.push(["Host", url.authority]);
  const usual: FieldLine[] = [
    ["User-Agent", "https-get/0.1.0"],
    ["Accept", "*/*"],
  ];
  if (body !== undefined) usual.push(["Content-Type", "application/x-www-form-urlencoded"]);
  lines.push(...usual.filter(([name]) => !without.has(name.toLowerCase())));
  for (const { name, value } of fields) lines.push([name, value]);
  // A POST without a body says so; a GET says nothing (RFC 9110, section 8.6).
  if (body !== undefined || BODY_EXPECTED.has(method)) lines.push(["Content-Length", String(body?.length ?? 0)]);
  if (options.expectContinue) lines.push(["Expect", "100-continue"]);
  if (!options.keepAlive) lines.push(["Connection", "close"]);
  return lines;
}

/**
 * Where an answer redirects to (RFC 9110, section 15.4); undefined if it does not.
 *
 * @throws {FetchError} `redirect` to what is no https URL
 */
export function redirected(request: Request, { status, fields }: ResponseHead): Request | undefined {
  const location = fields.get("location");
  if (!REDIRECTS.has(status) || location === undefined) return undefined;
  let url: HttpUrl;
  try {
    url = resolveUrl(request.url, location);
  } catch (error) {
    if (!(error instanceof UrlError)) throw error;
    throw new FetchError(exitCodes.redirect, `the redirect of ${request.url.authority} leads nowhere: ${messageOf(error)}`, error);
  }
  if (url.scheme !== "https")
    throw new FetchError(exitCodes.redirect, `${request.url.authority} redirects to http, which is not followed: it would go unprotected`);
  const next = asGet(request, status) ? withoutBody({ ...request, url }) : { ...request, url };
  return sameOrigin(url, request.url) ? next : withoutSecrets(next);
}

export function sameOrigin(a: HttpUrl, b: HttpUrl): boolean {
  return a.scheme === b.scheme && a.host === b.host && a.port === b.port;
}

/** 303 always becomes a GET; so does a POST that is moved, as every browser does it. */
function asGet({ method }: Request, status: number): boolean {
  if (method === "HEAD" || method === "GET") return false;
  return status === 303 || ((status === 301 || status === 302) && method === "POST");
}

function withoutBody(request: Request): Request {
  const fields = new Fields([...request.fields].filter(({ key }) => !key.startsWith("content-")));
  return { ...request, method: "GET", body: undefined, fields };
}

/**
 * Another origin gets only what is known to be harmless: any other field may be a secret, whatever its name. Nothing of it
 * comes back if the redirects do.
 */
function withoutSecrets(request: Request): Request {
  return { ...request, named: false, fields: new Fields([...request.fields].filter(({ key }) => HARMLESS.has(key))) };
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const BODY_EXPECTED = new Set(["POST", "PUT", "PATCH"]);
const HARMLESS = new Set([
  "accept",
  "accept-encoding",
  "accept-language",
  "cache-control",
  "content-type",
  "content-language",
  "content-encoding",
  "if-modified-since",
  "if-none-match",
  "range",
  "user-agent",
]);

/** Bytes of a body that is sent without asking. */
const MAX_UNASKED = 64 * 1024;
