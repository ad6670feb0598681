import { WitError } from "../io/error.ts";
import { type AuditRecord, MAX_AUDIT_LINE } from "./audit-log.ts";
import { ConnectionRateLimit, type LimitContext, RateLimit, type Rates } from "./rate-limit.ts";

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
export function auditImports(context: LimitContext, rates: Rates): { record(event: AuditEvent): void } {
  const { recorder } = context;
  const all = new RateLimit(context, "audit-records", rates.auditRecords);
  const ofConnection = new ConnectionRateLimit(context, "audit-records-of-connection", rates.auditRecordsPerConnection);
  return {
    /** @throws {WitError<"not-recorded">} */
    record(event) {
      if (!recorder.keepsRecords) return;
      const record = recordOf(event);
      const cost = costOf(record);
      const isWithin = (record["connection"] === undefined || ofConnection.take(Number(record["connection"]), cost)) && all.take(cost);
      if (isWithin ? !recorder.component(record) : recorder.isStrict) throw new WitError("not-recorded");
    },
  };
}

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
