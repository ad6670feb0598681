import type { Duplex } from "node:stream";

/** A server, as CONNECT names it. */
export interface ProxyTarget {
  host: string;
  port: number;
}

export type ProxyConnectErrorCode =
  /** The target is no host with a port. */
  | "ERR_SALLYPORT_PROXY_TARGET"
  /** The proxy refused, or could not reach the server: see `status`. */
  | "ERR_SALLYPORT_PROXY_REFUSED"
  /** The proxy was closed. */
  | "ERR_SALLYPORT_PROXY_CLOSED"
  /** The proxy, or the worker that had the connection, ended. */
  | "ERR_SALLYPORT_PROXY_LOST";

/** There is no connection through the proxy. */
export class ProxyConnectError extends Error {
  override readonly name = "ProxyConnectError";
  readonly code: ProxyConnectErrorCode;
  /** Of the proxy's answer: 403 by the policy or the host, 502 and 504 for the server, 503 for the proxy itself. */
  readonly status: number | undefined;

  constructor(code: ProxyConnectErrorCode, status: number | undefined, message: string) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** As CONNECT has it. @throws {ProxyConnectError} `ERR_SALLYPORT_PROXY_TARGET` */
export function targetText(target: string | ProxyTarget): string {
  const text = typeof target === "string" ? target : `${target.host.includes(":") ? `[${target.host}]` : target.host}:${target.port}`;
  const port = Number(TARGET.exec(text)?.[1]);
  if (port >= 1 && port <= 65_535) return text;
  throw new ProxyConnectError("ERR_SALLYPORT_PROXY_TARGET", undefined, "a target is host:port, an IPv6 address in brackets");
}

/**
 * Send CONNECT on a connection to a proxy, and take its answer.
 *
 * @param connection owned from here on
 * @returns the connection, with what comes behind the answer still in it
 * @throws {ProxyConnectError} @throws the signal's reason
 */
export async function askForTunnel(connection: Duplex, target: string, signal: AbortSignal | undefined): Promise<Duplex> {
  const abort = () => connection.destroy();
  // Whatever goes wrong is thrown here; afterwards it is its owner's.
  const quiet = () => {};
  connection.on("error", quiet);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    connection.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
    const { head, rest } = await readHead(connection);
    const status = Number(STATUS.exec(head)?.[1]);
    if (status === 200) {
      if (rest.length > 0) connection.unshift(rest);
      return connection;
    }
    const message = (await readAll(connection, rest)).trim();
    throw new ProxyConnectError("ERR_SALLYPORT_PROXY_REFUSED", status, message === "" ? `the proxy answered ${status}` : message);
  } catch (cause) {
    connection.destroy();
    signal?.throwIfAborted();
    throw cause;
  } finally {
    signal?.removeEventListener("abort", abort);
    if (!connection.destroyed) connection.off("error", quiet);
  }
}

async function readHead(connection: Duplex): Promise<{ head: string; rest: Buffer }> {
  let bytes = Buffer.alloc(0);
  while (bytes.length <= MAX_ANSWER) {
    const chunk = await nextChunk(connection);
    if (chunk === undefined) break;
    bytes = Buffer.concat([bytes, chunk]);
    const end = bytes.indexOf("\r\n\r\n");
    if (end >= 0) return { head: bytes.toString("latin1", 0, end), rest: bytes.subarray(end + 4) };
  }
  throw new ProxyConnectError("ERR_SALLYPORT_PROXY_LOST", undefined, "the connection to the proxy ended before it answered");
}

/** What the proxy says to people. */
async function readAll(connection: Duplex, first: Buffer): Promise<string> {
  let bytes = first;
  for (let chunk = await nextChunk(connection); chunk !== undefined && bytes.length < MAX_ANSWER; chunk = await nextChunk(connection))
    bytes = Buffer.concat([bytes, chunk]);
  return bytes.toString("utf8");
}

/** @returns `undefined` at the end, and where there is none that was said */
function nextChunk(connection: Duplex): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const settle = () => {
      const chunk = connection.read() as Buffer | null;
      if (chunk === null && !connection.readableEnded && !connection.destroyed) return;
      for (const event of EVENTS) connection.off(event, settle);
      resolve(chunk ?? undefined);
    };
    for (const event of EVENTS) connection.on(event, settle);
    settle();
  });
}

const EVENTS = ["readable", "end", "close"] as const;
const TARGET = /^(?:\[[0-9A-Fa-f:.]+\]|[^\s:/@?#[\]]{1,255}):([0-9]{1,5})$/;
const STATUS = /^HTTP\/1\.1 ([1-5][0-9]{2})(?: |$)/m;
const MAX_ANSWER = 16 * 1024;
