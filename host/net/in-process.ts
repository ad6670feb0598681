import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { MessagePort } from "node:worker_threads";
import type { IpAddress } from "../../src/wire/ip-address.ts";
import { Signal } from "../io/signal.ts";
import type { ListenerState } from "./listener.ts";
import { PortDuplex } from "./port-duplex.ts";

/**
 * Where a component listens for the program that its host runs in: an address that no network has (RFC 6666). What comes to a
 * listener there came through no network, and no other program can send it.
 */
export const IN_PROCESS = { address: "100::", port: 1, text: "[100::]:1" } as const;

/** Whether an address is that. */
export function isInProcess(address: IpAddress, port: number): boolean {
  return address.text === IN_PROCESS.address && port === IN_PROCESS.port;
}

/**
 * Whether a connection came from the own process. Its addresses do not say: whoever routes the packets of this machine can send
 * some from any address.
 */
export function isFromOwnProcess(socket: Socket): boolean {
  return (socket as Duplex) instanceof InProcessSocket;
}

/** The clients of one instance that are in its own process: a listener like those of TCP, in place of a bound socket and beside them. */
export class InProcessListener implements Disposable {
  /** Notified when there is a connection to accept. */
  readonly changed = new Signal();
  readonly #waiting = new Set<InProcessSocket>();
  #count = 0;
  #isClosed = false;

  /** A client has come. @param port owned from here on; its other end is the client's */
  connect(port: MessagePort): void {
    if (this.#isClosed || this.#waiting.size >= BACKLOG) return port.close();
    this.#count = (this.#count % MAX_PORT) + 1;
    const socket = new InProcessSocket(port, this.#count);
    socket.on("error", () => {}).once("close", () => this.#waiting.delete(socket));
    this.#waiting.add(socket);
    this.changed.notify();
  }

  state(): ListenerState {
    return { tag: "listening" };
  }

  address(): AddressInfo {
    return { address: IN_PROCESS.address, port: IN_PROCESS.port, family: "IPv6" };
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  accept(): Socket | undefined {
    for (const socket of this.#waiting) {
      this.#waiting.delete(socket);
      // It has all that this host uses of a socket; only who wants its handle finds none (`attach` of TLS).
      return socket as Duplex as Socket;
    }
    return undefined;
  }

  /** Take no more. Clients that wait are reset. */
  close(): void {
    this.#isClosed = true;
    for (const socket of this.#waiting) socket.resetAndDestroy();
    this.#waiting.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A connection from the own process, as far as this host uses sockets. */
class InProcessSocket extends PortDuplex {
  readonly remoteAddress = IN_PROCESS.address;
  readonly remotePort: number;
  readonly localAddress = IN_PROCESS.address;
  readonly localPort = IN_PROCESS.port;

  constructor(port: MessagePort, remotePort: number) {
    super(port, { allowHalfOpen: true });
    this.remotePort = remotePort;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }
}

const BACKLOG = 511;
const MAX_PORT = 65_535;
