import { HandshakeReader, handshakeType } from "../../src/wire/handshake.ts";
import { contentType, RecordReader } from "../../src/wire/record.ts";
import { parseServerHello, type ServerHello, serverKeyExchangeGroup } from "../../src/wire/server-hello.ts";
import { TlsWireError } from "../../src/wire/wire-error.ts";
import { TLS13 } from "./settings.ts";

/**
 * Reads along with the plaintext part of a server's flight, which says what node:tls does not: the group in either role,
 * the suite and version by their wire values, and whether a second client hello will follow.
 */
export class HandshakeWatch {
  serverHello: ServerHello | undefined;
  /** The key exchange group, once known. */
  group: number | undefined;
  /** A HelloRetryRequest went by, and no server hello since. */
  isRetrying = false;
  /** Nothing more will be learned: the rest is encrypted or of no interest. */
  settled = false;
  /** Gone with what they hold once nothing more will be learned: connections live long. */
  #readers: { records: RecordReader; handshake: HandshakeReader } | undefined;

  /**
   * @param bytes of the server's flight, in any split
   * @throws TlsWireError if they are not TLS at all. Any other fault is left to the TLS library to find.
   */
  push(bytes: Uint8Array): void {
    if (this.settled) return;
    const { records, handshake } = (this.#readers ??= { records: new RecordReader(), handshake: new HandshakeReader() });
    try {
      records.push(bytes);
      for (let record = records.next(); record !== undefined && !this.settled; record = records.next()) {
        if (record.contentType === contentType.handshake) {
          handshake.push(record);
          this.#messages(handshake);
        } else if (record.contentType !== contentType.changeCipherSpec || this.serverHello !== undefined) {
          this.settled = true;
        }
      }
    } catch (error) {
      this.settled = true;
      if (error instanceof TlsWireError && error.code === "not-tls") throw error;
    } finally {
      if (this.settled) this.#readers = undefined;
    }
  }

  #messages(handshake: HandshakeReader): void {
    for (let message = handshake.next(); message !== undefined && !this.settled; message = handshake.next()) {
      if (message.type === handshakeType.serverHello) this.#hello(parseServerHello(message.bytes));
      else if (message.type === handshakeType.serverKeyExchange) {
        this.group = serverKeyExchangeGroup(message.bytes);
        this.settled = true;
      } else if (message.type === handshakeType.serverHelloDone) this.settled = true;
    }
  }

  #hello(hello: ServerHello): void {
    this.isRetrying = hello.isHelloRetryRequest;
    if (hello.isHelloRetryRequest) return;
    this.serverHello = hello;
    if (hello.version < TLS13) return;
    this.group = hello.group;
    this.settled = true;
  }
}
