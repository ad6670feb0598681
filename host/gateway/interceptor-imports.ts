import type { PrivateIdentity } from "../identity/private-identity.ts";
import { Relayer } from "../forward/imports.ts";
import type { RelayOutcome } from "../forward/relay.ts";
import { WitError } from "../io/error.ts";
import { InputStream } from "../io/input-stream.ts";
import { type Ledger, Resource } from "../io/ledger.ts";
import { OutputStream } from "../io/output-stream.ts";
import { Pollable } from "../io/poll.ts";
import { Signal } from "../io/signal.ts";
import { Alert } from "../tls/alert.ts";
import type { ConnectionInfo } from "../tls/connection-info.ts";
import type { Endpoint } from "../tls/endpoint.ts";
import type { ConnectionImports } from "../tls/imports.ts";
import { checkAlpnIds } from "../tls/settings.ts";
import { type HelloRecord, helloRecord } from "../tls/suspension.ts";
import type { TlsHost } from "../tls/tls-host.ts";
import type { TcpSocket } from "../wasi/tcp.ts";
import { endpointText } from "./accepted.ts";
import { type Dialler, labelOf } from "./dial.ts";
import { type Happening, Intercepted, type Refusal } from "./intercepted.ts";
import { handshakeTime, type RouteOptions, RouteResource } from "./route.ts";
import type { Failure, Leg } from "./server-leg.ts";

/** The WIT enum `interceptor-error`. */
export type InterceptorError = "unknown" | Refusal | "invalid-argument";

/** The WIT variant `event`. */
export type WitEvent =
  | { tag: "connect"; val: { id: number; address?: string; host: string; port: number; headBytes: number; authorization?: string } }
  | { tag: "other"; val: number }
  | { tag: "client-hello"; val: { id: number } & Pick<HelloRecord, "serverName" | "alpnIds" | "encryptedClientHello"> }
  | { tag: "client-failed"; val: { id: number; failure: Failure } }
  | { tag: "established"; val: { id: number; client: ConnectionInfo; server: ConnectionInfo; serverAddress: string } }
  | { tag: "server-failed"; val: { id: number; client: ConnectionInfo; failure: Failure; serverAddress?: string } }
  | { tag: "ended"; val: { id: number; fromClient: bigint; toClient: bigint; outcome: RelayOutcome } };

/** What the WIT records `client-side` and `server-side` have in common. */
export interface Handles {
  carrier: Relayer;
  privateInput: InputStream;
  privateOutput: OutputStream;
}

/** What interceptors of one instance need and share. */
export interface InterceptorContext {
  ledger: Ledger;
  tls: TlsHost;
  dialler: Dialler;
  /** Of the same instance's `sallyport:tls/connection`. */
  connections: ConnectionImports;
}

/** The imports `sallyport:gateway/interceptor` of one instance. */
export interface InterceptorImports {
  Route: {
    /** @throws {WitError<InterceptorError>} */
    make(options: RouteOptions): RouteResource;
  };
  Interceptor: {
    /** @throws {WitError<InterceptorError>} */
    start(listener: TcpSocket): Interceptor;
  };
}

/** Make them. */
export function interceptorImports(context: InterceptorContext): InterceptorImports {
  const { ledger, tls } = context;
  const shared = { clients: 0, most: Math.floor(ledger.limits.handles / HANDLES_OF_A_CLIENT) };
  return {
    Route: class extends RouteResource {
      static make(options: RouteOptions): RouteResource {
        return this.of(ledger, tls, options);
      }
    },
    Interceptor: class extends Interceptor {
      static start(listener: TcpSocket): Interceptor {
        if (listener.hasChildren || listener.listener === undefined) throw refused("invalid-argument");
        return new this(context, shared, listener);
      }
    },
  };
}

interface Entry {
  readonly intercepted: Intercepted;
  readonly address: string | undefined;
}

/** The WIT resource `interceptor`. */
export class Interceptor extends Resource {
  readonly #context: InterceptorContext;
  readonly #changed = new Signal();
  readonly #shared: { clients: number; readonly most: number };
  readonly #clients = new Map<number, Entry>();
  readonly #events: WitEvent[] = [];
  readonly #unlisten: () => void;
  readonly #disown: () => void;
  readonly #listener: TcpSocket;
  #isFinished = false;
  #lastId = 0;

  /**
   * @param shared how many clients all interceptors of the instance have, and may have
   * @param listener owned from here on
   */
  constructor(context: InterceptorContext, shared: { clients: number; readonly most: number }, listener: TcpSocket) {
    super(context.ledger);
    this.#context = context;
    this.#shared = shared;
    this.#listener = listener;
    this.#unlisten = listener.listener!.changed.listen(() => this.#accept());
    this.#disown = context.ledger.own(() => this.#endAll());
    this.#accept();
  }

  subscribe(): Pollable {
    return new Pollable(
      this.ledger,
      this.#changed.when(() => this.#events.length > 0),
    );
  }

  next(): WitEvent[] {
    const events = this.#events.splice(0, MOST_AT_ONCE);
    this.#accept();
    return events;
  }

  finish(): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#unlisten();
    this.#listener[Symbol.dispose]();
    for (const { intercepted } of Array.from(this.#clients.values())) intercepted.ask();
  }

  /** @throws {WitError<InterceptorError>} */
  establish(id: number, timeout: bigint): void {
    answer(this.#client(id).establish(handshakeTime(timeout)));
  }

  /** @throws {WitError<InterceptorError>} */
  proceed(id: number, label: bigint, identity: PrivateIdentity, alpnId: Uint8Array | undefined, { route }: RouteResource): void {
    const client = this.#client(id);
    const [alpn] = alpnId === undefined ? [] : checkedAlpn(alpnId);
    answer(client.proceed(labelOf(label), identity.keyPair, alpn, route));
  }

  /** @throws {WitError<InterceptorError>} */
  relay(id: number, idleTimeout: bigint): void {
    // Never sooner than was asked for.
    answer(this.#client(id).relay(Number((idleTimeout + 999_999n) / 1_000_000n)));
  }

  /** @throws {WitError<InterceptorError>} */
  take(id: number): [TcpSocket, InputStream, OutputStream] {
    const accepted = this.#client(id).take();
    if (accepted === undefined) throw refused("wrong-phase");
    return this.#listener.handlesTo(accepted);
  }

  /** @throws {WitError<InterceptorError>} */
  takeEstablished(id: number): [client: { server: Endpoint } & Handles, server: ({ client: Endpoint } & Handles) | undefined] {
    const taken = this.#client(id).takeEstablished();
    if (taken === undefined) throw refused("wrong-phase");
    const { Client, Server } = this.#context.connections;
    const { client, server } = taken;
    return [
      { server: new Server(client.connection), ...this.#handlesTo(client) },
      server === undefined ? undefined : { client: new Client(server.connection), ...this.#handlesTo(server) },
    ];
  }

  /** @throws {WitError<InterceptorError>} */
  abort(id: number, alert: number): [bigint, bigint] {
    const client = this.#client(id);
    if (alert === Alert.closeNotify || alert === Alert.userCanceled) throw refused("invalid-argument");
    const [fromClient, toClient] = client.abort(alert);
    return [BigInt(fromClient), BigInt(toClient)];
  }

  protected override release(): void {
    this.#disown();
    this.finish();
    this.#endAll();
  }

  #accept(): void {
    while (!this.#isFinished && this.#shared.clients < this.#shared.most && this.#events.length < MOST_EVENTS) {
      const accepted = this.#listener.acceptConnection();
      if (accepted === undefined) return;
      const id = this.#nextId();
      const { remoteAddress, remotePort } = accepted.socket;
      const { tls, dialler } = this.#context;
      const intercepted = new Intercepted(accepted, {
        tls,
        dialler,
        happened: (what) => this.#happened(id, what),
        gone: () => {
          if (this.#clients.delete(id)) this.#shared.clients--;
          this.#accept();
        },
      });
      this.#shared.clients++;
      this.#clients.set(id, { intercepted, address: endpointText(remoteAddress, remotePort) });
      intercepted.start();
    }
  }

  #nextId(): number {
    do this.#lastId = (this.#lastId + 1) % 2 ** 31;
    while (this.#clients.has(this.#lastId));
    return this.#lastId;
  }

  #happened(id: number, what: Happening): void {
    this.#events.push(eventOf(id, this.#clients.get(id)?.address, what));
    if (this.#events.length === 1) this.#changed.notify();
  }

  #client(id: number): Intercepted {
    const entry = this.#clients.get(id);
    if (entry === undefined) throw refused("unknown");
    return entry.intercepted;
  }

  #handlesTo({ connection, carrier }: Leg): Handles {
    const { ledger } = this;
    return {
      carrier: new Relayer(ledger, carrier),
      privateInput: new InputStream(ledger, connection.privateInput),
      privateOutput: new OutputStream(ledger, connection.privateOutput),
    };
  }

  #endAll(): void {
    this.#isFinished = true;
    for (const { intercepted } of Array.from(this.#clients.values())) intercepted.abort(Alert.internalError);
    this.#events.length = 0;
  }
}

function eventOf(id: number, address: string | undefined, what: Happening): WitEvent {
  switch (what.tag) {
    case "connect": {
      const { host, port, authorization } = what.request;
      return {
        tag: "connect",
        val: {
          id,
          host,
          port,
          headBytes: what.headBytes,
          ...(address === undefined ? {} : { address }),
          ...(authorization === undefined ? {} : { authorization }),
        },
      };
    }
    case "other":
      return { tag: "other", val: id };
    case "client-hello":
      return { tag: "client-hello", val: { id, ...helloRecord(what.server.hello!) } };
    case "client-failed":
      return { tag: "client-failed", val: { id, failure: what.failure } };
    case "established":
      return {
        tag: "established",
        val: { id, client: what.client.info()!, server: what.server.info()!, serverAddress: what.address },
      };
    case "server-failed":
      return {
        tag: "server-failed",
        val: {
          id,
          client: what.client.info()!,
          failure: what.failure,
          ...(what.address === undefined ? {} : { serverAddress: what.address }),
        },
      };
    case "ended":
      return {
        tag: "ended",
        val: { id, fromClient: BigInt(what.fromClient), toClient: BigInt(what.toClient), outcome: what.outcome },
      };
  }
}

function answer(refusal: Refusal | undefined): void {
  if (refusal !== undefined) throw refused(refusal);
}

function checkedAlpn(id: Uint8Array): Uint8Array[] {
  try {
    return checkAlpnIds([id]);
  } catch (error) {
    if (error instanceof WitError) throw refused("invalid-argument");
    throw error;
  }
}

function refused(error: InterceptorError): WitError<InterceptorError> {
  return new WitError(error);
}

const MOST_AT_ONCE = 64;
/** Events that wait for the guest before nobody is accepted any more. */
const MOST_EVENTS = 1024;
/** What one costs a guest that accepts it by itself. */
const HANDLES_OF_A_CLIENT = 3;
