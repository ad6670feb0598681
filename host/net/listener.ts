import { type AddressInfo, type BoundSocket, type Server, type Socket, createServer } from "node:net";
import { Signal } from "../io/signal.ts";
import { NetworkError, networkErrorCode } from "./network-error.ts";
import { listens } from "./own-listeners.ts";

export type ListenerState = { tag: "starting" } | { tag: "listening" } | { tag: "failed"; error: NetworkError };

/** A listening socket with the connections that nobody has accepted yet. */
export class Listener {
  /** Notified when it listens, failed, or has a connection to accept. */
  readonly changed = new Signal();
  readonly #server: Server;
  readonly #waiting = new Set<Socket>();
  readonly #limit: number;
  readonly #stopped = listens(this);
  #state: ListenerState = { tag: "starting" };

  /**
   * @param bound owned by the listener from here on. Bind with `reusePort` to share a port between threads.
   * @param backlog connections that may wait; what comes on top of that is reset.
   */
  constructor(bound: BoundSocket, backlog: number) {
    this.#limit = Math.min(Math.max(1, backlog), MAX_BACKLOG);
    this.#server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true });
    this.#server.on("connection", this.#onConnection);
    this.#server.once("listening", () => this.#settle({ tag: "listening" }));
    this.#server.on("error", (cause) => this.#settle({ tag: "failed", error: new NetworkError(networkErrorCode(cause)) }));
    this.#server.listen(bound, this.#limit);
  }

  state(): ListenerState {
    return this.#state;
  }

  /** Where it listens; `null` once it is closed. */
  address(): AddressInfo | null {
    const address = this.#server.address();
    return typeof address === "string" ? null : address;
  }

  /** Connections that wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** The connection that waits longest, paused. */
  accept(): Socket | undefined {
    for (const socket of this.#waiting) {
      this.#waiting.delete(socket);
      return socket;
    }
    return undefined;
  }

  /** Stop listening. Connections that wait are reset. */
  close(): void {
    this.#stopped();
    this.#server.close();
    for (const socket of this.#waiting) socket.resetAndDestroy();
    this.#waiting.clear();
  }

  readonly #onConnection = (socket: Socket): void => {
    socket.on("error", () => this.#waiting.delete(socket));
    if (this.#waiting.size >= this.#limit) {
      socket.resetAndDestroy();
      return;
    }
    this.#waiting.add(socket);
    this.changed.notify();
  };

  #settle(state: ListenerState): void {
    if (this.#state.tag === "failed") return;
    this.#state = state;
    this.changed.notify();
  }
}

const MAX_BACKLOG = 4096;
