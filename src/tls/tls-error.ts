import { tlsErrorCode } from "sallyport:tls/connection@0.1.0";
import type { CertificateError, Error as WitTlsError } from "sallyport:tls/types@0.1.0";
import { payloadOf } from "../bindings/errors.ts";
import { optional } from "../bindings/option.ts";
import { onStreamFailure, StreamFailure } from "../streams/failure.ts";

export type { CertificateError, WitTlsError };

/** TLS refused, failed, or was refused. `reason` is the error of `sallyport:tls/types`, `detail` the host's words for it. */
export class TlsError extends Error {
  readonly code = "ERR_SALLYPORT_TLS";
  readonly reason: WitTlsError;

  constructor(reason: WitTlsError, detail?: string) {
    super(messageOf(reason, detail));
    this.reason = reason;
  }
}

function messageOf(reason: WitTlsError, detail: string | undefined): string {
  if (detail === undefined) return describeReason(reason);
  // The host's words for a verdict name all of it: our own before them would say the first fault twice.
  if (reason.tag === "certificate" && detail.includes(reason.val)) return detail;
  return `${describeReason(reason)} (${detail})`;
}

/** What was thrown by an import of `sallyport:tls` or by one of its streams, as a `TlsError`; anything else as it is. */
export function asTlsError(thrown: unknown, detail?: string): unknown {
  const payload = payloadOf(thrown);
  if (isReason(payload)) return new TlsError(payload, detail);
  if (thrown instanceof StreamFailure && isReason(thrown.detail)) return new TlsError(thrown.detail, detail ?? thrown.message);
  return thrown;
}

/** Call an import whose error is `sallyport:tls/types.error`. @throws {TlsError} */
export function tls<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw asTlsError(error);
  }
}

/** In words. */
export function describeReason(reason: WitTlsError): string {
  switch (reason.tag) {
    case "alert-received":
      return `the peer refused: ${alertName(reason.val)}`;
    case "alert-sent":
      return `refused the peer: ${alertName(reason.val)}`;
    case "certificate":
      return `the peer's certificate is not acceptable: ${reason.val}`;
    case "protocol":
      return "the peer does not speak TLS as it should";
    case "truncated":
      return "the connection was cut";
    case "transport":
      return "the transport failed";
    case "timeout":
      return "the handshake took too long";
    default:
      return `TLS: ${reason.tag}`;
  }
}

/** The name of an alert description (RFC 8446, section 6). */
export function alertName(description: number): string {
  return alertNames.get(description) ?? `alert ${description}`;
}

function isReason(value: unknown): value is WitTlsError {
  return typeof value === "object" && value !== null && "tag" in value && typeof value.tag === "string" && reasons.has(value.tag);
}

const reasons: ReadonlySet<string> = new Set([
  "alert-received",
  "alert-sent",
  "certificate",
  "protocol",
  "truncated",
  "transport",
  "timeout",
  "not-permitted",
  "not-supported",
  "wrong-phase",
  "invalid-argument",
  "closed",
  "internal",
]);

const alertNames = new Map<number, string>([
  [0, "close_notify"],
  [10, "unexpected_message"],
  [20, "bad_record_mac"],
  [22, "record_overflow"],
  [40, "handshake_failure"],
  [42, "bad_certificate"],
  [43, "unsupported_certificate"],
  [44, "certificate_revoked"],
  [45, "certificate_expired"],
  [46, "certificate_unknown"],
  [47, "illegal_parameter"],
  [48, "unknown_ca"],
  [49, "access_denied"],
  [50, "decode_error"],
  [51, "decrypt_error"],
  [70, "protocol_version"],
  [71, "insufficient_security"],
  [80, "internal_error"],
  [86, "inappropriate_fallback"],
  [90, "user_canceled"],
  [109, "missing_extension"],
  [110, "unsupported_extension"],
  [112, "unrecognized_name"],
  [116, "certificate_required"],
  [120, "no_application_protocol"],
]);

onStreamFailure((error) => optional(tlsErrorCode(error)));
