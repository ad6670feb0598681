import type { TlsErrorValue } from "../io/source.ts";
import { WitError } from "../io/error.ts";
import { Relay } from "../forward/relay.ts";
import type { TcpConnection } from "../net/tcp-socket.ts";
import { TlsConnection } from "../tls/connection.ts";
import type { TlsHost } from "../tls/tls-host.ts";
import type { Attempt, DialError, Dialler } from "./dial.ts";
import type { Route } from "./route.ts";

/** Why a handshake did not come about: the WIT variant `sallyport:gateway/interceptor.failure`. */
export type Failure =
  | { tag: "dial"; val: DialError }
  | { tag: "tls"; val: [error: TlsErrorValue, detail: string | undefined] }
  | { tag: "timeout" };

/** A TLS connection with what moves its records. */
export interface Leg {
  readonly connection: TlsConnection;
  readonly carrier: Relay;
}

type State =
  | { tag: "dialling"; attempt: Attempt; unlisten: () => void }
  | { tag: "shaking-hands"; leg: Leg; unlisten: () => void }
  | { tag: "up"; leg: Leg }
  | { tag: "failed"; failure: Failure }
  | { tag: "over" };

/** The way to a server: dialled, then TLS. */
export class ServerLeg {
  readonly #tls: TlsHost;
  readonly #route: Route;
  readonly #settled: () => void;
  #state: State = { tag: "over" };
  #address: string | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param settled called when `leg` or `failure` is there; it may be so before `start` returns */
  constructor(tls: TlsHost, route: Route, settled: () => void) {
    this.#tls = tls;
    this.#route = route;
    this.#settled = settled;
  }

  /** Begin. @param label the guest's number, for the records */
  start(dialler: Dialler, label: number | undefined): void {
    const { host, port, connectTimeout } = this.#route;
    try {
      const attempt = dialler.dial(host, port, label, connectTimeout);
      this.#state = { tag: "dialling", attempt, unlisten: attempt.changed.listen(() => this.#dialled(attempt)) };
      // An address is looked at before there is anything to wait for.
      this.#dialled(attempt);
    } catch (error) {
      if (!(error instanceof WitError)) throw error;
      this.#state = { tag: "failed", failure: { tag: "dial", val: error.payload as DialError } };
    }
  }

  /** Set once it is up. */
  get leg(): Leg | undefined {
    return this.#state.tag === "up" ? this.#state.leg : undefined;
  }

  get failure(): Failure | undefined {
    return this.#state.tag === "failed" ? this.#state.failure : undefined;
  }

  /** What was connected to. */
  get address(): string | undefined {
    return this.#address;
  }

  /** Somebody else has it from here on. */
  take(): Leg | undefined {
    const { leg } = this;
    this.#state = { tag: "over" };
    return leg;
  }

  /** Nobody wants it any more, in whatever state. */
  giveUp(): void {
    const state = this.#state;
    this.#state = { tag: "over" };
    clearTimeout(this.#timer);
    if (state.tag === "dialling" || state.tag === "shaking-hands") state.unlisten();
    if (state.tag === "dialling") state.attempt.giveUp();
    else if (state.tag === "shaking-hands" || state.tag === "up") abandon(state.leg);
  }

  #dialled(attempt: Attempt): void {
    const { outcome } = attempt;
    if (this.#state.tag !== "dialling" || outcome === undefined) return;
    this.#state.unlisten();
    if (outcome.tag === "failed") return this.#fail({ tag: "dial", val: outcome.error });
    this.#address = outcome.address.text;
    this.#shakeHands(outcome.connection);
  }

  #shakeHands(tcp: TcpConnection): void {
    const { target, handshakeTimeout } = this.#route;
    const connection = this.#tls.isFull ? undefined : new TlsConnection(this.#tls, { role: "client", points: NO_POINTS }, target);
    if (connection === undefined || !this.#route.configure(connection)) {
      connection?.dropHandle();
      tcp.abort();
      return this.#fail({ tag: "tls", val: [{ tag: "not-permitted" }, undefined] });
    }
    const leg = { connection, carrier: carried(connection, tcp) };
    this.#state = { tag: "shaking-hands", leg, unlisten: connection.changed.listen(() => this.#look(leg)) };
    this.#timer = setTimeout(() => this.#timeUp(leg), handshakeTimeout);
    connection.start();
  }

  #look(leg: Leg): void {
    if (this.#state.tag !== "shaking-hands") return;
    const { phase } = leg.connection;
    const failure = failureOf(leg.connection);
    if (phase.tag !== "established" && failure === undefined) return;
    this.#state.unlisten();
    clearTimeout(this.#timer);
    if (failure !== undefined) {
      abandon(leg);
      return this.#fail(failure);
    }
    this.#state = { tag: "up", leg };
    this.#settled();
  }

  #timeUp(leg: Leg): void {
    if (this.#state.tag !== "shaking-hands") return;
    this.#state.unlisten();
    abandon(leg);
    this.#fail({ tag: "timeout" });
  }

  #fail(failure: Failure): void {
    this.#state = { tag: "failed", failure };
    this.#settled();
  }
}

/** Why a connection that was to be established has ended; `undefined` while nothing is known against it. */
export function failureOf({ outcome, detail }: TlsConnection): Failure | undefined {
  return outcome?.tag === "err" ? { tag: "tls", val: [outcome.val, detail?.toWellFormed()] } : undefined;
}

/** Have a TLS connection's records carried by a TCP connection. */
export function carried(connection: TlsConnection, tcp: TcpConnection): Relay {
  const { publicInput, publicOutput } = connection;
  const relay = new Relay(
    tcp,
    { source: publicInput, sink: publicOutput },
    { limit: undefined, atEnd: "propagate", idleTimeout: undefined },
  );
  relay.start();
  return relay;
}

/** Give up a connection whose data nobody has moved. What is on its way out, an alert for example, has a moment to leave. */
export function abandon({ connection, carrier }: Leg): void {
  connection.privateInput.close();
  connection.privateOutput.end();
  letGo({ connection, carrier });
}

/** The connection is over but for what is on its way. */
export function letGo({ connection, carrier }: Leg): void {
  connection.dropHandle();
  if (carrier.ready()) return carrier.drop();
  const timer = setTimeout(() => over(), LINGER).unref();
  const over = () => {
    clearTimeout(timer);
    stop();
    carrier.drop();
  };
  const stop = carrier.listen(() => {
    if (carrier.ready()) over();
  });
}

const NO_POINTS: ReadonlySet<never> = new Set();
/** Milliseconds. */
const LINGER = 1000;
