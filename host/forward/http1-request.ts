import { limits } from "./http1-head.ts";

/** A request whose head is plain: nothing in it is understood in two ways, and nothing of it needs more than to be passed on. */
export interface PlainRequest {
  readonly method: string;
  /** Path and query as sent. */
  readonly target: string;
  /** The value of Host. */
  readonly host: string;
  readonly framing: { readonly tag: "none" } | { readonly tag: "length"; readonly length: number } | { readonly tag: "chunked" };
  /** The other fields, but for what is of one hop or is written anew: name in lower case, whole line with its end. */
  readonly lines: readonly (readonly [name: string, line: string])[];
}

/** What is changed in the heads of requests. */
export class HeadEdits {
  readonly #dropped: ReadonlySet<string>;
  readonly #added: string;

  private constructor(dropped: ReadonlySet<string>, added: string) {
    this.#dropped = dropped;
    this.#added = added;
  }

  /**
   * @param remove names of fields
   * @param set fields; others of the same name are taken out
   * @returns `undefined` for what is no field, or one that says how the message is read
   */
  static from(remove: readonly string[], set: readonly (readonly [name: string, value: string])[]): HeadEdits | undefined {
    if (remove.length + set.length > limits.fields) return undefined;
    // They are kept for as long as somebody has a handle to them.
    if (remove.reduce((sum, name) => sum + name.length, 0) > limits.head) return undefined;
    const dropped = new Set<string>();
    for (const name of remove) {
      if (!TOKEN.test(name)) return undefined;
      dropped.add(name.toLowerCase());
    }
    let added = "";
    for (const [name, value] of set) {
      const key = name.toLowerCase();
      if (!TOKEN.test(name) || !VALUE.test(value) || ONE_HOP.has(key) || WRITTEN_ANEW.has(key)) return undefined;
      dropped.add(key);
      added += `${name}: ${value}\r\n`;
    }
    return added.length > limits.head ? undefined : new HeadEdits(dropped, added);
  }

  /** The head as it goes on, with its framing as it was understood here, so that nobody behind can understand it differently. */
  apply({ method, target, host, framing, lines }: PlainRequest): string {
    let text = `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n`;
    for (const [name, line] of lines) if (!this.#dropped.has(name)) text += line;
    text += this.#added;
    if (framing.tag === "length") text += `Content-Length: ${framing.length}\r\n`;
    else if (framing.tag === "chunked") text += "Transfer-Encoding: chunked\r\n";
    return `${text}\r\n`;
  }
}

/** Bytes of a head that is looked at here; longer ones are the guest's to read. */
export const MAX_PLAIN_HEAD = 16 * 1024;

/**
 * Read a head if it is plain. What is not is no error: it is left to a reader that can say what is wrong with it, or do what it
 * asks for. Plain is an HTTP/1.1 request in origin form, in visible ASCII, that keeps the connection, has one Host, at most one
 * of Content-Length and `Transfer-Encoding: chunked`, and asks for nothing of its own between hops (upgrade, expectation).
 *
 * @param head with the end of its last line, without the empty line behind it; bytes as the code points 0 to 255
 */
export function readPlainRequest(head: string): PlainRequest | undefined {
  if (!ASCII_LINES.test(head)) return undefined;
  const first = head.indexOf("\r\n");
  const match = REQUEST_LINE.exec(head.slice(0, first));
  if (match === null) return undefined;
  const lines: (readonly [string, string])[] = [];
  let host: string | undefined;
  let framing: PlainRequest["framing"] | undefined;
  let count = 0;
  for (let start = first + 2; start < head.length;) {
    const end = head.indexOf("\r\n", start);
    const line = head.slice(start, end + 2);
    start = end + 2;
    if (++count > limits.fields) return undefined;
    const name = FIELD_NAME.exec(line)?.[1]?.toLowerCase();
    if (name === undefined) return undefined;
    if (!LOOKED_AT.has(name)) {
      lines.push([name, line]);
      continue;
    }
    const value = line.slice(name.length + 1, -2).trim();
    if (name === "connection") {
      if (value.toLowerCase() !== "keep-alive") return undefined;
    } else if (name === "host") {
      if (host !== undefined || !isHost(value)) return undefined;
      host = value;
    } else if (name === "content-length") {
      if (framing !== undefined || !/^[0-9]{1,15}$/.test(value)) return undefined;
      framing = { tag: "length", length: Number(value) };
    } else if (name === "transfer-encoding") {
      if (framing !== undefined || value.toLowerCase() !== "chunked") return undefined;
      framing = { tag: "chunked" };
    } else return undefined;
  }
  const [, method, target] = match;
  if (host === undefined || method === "CONNECT") return undefined;
  return { method: method!, target: target!, host, framing: framing ?? NONE, lines };
}

/** A name or an IPv4 address, with a port or without. Others are rare. */
function isHost(text: string): boolean {
  const match = HOST.exec(text);
  return match !== null && (match[1] === undefined || Number(match[1]) <= 65_535);
}

const HOST = /^(?:[A-Za-z0-9-]+\.)*[A-Za-z0-9-]+(?::([1-9][0-9]{0,4}))?$/;
const NONE = { tag: "none" } as const;
/** Lines of visible ASCII, spaces and tabs, each ended by CR LF: no bare CR, no bare LF, no empty line, no control character. */
const ASCII_LINES = /^(?:[\t\x20-\x7e]+\r\n)+$/;
const REQUEST_LINE = /^([A-Z]{1,32}) (\/[\x21\x22\x24-\x7e]*) HTTP\/1\.1$/;
const FIELD_NAME = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):/;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** No white space around it. */
const VALUE = /^(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?$/;
const WRITTEN_ANEW: ReadonlySet<string> = new Set(["host", "content-length", "transfer-encoding"]);
/** Fields of one hop (RFC 9110, section 7.6.1), and what asks the next one for something. */
const ONE_HOP: ReadonlySet<string> = new Set([
  "connection",
  "expect",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "upgrade",
]);
const LOOKED_AT: ReadonlySet<string> = new Set([...WRITTEN_ANEW, ...ONE_HOP]);
