import type * as wit from "sallyport:policy/decisions@0.1.0";
import { numberOfU32, optional } from "../bindings/index.ts";
import type { ClientHelloRequest, ConnectionDecision, ConnectRequest, HttpRequest, RequestDecision, Route } from "../policy/index.ts";
import { type Because, type Front, hostText } from "../policy/index.ts";

// Between the decisions of src/policy and the WIT interface `sallyport:policy/decisions`: no rule stands here.

/** `connect-request` from outside. */
export function connectRequest(value: wit.ConnectRequest): ConnectRequest {
  return { host: value.host, port: numberOfU32(value.port), groups: value.groups };
}

/** `client-hello-request` from outside. */
export function clientHelloRequest(value: wit.ClientHelloRequest): ClientHelloRequest {
  const target = optional(value.target);
  return {
    serverName: requestedName(value.serverName),
    ech: value.ech,
    target: target === undefined ? undefined : { host: target.host, port: numberOfU32(target.port) },
    port: numberOfU32(value.port),
    groups: value.groups,
  };
}

/** `http-request` from outside. */
export function httpRequest(value: wit.HttpRequest): HttpRequest {
  const { host, secure, method, path, groups } = value;
  return {
    host,
    port: numberOfU32(value.port),
    secure,
    method,
    path,
    authority: optional(value.authority),
    upgrade: optional(value.upgrade),
    groups,
  };
}

/** As `connection-decision`. */
export function connectionDecisionValue(decision: ConnectionDecision): wit.ConnectionDecision {
  switch (decision.tag) {
    case "tunnel":
      return {
        tag: "tunnel",
        val: { because: becauseValue(decision.because), host: hostText(decision.host), opaque: decision.opaque },
      };
    case "intercept":
      return { tag: "intercept", val: routeValue(decision) };
    case "front":
      return { tag: "front", val: frontValue(decision, decision.front) };
    case "deny":
      return { tag: "deny", val: becauseValue(decision.because) };
  }
}

/** As `request-decision`. */
export function requestDecisionValue(decision: RequestDecision): wit.RequestDecision {
  if (decision.tag === "deny") return { tag: "deny", val: becauseValue(decision.because) };
  const { remove, set, secrets } = decision.edits;
  return {
    tag: "allow",
    val: {
      because: becauseValue(decision.because),
      edits: { remove: [...remove], set: set.map(([name, value]) => [name, value]), secrets: [...secrets] },
    },
  };
}

/** As `because`. */
export function becauseValue({ rule, reason }: Because): wit.Because {
  return { rule, reason };
}

function requestedName(value: wit.RequestedName): ClientHelloRequest["serverName"] {
  // The bytes of a name that is none are nobody's business.
  if (value.tag === "invalid") return { tag: "invalid", bytes: new Uint8Array() };
  return value.tag === "dns" ? { tag: "dns", name: value.val } : { tag: "none" };
}

function routeValue({ because, host, inspect, upstream }: Route): wit.Route {
  return {
    because: becauseValue(because),
    host: hostText(host),
    inspect,
    upstream: {
      alpn: [...upstream.alpn],
      anchors: [...upstream.anchors],
      onlyAnchors: upstream.onlyAnchors,
      pins: [...upstream.pins],
      ...(upstream.identity === undefined ? {} : { identity: upstream.identity }),
    },
  };
}

function frontValue(route: Route, front: Front): wit.Front {
  const { serverName, verifyNames, address } = front;
  return {
    route: routeValue(route),
    serverName,
    verifyNames: [...verifyNames],
    ...(address === undefined ? {} : { address: { host: hostText(address.host), port: address.port } }),
  };
}
