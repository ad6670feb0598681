import {
  type Connect,
  type Established,
  type Event as HostEvent,
  type Failure,
  type Hello,
  Interceptor,
  type InterceptorError,
  type ServerFailed,
} from "sallyport:gateway/interceptor@0.1.0";
import { dropInOrder } from "../../src/bindings/drop.ts";
import { attempt } from "../../src/bindings/errors.ts";
import { numberOfU64, u64 } from "../../src/bindings/integers.ts";
import { optional } from "../../src/bindings/option.ts";
import { LeafExpiredError } from "../../src/interception/leaf-cache.ts";
import type { TcpListener } from "../../src/net/listen.ts";
import { TcpConnection } from "../../src/net/tcp-connection.ts";
import { Event, type Scope, spawn, TimedOut } from "../../src/reactor/index.ts";
import { Carrier, TlsConnection, TlsError } from "../../src/tls/index.ts";
import { latin1 } from "../../src/wire/utf8.ts";
import { addressOf } from "./clients.ts";
import { DialFailed } from "./dialled.ts";
import { alert } from "./hello-reader.ts";
import { HostedDecisions, type HelloPlan, isSameAlpn, type Way } from "./hosted-decisions.ts";
import { AlpnMismatch, explainFailure, intercept, LEFT_SILENTLY, serveBoth } from "./intercept.ts";
import { type Leaf, NotIssued } from "./leaf-certificates.ts";
import { attend, leave, turnAway } from "./listeners.ts";
import type { Door } from "./proxy-auth.ts";
import { serveProxyClient } from "./proxy-client.ts";
import { NotRecorded, putOf, tell } from "./records.ts";
import { faultOf, IDLE } from "./relay-waiting.ts";
import { type Service, type Target, targetText, type Visit } from "./service.ts";
import { Connected, failureOf } from "./upstreams.ts";
import { seconds } from "./within.ts";

/**
 * Have the host take the clients of a listener from CONNECT to both TLS connections, as long as each is plain, and decide on
 * them. What is not goes on as with `takeClients`. No promise on this way: it is where a new connection costs.
 *
 * @param listener owned from here on
 * @param door who is let in there
 * @returns when nobody else is taken; those who are there go on
 */
export async function takeHosted(listener: TcpListener, service: Service, stopping: Scope, door: Door): Promise<void> {
  const started = attempt<Interceptor, InterceptorError>(() => Interceptor.start(listener.release()));
  if (started.tag === "err") throw new Error(`the host does not intercept: ${started.val}`);
  const hosted = new Hosted(started.val, service, door);
  spawn(() => hosted.follow());
  await new Promise<void>((resolve) =>
    stopping.onCancel(() => {
      hosted.finish();
      resolve();
    }),
  );
}

/** A client on its way through the host. */
interface Passage extends Visit {
  readonly id: number;
  readonly target: Target;
  /** Made at the hello. */
  plan: HelloPlan | undefined;
  way: Way | undefined;
  leafSerial: string | undefined;
  isEstablished: boolean;
  /** Stop listening for what ends it. */
  release: () => void;
}

class Hosted {
  private readonly interceptor: Interceptor;
  private readonly service: Service;
  private readonly door: Door;
  private readonly decisions: HostedDecisions;
  private readonly ready: Event;
  private readonly passages = new Map<number, Passage>();
  private isFinished = false;
  private isOver = false;

  constructor(interceptor: Interceptor, service: Service, door: Door) {
    this.interceptor = interceptor;
    this.service = service;
    this.door = door;
    this.decisions = new HostedDecisions(service);
    this.ready = new Event(() => interceptor.subscribe());
  }

  /** @throws {Cancelled} when it has finished, and nobody is left */
  async follow(): Promise<void> {
    for (;;) {
      await this.ready.wait();
      if (this.isOver) return;
      this.handleSome();
      this.endIfOver();
    }
  }

  /** Take no one else. */
  finish(): void {
    this.interceptor.finish();
    while (this.handleSome() > 0);
    this.isFinished = true;
    this.endIfOver();
  }

  private handleSome(): number {
    const events = this.interceptor.next();
    for (const event of events) {
      try {
        this.handle(event);
      } catch (error) {
        this.failed(event.tag === "other" ? event.val : event.val.id, error);
      }
    }
    return events.length;
  }

  private endIfOver(): void {
    if (!this.isFinished || this.isOver || this.passages.size > 0) return;
    this.isOver = true;
    dropInOrder(this.ready, this.interceptor, this.decisions);
  }

  /** A mistake of ours ends one connection. */
  private failed(id: number, error: unknown): void {
    this.service.complain(`a connection: ${error instanceof Error ? `${error.message}\n${error.stack}` : String(error)}`);
    const passage = this.passages.get(id);
    if (passage === undefined) attempt(() => this.interceptor.abort(id, alert.internalError));
    else this.abort(passage, error instanceof Error ? error : new Error(String(error)));
  }

  private handle(event: HostEvent): void {
    if (event.tag === "connect") return this.connect(event.val);
    if (event.tag === "other") return this.handOver(event.val);
    const { id } = event.val;
    const passage = this.passages.get(id);
    if (passage === undefined) return;
    switch (event.tag) {
      case "client-hello":
        return this.hello(passage, event.val);
      case "client-failed":
        return this.clientFailed(passage, errorOf(event.val.failure));
      case "established":
        return this.established(passage, event.val);
      case "server-failed":
        return this.serverFailed(passage, event.val);
      case "ended": {
        const { fromClient, toClient, outcome } = event.val;
        passage.client.tally.fromClient = numberOfU64(fromClient);
        passage.client.tally.toClient = numberOfU64(toClient);
        const error = faultOf(outcome);
        return this.over(passage, passage.client.tally.fromClient === 0 && error !== IDLE ? this.leftSilently(passage) : error);
      }
    }
  }

  private connect({ id, host, port, headBytes, address, authorization }: Connect): void {
    const { service, door } = this;
    const { limits, timeouts } = service.live.policy.settings;
    if (service.clients.size >= limits.connections) return this.handOver(id);
    const client = service.clients.enter(optional(address) ?? "?", door);
    const target = { host, port };
    const shown = optional(authorization);
    const visit = { client, service };
    try {
      const isLetIn = headBytes <= limits.headBytes && door.refusal(shown === undefined ? NONE : [shown], client) === undefined;
      const plan = isLetIn ? this.decisions.onConnect(target, client) : undefined;
      if (plan === undefined) return this.serveTaken(visit, id, serveProxyClient);
      const { decision, request, event } = plan;
      event.clientAddress = client.address;
      putOf(event, client.id);
      client.stillAllowed = service.decider.whenChanged((now) => now.decideConnect(request).tag === decision.tag);
    } catch (error) {
      if (error instanceof NotRecorded) return this.serveTaken(visit, id, serveProxyClient);
      leave(visit, "the proxy failed");
      throw error;
    }
    const passage: Passage = {
      client,
      service,
      id,
      target,
      plan: undefined,
      way: undefined,
      leafSerial: undefined,
      isEstablished: false,
      release: () => {},
    };
    // Later, as all that waits: whoever cancels it has more to say first.
    passage.release = client.scope.onCancel((reason) => spawn(async () => this.cancelled(passage, reason)));
    this.passages.set(id, passage);
    this.command(passage, () => this.interceptor.establish(id, u64(seconds(timeouts.handshake))));
  }

  private hello(passage: Passage, hello: Hello): void {
    const { client, service, target, id } = passage;
    const plan = this.decisions.onHello(target, hello, client);
    const way = plan === undefined ? undefined : this.decisions.wayOf(plan);
    if (plan === undefined || way === undefined) return this.interceptTaken(passage);
    try {
      putOf(plan.event, client.id);
    } catch (error) {
      if (!(error instanceof NotRecorded)) throw error;
      return this.interceptTaken(passage);
    }
    client.stillAllowed = service.decider.whenChanged((now) => plan.isStillAllowed(now));
    passage.plan = plan;
    passage.way = way;
    let leaf: Leaf;
    try {
      leaf = this.decisions.leafOf(plan, way, client);
    } catch (error) {
      return this.notIssued(passage, error);
    }
    const { identity, serial } = leaf;
    passage.leafSerial = serial;
    this.command(passage, () => this.interceptor.proceed(id, u64(client.id), identity, way.alpnId, way.route));
  }

  /** There is no certificate for the client. */
  private notIssued(passage: Passage, error: unknown): void {
    const { client, service, plan, target, id } = passage;
    if (!(error instanceof NotIssued) && !(error instanceof LeafExpiredError)) throw error;
    attempt(() => this.interceptor.abort(id, alert.internalError));
    if (error instanceof LeafExpiredError) return this.clientFailed(passage, error);
    const reason = `not-issued: ${error.reason}`;
    service.summary.denied++;
    tell("client-hello", client.id, {
      decision: "deny",
      rule: "built-in:constraints",
      reason,
      serverName: plan?.serverName,
      target: targetText(target),
    });
    this.over(passage, reason);
  }

  private established(passage: Passage, established: Established): void {
    const { client, service, id } = passage;
    const { destination } = passage.plan!;
    const upstreamAlpn = optional(established.server.alpnId);
    try {
      putOf(this.decisions.handshakeOf(passage.plan!, passage.way!, passage.leafSerial!, established), client.id);
      if (upstreamAlpn !== undefined && !isSameAlpn(upstreamAlpn, optional(established.client.alpnId))) {
        service.upstreams.forget(destination);
        throw new AlpnMismatch();
      }
    } catch (error) {
      return this.abort(passage, error as Error);
    }
    passage.isEstablished = true;
    service.summary.intercepted++;
    if (destination.route.inspect) {
      const [clientSide, serverSide] = this.takeEstablished(passage);
      const upstream = new Connected(serverSide!, established.serverAddress, upstreamAlpn === undefined ? undefined : latin1(upstreamAlpn));
      return void spawn(() =>
        attend(passage, (visit) => serveBoth(clientSide, visit, destination, upstream, () => this.leftSilently(passage))),
      );
    }
    const { timeouts } = service.live.policy.settings;
    this.command(passage, () => this.interceptor.relay(id, u64(seconds(timeouts.idle))));
  }

  private serverFailed(passage: Passage, { failure, serverAddress }: ServerFailed): void {
    const { destination } = passage.plan!;
    passage.service.upstreams.forget(destination);
    const reason = failureOf(errorOf(failure), optional(serverAddress));
    const [connection] = this.takeEstablished(passage);
    spawn(() =>
      attend(passage, async (visit) => {
        try {
          return await explainFailure(connection, visit, reason);
        } catch (error) {
          connection.abort(alert.internalError);
          throw error;
        } finally {
          connection[Symbol.dispose]();
        }
      }),
    );
  }

  /** The client did not get through. */
  private clientFailed(passage: Passage, error: Error): void {
    const { client, service, plan, leafSerial } = passage;
    service.summary.failed++;
    tell("handshake", client.id, { serverName: plan?.serverName, leafSerial, error: `client: ${error.message}` });
    this.over(passage, error.message);
  }

  /** Some clients look at the certificate only after the handshake, and say nothing when they do not like it. */
  private leftSilently({ client, service, plan, leafSerial }: Passage): string {
    service.summary.failed++;
    tell("handshake", client.id, { serverName: plan?.serverName, leafSerial, error: `client: ${LEFT_SILENTLY}` });
    return `the client ${LEFT_SILENTLY}`;
  }

  /** The policy no longer allows it, or the proxy stops. */
  private cancelled(passage: Passage, reason: Error): void {
    if (this.passages.get(passage.id) !== passage) return;
    if (passage.isEstablished) this.abort(passage, reason);
    else {
      attempt(() => this.interceptor.abort(passage.id, alert.internalError));
      this.clientFailed(passage, reason);
    }
    this.endIfOver();
  }

  private abort(passage: Passage, reason: Error): void {
    const aborted = attempt<[bigint, bigint], InterceptorError>(
      () => this.interceptor.abort(passage.id, alert.internalError) as [bigint, bigint],
    );
    if (aborted.tag === "ok") {
      passage.client.tally.fromClient += numberOfU64(aborted.val[0]);
      passage.client.tally.toClient += numberOfU64(aborted.val[1]);
    }
    this.over(passage, reason.message);
  }

  /** Give a command; if the host cannot carry it out, the connection is over. */
  private command(passage: Passage, give: () => void): void {
    const given = attempt<void, InterceptorError>(give);
    // One that the host does not know any more has an event that says why.
    if (given.tag === "ok" || given.val === "unknown") return;
    attempt(() => this.interceptor.abort(passage.id, alert.internalError));
    if (given.val === "gone") return this.over(passage, "the client left before it was told that it is connected");
    this.clientFailed(passage, new TlsError({ tag: given.val === "not-permitted" ? "not-permitted" : "internal" }));
  }

  private over(passage: Passage, error: string | undefined): void {
    this.forget(passage);
    leave(passage, error);
  }

  private forget({ id, release }: Passage): void {
    release();
    this.passages.delete(id);
  }

  /** A client of whom nothing was asked yet. */
  private handOver(id: number): void {
    const { service, door } = this;
    const tcp = this.take(id);
    if (tcp === undefined) return;
    if (service.clients.size >= service.live.policy.settings.limits.connections) return void spawn(() => turnAway(tcp, service));
    const visit = { client: service.clients.enter(addressOf(tcp), door), service };
    spawn(() => attend(visit, () => serveProxyClient(tcp, visit)));
  }

  private serveTaken(visit: Visit, id: number, serve: (tcp: TcpConnection, visit: Visit) => Promise<string | undefined>): void {
    const tcp = this.take(id);
    if (tcp === undefined) return leave(visit, undefined);
    spawn(() => attend(visit, () => serve(tcp, visit)));
  }

  /** There is more to do at this hello. */
  private interceptTaken(passage: Passage): void {
    const { id, target, client, service } = passage;
    this.forget(passage);
    this.serveTaken({ client, service }, id, (tcp, visit) => intercept(tcp, visit, { target, port: target.port }));
  }

  private take(id: number): TcpConnection | undefined {
    const taken = attempt(() => this.interceptor.take(id));
    return taken.tag === "ok" ? new TcpConnection(...taken.val) : undefined;
  }

  private takeEstablished(passage: Passage): [client: TlsConnection, server: TlsConnection | undefined] {
    this.forget(passage);
    const [client, given] = this.interceptor.takeEstablished(passage.id);
    const server = optional(given);
    return [
      new TlsConnection(client.server, new Carrier(client)),
      server === undefined ? undefined : new TlsConnection(server.client, new Carrier(server)),
    ];
  }
}

function errorOf(failure: Failure): Error {
  if (failure.tag === "dial") return new DialFailed(failure.val);
  if (failure.tag === "tls") return new TlsError(failure.val[0], optional(failure.val[1]));
  return new TimedOut();
}

const NONE: readonly string[] = [];
