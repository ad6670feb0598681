import { instanceNetwork } from "wasi:sockets/instance-network@0.2.12";
import type { TcpSocket } from "wasi:sockets/tcp@0.2.12";
import { createTcpSocket } from "wasi:sockets/tcp-create-socket@0.2.12";
import { dropInOrder } from "../bindings/drop.ts";
import { u64 } from "../bindings/integers.ts";
import type { Scope } from "../reactor/cancel.ts";
import { Event } from "../reactor/event.ts";
import { formatSocketAddress, fromWit, type SocketAddress, toWit } from "./socket-address.ts";
import { operate, tryOperation } from "./socket-error.ts";
import { TcpConnection } from "./tcp-connection.ts";

/**
 * Listen for TCP connections.
 *
 * @param at port 0 lets the host choose one: see `localAddress`
 * @param options.backlog how many connections may wait to be accepted
 * @throws {SocketError} `access-denied` without a grant, `address-in-use`, `address-not-bindable`
 */
export async function listenTcp(at: SocketAddress, options: { backlog?: number; scope?: Scope } = {}): Promise<TcpListener> {
  const operation = `listen on ${formatSocketAddress(at)}`;
  const socket = operate("create a socket", () => createTcpSocket(at.address.tag));
  const ready = new Event(() => socket.subscribe());
  try {
    using network = instanceNetwork();
    if (options.backlog !== undefined) operate(operation, () => socket.setListenBacklogSize(u64(options.backlog!)));
    operate(operation, () => socket.startBind(network, toWit(at)));
    while (tryOperation(operation, () => socket.finishBind()) === undefined) await ready.wait(options.scope);
    operate(operation, () => socket.startListen());
    while (tryOperation(operation, () => socket.finishListen()) === undefined) await ready.wait(options.scope);
  } catch (error) {
    dropInOrder(ready, socket);
    throw error;
  }
  return new TcpListener(socket, ready);
}

/** A listening TCP socket. Its connections come one by one: `for await (const connection of listener)`. */
export class TcpListener implements Disposable, AsyncIterable<TcpConnection> {
  private readonly socket: TcpSocket;
  private readonly ready: Event;

  constructor(socket: TcpSocket, ready: Event) {
    this.socket = socket;
    this.ready = ready;
  }

  /** Where it listens, with the port that the host chose. @throws {SocketError} */
  get localAddress(): SocketAddress {
    return fromWit(operate("local address", () => this.socket.localAddress()));
  }

  /** The next connection. @throws {SocketError} @throws {Cancelled} when the listener is closed, or the scope's reason */
  async accept(scope?: Scope): Promise<TcpConnection> {
    for (;;) {
      // An accept that would block is an error, which costs the guest several times what the question does.
      if (!this.ready.isReady()) await this.ready.wait(scope);
      const accepted = tryOperation("accept", () => this.socket.accept());
      if (accepted !== undefined) return new TcpConnection(...accepted.value);
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TcpConnection, void, void> {
    for (;;) yield await this.accept();
  }

  /** The socket, to hand it on. This listener is closed afterwards. */
  release(): TcpSocket {
    this.ready[Symbol.dispose]();
    return this.socket;
  }

  /** Listen no longer. An `accept` under way ends with `Cancelled`. Accepted connections stay. */
  [Symbol.dispose](): void {
    dropInOrder(this.ready, this.socket);
  }
}
