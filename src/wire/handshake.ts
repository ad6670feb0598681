import { ByteWindow } from "./byte-window.ts";
import { contentType, type TlsRecord } from "./record.ts";
import { alertDescription, TlsWireError } from "./wire-error.ts";

/** HandshakeType of RFC 8446, section 4, and RFC 5246, section 7.4. */
export const handshakeType = {
  helloRequest: 0,
  clientHello: 1,
  serverHello: 2,
  newSessionTicket: 4,
  encryptedExtensions: 8,
  certificate: 11,
  serverKeyExchange: 12,
  certificateRequest: 13,
  serverHelloDone: 14,
  certificateVerify: 15,
  clientKeyExchange: 16,
  finished: 20,
} as const;

/** Bytes of a handshake header: type and 24-bit length. */
export const HANDSHAKE_HEADER_LENGTH = 4;

/** The longest handshake message body that is read. */
export const MAX_HANDSHAKE_LENGTH = 0x10000;

/** A peer needs one change_cipher_spec record for middleboxes, or two with a HelloRetryRequest; more serves no purpose. */
const MAX_CHANGE_CIPHER_SPECS = 4;

/** One whole handshake message. */
export interface HandshakeMessage {
  /** One of {@link handshakeType}, or a type that is not listed there. */
  readonly type: number;
  /** What follows the header. */
  readonly body: Uint8Array;
  /** Header and body: what the transcript hash covers. */
  readonly bytes: Uint8Array;
}

/**
 * Puts handshake messages together from plaintext records, however the peer split or joined them (RFC 8446, section 5.1).
 *
 * change_cipher_spec records, which TLS 1.3 peers send for the sake of middleboxes (RFC 8446, appendix D.4), are dropped
 * after the first whole message and refused before it and inside a message. In TLS 1.2 such a record means that what
 * follows is encrypted: stop reading there. After an error the reader is spent.
 */
export class HandshakeReader {
  readonly #maximum: number;
  readonly #window = new ByteWindow();
  #messages = 0;
  #changeCipherSpecs = 0;

  /** @param maximum longest message body in bytes */
  constructor(maximum: number = MAX_HANDSHAKE_LENGTH) {
    this.#maximum = maximum;
  }

  /** Bytes of a message that is not complete, or not taken. */
  get pending(): number {
    return this.#window.length;
  }

  /**
   * Append a record. Take messages with `next` until it returns undefined before pushing another one.
   *
   * @throws TlsWireError `unexpected-record` for alerts and application data (the caller looks at those itself), and for
   *   change_cipher_spec where it is not tolerated.
   */
  push(record: TlsRecord): void {
    if (record.contentType === contentType.handshake) {
      this.#window.push(record.payload);
      return;
    }
    if (record.contentType !== contentType.changeCipherSpec) throw unexpected("a record that is no handshake arrived during the handshake");
    if (record.payload.length !== 1 || record.payload[0] !== 1) throw unexpected("a change_cipher_spec record is malformed");
    if (this.#messages === 0) throw unexpected("change_cipher_spec arrived before any message");
    if (this.#window.length > 0) throw unexpected("change_cipher_spec arrived inside a message");
    if (++this.#changeCipherSpecs > MAX_CHANGE_CIPHER_SPECS) throw unexpected("too many change_cipher_spec records");
  }

  /**
   * The next whole message, or undefined if more records are needed.
   *
   * @throws TlsWireError `message-too-long` as soon as a header announces a body past the maximum.
   */
  next(): HandshakeMessage | undefined {
    if (this.#window.length < HANDSHAKE_HEADER_LENGTH) return undefined;
    const length = (this.#window.at(1)! << 16) | (this.#window.at(2)! << 8) | this.#window.at(3)!;
    if (length > this.#maximum) {
      throw new TlsWireError(
        "message-too-long",
        alertDescription.illegalParameter,
        `a handshake message of ${length} bytes is longer than the ${this.#maximum} bytes that are read`,
      );
    }
    if (this.#window.length < HANDSHAKE_HEADER_LENGTH + length) return undefined;
    const bytes = this.#window.take(HANDSHAKE_HEADER_LENGTH + length);
    this.#messages++;
    return { type: bytes[0]!, body: bytes.subarray(HANDSHAKE_HEADER_LENGTH), bytes };
  }

  /** The type of the message that is coming, or undefined before its first byte. */
  upcomingType(): number | undefined {
    return this.#window.at(0);
  }
}

function unexpected(message: string): TlsWireError {
  return new TlsWireError("unexpected-record", alertDescription.unexpectedMessage, message);
}
