/**
 * What stopped a parser of this folder. Stable: programs may switch on it.
 *
 * The first group is thrown as {@link TlsWireError} and carries the alert that answers it.
 */
export type WireErrorCode =
  | "not-tls"
  | "record-overflow"
  | "unexpected-record"
  | "unexpected-message"
  | "message-too-long"
  | "malformed-message"
  | "illegal-parameter"
  | "unsupported-version"
  | "invalid-server-name"
  | "invalid-ip-address"
  | "invalid-base64url"
  | "invalid-hex"
  | "invalid-utf8"
  | "invalid-pem"
  | "invalid-der"
  | "invalid-certificate"
  | "too-large";

/** The one thing that the parsers of this folder throw. The message is a sentence for people and holds no input bytes. */
export class WireError extends Error {
  override readonly name: string = "WireError";
  readonly code: WireErrorCode;

  constructor(code: WireErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** A peer's bytes are not the TLS that is expected here. */
export class TlsWireError extends WireError {
  override readonly name: string = "TlsWireError";
  /** The AlertDescription byte to answer with (RFC 8446, section 6). */
  readonly alert: number;

  constructor(code: WireErrorCode, alert: number, message: string) {
    super(code, message);
    this.alert = alert;
  }
}

/** Alerts that these parsers ask for (RFC 8446, section 6). */
export const alertDescription = {
  unexpectedMessage: 10,
  recordOverflow: 22,
  illegalParameter: 47,
  decodeError: 50,
  protocolVersion: 70,
} as const;

/** A vector, length or count that does not add up: alert 50, decode_error. */
export function malformed(message: string): TlsWireError {
  return new TlsWireError("malformed-message", alertDescription.decodeError, message);
}

/** Well-formed, but not allowed: alert 47, illegal_parameter. */
export function illegal(message: string): TlsWireError {
  return new TlsWireError("illegal-parameter", alertDescription.illegalParameter, message);
}
