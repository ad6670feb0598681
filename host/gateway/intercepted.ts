import type { KeyPair } from "../identity/private-identity.ts";
import { Relay, type RelayOutcome } from "../forward/relay.ts";
import { Alert } from "../tls/alert.ts";
import { TlsConnection } from "../tls/connection.ts";
import type { TlsHost } from "../tls/tls-host.ts";
import type { AcceptedConnection } from "../wasi/tcp.ts";
import type { Dialler } from "./dial.ts";
import { MAX_PLAIN_CONNECT, type PlainConnect, readPlainConnect } from "./plain-connect.ts";
import type { Route } from "./route.ts";
import { abandon, carried, type Failure, failureOf, type Leg, letGo, ServerLeg } from "./server-leg.ts";

/** What a connection asks for, or tells. */
export type Happening =
  /** `headBytes`: of the whole head. */
  | { tag: "connect"; request: PlainConnect; headBytes: number }
  /** Something else than a plain CONNECT, or nothing so far. */
  | { tag: "other" }
  | { tag: "client-hello"; server: TlsConnection }
  | { tag: "client-failed"; failure: Failure }
  | { tag: "established"; client: TlsConnection; server: TlsConnection; address: string }
  | { tag: "server-failed"; client: TlsConnection; failure: Failure; address: string | undefined }
  | { tag: "ended"; fromClient: number; toClient: number; outcome: RelayOutcome };

/** Why a command does nothing: of the WIT enum `interceptor-error`. */
export type Refusal = "wrong-phase" | "gone" | "not-permitted";

/** What one needs of the others' world. */
export interface InterceptedContext {
  readonly tls: TlsHost;
  readonly dialler: Dialler;
  happened(what: Happening): void;
  /** The connection is no longer ours: over, or somebody else's. */
  gone(): void;
}

type Phase =
  /** Nothing of the first head has come. */
  | { tag: "reading"; unlisten: () => void }
  /** The guest was asked about the head, which is kept to be put back. */
  | { tag: "asked"; head: Uint8Array; isPlain: boolean }
  | { tag: "awaiting-hello"; leg: Leg; unlisten: () => void }
  /** The guest was asked about the hello. */
  | { tag: "held"; leg: Leg; unlisten: () => void }
  | { tag: "shaking-hands"; leg: Leg; server: ServerLeg; unlisten: () => void }
  /** The guest was told how it went. */
  | { tag: "settled"; leg: Leg; server: ServerLeg }
  | { tag: "relaying"; leg: Leg; server: Leg; relay: Relay }
  | { tag: "over" };

/** One client of an interceptor, from its accept to its end. Commands say why they do nothing. */
export class Intercepted {
  readonly #accepted: AcceptedConnection;
  readonly #context: InterceptedContext;
  #phase: Phase = { tag: "over" };
  #timer: NodeJS.Timeout | undefined;

  constructor(accepted: AcceptedConnection, context: InterceptedContext) {
    this.#accepted = accepted;
    this.#context = context;
  }

  /** Begin to read. Something may have happened before this returns. */
  start(): void {
    const { source } = this.#accepted.connection;
    // Not before what has come meanwhile is read: a busy thread is late for both.
    this.#timer = setTimeout(() => setImmediate(() => this.ask()), HEAD_TIME);
    this.#phase = { tag: "reading", unlisten: source.changed.listen(() => this.#read()) };
    this.#read();
  }

  /** Wait for the head no longer: the guest knows how long it wants to. */
  ask(): void {
    if (this.#phase.tag === "reading") this.#ask(EMPTY, undefined);
  }

  /** @param timeout milliseconds @returns why not */
  establish(timeout: number): Refusal | undefined {
    const phase = this.#phase;
    if (phase.tag !== "asked" || !phase.isPlain) return "wrong-phase";
    const { tls } = this.#context;
    const { connection: tcp } = this.#accepted;
    if (tcp.sink.state().tag !== "open") return "gone";
    if (tls.isFull) return "not-permitted";
    tcp.sink.write(ESTABLISHED);
    const connection = new TlsConnection(tls, { role: "server", points: HELLO });
    const unlisten = connection.changed.listen(() => this.#look());
    this.#timer = setTimeout(() => this.#clientFailed({ tag: "timeout" }), timeout);
    const leg = { connection, carrier: carried(connection, tcp) };
    this.#phase = { tag: "awaiting-hello", leg, unlisten };
    connection.start();
    return undefined;
  }

  /** @returns why not */
  proceed(label: number | undefined, identity: KeyPair, alpnId: Uint8Array | undefined, route: Route): Refusal | undefined {
    const phase = this.#phase;
    if (phase.tag !== "held") return "wrong-phase";
    const { tls, dialler } = this.#context;
    const { connection } = phase.leg;
    const own = identity.origin === "guest" ? [{ thing: identity, size: identity.chain.size }] : [];
    if (!connection.configured("identities", own)) return "not-permitted";
    connection.settings.identities = [identity];
    connection.settings.alpnIds = alpnId === undefined ? [] : [alpnId];
    const server = new ServerLeg(tls, route, () => this.#look());
    this.#phase = { ...phase, tag: "shaking-hands", server };
    server.start(dialler, label);
    connection.resume([]);
    this.#look();
    return undefined;
  }

  /** @param idleTimeout milliseconds @returns why not */
  relay(idleTimeout: number): Refusal | undefined {
    const phase = this.#phase;
    if (phase.tag !== "settled" || phase.server.leg === undefined) return "wrong-phase";
    const server = phase.server.take()!;
    const { connection: client } = phase.leg;
    const relay = new Relay(
      { source: client.privateInput, sink: client.privateOutput },
      { source: server.connection.privateInput, sink: server.connection.privateOutput },
      { limit: undefined, atEnd: "propagate", idleTimeout },
    );
    this.#phase = { tag: "relaying", leg: phase.leg, server, relay };
    const stop = relay.listen(() => {
      if (!relay.ready() || this.#phase.tag !== "relaying") return;
      stop();
      this.#relayed(relay);
    });
    relay.start();
    return undefined;
  }

  /** The connection as it was accepted, with all that the client sent still to be read but what was answered. */
  take(): AcceptedConnection | undefined {
    const phase = this.#phase;
    if (phase.tag === "asked") this.#accepted.connection.source.unread(phase.head);
    else if (phase.tag === "held") {
      phase.unlisten();
      phase.leg.carrier.release();
      this.#accepted.connection.source.unread(phase.leg.connection.withdraw() ?? EMPTY);
    } else return undefined;
    this.#end();
    return this.#accepted;
  }

  /** Both legs, or the client's alone where there is no server. */
  takeEstablished(): { client: Leg; server: Leg | undefined } | undefined {
    const phase = this.#phase;
    if (phase.tag !== "settled") return undefined;
    const taken = { client: phase.leg, server: phase.server.take() };
    this.#end();
    return taken;
  }

  /** End it, with an alert to the client where one can be sent. @returns bytes from the client, and to it */
  abort(alert: number): [fromClient: number, toClient: number] {
    const phase = this.#phase;
    if (phase.tag === "over") return [0, 0];
    this.#end();
    switch (phase.tag) {
      case "reading":
        phase.unlisten();
        this.#hangUp();
        return [0, 0];
      case "asked":
        this.#hangUp();
        return [0, 0];
      case "awaiting-hello":
      case "held":
      case "shaking-hands":
        phase.unlisten();
        if (phase.tag === "shaking-hands") phase.server.giveUp();
        phase.leg.connection.abort(alert);
        abandon(phase.leg);
        return [0, 0];
      case "settled":
        phase.server.giveUp();
        phase.leg.connection.abort(alert);
        abandon(phase.leg);
        return [0, 0];
      case "relaying": {
        const { transferred } = phase.relay;
        // Never a clean end of what is not complete.
        phase.leg.connection.abort(alert);
        phase.relay.drop();
        letGo(phase.leg);
        letGo(phase.server);
        return transferred;
      }
    }
  }

  #read(): void {
    if (this.#phase.tag !== "reading") return;
    const { source } = this.#accepted.connection;
    if (source.available() === 0) {
      if (source.state().tag !== "open") this.#ask(EMPTY, undefined);
      return;
    }
    const chunk = source.readChunk(MAX_PLAIN_CONNECT);
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    const end = bytes.indexOf("\r\n\r\n");
    const request = end < 0 ? undefined : readPlainConnect(bytes.toString("latin1", 0, end + 2));
    if (request === undefined) return this.#ask(chunk, undefined);
    this.#phase.unlisten();
    source.unread(chunk.subarray(end + 4));
    this.#ask(chunk.subarray(0, end + 4), request);
  }

  #ask(head: Uint8Array, request: PlainConnect | undefined): void {
    if (this.#phase.tag === "reading") this.#phase.unlisten();
    clearTimeout(this.#timer);
    this.#phase = { tag: "asked", head, isPlain: request !== undefined };
    this.#context.happened(request === undefined ? { tag: "other" } : { tag: "connect", request, headBytes: head.length });
  }

  /** Something of one of the handshakes has changed. */
  #look(): void {
    const phase = this.#phase;
    if (phase.tag !== "awaiting-hello" && phase.tag !== "held" && phase.tag !== "shaking-hands") return;
    const { leg, unlisten } = phase;
    const { connection } = leg;
    const failure = failureOf(connection);
    if (failure !== undefined) return this.#clientFailed(failure);
    if (phase.tag === "awaiting-hello" && connection.canSuspend) {
      this.#phase = { ...phase, tag: "held" };
      connection.suspend();
      this.#context.happened({ tag: "client-hello", server: connection });
      return;
    }
    if (phase.tag !== "shaking-hands" || connection.info() === undefined) return;
    // From here on it is not the client who is waited for.
    clearTimeout(this.#timer);
    const { server } = phase;
    const settled = server.leg ?? server.failure;
    if (settled === undefined) return;
    unlisten();
    this.#phase = { tag: "settled", leg, server };
    const { failure: missing, address } = server;
    this.#context.happened(
      missing === undefined
        ? { tag: "established", client: connection, server: server.leg!.connection, address: address! }
        : { tag: "server-failed", client: connection, failure: missing, address },
    );
  }

  #clientFailed(failure: Failure): void {
    const phase = this.#phase;
    if (phase.tag !== "awaiting-hello" && phase.tag !== "held" && phase.tag !== "shaking-hands") return;
    phase.unlisten();
    if (phase.tag === "shaking-hands") phase.server.giveUp();
    this.#phase = { tag: "over" };
    if (failure.tag === "timeout") phase.leg.connection.abort(Alert.internalError);
    abandon(phase.leg);
    this.#context.happened({ tag: "client-failed", failure });
    this.#end();
  }

  #relayed(relay: Relay): void {
    const phase = this.#phase;
    if (phase.tag !== "relaying") return;
    const [fromClient, toClient] = relay.transferred;
    this.#phase = { tag: "over" };
    relay.drop();
    letGo(phase.leg);
    letGo(phase.server);
    this.#context.happened({ tag: "ended", fromClient, toClient, outcome: relay.outcome! });
    this.#end();
  }

  #hangUp(): void {
    const { source, sink } = this.#accepted.connection;
    source.close();
    sink.end();
  }

  #end(): void {
    this.#phase = { tag: "over" };
    clearTimeout(this.#timer);
    this.#context.gone();
  }
}

const EMPTY = new Uint8Array(0);
const ESTABLISHED = Buffer.from("HTTP/1.1 200 Connection Established\r\n\r\n", "latin1");
const HELLO: ReadonlySet<"client-hello"> = new Set(["client-hello"] as const);
/** Milliseconds that a head may take which is sent with the connection. Whoever is slower is the guest's to wait for. */
const HEAD_TIME = 100;
