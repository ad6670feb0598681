import { ByteWindow } from "./byte-window.ts";
import { alertDescription, malformed, TlsWireError } from "./wire-error.ts";

/** ContentType of RFC 8446, section 5.1. */
export const contentType = { changeCipherSpec: 20, alert: 21, handshake: 22, applicationData: 23 } as const;

/** AlertLevel of RFC 8446, section 6. */
export const alertLevel = { warning: 1, fatal: 2 } as const;

/** Bytes of a record header. */
export const RECORD_HEADER_LENGTH = 5;

/** The longest payload of a plaintext record (RFC 8446, section 5.1). */
export const MAX_PLAINTEXT_LENGTH = 0x4000;

/** The longest payload of a protected TLS 1.3 record (RFC 8446, section 5.2). */
export const MAX_CIPHERTEXT_LENGTH = 0x4000 + 256;

/** One whole record. All bytes are views of what was pushed. */
export interface TlsRecord {
  /** One of {@link contentType}. */
  readonly contentType: number;
  /** The version field of the header, for example 0x0301. Means nothing in TLS 1.3. */
  readonly legacyVersion: number;
  /** What follows the header; encrypted or not is for the reader to know. */
  readonly payload: Uint8Array;
  /** Header and payload, as they stood on the wire. */
  readonly bytes: Uint8Array;
}

/**
 * Cuts a byte stream into TLS records (RFC 8446, section 5.1). Useful for looking on: push what passes by, and take whole
 * records.
 *
 * A header is judged as soon as its bytes are there, so that what is not TLS is refused at its first byte. If `next` is
 * called until it returns undefined after each `push`, less than one record is held. After an error the reader is spent.
 */
export class RecordReader {
  readonly #maximum: number;
  readonly #window = new ByteWindow();

  /** @param maximum longest payload in bytes; protected TLS 1.2 records may need 0x4000 + 2048 */
  constructor(maximum: number = MAX_CIPHERTEXT_LENGTH) {
    this.#maximum = maximum;
  }

  /** Bytes pushed that no record was made of yet. */
  get pending(): number {
    return this.#window.length;
  }

  /** Append bytes of any number of records. The chunk must not change afterwards. */
  push(chunk: Uint8Array): void {
    this.#window.push(chunk);
  }

  /**
   * The next whole record, or undefined if more bytes are needed.
   *
   * @throws TlsWireError `not-tls` for a first byte or version that no TLS record has, `record-overflow` past the maximum,
   *   `unexpected-record` for an empty handshake, alert or change_cipher_spec record.
   */
  next(): TlsRecord | undefined {
    const type = this.#window.at(0);
    if (type === undefined) return undefined;
    if (type < contentType.changeCipherSpec || type > contentType.applicationData) throw this.#notTls(type);
    const major = this.#window.at(1);
    if (major === undefined) return undefined;
    if (major !== 0x03) {
      throw new TlsWireError("not-tls", alertDescription.protocolVersion, "the record version is not that of TLS");
    }
    if (this.#window.length < RECORD_HEADER_LENGTH) return undefined;
    const length = (this.#window.at(3)! << 8) | this.#window.at(4)!;
    if (length > this.#maximum) {
      throw new TlsWireError("record-overflow", alertDescription.recordOverflow, `a record of ${length} bytes is too long`);
    }
    if (length === 0 && type !== contentType.applicationData) {
      throw new TlsWireError("unexpected-record", alertDescription.unexpectedMessage, "a record is empty");
    }
    if (this.#window.length < RECORD_HEADER_LENGTH + length) return undefined;
    const bytes = this.#window.take(RECORD_HEADER_LENGTH + length);
    return {
      contentType: type,
      legacyVersion: (bytes[1]! << 8) | bytes[2]!,
      payload: bytes.subarray(RECORD_HEADER_LENGTH),
      bytes,
    };
  }

  /** Takes back what no record was made of; the reader is empty afterwards. */
  rest(): Uint8Array {
    return this.#window.take();
  }

  #notTls(first: number): TlsWireError {
    if (first >= 0x80)
      return new TlsWireError("not-tls", alertDescription.protocolVersion, "the bytes look like an SSL 2.0 hello, not TLS");
    const looksLikeText = (first >= 0x41 && first <= 0x5a) || (first >= 0x61 && first <= 0x7a);
    const message = looksLikeText ? "the bytes are not TLS: plain text, perhaps plain HTTP" : "the bytes are not TLS";
    return new TlsWireError("not-tls", alertDescription.unexpectedMessage, message);
  }
}

/**
 * A plaintext alert record (RFC 8446, section 6): 7 bytes.
 *
 * @param level one of {@link alertLevel}
 * @param description the AlertDescription byte
 * @param version the version field of the record header
 */
export function alertRecord(level: number, description: number, version: number = 0x0303): Uint8Array {
  return Uint8Array.of(contentType.alert, version >> 8, version & 0xff, 0, 2, level, description);
}

/**
 * Reads the payload of a plaintext alert record.
 *
 * @throws TlsWireError `malformed-message` if it is not exactly one alert.
 */
export function parseAlert(payload: Uint8Array): { level: number; description: number } {
  const [level, description] = payload;
  if (level === undefined || description === undefined || payload.length !== 2) throw malformed("an alert is not two bytes long");
  return { level, description };
}
