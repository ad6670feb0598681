import type { BoundSocket } from "node:net";
import type { IpAddress } from "../../src/wire/ip-address.ts";
import { Signal } from "../io/signal.ts";
import { DialledSocket } from "./dialled-socket.ts";
import { NetworkError, networkErrorCode } from "./network-error.ts";

/** Where to connect. It must have been permitted before. */
export interface DialTarget {
  address: IpAddress;
  port: number;
  /** The zone of a link-local IPv6 address. */
  scopeId?: number;
  /** A socket that is bound already; the dial owns it from here on. */
  from?: BoundSocket;
}

export type DialState = { tag: "pending" } | { tag: "connected"; socket: DialledSocket } | { tag: "failed"; error: NetworkError };

/** One connection attempt to one address. */
export class Dial {
  /** Notified when it is over. */
  readonly changed = new Signal();
  readonly #socket: DialledSocket;
  #state: DialState = { tag: "pending" };

  constructor(target: DialTarget) {
    this.#socket = new DialledSocket(target.from);
    this.#socket.once("connect", this.#onConnect).once("error", this.#onError);
    const zone = target.scopeId === undefined || target.scopeId === 0 ? "" : `%${target.scopeId}`;
    this.#socket.connect({ host: target.address.text + zone, port: target.port });
  }

  state(): DialState {
    return this.#state;
  }

  /** The socket, connected or not, for whoever has to close it. */
  get socket(): DialledSocket {
    return this.#socket;
  }

  /** Give up: the socket is closed, also if it is connected. */
  cancel(): void {
    this.#socket.destroy();
    this.#settle({ tag: "failed", error: new NetworkError("connection-aborted") });
  }

  readonly #onConnect = (): void => {
    this.#socket.off("error", this.#onError).pause();
    // Until someone takes the socket over, an error of it must not take the process down.
    this.#socket.on("error", () => {});
    this.#settle({ tag: "connected", socket: this.#socket });
  };

  readonly #onError = (cause: Error): void => {
    this.#settle({ tag: "failed", error: new NetworkError(networkErrorCode(cause)) });
  };

  #settle(state: DialState): void {
    if (this.#state.tag !== "pending") return;
    this.#state = state;
    this.changed.notify();
  }
}
