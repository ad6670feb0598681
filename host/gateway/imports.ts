import { Authority, type PackedAuthority } from "../authority/authority.ts";
import { authorityImports, type AuthorityEvent } from "../authority/imports.ts";
import type { HostContext } from "../context.ts";
import { httpImports } from "../forward/http1-imports.ts";
import type { IdentityClasses } from "../identity/identity-classes.ts";
import type { KeyPair } from "../identity/private-identity.ts";
import type { Resolver } from "../net/name-lookup.ts";
import type { TcpConnection } from "../net/tcp-socket.ts";
import type { ConnectionImports } from "../tls/imports.ts";
import type { TlsHost } from "../tls/tls-host.ts";
import { auditImports, ComponentRecords } from "./audit.ts";
import { type AuditGrant, AuditLog } from "./audit-log.ts";
import { type ControlChannel, controlImports } from "./control.ts";
import { type DeciderGrant, deciderImports, decisionTypes } from "./decider.ts";
import { type Dialled, Dialler, dialImports } from "./dial.ts";
import { type DialGrant, DialRules } from "./dial-rules.ts";
import { eventQueueImports } from "./event-queue.ts";
import { interceptorImports } from "./interceptor-imports.ts";
import { type InstanceLife, LifeCounts, newLife } from "./instance-life.ts";
import { defaultRates, IssueLimit, type LimitContext, RateLimit, type Rates } from "./rate-limit.ts";
import { Recorder } from "./recorder.ts";
import type { SecretGrant } from "./secret-grants.ts";
import { secretImports } from "./secrets.ts";

/** What an instance is granted of `sallyport:gateway`, as values that can be posted to a worker. Nothing by default. */
export interface GatewayGrants {
  /** Authorities that it may have certificates issued by, by name: `authority.forWorker()`. */
  authorities?: Record<string, PackedAuthority>;
  /** What it may dial, and whether at all. */
  dial?: DialGrant;
  /** Secrets that it may place, by name. */
  secrets?: Record<string, SecretGrant>;
  /** Rules that it may ask. */
  decider?: DeciderGrant;
  /** Where its records go, and the host's about it. Without it nothing is kept. */
  audit?: AuditGrant;
  /** How much it may make the host do; `defaultRates` for what is not said. */
  rates?: Partial<Rates>;
  /** @internal Of whoever watches over the instance and records its end: `watchInstance`. */
  life?: InstanceLife;
}

/** What the gateway's imports of one instance are made of. */
export interface GatewayContext extends Pick<HostContext, "ledger"> {
  recorder: Recorder;
  control: ControlChannel;
  /** Of the same instance. */
  identities: IdentityClasses;
  tls: TlsHost;
  connections: ConnectionImports;
  resolver?: Resolver | undefined;
}

/**
 * The recorder of one instance. Open it before anything that has to be recorded can happen.
 *
 * @throws {AuditError} when the file cannot be used
 */
export function openRecorder(grants: GatewayGrants, ledger: GatewayContext["ledger"]): Recorder {
  if (grants.audit === undefined) return new Recorder(undefined);
  const life = new LifeCounts(grants.life ?? newLife());
  const log = AuditLog.open(grants.audit, life);
  // The first thing that an instance owns, and the last that is closed: what else ends with it is recorded.
  ledger.ownLast(() => log.close());
  const recorder = new Recorder(log, life);
  recorder.life.add("begun", 1);
  return recorder;
}

/**
 * The imports `sallyport:gateway/*` of one instance.
 *
 * @throws {GrantError} when a grant is not understood
 */
export function gatewayImports(context: GatewayContext, grants: GatewayGrants): Record<string, object> {
  const { ledger, recorder, control, identities, tls, connections, resolver } = context;
  const authorities = new Map(Object.entries(grants.authorities ?? {}).map(([name, packed]) => [name, Authority.fromWorker(packed)]));
  const limits: LimitContext = { ledger, recorder };
  const rates: Rates = { ...defaultRates, ...grants.rates };
  const records = new ComponentRecords(limits, rates);
  const dialled = new WeakMap<TcpConnection, Dialled>();
  const rules = grants.dial === undefined ? undefined : new DialRules(grants.dial);
  const dialler = new Dialler({ ledger, recorder, rules, resolver, dialled, rate: new RateLimit(limits, "dials", rates.dials) });
  return {
    "sallyport:gateway/audit": auditImports(records),
    "sallyport:gateway/authorities": authorityImports({
      ledger,
      identities,
      authorities,
      record: (event) => recordCertificate(recorder, event),
      limit: new IssueLimit(limits, rates),
    }),
    "sallyport:gateway/control": controlImports(ledger, control),
    "sallyport:gateway/decider": deciderImports(limits, grants.decider),
    "sallyport:policy/decisions": decisionTypes,
    "sallyport:gateway/dial": dialImports(dialler),
    "sallyport:gateway/event-queue": eventQueueImports(ledger),
    "sallyport:gateway/http": { ...httpImports(ledger, records) },
    "sallyport:gateway/interceptor": { ...interceptorImports({ ledger, tls, dialler, connections }) },
    "sallyport:gateway/secrets": {
      ...secretImports({
        ledger,
        recorder,
        secrets: grants.secrets ?? {},
        dialled,
        anchors: () => tls.anchors,
        issuers: Array.from(authorities.values(), (authority) => authority.chain.certificates).flat(),
      }),
    },
  };
}

/** Identities by name, each use recorded. One whose use cannot be recorded is not found. */
export function recordedIdentities(
  identities: ReadonlyMap<string, KeyPair>,
  ledger: GatewayContext["ledger"],
  recorder: Recorder,
): ReadonlyMap<string, KeyPair> {
  return new RecordedIdentities(identities, recorder, new RateLimit({ ledger, recorder }, "identities", OPENED_A_SECOND));
}

class RecordedIdentities extends Map<string, KeyPair> {
  readonly #recorder: Recorder;
  readonly #rate: RateLimit;

  constructor(identities: ReadonlyMap<string, KeyPair>, recorder: Recorder, rate: RateLimit) {
    super(identities);
    this.#recorder = recorder;
    this.#rate = rate;
  }

  override get(name: string): KeyPair | undefined {
    // What it costs is a record.
    if (this.#recorder.keepsRecords && !this.#rate.take()) return undefined;
    const identity = super.get(name);
    const recorded = this.#recorder.host(identity === undefined ? "identity-refused" : "identity", { identity: name });
    return recorded ? identity : undefined;
  }
}

/** @throws {Error} when it cannot be recorded, and the certificate must not be handed out */
function recordCertificate(recorder: Recorder, event: AuthorityEvent): void {
  const { authority, names } = event;
  const recorded =
    event.tag === "refused"
      ? recorder.host("certificate-refused", { authority, names, reason: event.reason })
      : recorder.host("certificate", {
          authority,
          names,
          leaf_serial: event.serial,
          fingerprint: event.fingerprint,
          not_before: Number(event.notBefore),
          not_after: Number(event.notAfter),
        });
  if (!recorded) throw new Error("the certificate cannot be recorded");
}

/** A proxy opens one where it begins, and one with a connection to a server that wants to see it. */
const OPENED_A_SECOND = 5000;
