import type { OutputStream } from "wasi:io/streams@0.2.12";
import type { TcpConnection } from "../net/tcp-connection.ts";
import type { Scope } from "../reactor/cancel.ts";
import type { Reader } from "../streams/reader.ts";
import type { Writer } from "../streams/writer.ts";
import type { Handshake } from "./handshake.ts";
import type { TrustOptions } from "./options.ts";

/** TLS as a fetch needs it: the one thing in which the builds of the program differ. */
export interface TlsBinding {
  /**
   * Prepare for connections with these options.
   *
   * @param read reads a file of the user's, for `--cacert` and the like
   * @throws {FetchError} `usage` for what this binding cannot do, `identity`, `anchors`
   */
  open(options: TrustOptions, read: (path: string) => Promise<Uint8Array>): Promise<TlsConnector>;
}

/** Makes connections. */
export interface TlsConnector extends Disposable {
  /**
   * @param transport owned from here on
   * @param options.handshake told everything, also when this throws
   * @param options.observe whether somebody will look at `handshake`: if not, it need not be complete
   * @param options.useIdentity whether the client may show its certificate
   * @throws {FetchError} `certificate`, `pin`, `handshake`, `timeout`
   */
  connect(transport: TcpConnection, serverName: string, options: ConnectOptions): Promise<Channel>;
}

export interface ConnectOptions {
  handshake: Handshake;
  observe: boolean;
  useIdentity: boolean;
  scope: Scope;
}

/** An established connection. */
export interface Channel extends Disposable {
  readonly reader: Reader;
  readonly writer: Writer;
  /** Once `reader` is at its end: whether the peer said so with close_notify. */
  readonly endedAuthenticated: boolean;
  /** Move what comes next to `sink` without the bytes entering the guest; undefined where the host cannot. */
  readonly forward: ((sink: OutputStream, options: ForwardOptions) => Promise<Forwarded>) | undefined;
  /** Tell the peer that nothing more is sent. Errors are nobody's concern any more. */
  end(): void;
}

export interface ForwardOptions {
  /** Bytes; none: to the end. */
  limit: number | undefined;
  /** Called now and then with the bytes moved so far. */
  onProgress: ((bytes: number) => Promise<void>) | undefined;
  scope: Scope;
}

/** How a forward went. `sink` is given back; the channel reads on. */
export interface Forwarded {
  bytes: number;
  sink: OutputStream;
  /** `limit` reached, `ended` with close_notify, `cut` without, or what failed on either side. */
  stop: "limit" | "ended" | "cut" | { failed: unknown };
}
