/** The WIT enum wasi:sockets/network `error-code`, as far as this host uses it. */
export type NetworkErrorCode =
  | "unknown"
  | "access-denied"
  | "not-supported"
  | "invalid-argument"
  | "out-of-memory"
  | "timeout"
  | "concurrency-conflict"
  | "not-in-progress"
  | "would-block"
  | "invalid-state"
  | "new-socket-limit"
  | "address-not-bindable"
  | "address-in-use"
  | "remote-unreachable"
  | "connection-refused"
  | "connection-reset"
  | "connection-aborted"
  | "name-unresolvable"
  | "temporary-resolver-failure"
  | "permanent-resolver-failure";

/** What went wrong on the network. `code` is the WIT's word for it. */
export class NetworkError extends Error {
  override readonly name = "NetworkError";
  readonly code: NetworkErrorCode;

  constructor(code: NetworkErrorCode, message: string = code) {
    super(message);
    this.code = code;
  }
}

/** The WIT's word for an error that Node reports, by its errno name. */
export function networkErrorCode(error: unknown): NetworkErrorCode {
  if (error instanceof NetworkError) return error.code;
  const code = typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
  return CODES.get(code) ?? "unknown";
}

/** For people: what happened to a connection, without the addresses that Node puts into its messages. */
export function describeNetworkError(error: unknown): string {
  const code = typeof error === "object" && error !== null && "code" in error ? String(error.code).slice(0, 40) : "unknown error";
  return `the connection failed: ${networkErrorCode(error)} (${code})`;
}

const CODES = new Map<string, NetworkErrorCode>([
  ["EACCES", "access-denied"],
  ["EPERM", "access-denied"],
  ["EAFNOSUPPORT", "not-supported"],
  ["EPROTONOSUPPORT", "not-supported"],
  ["EINVAL", "invalid-argument"],
  ["ENOMEM", "out-of-memory"],
  ["ENOBUFS", "out-of-memory"],
  ["ETIMEDOUT", "timeout"],
  ["EMFILE", "new-socket-limit"],
  ["ENFILE", "new-socket-limit"],
  ["EADDRNOTAVAIL", "address-not-bindable"],
  ["EADDRINUSE", "address-in-use"],
  ["ENETUNREACH", "remote-unreachable"],
  ["EHOSTUNREACH", "remote-unreachable"],
  ["ENETDOWN", "remote-unreachable"],
  ["EHOSTDOWN", "remote-unreachable"],
  ["ECONNREFUSED", "connection-refused"],
  ["ECONNRESET", "connection-reset"],
  ["EPIPE", "connection-reset"],
  ["ECONNABORTED", "connection-aborted"],
  ["ENOTFOUND", "name-unresolvable"],
  ["ENODATA", "name-unresolvable"],
  ["EAI_AGAIN", "temporary-resolver-failure"],
  ["EAI_FAIL", "permanent-resolver-failure"],
]);
