import { EventEmitter } from "node:events";

/** What the transport tells its connection. */
export interface TransportEvents {
  /** node:tls wrote ciphertext. The connection decides what becomes of it. */
  wrote(bytes: Uint8Array): void;
  /** node:tls reads again, after `deliver` was refused. */
  flowing(): void;
  /** node:tls closed its writing side: close_notify has been written. */
  ended(): void;
}

/**
 * The stream that node:tls believes is its network: as much of a Duplex as TLSSocket's wrapper uses, and no more.
 *
 * A stream.Duplex in this place costs a quarter of the throughput: its buffers, its events, and above all one
 * `setImmediate` per write. This one hands bytes over synchronously and acknowledges a write as soon as there is room.
 */
export class JsTransport extends EventEmitter {
  readonly readable = true;
  readonly writable = true;
  readonly readableObjectMode = false;
  readonly readableLength = 0;
  readonly allowHalfOpen = true;
  #events: TransportEvents | undefined;
  #flowing = false;
  #acknowledge: { call: (request: object) => void; request: object } | undefined;
  #room: () => boolean;
  #reader: ((bytes: Uint8Array) => void) | undefined;

  /** @param room whether written ciphertext is being taken away fast enough */
  constructor(events: TransportEvents, room: () => boolean) {
    super();
    this.#events = events;
    this.#room = room;
  }

  /** Whether node:tls takes bytes now. */
  get isFlowing(): boolean {
    return this.#flowing;
  }

  /** Whether node:tls waits with what it writes until there is room. */
  get isBlocked(): boolean {
    return this.#acknowledge !== undefined;
  }

  /** Ciphertext from the peer. Only while flowing. */
  deliver(bytes: Uint8Array): void {
    if (this.#reader === undefined) this.emit("data", bytes);
    else this.#reader(bytes);
  }

  /** Hand ciphertext to this from now on, and not to who listens for `data`. */
  readBy(reader: (bytes: Uint8Array) => void): void {
    this.#reader = reader;
  }

  /** There is room again: acknowledge the write that was waiting for it. */
  drained(): void {
    if (!this.#room()) return;
    const acknowledge = this.#acknowledge;
    this.#acknowledge = undefined;
    acknowledge?.call(acknowledge.request);
  }

  /** The connection is over: tell node:tls nothing more, and take nothing more from it. */
  detach(): void {
    this.#events = undefined;
    this.#flowing = false;
  }

  // What follows is called by node:tls.

  pause(): this {
    this.#flowing = false;
    return this;
  }

  resume(): this {
    this.#flowing = true;
    this.#events?.flowing();
    return this;
  }

  /** Take ciphertext. The buffer is node's to reuse only after the write was acknowledged, and we never give it back. */
  take(chunk: Uint8Array): void {
    this.#events?.wrote(chunk);
  }

  /** Call `acknowledge` with the request as soon as more may be written. */
  whenRoom(acknowledge: (request: object) => void, request: object): void {
    if (this.#room()) acknowledge(request);
    else this.#acknowledge = { call: acknowledge, request };
  }

  end(done?: () => void): this {
    this.#events?.ended();
    done?.();
    return this;
  }

  destroy(): this {
    const acknowledge = this.#acknowledge;
    this.#acknowledge = undefined;
    acknowledge?.call(acknowledge.request);
    this.detach();
    this.emit("close");
    return this;
  }
}
