import { type Decision, type Event, record, type TlsSide } from "sallyport:gateway/audit@0.1.0";
import type { ConnectionInfo } from "sallyport:tls/connection@0.1.0";
import { attempt } from "../../src/bindings/errors.ts";
import { u64 } from "../../src/bindings/integers.ts";
import { optional } from "../../src/bindings/option.ts";
import { wellFormed } from "../../src/bindings/text.ts";
import type { Because, ConnectionDecision } from "../../src/policy/index.ts";
import { printable } from "../../src/wire/printable.ts";
import { latin1 } from "../../src/wire/utf8.ts";

/** The operator wants a complete record, and this could not be written: what it is about must not happen. */
export class NotRecorded extends Error {
  readonly code = "ERR_SALLYPORT_NOT_RECORDED";

  constructor() {
    super("the audit record could not be written");
  }
}

/** What a record says; counts and times as numbers. Nothing here may hold a secret, a token, a field's value or a body. */
export type RecordFields = Omit<Event, "kind" | "connection" | "bytesFromClient" | "bytesToClient" | "duration"> & {
  bytesFromClient?: number;
  bytesToClient?: number;
  /** Nanoseconds. */
  duration?: bigint;
};

/**
 * Write a record of one connection, or of none. Texts may come from peers: the host escapes what is not fit to be shown.
 *
 * @throws {NotRecorded}
 */
export function write(kind: Event["kind"], connection: number | undefined, fields: RecordFields): void {
  put(recordOf(kind, connection, fields));
}

/** A record that can be written more than once. As `write`. */
export function recordOf(kind: Event["kind"], connection: number | undefined, fields: RecordFields): Event {
  const { bytesFromClient, bytesToClient, duration, ...texts } = fields;
  const event: Record<string, unknown> = { kind };
  for (const [name, value] of Object.entries(texts)) event[name] = typeof value === "string" ? wellFormed(value.slice(0, MAX_TEXT)) : value;
  if (connection !== undefined) event.connection = u64(connection);
  if (bytesFromClient !== undefined) event.bytesFromClient = u64(bytesFromClient);
  if (bytesToClient !== undefined) event.bytesToClient = u64(bytesToClient);
  if (duration !== undefined) event.duration = u64(duration);
  return event as unknown as Event;
}

/** Write it. @throws {NotRecorded} */
export function put(event: Event): void {
  if (attempt(() => record(event)).tag === "err") throw new NotRecorded();
}

/** Write it, as of this connection. @throws {NotRecorded} */
export function putOf(event: Event, connection: number): void {
  event.connection = u64(connection);
  put(event);
}

/** As `write`, where there is nothing left to refuse: the host counts what it lost. */
export function tell(kind: Event["kind"], connection: number | undefined, fields: RecordFields): void {
  try {
    write(kind, connection, fields);
  } catch (error) {
    if (!(error instanceof NotRecorded)) throw error;
  }
}

/** What was decided, and why. */
export function decided({ tag }: { tag: Decision }, because: Because): Pick<RecordFields, "decision" | "rule" | "reason"> {
  return { decision: tag, rule: because.rule, reason: because.reason };
}

/** Why a connection is decided on as it is. */
export function becauseOf(decision: ConnectionDecision): Because {
  return decision.because;
}

/** The path of a request as records have it: a query may hold anything. */
export function pathOf({ path }: { readonly path: string }): string {
  return path.split("?", 1)[0]!;
}

/** What was negotiated on one side. */
export function tlsSide({ protocolVersion, cipherSuite, alpnId }: ConnectionInfo): TlsSide {
  const alpn = optional(alpnId);
  return { version: protocolVersion, cipherSuite, ...(alpn === undefined ? {} : { alpn: printable(latin1(alpn)) }) };
}

const MAX_TEXT = 1024;
