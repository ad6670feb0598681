import type { InputStream, OutputStream } from "wasi:io/streams@0.2.12";
import type { Scope } from "../../src/reactor/index.ts";
import type { Reader, Writer } from "../../src/streams/index.ts";
import type { TlsConnection, Transport } from "../../src/tls/index.ts";

/** A connection from a client: TCP, or TLS to the proxy itself. */
export interface ClientConnection extends Transport {
  readonly reader: Reader;
  readonly writer: Writer;
  /** Send what was written, then the end of this direction. Reading goes on. */
  endWriting(scope?: Scope): Promise<void>;
  /** The end alone, where the writer has been handed on. TCP ends with its stream and needs none. */
  closeOutput?(): void;
}

/** TLS to the proxy itself. */
export class TlsClientConnection implements ClientConnection {
  private readonly connection: TlsConnection;

  /** @param connection owned from here on */
  constructor(connection: TlsConnection) {
    this.connection = connection;
  }

  get reader(): Reader {
    return this.connection.reader;
  }

  get writer(): Writer {
    return this.connection.writer;
  }

  async endWriting(scope?: Scope): Promise<void> {
    await this.connection.end(scope);
  }

  closeOutput(): void {
    this.connection.endpoint.closeOutput();
  }

  releaseStreams(): { input: InputStream; buffered: Uint8Array; output: OutputStream } {
    const { stream: input, buffered } = this.reader.release();
    return { input, buffered, output: this.writer.release() };
  }

  [Symbol.dispose](): void {
    this.connection[Symbol.dispose]();
  }
}
