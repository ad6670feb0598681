import { type IdentityError, PrivateIdentity } from "sallyport:tls/identities@0.1.0";
import { attempt } from "../../src/bindings/errors.ts";
import { wellFormed } from "../../src/bindings/text.ts";
import { FolderError, Preopened } from "../../src/files/preopened.ts";
import { HttpError, type MessageParser, type ResponseHead, requestHead, responseParser } from "../../src/http1/index.ts";
import { connectTcp } from "../../src/net/connect.ts";
import { type Scope, SECOND, timeout } from "../../src/reactor/index.ts";
import { connectTls, type TlsConnection } from "../../src/tls/index.ts";
import { latin1 } from "../../src/wire/utf8.ts";
import { within } from "../proxy/within.ts";
import type { ConnectOptions } from "./options.ts";

/** What the proxy said to a CONNECT. */
export type Answered =
  | { readonly tag: "open"; readonly connection: TlsConnection }
  | { readonly tag: "refused"; readonly status: number; readonly why: string };

/** The proxy that everything goes to, in TLS and with a token. */
export class UpstreamProxy {
  private readonly options: ConnectOptions;
  private readonly identity: PrivateIdentity | undefined;

  /** @throws {Error} when the identity was not granted */
  constructor(options: ConnectOptions) {
    this.options = options;
    const { identity: name } = options;
    if (name === undefined) return;
    const opened = attempt<PrivateIdentity, IdentityError>(() => PrivateIdentity.open(wellFormed(name)));
    if (opened.tag === "err") throw new Error(`the identity ${name} was not granted`);
    this.identity = opened.val;
  }

  /** A connection to it. @throws {SocketError} @throws {TlsError} @throws {TimedOut} */
  async connect(scope: Scope): Promise<TlsConnection> {
    const { host, port } = this.options.proxy;
    return await within(
      PATIENCE,
      async (waiting) => {
        const tcp = await connectTcp(host, port, waiting);
        const identities = this.identity === undefined ? [] : [this.identity];
        return await connectTls(tcp, host, { alpn: ["http/1.1"], identities, scope: waiting });
      },
      scope,
    );
  }

  /**
   * Ask it for a way to a server. A token that it does not take is read once more, since it may just have been renewed.
   *
   * @param target `host:port`
   */
  async open(target: string, scope: Scope): Promise<Answered> {
    let connection: TlsConnection | undefined = await this.connect(scope);
    try {
      for (let isRetry = false; ; isRetry = true) {
        const token = currentToken();
        const fields = [
          ["Host", target],
          ["Proxy-Authorization", `Bearer ${token}`],
        ] as const;
        await connection.writer.write(requestHead({ method: "CONNECT", target, fields }), scope);
        await connection.writer.flush(scope);
        const asked: TlsConnection = connection;
        const { head, body } = await timeout(ANSWER_PATIENCE, (waiting) => readAnswer(asked, waiting), scope);
        if (head.upgraded) {
          const open = connection;
          connection = undefined;
          return { tag: "open", connection: open };
        }
        if (head.status !== 407 || !head.reusable || isRetry || currentToken() === token)
          return { tag: "refused", status: head.status, why: body.trim() };
      }
    } finally {
      connection?.[Symbol.dispose]();
    }
  }
}

/** The proxy's answer is none. */
export class NotAnswered extends Error {
  readonly code = "ERR_SALLYPORT_NOT_ANSWERED";
}

/** There is no token to show. */
export class NoToken extends Error {
  readonly code = "ERR_SALLYPORT_NO_TOKEN";
}

/** The capability token as it is now: the host renews the file. @throws {NoToken} */
export function currentToken(): string {
  try {
    using folders = new Preopened();
    const text = latin1(folders.readFile("/token/current"));
    if (/^cap:[A-Za-z0-9_.-]+$/.test(text)) return text;
  } catch (error) {
    if (!(error instanceof FolderError)) throw error;
  }
  throw new NoToken("there is no capability token");
}

async function readAnswer({ reader }: TlsConnection, scope: Scope): Promise<{ head: ResponseHead; body: string }> {
  const parser = responseParser("CONNECT", { head: MOST_HEAD });
  let head: ResponseHead | undefined;
  let body = "";
  try {
    for (;;) {
      for (let part = parser.next(); part !== undefined; part = parser.next()) {
        if (part.tag === "head") ({ head } = part);
        // A few words are enough to tell a person.
        if (part.tag === "body") body = (body + latin1(part.bytes)).slice(0, MOST_BODY);
        if (head?.upgraded === true || part.tag === "end") return { head: head!, body: takeRest(parser, reader, body) };
      }
      const bytes = await reader.read(undefined, scope);
      if (bytes === undefined) break;
      parser.push(bytes);
    }
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    throw new NotAnswered(`the proxy's answer is no HTTP: ${error.message}`);
  }
  if (head === undefined) throw new NotAnswered("the proxy ended the connection without an answer");
  return { head, body };
}

function takeRest(parser: MessageParser<ResponseHead>, reader: TlsConnection["reader"], body: string): string {
  reader.unread(parser.takeRest());
  return body;
}

const PATIENCE = BigInt(15) * SECOND;
/** The proxy connects to the server before it answers. */
const ANSWER_PATIENCE = BigInt(60) * SECOND;
const MOST_HEAD = 16 * 1024;
/** Characters. */
const MOST_BODY = 512;
