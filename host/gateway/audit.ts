import { WitError } from "../io/error.ts";
import { type AuditRecord, MAX_AUDIT_LINE } from "./audit-log.ts";
import { ConnectionRateLimit, type LimitContext, RateLimit, type Rates } from "./rate-limit.ts";
import type { Recorder } from "./recorder.ts";

interface TlsSide {
  version?: number;
  cipherSuite?: number;
  alpn?: string;
}

/** The WIT record `sallyport:gateway/audit.event`. */
export interface AuditEvent {
  kind: string;
  connection?: bigint;
  decision?: string;
  clientAddress?: string;
  clientSubject?: string;
  serverName?: string;
  target?: string;
  route?: string;
  rule?: string;
  reason?: string;
  method?: string;
  path?: string;
  status?: number;
  leafSerial?: string;
  upstreamAddress?: string;
  clientSide?: TlsSide;
  upstreamSide?: TlsSide;
  bytesFromClient?: bigint;
  bytesToClient?: bigint;
  /** Nanoseconds. */
  duration?: bigint;
  error?: string;
}

/** The imports `sallyport:gateway/audit` of one instance. */
export function auditImports(records: ComponentRecords): { record(event: AuditEvent): void } {
  return {
    /** @throws {WitError<"not-recorded">} */
    record(event) {
      if (!records.prepare(event).write()) throw new WitError("not-recorded");
    },
  };
}

/** A record that may be written more than once. */
export interface PreparedRecord {
  /** What is kept for it, in characters. */
  readonly size: number;
  /** @returns false if it was not written, and what it is about must not happen */
  write(): boolean;
}

/** What a component says itself in the audit log, within what it may. */
export class ComponentRecords {
  readonly #recorder: Recorder;
  readonly #all: RateLimit;
  readonly #ofConnection: ConnectionRateLimit;

  constructor(context: LimitContext, rates: Rates) {
    this.#recorder = context.recorder;
    this.#all = new RateLimit(context, "audit-records", rates.auditRecords);
    this.#ofConnection = new ConnectionRateLimit(context, "audit-records-of-connection", rates.auditRecordsPerConnection);
  }

  /** Make a record of it. Each time that it is written counts. */
  prepare(event: AuditEvent): PreparedRecord {
    const recorder = this.#recorder;
    if (!recorder.keepsRecords) return NOT_KEPT;
    const record = recordOf(event);
    const cost = costOf(record);
    const connection = record["connection"] as number | undefined;
    const { size, write } = recorder.component(record);
    const isWithin = () => (connection === undefined || this.#ofConnection.take(connection, cost)) && this.#all.take(cost);
    return { size, write: () => (isWithin() ? write() : !recorder.isStrict) };
  }
}

const NOT_KEPT: PreparedRecord = { size: 0, write: () => true };

/** One for each KiB that it begins. Texts are cut before they are written: at most 16. */
function costOf(record: AuditRecord): number {
  let characters = 0;
  for (const value of Object.values(record)) if (typeof value === "string") characters += value.length;
  return Math.min(MAX_AUDIT_LINE / 1024, 1 + Math.floor(characters / 1024));
}

/** Field by field: what a guest says gets into the record under these names and no others. */
function recordOf(event: AuditEvent): AuditRecord {
  return {
    event: event.kind,
    connection: count(event.connection),
    decision: event.decision,
    client: event.clientAddress,
    client_subject: event.clientSubject,
    server_name: event.serverName,
    target: event.target,
    route: event.route,
    rule: event.rule,
    reason: event.reason,
    method: event.method,
    // A query is where tokens stand.
    path: event.path?.replace(/[?#].*$/s, ""),
    status: event.status,
    leaf_serial: event.leafSerial,
    upstream: event.upstreamAddress,
    client_tls: side(event.clientSide),
    upstream_tls: side(event.upstreamSide),
    bytes_from_client: count(event.bytesFromClient),
    bytes_to_client: count(event.bytesToClient),
    duration_ms: event.duration === undefined ? undefined : count(event.duration / 1_000_000n),
    error: event.error,
  };
}

function side(value: TlsSide | undefined): AuditRecord | undefined {
  if (value === undefined) return undefined;
  return { version: hex(value.version), cipher_suite: hex(value.cipherSuite), alpn: value.alpn };
}

function hex(value: number | undefined): string | undefined {
  return value === undefined ? undefined : `0x${value.toString(16).padStart(4, "0")}`;
}

function count(value: bigint | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}
