import { dropInOrder } from "../../src/bindings/drop.ts";
import { HttpError, type RequestHead, requestHead } from "../../src/http1/index.ts";
import type { TcpConnection } from "../../src/net/tcp-connection.ts";
import { type Scope, SECOND, wait as poll } from "../../src/reactor/index.ts";
import type { TlsConnection } from "../../src/tls/index.ts";
import { answer, established, linger } from "../proxy/answers.ts";
import { CHALLENGE, credentialsOf, MOST_REFUSALS, type SessionToken } from "../proxy/credentials.ts";
import { relayWaiting, type Wait } from "../proxy/relay-waiting.ts";
import { type Incoming, nextRequest } from "../proxy/request-head.ts";
import { currentToken, type UpstreamProxy } from "./upstream-proxy.ts";

type Request = Extract<Incoming, { tag: "request" }>;

/**
 * Serve one program of this machine: a CONNECT, or one request in plain HTTP.
 *
 * @param tcp owned from here on
 * @throws what the network and the proxy do
 */
export async function serveLocalClient(
  tcp: TcpConnection,
  session: SessionToken,
  proxy: UpstreamProxy,
  scope: Scope,
  tell: (line: string) => Promise<void>,
): Promise<void> {
  let upstream: TlsConnection | undefined;
  try {
    const request = await admitted(tcp, session, scope);
    if (request === undefined) return;
    if (request.head.form !== "authority") {
      upstream = await proxy.connect(scope);
      return await passRequest(tcp, upstream, request, scope);
    }
    const answered = await proxy.open(request.head.target, scope);
    if (answered.tag === "refused") {
      // Many programs show nothing of what a proxy says to a CONNECT.
      if (answered.status === 407) await tell(notTaken(answered.why));
      return await refuse(tcp, answered.status, answered.why, scope);
    }
    upstream = answered.connection;
    await established(tcp.writer, scope);
    await startWith(tcp, upstream, scope);
    await startWith(upstream, tcp, scope);
    await relayWaiting(untilReady, tcp, upstream, { idle: IDLE, scope, tally: { fromClient: 0, toClient: 0 } });
  } catch (error) {
    // Before anything was answered this reaches the client; afterwards there is nobody who would take it.
    if (upstream === undefined) await refuse(tcp, 502, sentenceOf(error), scope).catch(() => {});
    throw error;
  } finally {
    dropInOrder(upstream, tcp);
  }
}

/** The first request that shows the session's token; `undefined`: the client was answered or has left. */
async function admitted(tcp: TcpConnection, session: SessionToken, scope: Scope): Promise<Request | undefined> {
  for (let attempt = 1; ; attempt++) {
    const incoming = await nextRequest(tcp.reader, BOUNDS, scope, scope);
    if (incoming.tag === "refused") await refuse(tcp, incoming.status, incoming.why, scope);
    if (incoming.tag !== "request") return undefined;
    if (session.isShownBy(credentialsOf(incoming.head))) return incoming;
    const close = attempt === MOST_REFUSALS || !incoming.head.persistent || incoming.framing.tag !== "none";
    await answer(tcp.writer, 407, "the proxy wants its session token", { close, fields: [CHALLENGE], scope });
    if (!close) continue;
    await tcp.endWriting(scope);
    await linger(tcp.reader, SECOND);
    return undefined;
  }
}

/** A request in plain HTTP, and its response; then the connection ends, so that every request shows the token of its time. */
async function passRequest(tcp: TcpConnection, upstream: TlsConnection, { head, framing }: Request, scope: Scope): Promise<void> {
  let bytes: Uint8Array;
  try {
    bytes = requestHead({ method: head.method, target: head.target, fields: fieldsOf(head) });
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    return await refuse(tcp, 400, error.message, scope);
  }
  await upstream.writer.write(bytes, scope);
  await upstream.writer.flush(scope);
  if (framing.tag === "none") {
    // Whatever else the client sends stays here: it would carry the session's token.
    for (;;) {
      const part = await upstream.reader.read(undefined, scope);
      if (part === undefined) break;
      await tcp.writer.write(part, scope);
    }
    await tcp.endWriting(scope);
    return await linger(tcp.reader, SECOND);
  }
  await startWith(tcp, upstream, scope);
  await relayWaiting(untilReady, tcp, upstream, { idle: IDLE, scope, tally: { fromClient: 0, toClient: 0 } });
}

function fieldsOf(head: RequestHead): [string, string][] {
  const dropped = new Set([
    "connection",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "upgrade",
    ...head.fields.tokens("connection"),
  ]);
  const fields: [string, string][] = [];
  for (const { name, key, value } of head.fields) if (!dropped.has(key)) fields.push([name, value]);
  fields.push(["Connection", "close"], ["Proxy-Authorization", `Bearer ${currentToken()}`]);
  return fields;
}

/** Bytes that came behind a head go first. */
async function startWith(from: Pick<TcpConnection, "reader">, to: Pick<TcpConnection, "writer">, scope: Scope): Promise<void> {
  const { buffered } = from.reader;
  if (buffered > 0) await to.writer.write(from.reader.tryRead(buffered)!, scope);
}

function notTaken(why: string): string {
  return `the proxy does not take the capability token: ${why === "" ? "it gave no reason" : why}`;
}

async function refuse(tcp: TcpConnection, status: number, why: string, scope: Scope): Promise<void> {
  // A 407 of the other proxy is about a token that this client knows nothing of.
  const own = status === 407 ? 502 : status;
  const text = status === 407 ? notTaken(why) : why;
  await answer(tcp.writer, own, text === "" ? `the proxy answered ${status}` : text, { close: true, scope });
  await tcp.endWriting(scope);
  await linger(tcp.reader, SECOND);
}

/** In the reactor itself: a program for one user has few waits, and its world no queue. */
const untilReady: Wait = async (pollable, scope) => {
  try {
    await poll(pollable, scope);
  } finally {
    pollable[Symbol.dispose]();
  }
};

function sentenceOf(error: unknown): string {
  return `no way through the proxy: ${error instanceof Error ? error.message : String(error)}`;
}

const BOUNDS = { headBytes: 32 * 1024, headTime: BigInt(15) * SECOND, idleTime: BigInt(60) * SECOND };
const IDLE = BigInt(600) * SECOND;
