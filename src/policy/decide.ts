import { parseAuthority, UrlError } from "../http1/url.ts";
import { isToken } from "../http1/fields.ts";
import type { RequestedServerName } from "../wire/server-name.ts";
import { applyEndpointRules, type Edits, noEdits } from "./endpoint-rules.ts";
import { type Host, hostText, parseHost } from "./host-name.ts";
import { defaultUpstream } from "./load-host.ts";
import { routeOf, type Routed } from "./locate.ts";
import type { Front, HostPolicy, Policy, Upstream } from "./policy.ts";
import { type Because, builtIn, type Reason } from "./reason.ts";
import { requestPath } from "./request-path.ts";

/** What a client asks the proxy for, before any TLS. */
export interface ConnectRequest {
  /** As the client wrote it. */
  readonly host: string;
  readonly port: number;
  /** Of the client's token. */
  readonly groups: readonly string[];
}

/** What is known at the client hello. */
export interface ClientHelloRequest {
  readonly serverName: RequestedServerName;
  /** Whether it offers an encrypted inner hello. */
  readonly ech: boolean;
  /** Where the client asked to be connected; `undefined` for a listener that has only the hello to go by. */
  readonly target: { readonly host: string; readonly port: number } | undefined;
  /** The port for names of the hello without a target. */
  readonly port: number;
  readonly groups: readonly string[];
}

/** One request within an intercepted connection, or one in plain HTTP. */
export interface HttpRequest {
  /** The name from the client hello, or from the CONNECT without one; the URL's host in plain HTTP. */
  readonly host: string;
  readonly port: number;
  /** Whether it comes and goes through TLS. */
  readonly secure: boolean;
  readonly method: string;
  /** Path and query as the client wrote them. */
  readonly path: string;
  /** The Host field as the client wrote it; `undefined` if there is none. */
  readonly authority: string | undefined;
  /** The protocol that it asks to switch to. */
  readonly upgrade: string | undefined;
  readonly groups: readonly string[];
}

/** How a connection goes on. */
export type ConnectionDecision =
  /** Bytes are passed on unread; unless `opaque`, the first of them have to be a hello for the host. */
  | { readonly tag: "tunnel"; readonly because: Because; readonly host: Host; readonly opaque: boolean }
  | ({ readonly tag: "intercept" } & Route)
  | ({ readonly tag: "front"; readonly front: Front } & Route)
  | { readonly tag: "deny"; readonly because: Because };

/** Where an intercepted connection goes. */
export interface Route {
  readonly because: Because;
  /** The name or address that the leaf is for and, without a front, that the upstream is verified as. */
  readonly host: Host;
  /** Whether every request has to be decided on. */
  readonly inspect: boolean;
  readonly upstream: Upstream;
}

/** How a request goes on. */
export type RequestDecision =
  | { readonly tag: "allow"; readonly because: Because; readonly edits: Edits }
  | { readonly tag: "deny"; readonly because: Because };

/** Decide on a CONNECT, before a name is looked up. Never throws: what cannot be understood is denied. */
export function decideConnect(policy: Policy, request: ConnectRequest): ConnectionDecision {
  return asDecision(policy, route(policy, request.host, request.port, request.groups));
}

/**
 * Decide on a client hello: the name in it has to be allowed by itself, and has to be the one that the client asked to be
 * connected to, unless the policy says otherwise. Never throws.
 */
export function decideClientHello(policy: Policy, request: ClientHelloRequest): ConnectionDecision {
  const { serverName, target, groups } = request;
  if (serverName.tag === "invalid") return deny(builtIn.hello, "invalid-server-name");
  const connected = target === undefined ? undefined : route(policy, target.host, target.port, groups);
  if (connected?.tag === "refused") return asDecision(policy, connected);
  if (connected?.entry?.mode === "tunnel" && connected.entry.opaque) return asDecision(policy, connected);
  if (serverName.tag === "none") {
    // A client that connects to an address has no name to send.
    if (connected === undefined || connected.host.tag === "dns") return deny(builtIn.hello, "no-server-name");
    if (request.ech && (connected.entry?.ech ?? policy.ech) === "deny") return deny(echRule(policy, connected), "encrypted-client-hello");
    return asDecision(policy, connected);
  }
  const named = route(policy, serverName.name, target?.port ?? request.port, groups);
  if (named.tag === "refused") return asDecision(policy, named);
  if (request.ech && (named.entry?.ech ?? policy.ech) === "deny") return deny(echRule(policy, named), "encrypted-client-hello");
  if (connected !== undefined && !mayDiffer(policy, connected, named)) {
    return deny(connected.entry === undefined ? "$.sni_mismatch" : connected.because.rule, "server-name-mismatch");
  }
  return asDecision(policy, named);
}

/** Decide on a request. Never throws. */
export function decideRequest(policy: Policy, request: HttpRequest): RequestDecision {
  const routed = route(policy, request.host, request.port, request.groups);
  const decision = asDecision(policy, routed, request.secure);
  if (routed.tag === "refused" || decision.tag === "deny") return { tag: "deny", because: decision.because };
  if (!isForHost(request, routed.host)) return deny(builtIn.requests, "host-mismatch");
  if (request.secure && decision.tag === "tunnel") return deny(decision.because.rule, "not-intercepted");
  if (!request.secure && decision.tag === "front") return deny(decision.because.rule, "front-without-tls");
  if (!isToken(request.method) || request.method.toUpperCase() === "CONNECT") return deny(builtIn.requests, "invalid-method");
  return decideByRules(routed.entry, request, decision.because.rule);
}

function decideByRules(entry: HostPolicy | undefined, request: HttpRequest, rule: string): RequestDecision {
  const { requests } = entry ?? {};
  if (requests === undefined) {
    if (request.secure) return { tag: "allow", because: { rule, reason: "no-request-rules" }, edits: noEdits };
    if (request.upgrade !== undefined) return deny(rule, "upgrade-not-allowed");
    return { tag: "allow", because: { rule, reason: "no-request-rules" }, edits: noEdits };
  }
  const path = requestPath(request.path);
  if (path.tag === "invalid") return deny(builtIn.requests, path.fault);
  const verdict = applyEndpointRules(requests.rules, request.method, path);
  const reason = verdict.rule === undefined ? "default-rule" : "rule";
  if (verdict.action === "deny") return deny(verdict.id, reason);
  if (request.upgrade !== undefined && verdict.rule?.upgrades.includes(request.upgrade.toLowerCase()) !== true)
    return deny(verdict.id, "upgrade-not-allowed");
  const edits = verdict.rule?.edits ?? requests.edits;
  if (!request.secure && edits.secrets.length > 0) return deny(verdict.id, "secret-without-tls");
  return { tag: "allow", because: { rule: verdict.id, reason }, edits };
}

function route(policy: Policy, host: string, port: number, groups: readonly string[]): Routed {
  return policy.routes.route(host, port, groups, () => routeOf(policy, parseHost(host), port, groups));
}

/** What a route means for the connection. */
function asDecision(policy: Policy, routed: Routed, secure = true): ConnectionDecision {
  if (routed.tag === "refused") return { tag: "deny", because: routed.because };
  const { because, host, entry } = routed;
  const mode = entry?.mode ?? policy.defaultMode;
  if (mode === "deny") return { tag: "deny", because };
  if (mode === "tunnel") return { tag: "tunnel", because, host, opaque: entry?.opaque ?? false };
  if (secure && !routed.mayIssue) return deny(builtIn.constraints, "not-permitted-to-issue");
  const inspect = entry?.requests !== undefined;
  const upstream = entry?.upstream ?? defaultUpstream;
  if (mode === "intercept") return { tag: "intercept", because, host, inspect, upstream };
  return { tag: "front", front: entry!.front!, because, host, inspect, upstream };
}

/**
 * A name may differ from the target only where both were allowed in the same way: else the one that is looked at closely
 * could be reached under the name of the other.
 */
function mayDiffer(policy: Policy, connected: Allowed, named: Allowed): boolean {
  if (hostText(connected.host) === hostText(named.host)) return true;
  if ((connected.entry?.sniMismatch ?? policy.sniMismatch) === "deny") return false;
  const [a, b] = [asDecision(policy, connected), asDecision(policy, named)];
  if (a.tag !== b.tag) return false;
  return a.tag === "tunnel" || a.tag === "deny" || (b.tag !== "tunnel" && b.tag !== "deny" && a.inspect === b.inspect);
}

type Allowed = Extract<Routed, { tag: "found" }>;

function echRule(policy: Policy, routed: Allowed): string {
  return routed.entry === undefined || routed.entry.ech === policy.ech ? "$.ech" : routed.because.rule;
}

/** Whether the Host field names the server that the connection is to. */
function isForHost(request: HttpRequest, host: Host): boolean {
  const { authority } = request;
  if (authority === undefined) return false;
  // As most clients write it.
  if (host.tag === "dns" && authority === host.name) return true;
  try {
    const { host: name, port } = parseAuthority(authority);
    const named = parseHost(name);
    if (named.tag === "invalid" || hostText(named) !== hostText(host)) return false;
    // Without a port it is the scheme's own, but a client in an intercepted connection may leave out any.
    return port === undefined || port === request.port;
  } catch (error) {
    if (!(error instanceof UrlError)) throw error;
    return false;
  }
}

function deny(rule: string, reason: Reason): { tag: "deny"; because: Because } {
  return { tag: "deny", because: { rule, reason } };
}
