import type * as wit from "sallyport:policy/decisions@0.1.0";
import { optional, u32, wellFormed } from "../bindings/index.ts";
import { numberOfU32 } from "../bindings/index.ts";
import {
  type Because,
  type ClientHelloRequest,
  type ConnectionDecision,
  type ConnectRequest,
  type Front,
  type Host,
  type HttpRequest,
  parseHost,
  type Reason,
  type RequestDecision,
  type Route,
} from "../policy/index.ts";

// As decision-values.ts, the other way round: questions to somebody else's rules, and answers that nobody vouches for.

/** An answer that is not one that can be acted on. */
export class InvalidDecision extends Error {
  readonly code = "ERR_SALLYPORT_INVALID_DECISION";
}

/** As `connect-request`. */
export function connectRequestValue({ host, port, groups }: ConnectRequest): wit.ConnectRequest {
  return { host: wellFormed(host), port: u32(port), groups: groups.map(wellFormed) };
}

/** As `client-hello-request`. */
export function clientHelloRequestValue({ serverName, ech, target, port, groups }: ClientHelloRequest): wit.ClientHelloRequest {
  return {
    serverName: serverName.tag === "dns" ? { tag: "dns", val: serverName.name } : { tag: serverName.tag },
    ech,
    ...(target === undefined ? {} : { target: { host: wellFormed(target.host), port: u32(target.port) } }),
    port: u32(port),
    groups: groups.map(wellFormed),
  };
}

/** As `http-request`. */
export function httpRequestValue(request: HttpRequest): wit.HttpRequest {
  const { host, port, secure, method, path, authority, upgrade, groups } = request;
  return {
    host: wellFormed(host),
    port: u32(port),
    secure,
    method: wellFormed(method),
    path: wellFormed(path),
    ...(authority === undefined ? {} : { authority: wellFormed(authority) }),
    ...(upgrade === undefined ? {} : { upgrade: wellFormed(upgrade) }),
    groups: groups.map(wellFormed),
  };
}

/** `connection-decision` from outside. @throws {InvalidDecision} */
export function connectionDecision(value: wit.ConnectionDecision): ConnectionDecision {
  if (value.tag === "deny") return { tag: "deny", because: because(value.val) };
  if (value.tag === "tunnel")
    return { tag: "tunnel", because: because(value.val.because), host: hostOf(value.val.host), opaque: value.val.opaque };
  if (value.tag === "intercept") return { tag: "intercept", ...route(value.val) };
  return { tag: "front", ...route(value.val.route), front: front(value.val) };
}

/** `request-decision` from outside. @throws {InvalidDecision} */
export function requestDecision(value: wit.RequestDecision): RequestDecision {
  if (value.tag === "deny") return { tag: "deny", because: because(value.val) };
  const { remove, set, secrets } = value.val.edits;
  return {
    tag: "allow",
    because: because(value.val.because),
    edits: {
      remove: remove.map(fieldName),
      // What a value may hold is looked at where it is written.
      set: set.map(([name, text]) => [fieldName(name), text]),
      secrets: secrets.map(({ secret, header }) => ({ secret, header: fieldName(header) })),
    },
  };
}

/** Records take anybody's own words for a reason. */
function because({ rule, reason }: wit.Because): Because {
  if (rule === "" || rule.startsWith("built-in:")) throw new InvalidDecision("a rule needs a name of its own");
  return { rule, reason: reason as Reason };
}

function hostOf(text: string): Host {
  const host = parseHost(text);
  if (host.tag === "invalid") throw new InvalidDecision("a host is none");
  return host;
}

function route({ because: why, host, inspect, upstream }: wit.Route): Route {
  const { alpn, anchors, onlyAnchors, pins, identity } = upstream;
  if (alpn.some((id) => !/^[\x21-\x7e]{1,255}$/.test(id))) throw new InvalidDecision("an ALPN id is none");
  if (pins.some((pin) => pin.length !== 32)) throw new InvalidDecision("a pin has not 32 bytes");
  return {
    because: because(why),
    host: hostOf(host),
    inspect,
    upstream: {
      // Where requests are looked at nothing else is spoken.
      alpn: inspect ? alpn.filter((id) => id === "http/1.1") : [...alpn],
      anchors: [...anchors],
      onlyAnchors,
      pins: [...pins],
      identity: optional(identity),
    },
  };
}

function front({ serverName, verifyNames, address }: wit.Front): Front {
  const to = optional(address);
  return {
    serverName: nameOf(serverName),
    verifyNames: verifyNames.map(nameOf),
    address: to === undefined ? undefined : { host: hostOf(to.host), port: numberOfU32(to.port) },
  };
}

function nameOf(text: string): string {
  const host = hostOf(text);
  if (host.tag !== "dns") throw new InvalidDecision("a name of a front is none");
  return text.toLowerCase();
}

function fieldName(text: string): string {
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/.test(text)) throw new InvalidDecision("the name of a field is none");
  return text.toLowerCase();
}
