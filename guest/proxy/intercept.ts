import type { ClientHello, RequestedServerName } from "sallyport:tls/connection@0.1.0";
import { dropInOrder } from "../../src/bindings/drop.ts";
import { optional } from "../../src/bindings/option.ts";
import { type ClientHelloRequest, type ConnectionDecision, hostText } from "../../src/policy/index.ts";
import { Scope, TimedOut, timeout } from "../../src/reactor/index.ts";
import { acceptTls, type Answer, RefusePeer, type TlsConnection } from "../../src/tls/index.ts";
import { latin1 } from "../../src/wire/utf8.ts";
import { answer, linger } from "./answers.ts";
import type { ClientConnection } from "./client-connection.ts";
import { alert } from "./hello-reader.ts";
import { NotIssued } from "./leaf-certificates.ts";
import { decided, NotRecorded, type RecordFields, tell, tlsSide, write } from "./records.ts";
import { IDLE } from "./relay-waiting.ts";
import { relaySides } from "./relay.ts";
import { nextRequest } from "./request-head.ts";
import { serveInspected } from "./inspected.ts";
import { headBounds, type Target, targetText, type Visit } from "./service.ts";
import { type Destination, destinationOf, type UpstreamConnection, type UpstreamResult } from "./upstreams.ts";
import { seconds, within } from "./within.ts";

/** How an interception is entered. */
export interface Entrance {
  /** What CONNECT asked for; `undefined` where the hello is all there is. */
  readonly target: Target | undefined;
  /** The port that names of the hello are for without a target. */
  readonly port: number;
}

/**
 * End the client's TLS here, under a certificate for exactly the name that it asks for, and go on to the server.
 *
 * @param tcp owned from here on
 * @returns what went wrong, for the record
 */
export async function intercept(tcp: ClientConnection, visit: Visit, entrance: Entrance): Promise<string | undefined> {
  const { client, service } = visit;
  const { timeouts } = service.live.policy.settings;
  const interception = new Interception(visit, entrance);
  let connection: TlsConnection | undefined;
  let server: UpstreamConnection | undefined;
  try {
    try {
      connection = await within(
        seconds(timeouts.handshake),
        (scope) => acceptTls(tcp, { onClientHello: (hello) => interception.onHello(hello), scope }),
        client.scope,
      );
    } catch (error) {
      return interception.handshakeFailed(error);
    }
    interception.accepted(connection);
    const { destination, upstream } = interception.plan!;
    const result = await upstream;
    if (result.tag === "err") return await explainFailure(connection, visit, result.val);
    server = result.val;
    interception.connected(server);
    if (server.alpn !== undefined && server.alpn !== interception.plan!.alpn) {
      service.upstreams.forget(destination);
      throw new AlpnMismatch();
    }
    service.summary.intercepted++;
    if (destination.route.inspect) {
      const first = server;
      server = undefined;
      return await inspect(connection, visit, destination, first, () => interception.leftSilently());
    }
    const sides = { idle: seconds(timeouts.idle), scope: client.scope, tally: client.tally };
    const { error, fromClient } = await relaySides(connection, server.tls, sides);
    return fromClient === 0 && error !== IDLE ? interception.leftSilently() : error;
  } catch (error) {
    // Never a clean end of what is not complete.
    connection?.abort(alert.internalError);
    throw error;
  } finally {
    interception.end();
    dropInOrder(server, connection);
  }
}

/**
 * Serve the requests of a client whose connection the host made, with that to the server.
 *
 * @param connection owned from here on, as is `server`
 * @param leftSilently what to say of a client that sent nothing
 * @returns what went wrong, for the record
 */
export async function serveBoth(
  connection: TlsConnection,
  visit: Visit,
  destination: Destination,
  server: UpstreamConnection,
  leftSilently: () => string,
): Promise<string | undefined> {
  try {
    return await inspect(connection, visit, destination, server, leftSilently);
  } catch (error) {
    connection.abort(alert.internalError);
    throw error;
  } finally {
    dropInOrder(connection);
  }
}

async function inspect(
  connection: TlsConnection,
  visit: Visit,
  destination: Destination,
  server: UpstreamConnection,
  leftSilently: () => string,
): Promise<string | undefined> {
  const error = await serveInspected(connection, visit, destination, server);
  return visit.client.tally.fromClient === 0 && error === undefined ? leftSilently() : error;
}

/** The server speaks another protocol than the one that the client was told. */
export class AlpnMismatch extends Error {
  readonly code = "ERR_SALLYPORT_ALPN_MISMATCH";

  constructor() {
    super("the server chose another protocol than it did before");
  }
}

interface Plan {
  readonly destination: Destination;
  /** What the client is told; `undefined`: it offered none. */
  readonly alpn: string | undefined;
  readonly upstream: Promise<UpstreamResult>;
}

/** From the client hello to both handshakes. */
class Interception {
  plan: Plan | undefined;
  private readonly visit: Visit;
  private readonly entrance: Entrance;
  private readonly scope: Scope;
  private serverName: string | undefined;
  private refusal: string | undefined;
  private taken = false;

  constructor(visit: Visit, entrance: Entrance) {
    this.visit = visit;
    this.entrance = entrance;
    this.scope = new Scope(visit.client.scope);
  }

  /** Name, deny list, route or front, constraints, certificate; the server is connected to meanwhile. */
  async onHello(hello: ClientHello): Promise<Answer> {
    const { client, service } = this.visit;
    const request = this.requestOf(hello);
    const decision = await service.decider.decideClientHello(request, client.id);
    this.serverName = shownName(hello);
    const offered = hello.alpnIds.map(latin1);
    const destination = destinationOf(decision, this.port);
    if (destination === undefined || service.certificates === undefined) {
      const because = decision.tag === "deny" ? decision.because : { rule: decision.because.rule, reason: "not-intercepted" as const };
      throw this.refuse(alertFor(decision, because.reason), decided({ tag: "deny" }, because));
    }
    const allowed = destination.route.inspect ? ["http/1.1"] : destination.route.upstream.alpn;
    const common = allowed.filter((id) => offered.includes(id));
    if (offered.length > 0 && common.length === 0)
      throw this.refuse(alert.noApplicationProtocol, { ...decided({ tag: "deny" }, decision.because), reason: "no-common-alpn" });
    this.record({ ...decided(decision, decision.because), route: hostText(destination.route.host) });
    client.stillAllowed = service.decider.whenChanged((now) => sameWay(decision, now.decideClientHello(request)));
    const known = common.length === 1 ? { alpn: common[0] } : service.upstreams.known(destination);
    const alpn = known?.alpn !== undefined && common.includes(known.alpn) ? known.alpn : undefined;
    const begun = common.length === 0 ? [] : alpn === undefined ? common : [alpn];
    const upstream = this.connect(destination, begun);
    // Issued while the connection to the server comes about.
    const lease = await this.leafFor(destination);
    if (this.scope.reason !== undefined) {
      // The client went meanwhile: nobody would give it back.
      lease[Symbol.dispose]();
      throw this.scope.reason;
    }
    this.lease = lease;
    const leaf = lease.identity;
    this.leafSerial = leaf.serial;
    const chosen = common.length === 0 ? undefined : (alpn ?? (await this.choiceOf(upstream, destination, common)));
    this.plan = { destination, alpn: chosen, upstream };
    return { identities: [leaf.identity], ...(chosen === undefined ? {} : { alpn: [chosen] }) };
  }
  private leafSerial: string | undefined;
  private lease: Disposable | undefined;

  /** Both sides are up. */
  connected(server: UpstreamConnection): void {
    this.taken = true;
    this.upstreamSide = { upstreamSide: tlsSide(server.tls.info), upstreamAddress: server.address };
    write("handshake", this.visit.client.id, {
      serverName: this.serverName,
      leafSerial: this.leafSerial,
      ...this.clientSide,
      ...this.upstreamSide,
    });
  }
  private clientSide: RecordFields = {};
  private upstreamSide: RecordFields = {};

  /** The client took the certificate. */
  accepted(connection: TlsConnection): void {
    this.lease?.[Symbol.dispose]();
    this.clientSide = { clientSide: tlsSide(connection.info) };
  }

  /** The client did not get through. @returns why @throws what is no matter of the client's */
  handshakeFailed(error: unknown): string {
    const { client, service } = this.visit;
    if (this.refusal !== undefined) return this.refusal;
    if (error instanceof NotRecorded) throw error;
    service.summary.failed++;
    const message = error instanceof Error ? error.message : String(error);
    tell("handshake", client.id, { serverName: this.serverName, leafSerial: this.leafSerial, error: `client: ${message}` });
    return message;
  }

  /** Some clients look at the certificate only after the handshake, and say nothing when they do not like it. */
  leftSilently(): string {
    const { client, service } = this.visit;
    service.summary.failed++;
    tell("handshake", client.id, { serverName: this.serverName, leafSerial: this.leafSerial, error: `client: ${LEFT_SILENTLY}` });
    return `the client ${LEFT_SILENTLY}`;
  }

  /** Whatever is still under way is nobody's any more. */
  end(): void {
    this.lease?.[Symbol.dispose]();
    if (!this.taken) {
      this.scope.cancel();
      void this.started?.then((result) => result.tag === "ok" && result.val[Symbol.dispose]());
    }
    this.scope[Symbol.dispose]();
  }
  private started: Promise<UpstreamResult> | undefined;

  private get port(): number {
    return this.entrance.target?.port ?? this.entrance.port;
  }

  private requestOf({ serverName, encryptedClientHello }: ClientHello): ClientHelloRequest {
    const { target, port } = this.entrance;
    return {
      serverName: askedName(serverName),
      ech: encryptedClientHello,
      target,
      port,
      groups: this.visit.client.groups,
    };
  }

  private connect(destination: Destination, alpn: readonly string[]): Promise<UpstreamResult> {
    const { client, service } = this.visit;
    const { timeouts } = service.live.policy.settings;
    return (this.started = service.upstreams.connect(destination, {
      connection: client.id,
      alpn,
      connectTime: seconds(timeouts.connect),
      handshakeTime: seconds(timeouts.handshake),
      scope: this.scope,
    }));
  }

  /** What the server chose of all that the client can. A server that cannot be reached is told to the client in HTTP/1.1. */
  private async choiceOf(
    upstream: Promise<UpstreamResult>,
    destination: Destination,
    common: readonly string[],
  ): Promise<string | undefined> {
    const { service } = this.visit;
    // The client's own handshake is timed too: half of it is left for what comes after this.
    const patience = seconds(service.live.policy.settings.timeouts.handshake) / 2n;
    const result = await timeout(patience, () => upstream, this.scope).catch((error: unknown) => {
      if (!(error instanceof TimedOut)) throw error;
    });
    if (result?.tag !== "ok") return common.includes("http/1.1") ? "http/1.1" : common[0];
    service.upstreams.learn(destination, result.val.alpn);
    // Without ALPN it is HTTP/1.1, if anything that we know.
    return result.val.alpn ?? (common.includes("http/1.1") ? "http/1.1" : undefined);
  }

  private async leafFor({ route }: Destination) {
    const { service } = this.visit;
    try {
      return await service.certificates!.leafFor(service.live.policy, route.host);
    } catch (error) {
      if (!(error instanceof NotIssued)) throw error;
      throw this.refuse(alert.internalError, { decision: "deny", rule: "built-in:constraints", reason: `not-issued: ${error.reason}` });
    }
  }

  private refuse(description: number, fields: RecordFields): RefusePeer {
    this.visit.service.summary.denied++;
    this.refusal = fields.reason ?? "refused";
    this.record(fields);
    return new RefusePeer(this.refusal, description);
  }

  private record(fields: RecordFields): void {
    const { target } = this.entrance;
    write("client-hello", this.visit.client.id, {
      ...fields,
      serverName: this.serverName,
      ...(target === undefined ? {} : { target: targetText(target) }),
    });
  }
}

/** Tell a client that speaks HTTP/1.1 why there is no server; any other is cut. */
export async function explainFailure(
  connection: TlsConnection,
  { client, service }: Visit,
  failure: { reason: string; message: string; address: string | undefined; status: number },
): Promise<string> {
  service.summary.failed++;
  tell("handshake", client.id, {
    ...(failure.address === undefined ? {} : { upstreamAddress: failure.address }),
    clientSide: tlsSide(connection.info),
    error: `upstream: ${failure.reason}`,
  });
  const alpn = optional(connection.info.alpnId);
  const incoming =
    alpn === undefined || latin1(alpn) === "http/1.1"
      ? await nextRequest(connection.reader, headBounds(service), client.scope, client.idle)
      : undefined;
  if (incoming?.tag !== "request") {
    connection.abort(alert.internalError);
    return failure.reason;
  }
  const isHead = incoming.head.method === "HEAD";
  client.tally.toClient += await answer(connection.writer, failure.status, failure.message, {
    close: true,
    head: isHead,
    scope: client.scope,
  });
  await connection.end(client.scope);
  await linger(connection.reader, seconds(1));
  return failure.reason;
}

/** Whether a connection that was decided on like this may go on after that. */
export function sameWay(before: ConnectionDecision, after: ConnectionDecision): boolean {
  if (before.tag === "deny" || after.tag === "deny" || before.tag !== after.tag) return false;
  if (before.tag === "tunnel" || after.tag === "tunnel") return true;
  return before.inspect === after.inspect;
}

function alertFor(decision: ConnectionDecision, reason: string): number {
  return decision.tag === "deny" && !NAME_REASONS.has(reason) ? alert.accessDenied : alert.unrecognizedName;
}

/** What is said of a client that went without a byte. */
export const LEFT_SILENTLY = "left after the handshake without a byte: it may not trust the certificate";

const NAME_REASONS: ReadonlySet<string> = new Set(["no-server-name", "invalid-server-name", "server-name-mismatch"]);

/** The name of a hello, to decide on. */
export function askedName(name: RequestedServerName): ClientHelloRequest["serverName"] {
  if (name.tag === "dns") return { tag: "dns", name: name.val };
  return name.tag === "invalid" ? { tag: "invalid", bytes: name.val } : { tag: "none" };
}

/** Anything that came in place of a name as printable text. */
export function shownName({ serverName }: Pick<ClientHello, "serverName">): string | undefined {
  if (serverName.tag === "dns") return serverName.val;
  return serverName.tag === "invalid" ? latin1(serverName.val.subarray(0, MAX_SHOWN)) : undefined;
}

const MAX_SHOWN = 300;
