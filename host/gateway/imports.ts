import type { HostContext } from "../context.ts";
import type { Resolver } from "../net/name-lookup.ts";
import type { TcpConnection } from "../net/tcp-socket.ts";
import { type AuditGrant, AuditLog } from "./audit-log.ts";
import { type ControlChannel, controlImports } from "./control.ts";
import { type Dialled, dialImports } from "./dial.ts";
import { type DialGrant, DialRules } from "./dial-rules.ts";
import { eventQueueImports } from "./event-queue.ts";
import { Recorder } from "./recorder.ts";

/** What an instance is granted of `sallyport:gateway`, as values that can be posted to a worker. Nothing by default. */
export interface GatewayGrants {
  /** What it may dial, and whether at all. */
  dial?: DialGrant;
  /** Where its records go, and the host's about it. Without it nothing is kept. */
  audit?: AuditGrant;
}

/** What the gateway's imports of one instance are made of. */
export interface GatewayContext extends Pick<HostContext, "ledger"> {
  recorder: Recorder;
  control: ControlChannel;
  resolver?: Resolver | undefined;
}

/**
 * The recorder of one instance. Open it before anything that has to be recorded can happen.
 *
 * @throws {AuditError} when the file cannot be used
 */
export function openRecorder(grants: GatewayGrants, ledger: GatewayContext["ledger"]): Recorder {
  if (grants.audit === undefined) return new Recorder(undefined);
  const log = AuditLog.open(grants.audit);
  // The first thing that an instance owns, and the last that is closed: what else ends with it is recorded.
  ledger.ownLast(() => log.close());
  return new Recorder(log);
}

/**
 * The imports `sallyport:gateway/*` of one instance.
 *
 * @throws {GrantError} when a grant is not understood
 */
export function gatewayImports(context: GatewayContext, grants: GatewayGrants): Record<string, object> {
  const { ledger, recorder, control, resolver } = context;
  const dialled = new WeakMap<TcpConnection, Dialled>();
  const rules = grants.dial === undefined ? undefined : new DialRules(grants.dial);
  return {
    "sallyport:gateway/control": controlImports(ledger, control),
    "sallyport:gateway/dial": dialImports({ ledger, recorder, rules, resolver, dialled }),
    "sallyport:gateway/event-queue": eventQueueImports(ledger),
  };
}
