import type { ResponseHead } from "../http1/response.ts";
import { formatUrl, type HttpUrl, parseUrl, UrlError } from "../http1/url.ts";
import { Scope, TimedOut } from "../reactor/cancel.ts";
import { clearTimer, MILLISECOND, setTimer } from "../reactor/reactor.ts";
import { moveBody } from "./body.ts";
import { close, type Connection, type Connections } from "./connections.ts";
import type { Console } from "./console.ts";
import { type Answer, exchange, NoAnswer } from "./exchange.ts";
import { exitCodes, FetchError } from "./exit-code.ts";
import { exchangeFailure, messageOf } from "./failure.ts";
import type { Files } from "./files.ts";
import type { Handshake } from "./handshake.ts";
import type { Options } from "./options.ts";
import { Progress, unwatched } from "./progress.ts";
import { requestLines, responseLines } from "./report.ts";
import { expectsContinue, firstRequest, redirected, type Request, requestFields, writeRequestHead } from "./request.ts";
import { discarding, fileSink, nowhere, type Sink, standardOutput } from "./sink.ts";

/** What all transfers of a run share. */
export interface Session {
  readonly options: Options;
  readonly files: Files;
  readonly console: Console;
  readonly connections: Connections;
  /** What is sent. */
  readonly body: Uint8Array | undefined;
}

/** What came of one URL, as far as it came. */
export interface Outcome {
  readonly url: string;
  /** Where the redirects led. */
  effectiveUrl: string;
  redirects: number;
  head: ResponseHead | undefined;
  /** Of the body. */
  bytes: number;
  /** The last one. */
  handshake: Handshake | undefined;
  failure: FetchError | undefined;
}

/** Fetch one URL and put its body where it belongs. What goes wrong is told in `outcome`. */
export async function transfer(outcome: Outcome, output: string | undefined, session: Session): Promise<void> {
  using scope = new Scope();
  const { maxTime } = session.options;
  const timer =
    maxTime === undefined ? undefined : setTimer(BigInt(Math.round(maxTime * 1000)) * MILLISECOND, () => scope.cancel(new TimedOut()));
  try {
    await follow(outcome, output, session, scope);
  } catch (error) {
    // Whatever was under way when the time was over, that is why it failed.
    const failure = exchangeFailure(scope.reason ?? error, outcome.url, outcome.head !== undefined);
    if (!(failure instanceof FetchError)) throw error;
    outcome.failure = failure;
  } finally {
    if (timer !== undefined) clearTimer(timer);
  }
}

async function follow(outcome: Outcome, output: string | undefined, session: Session, scope: Scope): Promise<void> {
  const { options } = session;
  let request = firstRequest(parse(outcome.url), options, session.body);
  for (;;) {
    outcome.effectiveUrl = formatUrl(request.url);
    outcome.head = undefined;
    const { answer, connection } = await ask(request, session, scope);
    outcome.handshake = connection.handshake;
    let kept = false;
    try {
      outcome.head = answer.head;
      if (options.verbose) await session.console.lines(responseLines(statusLine(answer.head), answer.head.fields));
      const next = options.location ? redirected(request, answer.head) : undefined;
      if (next === undefined) {
        kept = await deliver(answer, connection, output, outcome, session, scope);
        if (kept) keep(request, connection, session);
        return;
      }
      if (++outcome.redirects > MAX_REDIRECTS)
        throw new FetchError(exitCodes.redirect, `more than ${MAX_REDIRECTS} redirects; the last one led to ${formatUrl(next.url)}`);
      kept = await discard(answer, connection, scope);
      if (kept) keep(request, connection, session);
      request = next;
    } catch (error) {
      throw exchangeFailure(scope.reason ?? error, request.url.authority, true);
    } finally {
      if (!kept) close(connection.channel);
    }
  }
}

/** Send a request and read the head of its answer; once more if the idle connection for it had been closed meanwhile. */
async function ask(request: Request, session: Session, scope: Scope): Promise<{ answer: Answer; connection: Connection }> {
  const { options, connections, console } = session;
  const framing = { keepAlive: options.keepAlive, expectContinue: expectsContinue(request) };
  const message = { ...framing, method: request.method, head: headOf(request, framing), body: request.body };
  for (let attempt = 0; ; attempt++) {
    const connection = await connections.acquire(request.url, request.named, !options.keepAlive || attempt > 0, scope);
    if (options.verbose)
      await console.lines(requestLines(`${request.method} ${request.url.path} HTTP/1.1`, requestFields(request, framing)));
    try {
      return { answer: await exchange(connection.channel, message, scope), connection };
    } catch (error) {
      connection.channel[Symbol.dispose]();
      const again = connection.reused && attempt === 0 && error instanceof NoAnswer && IDEMPOTENT.has(request.method);
      if (!again) throw exchangeFailure(scope.reason ?? error, request.url.authority, false);
    }
  }
}

/** Move the body to where it belongs. Returns whether the connection may carry another request. */
async function deliver(
  answer: Answer,
  connection: Connection,
  output: string | undefined,
  outcome: Outcome,
  session: Session,
  scope: Scope,
): Promise<boolean> {
  const { options, console } = session;
  const { head, framing, parser } = answer;
  if (options.fail && head.status >= 400) {
    const reason = head.reason === "" ? "" : ` ${head.reason}`;
    outcome.failure = new FetchError(exitCodes.http, `${outcome.effectiveUrl} answered ${head.status}${reason}`);
    return await discard(answer, connection, scope);
  }
  using sink = openSink(output, session);
  if (options.include) await sink.write(headBytes(head), scope);
  const length = framing.tag === "length" ? framing.length : undefined;
  const drawn = console.isTerminal && !options.silent && !options.json && isFile(output);
  try {
    outcome.bytes = await moveBody(connection.channel, answer, sink, drawn ? new Progress(console, length) : unwatched, scope);
  } finally {
    if (drawn) await console.clear();
  }
  await sink.finish(scope);
  return isReusable(answer) && parser.takeRest().length === 0;
}

/** Read a body that nobody wants if it is a short one. Returns whether the connection may carry another request. */
async function discard(answer: Answer, { channel }: Connection, scope: Scope): Promise<boolean> {
  const { framing, parser } = answer;
  if (!isReusable(answer) || (framing.tag === "length" && framing.length > MAX_DISCARDED)) return false;
  try {
    await moveBody(channel, answer, discarding(MAX_DISCARDED), unwatched, scope);
    return parser.takeRest().length === 0;
  } catch {
    // What becomes of such a body is nobody's concern, but the connection is no longer where it should be.
    scope.throwIfCancelled();
    return false;
  }
}

function isReusable({ head, sent }: Answer): boolean {
  return head.reusable && sent;
}

function keep(request: Request, connection: Connection, session: Session): void {
  if (session.options.keepAlive) session.connections.release(request.url, request.named, connection);
  else close(connection.channel);
}

function openSink(output: string | undefined, { files, options }: Session): Sink {
  if (isFile(output)) return fileSink(files, output!);
  return output === "/dev/null" || options.json ? nowhere : standardOutput();
}

function isFile(output: string | undefined): boolean {
  return output !== undefined && output !== "-" && output !== "/dev/null";
}

function parse(text: string): HttpUrl {
  try {
    const url = parseUrl(text);
    if (url.scheme === "https") return url;
  } catch (error) {
    if (!(error instanceof UrlError)) throw error;
    throw new FetchError(exitCodes.url, `${text}: ${messageOf(error)}`, error);
  }
  throw new FetchError(exitCodes.url, `${text}: only https is fetched; write https://`);
}

function headOf(request: Request, framing: { keepAlive: boolean; expectContinue: boolean }): Uint8Array {
  try {
    return writeRequestHead(request, framing);
  } catch (error) {
    throw exchangeFailure(error, request.url.authority, false);
  }
}

function statusLine({ minorVersion, status, reason }: ResponseHead): string {
  return `HTTP/1.${minorVersion} ${status} ${reason}`;
}

/** As it came, but for white space; its characters are bytes. */
function headBytes(head: ResponseHead): Uint8Array {
  const lines = [statusLine(head), ...[...head.fields].map(({ name, value }) => `${name}: ${value}`)];
  return Uint8Array.from(`${lines.join("\r\n")}\r\n\r\n`, (character) => character.charCodeAt(0));
}

const MAX_REDIRECTS = 10;
/** Methods that may be sent twice (RFC 9110, section 9.2.2). */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"]);
/** Bytes that are read to keep a connection. */
const MAX_DISCARDED = 64 * 1024;
