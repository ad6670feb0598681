import type { InputStream, OutputStream } from "wasi:io/streams@0.2.12";
import type { TcpSocket } from "wasi:sockets/tcp@0.2.12";
import { dropInOrder } from "../bindings/drop.ts";
import { Reader } from "../streams/reader.ts";
import { Writer } from "../streams/writer.ts";
import type { Scope } from "../reactor/cancel.ts";
import { fromWit, type SocketAddress } from "./socket-address.ts";
import { operate, SocketError } from "./socket-error.ts";

/** A connected TCP socket with both of its directions. */
export class TcpConnection implements Disposable {
  readonly reader: Reader;
  readonly writer: Writer;
  private readonly socket: TcpSocket;

  /** All three are owned from here on. */
  constructor(socket: TcpSocket, input: InputStream, output: OutputStream) {
    this.socket = socket;
    this.reader = new Reader(input);
    this.writer = new Writer(output);
  }

  /** @throws {SocketError} */
  get remoteAddress(): SocketAddress {
    return fromWit(operate("remote address", () => this.socket.remoteAddress()));
  }

  /** @throws {SocketError} */
  get localAddress(): SocketAddress {
    return fromWit(operate("local address", () => this.socket.localAddress()));
  }

  /**
   * Send what was written, then FIN. Reading goes on.
   *
   * @throws {StreamClosed} @throws {StreamFailure} @throws {SocketError}
   */
  async endWriting(scope?: Scope): Promise<void> {
    await this.writer.flush(scope);
    try {
      operate("shutdown", () => this.socket.shutdown("send"));
    } catch (error) {
      // The peer was faster: there is nothing left to end.
      if (!(error instanceof SocketError) || error.reason !== "invalid-state") throw error;
    }
  }

  /**
   * The two streams, to hand them on (to `forward`, or into a TLS client), with the bytes that were read already. The
   * connection keeps the socket; drop it after the streams are gone.
   */
  releaseStreams(): { input: InputStream; buffered: Uint8Array; output: OutputStream } {
    const { stream: input, buffered } = this.reader.release();
    return { input, buffered, output: this.writer.release() };
  }

  /** Close both directions. Bytes that the host has not sent yet may be lost: `endWriting` first. */
  [Symbol.dispose](): void {
    dropInOrder(this.reader, this.writer, this.socket);
  }
}
