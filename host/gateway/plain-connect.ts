import { parseServerName } from "../../src/wire/server-name.ts";
import { WireError } from "../../src/wire/wire-error.ts";
import { limits } from "../forward/http1-head.ts";

/** A CONNECT that is understood in one way only, and asks for nothing but a connection. */
export interface PlainConnect {
  /** Lower case, no dot at the end: a DNS name or an IPv4 address. */
  readonly host: string;
  readonly port: number;
  /** The value of Proxy-Authorization. */
  readonly authorization: string | undefined;
}

/** Bytes of a head that is read here. */
export const MAX_PLAIN_CONNECT = 8 * 1024;

/**
 * Read the head of a CONNECT if it is plain: HTTP/1.1, in visible ASCII, a name or an IPv4 address with a port, one Host, no
 * body, and nothing that asks something of this hop. What is not plain is no error: it is left to the guest's parser, which can
 * say what is wrong.
 *
 * @param head with the end of its last line, without the empty line behind it; bytes as the code points 0 to 255
 */
export function readPlainConnect(head: string): PlainConnect | undefined {
  if (!ASCII_LINES.test(head)) return undefined;
  const first = head.indexOf("\r\n");
  const match = REQUEST_LINE.exec(head.slice(0, first));
  if (match === null) return undefined;
  const target = serverOf(match[1]!, match[2]);
  if (target === undefined) return undefined;
  let hosts = 0;
  let authorization: string | undefined;
  let count = 0;
  for (let start = first + 2; start < head.length;) {
    const end = head.indexOf("\r\n", start);
    const line = head.slice(start, end);
    start = end + 2;
    if (++count > limits.fields) return undefined;
    const name = FIELD_NAME.exec(line)?.[1]?.toLowerCase();
    if (name === undefined || NOT_PLAIN.has(name)) return undefined;
    // `trim` would take away no more: in visible ASCII there are only spaces and tabs.
    const value = line.slice(name.length + 1).trim();
    if (name === "host") {
      const host = HOST.exec(value);
      if (++hosts > 1 || host === null || serverOf(host[1]!, host[2]) === undefined) return undefined;
    } else if (name === "proxy-authorization") {
      if (authorization !== undefined) return undefined;
      authorization = value;
    }
  }
  return hosts === 1 ? { ...target, authorization } : undefined;
}

function serverOf(text: string, digits: string | undefined): { host: string; port: number } | undefined {
  const port = Number(digits ?? 443);
  if (port > 65_535) return undefined;
  try {
    const name = parseServerName(text, { trailingDot: "drop" });
    return { host: name.tag === "dns" ? name.name : name.text, port };
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

/** Lines of visible ASCII, spaces and tabs, each ended by CR LF: no bare CR, no bare LF, no empty line, no control character. */
const ASCII_LINES = /^(?:[\t\x20-\x7e]+\r\n)+$/;
const REQUEST_LINE = /^CONNECT ([A-Za-z0-9.-]+):([1-9][0-9]{0,4}) HTTP\/1\.1$/;
const HOST = /^([A-Za-z0-9.-]+)(?::([1-9][0-9]{0,4}))?$/;
const FIELD_NAME = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):/;
/** A body, or something that is asked of this hop. */
const NOT_PLAIN: ReadonlySet<string> = new Set(["content-length", "expect", "transfer-encoding", "upgrade"]);
