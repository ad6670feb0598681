import { BoundSocket, type Socket } from "node:net";
import type { HostContext } from "../context.ts";
import { WitError } from "../io/error.ts";
import { InputStream } from "../io/input-stream.ts";
import { Resource } from "../io/ledger.ts";
import { OutputStream } from "../io/output-stream.ts";
import { Pollable } from "../io/poll.ts";
import type { Readiness } from "../io/signal.ts";
import { Dial } from "../net/dial.ts";
import { InProcessListener, isInProcess } from "../net/in-process.ts";
import { Listener } from "../net/listener.ts";
import { type NetworkErrorCode, networkErrorCode } from "../net/network-error.ts";
import { TCP_BUFFER, TcpConnection } from "../net/tcp-socket.ts";
import { type WitFamily, type WitSocketAddress, fromWit, isBindable, isConnectable, toWit } from "./socket-address.ts";
import { SocketOptions } from "./socket-options.ts";

/** wasi:sockets/network `network`. What it stands for is decided by the instance's grants alone. */
export class Network extends Resource {}

/** The WIT enum wasi:sockets/tcp `shutdown-type`. */
export type ShutdownType = "receive" | "send" | "both";

/** A connection that a listener accepted, for host code. */
export interface AcceptedConnection {
  readonly socket: Socket;
  readonly connection: TcpConnection;
}

/** Where a socket is in the life that wasi:sockets gives it. */
type State =
  | { tag: "unbound" }
  | { tag: "bind-started"; bound: BoundSocket | InProcessListener }
  | { tag: "bound"; bound: BoundSocket | InProcessListener }
  | { tag: "connect-started"; dial: Dial }
  | { tag: "connected"; socket: Socket; connection: TcpConnection }
  | { tag: "listen-started"; listener: Listener | InProcessListener }
  | { tag: "listening"; listener: Listener | InProcessListener }
  /** A connect or listen failed: nothing can be done with it any more. */
  | { tag: "closed" };

/** wasi:sockets/tcp `tcp-socket`. Every method throws `WitError` with the WIT's `error-code`. */
export class TcpSocket extends Resource {
  readonly #context: HostContext;
  readonly #family: WitFamily;
  readonly #options: SocketOptions;
  #state: State = { tag: "unbound" };
  #disown = () => {};

  constructor(context: HostContext, family: WitFamily, options: SocketOptions = new SocketOptions()) {
    super(context.ledger);
    this.#context = context;
    this.#family = family;
    this.#options = options;
  }

  startBind(_network: Network, localAddress: WitSocketAddress): void {
    this.#expect("unbound");
    const { address, port, scopeId } = fromWit(localAddress);
    if (!isBindable(address, this.#family)) throw refuse("invalid-argument");
    const bound = attempt(() => {
      this.#context.access.permitListen(address, port);
      const { inProcess } = this.#context;
      if (inProcess !== undefined && isInProcess(address, port)) return inProcess;
      const host = address.text + (scopeId === 0 ? "" : `%${scopeId}`);
      return new BoundSocket({ host, port, ipv6Only: address.tag === "ipv6", reusePort: this.#context.reusePort });
    });
    this.#own(() => bound[Symbol.dispose]());
    this.#state = { tag: "bind-started", bound };
  }

  finishBind(): void {
    if (this.#state.tag !== "bind-started") throw refuse("not-in-progress");
    this.#state = { tag: "bound", bound: this.#state.bound };
  }

  startConnect(_network: Network, remoteAddress: WitSocketAddress): void {
    this.#expect("unbound", "bound");
    const remote = fromWit(remoteAddress);
    if (!isConnectable(remote, this.#family)) throw refuse("invalid-argument");
    attempt(() => this.#context.access.permitConnect(remote.address, remote.port));
    const from = this.#state.tag === "bound" ? this.#state.bound : undefined;
    if (from instanceof InProcessListener) throw refuse("invalid-state");
    const dial = attempt(() => new Dial({ ...remote, ...(from === undefined ? {} : { from }) }));
    this.#own(() => dial.cancel());
    this.#state = { tag: "connect-started", dial };
  }

  finishConnect(): [InputStream, OutputStream] {
    if (this.#state.tag !== "connect-started") throw refuse("not-in-progress");
    const outcome = this.#state.dial.state();
    if (outcome.tag === "pending") throw refuse("would-block");
    if (outcome.tag === "failed") {
      this.#disown();
      this.#state = { tag: "closed" };
      throw refuse(outcome.error.code);
    }
    return this.#connected(outcome.socket);
  }

  startListen(): void {
    this.#expect("bound");
    if (this.#state.tag !== "bound") return;
    const { bound } = this.#state;
    const listener = attempt(() => (bound instanceof InProcessListener ? bound : new Listener(bound, this.#options.backlog)));
    this.#own(() => listener.close());
    this.#state = { tag: "listen-started", listener };
  }

  finishListen(): void {
    if (this.#state.tag !== "listen-started") throw refuse("not-in-progress");
    const { listener } = this.#state;
    const outcome = listener.state();
    if (outcome.tag === "starting") throw refuse("would-block");
    if (outcome.tag === "listening") {
      this.#state = { tag: "listening", listener };
      return;
    }
    this.#disown();
    listener.close();
    this.#state = { tag: "closed" };
    throw refuse(outcome.error.code);
  }

  accept(): [TcpSocket, InputStream, OutputStream] {
    if (this.#state.tag !== "listening") throw refuse("invalid-state");
    const { listener } = this.#state;
    const outcome = listener.state();
    if (outcome.tag === "failed") throw refuse(outcome.error.code);
    if (listener.waiting === 0) throw refuse("would-block");
    // First, as it traps at the limit of handles: until then the listener owns the connection.
    const accepted = new TcpSocket(this.#context, this.#family, this.#options.inherited());
    const socket = this.#nextPermitted(listener);
    if (socket === undefined) {
      accepted[Symbol.dispose]();
      throw refuse("would-block");
    }
    const [input, output] = accepted.#connected(socket);
    return [accepted, input, output];
  }

  /** For host code: where this listens, if it does so on a network. */
  get listener(): Listener | undefined {
    return this.#state.tag === "listening" && this.#state.listener instanceof Listener ? this.#state.listener : undefined;
  }

  /** For host code: as `accept`, without handles. @returns `undefined` if nobody waits */
  acceptConnection(): AcceptedConnection | undefined {
    const { listener } = this;
    const socket = listener === undefined ? undefined : this.#nextPermitted(listener);
    if (socket === undefined) return undefined;
    this.#options.apply(socket);
    return { socket, connection: this.#adopt(socket) };
  }

  /** For host code: handles to a connection that this listener accepted. */
  handlesTo({ socket, connection }: AcceptedConnection): [TcpSocket, InputStream, OutputStream] {
    const accepted = new TcpSocket(this.#context, this.#family, this.#options.inherited());
    return [accepted, ...accepted.#open(socket, connection)];
  }

  localAddress(): WitSocketAddress {
    const state = this.#state;
    let local: WitSocketAddress | undefined;
    if (state.tag === "bound") local = toWit(state.bound.address().address, state.bound.address().port);
    if (state.tag === "listening") local = toWit(state.listener.address()?.address, state.listener.address()?.port);
    if (state.tag === "connected") local = toWit(state.socket.localAddress, state.socket.localPort);
    return local ?? fail("invalid-state");
  }

  remoteAddress(): WitSocketAddress {
    const state = this.#state;
    const remote = state.tag === "connected" ? toWit(state.socket.remoteAddress, state.socket.remotePort) : undefined;
    return remote ?? fail("invalid-state");
  }

  isListening(): boolean {
    return this.#state.tag === "listening";
  }

  addressFamily(): WitFamily {
    return this.#family;
  }

  setListenBacklogSize(value: bigint): void {
    if (value === 0n) throw refuse("invalid-argument");
    if (this.#state.tag === "listening" || this.#state.tag === "listen-started") throw refuse("not-supported");
    if (this.#state.tag === "connected" || this.#state.tag === "connect-started") throw refuse("invalid-state");
    this.#options.backlog = value > 4096n ? 4096 : Number(value);
  }

  keepAliveEnabled(): boolean {
    return this.#options.keepAlive;
  }

  setKeepAliveEnabled(value: boolean): void {
    this.#options.keepAlive = value;
    this.#applyOptions();
  }

  keepAliveIdleTime(): bigint {
    return this.#options.idle;
  }

  setKeepAliveIdleTime(value: bigint): void {
    if (value === 0n) throw refuse("invalid-argument");
    this.#options.idle = wholeSeconds(value);
    this.#applyOptions();
  }

  keepAliveInterval(): bigint {
    return this.#options.interval;
  }

  setKeepAliveInterval(value: bigint): void {
    if (value === 0n) throw refuse("invalid-argument");
    this.#options.interval = wholeSeconds(value);
    this.#applyOptions();
  }

  keepAliveCount(): number {
    return this.#options.count;
  }

  setKeepAliveCount(value: number): void {
    if (value === 0) throw refuse("invalid-argument");
    this.#options.count = Math.min(value, 127);
    this.#applyOptions();
  }

  /** Remembered only: Node cannot set it. */
  hopLimit(): number {
    return this.#options.hopLimit;
  }

  setHopLimit(value: number): void {
    if (value === 0) throw refuse("invalid-argument");
    this.#options.hopLimit = value;
  }

  /** Sizes are hints, and what the host really holds is the same for every connection. */
  receiveBufferSize(): bigint {
    return this.#options.receiveBuffer ?? BigInt(TCP_BUFFER);
  }

  setReceiveBufferSize(value: bigint): void {
    if (value === 0n) throw refuse("invalid-argument");
    this.#options.receiveBuffer = value;
  }

  sendBufferSize(): bigint {
    return this.#options.sendBuffer ?? BigInt(TCP_BUFFER);
  }

  setSendBufferSize(value: bigint): void {
    if (value === 0n) throw refuse("invalid-argument");
    this.#options.sendBuffer = value;
  }

  subscribe(): Pollable {
    return new Pollable(this.ledger, this.#readiness(), this);
  }

  shutdown(type: ShutdownType): void {
    if (this.#state.tag !== "connected") throw refuse("invalid-state");
    const { connection } = this.#state;
    if (type !== "send") connection.source.shutdown();
    if (type !== "receive") connection.sink.end();
  }

  protected override release(): void {
    const { tag } = this.#state;
    // A connection lives as long as its streams do, or whatever took them over; it closes itself when both are given up.
    if (tag === "connected") return;
    this.#releaseNow();
  }

  #connected(socket: Socket): [InputStream, OutputStream] {
    this.#disown();
    const streams = this.#open(socket, this.#adopt(socket));
    this.#applyOptions();
    return streams;
  }

  #adopt(socket: Socket): TcpConnection {
    const connection = new TcpConnection(socket);
    const disown = this.ledger.own(() => socket.destroy());
    socket.once("close", disown);
    if (socket.destroyed) disown();
    return connection;
  }

  #open(socket: Socket, connection: TcpConnection): [InputStream, OutputStream] {
    this.#state = { tag: "connected", socket, connection };
    return [new InputStream(this.ledger, connection.source, this), new OutputStream(this.ledger, connection.sink, this)];
  }

  /** One that has to be recorded and cannot be is as if it had never come. */
  #nextPermitted(listener: Listener | InProcessListener): Socket | undefined {
    for (let socket = listener.accept(); socket !== undefined; socket = listener.accept()) {
      if (this.#context.onAccept(socket)) return socket;
      socket.resetAndDestroy();
    }
    return undefined;
  }

  #applyOptions(): void {
    if (this.#state.tag === "connected") this.#options.apply(this.#state.socket);
  }

  #expect(...tags: State["tag"][]): void {
    const { tag } = this.#state;
    if (tags.includes(tag)) return;
    throw refuse(tag.endsWith("-started") ? "concurrency-conflict" : "invalid-state");
  }

  /** Replace what the instance owns for this socket. */
  #own(close: () => void): void {
    this.#disown();
    this.#releaseNow = () => {
      this.#disown();
      close();
    };
    this.#disown = this.ledger.own(close);
  }

  #releaseNow = (): void => {};

  /** Looks at the state at each question: one pollable serves the socket's whole life. */
  #readiness(): Readiness {
    return {
      ready: () => {
        const state = this.#state;
        if (state.tag === "connect-started") return state.dial.state().tag !== "pending";
        if (state.tag === "listen-started") return state.listener.state().tag !== "starting";
        if (state.tag === "listening") return state.listener.waiting > 0 || state.listener.state().tag === "failed";
        return true;
      },
      listen: (wake) => {
        const state = this.#state;
        if (state.tag === "connect-started") return state.dial.changed.listen(wake);
        if (state.tag === "listen-started" || state.tag === "listening") return state.listener.changed.listen(wake);
        return () => {};
      },
    };
  }
}

function refuse(code: NetworkErrorCode): WitError<NetworkErrorCode> {
  return new WitError(code);
}

function fail(code: NetworkErrorCode): never {
  throw refuse(code);
}

/** Run what may fail in Node or by the grants, and say it in the WIT's words. */
function attempt<T>(run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw refuse(networkErrorCode(cause));
  }
}

/** What the system can keep of a time: whole seconds, at least one. */
function wholeSeconds(nanoseconds: bigint): bigint {
  const seconds = (nanoseconds + 999_999_999n) / 1_000_000_000n;
  return (seconds > 32_767n ? 32_767n : seconds) * 1_000_000_000n;
}
