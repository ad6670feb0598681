import { type ClientConnection, ClientHandshake, type FutureClientStreams } from "wasi:tls/types@0.2.0-draft";
import type { InputStream, OutputStream } from "wasi:io/streams@0.2.12";
import { dropInOrder } from "../../src/bindings/drop.ts";
import { optional } from "../../src/bindings/option.ts";
import { wellFormed } from "../../src/bindings/text.ts";
import type { Channel, TlsBinding, TlsConnector } from "../../src/fetch/binding.ts";
import { exitCodes, FetchError } from "../../src/fetch/exit-code.ts";
import type { TrustOptions } from "../../src/fetch/options.ts";
import type { TcpConnection } from "../../src/net/tcp-connection.ts";
import { Event, type Scope } from "../../src/reactor/index.ts";
import { Reader, Writer } from "../../src/streams/index.ts";

/** TLS by `wasi:tls`: the host verifies by its own rules, and the guest has no say. */
export const wasiTls: TlsBinding = {
  async open(options) {
    const asked = UNABLE.find(([, isAsked]) => isAsked(options));
    if (asked !== undefined)
      throw new FetchError(exitCodes.usage, `wasi:tls has nothing for ${asked[0]}; use the build over sallyport:tls`);
    return connector;
  },
};

const UNABLE: [flag: string, isAsked: (options: TrustOptions) => boolean][] = [
  ["--cacert", ({ cacert }) => cacert !== undefined],
  ["--crlfile", ({ crlfile }) => crlfile !== undefined],
  ["--cert", ({ cert }) => cert !== undefined],
  ["--tls-max", ({ maximumVersion }) => maximumVersion !== undefined],
  ["--pinnedpubkey", ({ pins }) => pins.length > 0],
  ["--accept-invalid", ({ acceptInvalid }) => acceptInvalid],
];

const connector: TlsConnector = {
  async connect(transport, serverName, { scope }) {
    try {
      const { input, output } = transport.releaseStreams();
      const streams = await handshake(serverName, input, output, scope);
      return new WasiTlsChannel(transport, ...streams);
    } catch (error) {
      transport[Symbol.dispose]();
      throw error;
    }
  },
  [Symbol.dispose]: () => {},
};

/** The streams are consumed, whatever comes of it. */
async function handshake(
  serverName: string,
  input: InputStream,
  output: OutputStream,
  scope: Scope,
): Promise<[ClientConnection, InputStream, OutputStream]> {
  using future = ClientHandshake.finish(new ClientHandshake(wellFormed(serverName), input, output));
  const answer = await settled(future, scope);
  if (answer.tag === "ok" && answer.val.tag === "ok") return answer.val.val;
  if (answer.tag === "err") throw new FetchError(exitCodes.internal, "the host gave its answer to somebody else");
  using cause = answer.val.val as Disposable & { toDebugString(): string };
  throw refused(serverName, cause.toDebugString());
}

async function settled(future: FutureClientStreams, scope: Scope) {
  // Dropped before the future: a host may trap on a parent that goes first.
  using ready = new Event(() => future.subscribe());
  for (;;) {
    const answer = optional(future.get());
    if (answer !== undefined) return answer;
    await ready.wait(scope);
  }
}

/** wasi:tls has no error codes: the host's own words are all there is. Some add a trace of themselves in further lines. */
function refused(serverName: string, words: string): FetchError {
  const reason = words.split(/\r?\n/)[0]!.slice(0, MAX_WORDS);
  if (/certificate|issuer/i.test(words)) {
    const advice = "this build trusts whom the host trusts";
    return new FetchError(exitCodes.certificate, `the certificate of ${serverName} was refused: ${reason}; ${advice}`);
  }
  return new FetchError(exitCodes.handshake, `no TLS with ${serverName}: ${reason}`);
}

class WasiTlsChannel implements Channel {
  readonly reader: Reader;
  readonly writer: Writer;
  readonly forward = undefined;
  /** A host that reports the end of a stream has seen close_notify; a cut is an error of the stream there. */
  readonly endedAuthenticated = true;
  readonly #connection: ClientConnection;
  readonly #transport: TcpConnection;

  constructor(transport: TcpConnection, connection: ClientConnection, input: InputStream, output: OutputStream) {
    this.#transport = transport;
    this.#connection = connection;
    this.reader = new Reader(input);
    this.writer = new Writer(output);
  }

  end(): void {
    this.#connection.closeOutput();
  }

  [Symbol.dispose](): void {
    dropInOrder(this.reader, this.writer, this.#connection, this.#transport);
  }
}

const MAX_WORDS = 300;
