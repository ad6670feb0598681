import type { Error as TlsReason } from "sallyport:tls/types@0.1.0";
import type { ErrorCode as SocketReason } from "wasi:sockets/network@0.2.12";
import { exitCodes, FetchError } from "./exit-code.ts";

// Errors are told apart by their stable codes: what throws them may not be part of every build.

/** Name lookup or TCP failed. @param target as a grant names it: `host:port` */
export function connectFailure(error: unknown, host: string, target: string): unknown {
  const common = anywhere(error);
  if (common !== undefined) return common;
  if (codeOf(error) !== "ERR_SALLYPORT_SOCKET") return error;
  const { reason, message } = error as { reason: SocketReason; message: string };
  const resolving = message.startsWith("resolve ");
  const what = resolving ? `cannot resolve ${host}` : `cannot connect to ${target}`;
  return new FetchError(resolving ? exitCodes.resolve : exitCodes.connect, `${what}: ${socketAdvice(reason, target)}`, error);
}

/** The handshake failed. */
export function handshakeFailure(error: unknown, host: string): unknown {
  const common = anywhere(error);
  if (common !== undefined) return common;
  const reason = tlsReasonOf(error);
  if (reason === undefined) {
    if (!isStreamError(error)) return error;
    return new FetchError(exitCodes.handshake, `the connection to ${host} broke during the handshake: ${messageOf(error)}`, error);
  }
  if (reason.tag === "certificate") {
    return new FetchError(exitCodes.certificate, `the certificate of ${host} was refused: ${certificateAdvice(reason.val)}`, error);
  }
  if (reason.tag === "timeout") return new FetchError(exitCodes.timeout, `${host} did not finish the TLS handshake in time`, error);
  const advice = handshakeAdvice(reason);
  return new FetchError(exitCodes.handshake, `no TLS with ${host}: ${messageOf(error)}${advice === "" ? "" : `; ${advice}`}`, error);
}

/** A request or its answer failed. @param inBody whether the head of the answer had come */
export function exchangeFailure(error: unknown, host: string, inBody: boolean): unknown {
  const common = anywhere(error);
  if (common !== undefined) return common;
  const code = codeOf(error);
  if (code === "ERR_SALLYPORT_HTTP_TRUNCATED") return cutShort(inBody, `${host} closed the connection too early`, error);
  if (code === "ERR_SALLYPORT_HTTP_ARGUMENT")
    return new FetchError(exitCodes.usage, `this request cannot be sent: ${messageOf(error)}`, error);
  if (code?.startsWith("ERR_SALLYPORT_HTTP_") === true)
    return new FetchError(exitCodes.protocol, `the answer of ${host} is not understood: ${messageOf(error)}`, error);
  const reason = tlsReasonOf(error);
  // Under TLS 1.3 a server judges the client's certificate after the client is done.
  if (reason?.tag === "alert-received" && !inBody)
    return new FetchError(exitCodes.handshake, `no TLS with ${host}: ${messageOf(error)}; ${handshakeAdvice(reason)}`, error);
  if (reason !== undefined || isStreamError(error)) return cutShort(inBody, `the connection to ${host} broke: ${messageOf(error)}`, error);
  return error;
}

/** In one line what a person should know of an error of any kind. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The TLS error that an error stands for. */
export function tlsReasonOf(error: unknown): TlsReason | undefined {
  if (codeOf(error) === "ERR_SALLYPORT_TLS") return (error as { reason: TlsReason }).reason;
  const detail = codeOf(error) === "ERR_SALLYPORT_STREAM" ? (error as { detail: unknown }).detail : undefined;
  return typeof detail === "object" && detail !== null && "tag" in detail ? (detail as TlsReason) : undefined;
}

function anywhere(error: unknown): FetchError | undefined {
  if (error instanceof FetchError) return error;
  if (codeOf(error) !== "ERR_SALLYPORT_TIMEOUT") return undefined;
  return new FetchError(exitCodes.timeout, "the time of --max-time is over; allow more, or try again later", error);
}

function cutShort(inBody: boolean, message: string, cause: unknown): FetchError {
  if (inBody) return new FetchError(exitCodes.truncated, `${message}; the body is incomplete, so try again`, cause);
  return new FetchError(exitCodes.receive, `${message} before a whole answer had come; try again`, cause);
}

function codeOf(error: unknown): string | undefined {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : undefined;
}

function isStreamError(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ERR_SALLYPORT_STREAM" || code === "ERR_SALLYPORT_STREAM_CLOSED";
}

function socketAdvice(reason: SocketReason, target: string): string {
  switch (reason) {
    case "access-denied":
      return `that is not granted to this component; run it with --allow-net ${target}`;
    case "name-unresolvable":
      return "there is no such name, so check its spelling";
    case "temporary-resolver-failure":
    case "permanent-resolver-failure":
      return "the name server fails, so check the network";
    case "connection-refused":
      return "connection refused; is the server running, and on this port?";
    default:
      return `${reason}; check the network`;
  }
}

function certificateAdvice(reason: string): string {
  switch (reason) {
    case "unknown-issuer":
      return "unknown-issuer; trust its authority with --cacert FILE";
    case "self-signed":
      return "self-signed; if it is yours, trust it with --cacert FILE";
    case "name-mismatch":
      return "name-mismatch; it is for other names, which -v shows";
    case "expired":
    case "not-yet-valid":
      return `${reason}; its owner has to renew it, or the clock here is wrong`;
    case "revoked":
      return "revoked, or no current revocation list covers it";
    case "bad-usage":
      return "bad-usage; it is not for servers, for example an authority's own (CA:TRUE) or one of version 1; -v shows it";
    default:
      return `${reason}; -v shows the certificate`;
  }
}

function handshakeAdvice(reason: TlsReason): string {
  if (reason.tag === "protocol") return "is this a TLS port?";
  if (reason.tag !== "alert-received") return "";
  if (reason.val === PROTOCOL_VERSION) return "it speaks no version that is allowed here: see --tls-max";
  if (reason.val === NO_APPLICATION_PROTOCOL) return "it does not offer http/1.1";
  if (reason.val === UNRECOGNIZED_NAME) return "it serves no host of this name";
  return "if it wants a client certificate, name a granted identity with --cert";
}

/** AlertDescription values of RFC 8446, section 6. */
const PROTOCOL_VERSION = 70;
const UNRECOGNIZED_NAME = 112;
const NO_APPLICATION_PROTOCOL = 120;
