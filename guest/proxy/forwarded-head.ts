import { type FieldLine, type Framing, requestHead, type RequestHead } from "../../src/http1/index.ts";
import type { Edits } from "../../src/policy/index.ts";

/** What a request asks to switch to; `undefined` if nothing that we would have to do with. */
export function upgradeOf({ fields }: RequestHead): string | undefined {
  if (!fields.tokens("connection").includes("upgrade")) return undefined;
  const wanted = fields.tokens("upgrade").filter((protocol) => protocol !== "h2c");
  // HTTP/2 in the clear is an offer that a server may pass over, and it never hears of it.
  return wanted.length === 0 ? undefined : wanted.join(", ");
}

/** Why this is no opening of a WebSocket (RFC 6455, section 4.2.1); `undefined` if it is one. */
export function webSocketFault(head: RequestHead, framing: Framing): string | undefined {
  const { fields } = head;
  const key = fields.getAll("sec-websocket-key");
  const version = fields.getAll("sec-websocket-version");
  if (head.method !== "GET" || framing.tag !== "none") return "a WebSocket is opened with GET and without a body";
  if (key.length !== 1 || !/^[A-Za-z0-9+/]{21}[AQgw]==$/.test(key[0]!)) return "Sec-WebSocket-Key is missing or malformed";
  if (version.length !== 1 || version[0] !== "13") return "Sec-WebSocket-Version is not 13";
  return undefined;
}

/**
 * The head as it goes to the server: in origin form, without what is for one hop only, with the edits of the policy, and with
 * its framing as it was understood here, so that nobody behind can understand it differently.
 *
 * @param head of origin, absolute or asterisk form
 * @param host of the Host field, where the client gave none
 * @throws {HttpError} ERR_SALLYPORT_HTTP_ARGUMENT for a field that cannot be passed on
 */
export function forwardedHead(head: RequestHead, framing: Framing, edits: Edits, host: string, upgrade: string | undefined): Uint8Array {
  const dropped = new Set([...HOP_BY_HOP, ...head.fields.tokens("connection"), ...edits.remove]);
  for (const [name] of edits.set) dropped.add(name.toLowerCase());
  for (const { header } of edits.secrets) dropped.add(header);
  const fields: FieldLine[] = [["Host", hostOf(head, host)]];
  for (const { name, key, value } of head.fields) if (!dropped.has(key)) fields.push([name, value]);
  for (const [name, value] of edits.set) fields.push([name, value]);
  if (framing.tag === "length") fields.push(["Content-Length", String(framing.length)]);
  if (framing.tag === "chunked") fields.push(["Transfer-Encoding", "chunked"]);
  if (upgrade !== undefined) fields.push(["Connection", "Upgrade"], ["Upgrade", upgrade]);
  return requestHead({ method: head.method, target: head.path, fields });
}

/** In absolute form the target says it, whatever Host says (RFC 9112, section 3.2.2); the parser has compared them. */
function hostOf(head: RequestHead, host: string): string {
  return head.form === "absolute" ? host : (head.fields.get("host") ?? host);
}

/** Fields of one hop, and those that are written anew (RFC 9110, section 7.6.1). */
const HOP_BY_HOP = [
  "connection",
  "content-length",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
];
