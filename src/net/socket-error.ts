import type { ErrorCode } from "wasi:sockets/network@0.2.12";
import { attempt } from "../bindings/errors.ts";

/** A socket operation failed. `reason` is the error code of wasi:sockets. */
export class SocketError extends Error {
  readonly code = "ERR_SALLYPORT_SOCKET";
  readonly reason: ErrorCode;

  constructor(operation: string, reason: ErrorCode) {
    super(`${operation}: ${reason}`);
    this.reason = reason;
  }
}

/** Call an import of wasi:sockets; `undefined` means that it would block. @throws {SocketError} */
export function tryOperation<T>(operation: string, call: () => T): { value: T } | undefined {
  const result = attempt<T, ErrorCode>(call);
  if (result.tag === "ok") return { value: result.val };
  if (result.val === "would-block") return undefined;
  throw new SocketError(operation, result.val);
}

/** As `tryOperation`, for calls that never block. @throws {SocketError} */
export function operate<T>(operation: string, call: () => T): T {
  const done = tryOperation(operation, call);
  if (done === undefined) throw new SocketError(operation, "would-block");
  return done.value;
}
