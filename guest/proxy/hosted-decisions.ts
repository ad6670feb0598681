import type { Event } from "sallyport:gateway/audit@0.1.0";
import { type Established, type Hello, type InterceptorError, Route } from "sallyport:gateway/interceptor@0.1.0";
import type { ConnectionInfo } from "sallyport:tls/connection@0.1.0";
import { dropInOrder } from "../../src/bindings/drop.ts";
import { attempt } from "../../src/bindings/errors.ts";
import { u64 } from "../../src/bindings/integers.ts";
import { optional } from "../../src/bindings/option.ts";
import { encodeUtf8, wellFormed } from "../../src/bindings/text.ts";
import type { Lease } from "../../src/interception/leaf-cache.ts";
import { type ConnectionDecision, type ConnectRequest, hostText } from "../../src/policy/index.ts";
import { type Nanoseconds, SECOND } from "../../src/reactor/index.ts";
import { latin1 } from "../../src/wire/utf8.ts";
import type { Client } from "./clients.ts";
import type { Policies } from "./decider.ts";
import { askedName, sameWay, shownName } from "./intercept.ts";
import type { Leaf } from "./leaf-certificates.ts";
import { PolicyUnusable } from "./live-policy.ts";
import { decided, recordOf, tlsSide } from "./records.ts";
import { type Service, type Target, targetText } from "./service.ts";
import { type Destination, destinationOf } from "./upstreams.ts";
import { seconds } from "./within.ts";

/** A CONNECT that is going to be intercepted. */
export interface ConnectPlan {
  readonly request: ConnectRequest;
  readonly decision: ConnectionDecision;
  /** The record of it, for any client. */
  readonly event: Event;
}

/** A hello that is answered. */
export interface HelloPlan {
  readonly destination: Destination;
  readonly serverName: string | undefined;
  /** The record of it, for any client. */
  readonly event: Event;
  /** What client and route have in common. */
  readonly common: readonly string[];
  isStillAllowed(now: Policies): boolean;
  /** By the ALPN id that is offered to the server. */
  readonly ways: Map<string | undefined, Way>;
}

/** What the host needs to go on from a hello. */
export interface Way {
  readonly alpnId: Uint8Array | undefined;
  readonly route: Route;
  /** Held while the way is known. */
  leaf: Lease<Leaf> | undefined;
  /** When the certificate was looked at: it has an end. */
  leafAt: Nanoseconds;
  /** The record of the handshakes that came about last on this way. */
  handshake: Handshake | undefined;
}

/** Both handshakes, and the record of them. */
interface Handshake {
  readonly client: ConnectionInfo;
  readonly server: ConnectionInfo;
  readonly serverAddress: string;
  readonly leafSerial: string;
  readonly event: Event;
}

/**
 * What is decided on connections that the host may take through. Clients ask for the same servers again and again: as long as
 * the policy is the same, so are the decisions, and what the host was given for them.
 */
export class HostedDecisions implements Disposable {
  private readonly service: Service;
  private readonly connects = new Map<string, ConnectPlan>();
  private readonly hellos = new Map<string, HelloPlan>();
  private basis: object | undefined;

  constructor(service: Service) {
    this.service = service;
  }

  /** @returns `undefined` if there is more to do, or something else than to intercept */
  onConnect(target: Target, client: Client): ConnectPlan | undefined {
    this.checkBasis();
    const { decider, certificates } = this.service;
    const text = targetText(target);
    // Decisions on those who are somebody are not remembered.
    if (client.groups.length > 0 || text.length > MOST_KEY) return undefined;
    const known = this.connects.get(text);
    if (known !== undefined) return known;
    const request = { ...target, groups: client.groups };
    const decision = decider.decideConnect(request, client.id);
    if (decision instanceof Promise || certificates === undefined) return undefined;
    if (decision.tag !== "intercept" && decision.tag !== "front") return undefined;
    const event = recordOf("connection", undefined, { ...decided(decision, decision.because), target: text });
    const plan = { request, decision, event };
    keep(this.connects, MOST_KNOWN, text, plan);
    return plan;
  }

  /** @returns `undefined` for what is refused, or not plain */
  onHello(target: Target, hello: Hello, client: Client): HelloPlan | undefined {
    this.checkBasis();
    const { serverName: name, alpnIds, encryptedClientHello: ech } = hello;
    if (name.tag === "invalid") return undefined;
    const offered = alpnIds.map(latin1);
    const key = `${targetText(target)} ${name.tag === "dns" ? name.val : ""} ${ech} ${JSON.stringify(offered)}`;
    if (client.groups.length > 0 || key.length > MOST_KEY) return undefined;
    const known = this.hellos.get(key);
    if (known !== undefined) return known;
    const request = { serverName: askedName(name), ech, target, port: target.port, groups: client.groups };
    const decision = this.service.decider.decideClientHello(request, client.id);
    if (decision instanceof Promise) return undefined;
    const destination = destinationOf(decision, target.port);
    if (destination === undefined || destination.route.upstream.pins.length > 0) return undefined;
    const allowed = destination.route.inspect ? ["http/1.1"] : destination.route.upstream.alpn;
    const common = allowed.filter((id) => offered.includes(id));
    if (offered.length > 0 && common.length === 0) return undefined;
    const serverName = shownName(hello);
    const plan: HelloPlan = {
      destination,
      serverName,
      event: recordOf("client-hello", undefined, {
        ...decided(decision, decision.because),
        route: hostText(destination.route.host),
        serverName,
        target: targetText(target),
      }),
      common,
      isStillAllowed: (now) => sameWay(decision, now.decideClientHello(request)),
      ways: new Map(),
    };
    // Each may hold a certificate, of which an operator may want few.
    const most = Math.max(1, Math.min(MOST_KNOWN, this.service.live.policy.settings.limits.leafCache));
    keep(this.hellos, most, key, plan, dropWays);
    return plan;
  }

  /** @returns `undefined` if the server's protocol, or whom to trust, has to be found out first */
  wayOf({ destination, common, ways }: HelloPlan): Way | undefined {
    const chosen = common.length === 1 ? common[0] : common.length === 0 ? undefined : this.service.upstreams.known(destination)?.alpn;
    if (common.length > 0 && (chosen === undefined || !common.includes(chosen))) return undefined;
    const known = ways.get(chosen);
    if (known !== undefined) return known;
    const route = this.routeTo(destination, chosen);
    if (route === undefined) return undefined;
    const alpnId = chosen === undefined ? undefined : encodeUtf8(chosen);
    const way: Way = { route, alpnId, leaf: undefined, leafAt: 0n, handshake: undefined };
    ways.set(chosen, way);
    return way;
  }

  /** What the client is shown. @throws {NotIssued} @throws {LeafExpiredError} */
  leafOf({ destination }: HelloPlan, way: Way, { began }: Client): Leaf {
    if (way.leaf !== undefined && began - way.leafAt < LEAF_TIME) return way.leaf.identity;
    const { certificates, live } = this.service;
    const leaf = certificates!.leafNow(live.policy, destination.route.host);
    way.leaf?.[Symbol.dispose]();
    way.leaf = leaf;
    way.leafAt = began;
    return leaf.identity;
  }

  /** The record of handshakes that came about. */
  handshakeOf({ serverName }: HelloPlan, way: Way, leafSerial: string, { client, server, serverAddress }: Established): Event {
    const last = way.handshake;
    const isSame =
      last !== undefined &&
      last.leafSerial === leafSerial &&
      last.serverAddress === serverAddress &&
      isSameSide(last.client, client) &&
      isSameSide(last.server, server);
    if (isSame) return last.event;
    const event = recordOf("handshake", undefined, {
      serverName,
      leafSerial,
      clientSide: tlsSide(client),
      upstreamSide: tlsSide(server),
      upstreamAddress: serverAddress,
    });
    way.handshake = { client, server, serverAddress, leafSerial, event };
    return event;
  }

  private routeTo(destination: Destination, alpn: string | undefined): Route | undefined {
    const { live, upstreams } = this.service;
    const { timeouts } = live.policy.settings;
    const { route, front, port } = destination;
    const to = front?.address ?? { host: route.host, port };
    try {
      const { anchors, identities = [], names = [] } = upstreams.expectations(destination);
      const made = attempt<Route, InterceptorError>(() =>
        Route.make({
          host: wellFormed(hostText(to.host)),
          port: to.port,
          connectTimeout: u64(seconds(timeouts.connect)),
          handshakeTimeout: u64(seconds(timeouts.handshake)),
          serverName: wellFormed(front?.serverName ?? hostText(route.host)),
          anchors,
          names: names.map(wellFormed),
          alpnIds: alpn === undefined ? [] : [encodeUtf8(alpn)],
          identities,
        }),
      );
      return made.tag === "ok" ? made.val : undefined;
    } catch (error) {
      if (error instanceof PolicyUnusable) return undefined;
      throw error;
    }
  }

  /** Forget everything. */
  [Symbol.dispose](): void {
    this.connects.clear();
    for (const plan of Array.from(this.hellos.values())) dropWays(plan);
    this.hellos.clear();
  }

  /** What another policy said no longer holds. */
  private checkBasis(): void {
    const basis = this.service.decider.basis();
    if (basis === this.basis) return;
    this[Symbol.dispose]();
    this.basis = basis;
  }
}

function keep<T>(map: Map<string, T>, most: number, key: string, value: T, forget?: (gone: T) => void): void {
  if (map.size >= most) {
    const [oldest] = map;
    map.delete(oldest![0]);
    forget?.(oldest![1]);
  }
  map.set(key, value);
}

function dropWays({ ways }: HelloPlan): void {
  const dropped = Array.from(ways.values());
  ways.clear();
  for (const { leaf, route } of dropped) dropInOrder(leaf, route);
}

/** Whether they are recorded in the same words. */
function isSameSide(a: ConnectionInfo, b: ConnectionInfo): boolean {
  return a.protocolVersion === b.protocolVersion && a.cipherSuite === b.cipherSuite && isSameAlpn(optional(a.alpnId), optional(b.alpnId));
}

/** Whether both sides speak the same protocol. */
export function isSameAlpn(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

/** The host lets an instance hold 4096 identities at a time, of which the cache has 3072. */
const MOST_KNOWN = 512;
/** How long a certificate that was good enough to be shown still is. */
const LEAF_TIME = SECOND;
const MOST_KEY = 512;
