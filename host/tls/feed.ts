import type { JsTransport } from "./js-transport.ts";
import type { NetworkSide } from "./network-side.ts";

/** What becomes of bytes from the network at the moment. */
export type Stage = "hello" | "handshake" | "data" | "nothing";

/** What a feed asks and tells its connection. */
export interface FeedOwner {
  stage(): Stage;
  readHello(bytes: Uint8Array): void;
  /** Read along during the handshake. @returns false if the connection failed over it */
  inspect(bytes: Uint8Array): boolean;
  /** Absent where node:tls reads the socket itself, or does not exist yet. */
  transport(): JsTransport | undefined;
  /** The network has ended, and everything before its end was handed on. */
  ended(): void;
}

/** Record headers and tags of some hundred megabytes of data, or what a peer may send that is none. */
const MAX_FRUITLESS = 1024 * 1024;

/** Hands what comes from the network to whoever reads it at the moment: the reader of client hellos, then the TLS library. */
export class Feed {
  readonly #network: NetworkSide;
  readonly #owner: FeedOwner;
  #isRunning = false;
  #noticesEnd = false;
  /** Bytes that were given to the TLS library while it could not write, without data coming of them. */
  #fruitless = 0;

  constructor(network: NetworkSide, owner: FeedOwner) {
    this.#network = network;
    this.#owner = owner;
  }

  /** Hand on what can be handed on. */
  run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    const { inbound } = this.#network;
    const before = inbound.length;
    try {
      while (inbound.length > 0 && this.#handOn());
    } finally {
      this.#isRunning = false;
    }
    if (inbound.length < before) this.#network.madeRoom();
    // An alert right before the end is told by node:tls in a later turn: it says more than the end does.
    if (this.#network.hasEnded && inbound.length === 0 && !this.#noticesEnd) {
      this.#noticesEnd = true;
      setImmediate(() => this.#noticeEnd());
    }
  }

  /** Whether bytes that come now could be used soon. */
  get isTaking(): boolean {
    return this.#owner.stage() !== "data" || this.#owner.transport()?.isFlowing !== false;
  }

  /**
   * Hand on bytes that are not in the queue, and keep none of them: only once the connection is established and waits for
   * nothing.
   *
   * @returns false if that cannot be; nothing was done then
   */
  use(bytes: Uint8Array): boolean {
    const transport = this.#owner.transport();
    if (this.#isRunning || this.#owner.stage() !== "data" || transport?.isFlowing !== true || transport.isBlocked) return false;
    this.#isRunning = true;
    try {
      transport.deliver(bytes);
    } finally {
      this.#isRunning = false;
    }
    this.run();
    return true;
  }

  /** The TLS library reads again. */
  flowing(): void {
    this.run();
    if (this.#owner.stage() === "data" && this.isTaking) this.#network.madeRoom();
  }

  /** The TLS library made so many bytes of data of what it was given. */
  bore(length: number): void {
    this.#fruitless = Math.max(0, this.#fruitless - length);
  }

  /** The network took ciphertext: the TLS library may write on, and what it was not given for that reason may go in. */
  drained(): void {
    const transport = this.#owner.transport();
    if (transport === undefined) return;
    transport.drained();
    if (transport.isBlocked || this.#fruitless === 0) return;
    this.#fruitless = 0;
    this.run();
  }

  /** Hand the next chunk on. @returns false if nothing takes it now */
  #handOn(): boolean {
    const { inbound } = this.#network;
    const stage = this.#owner.stage();
    if (stage === "hello") {
      this.#owner.readHello(inbound.shift());
      return true;
    }
    const transport = this.#owner.transport();
    if (stage === "nothing" || transport?.isFlowing !== true) return false;
    // Not from the peer's bytes that are data, but from those that are answered (KeyUpdate) the TLS library makes ciphertext
    // that it keeps itself while nobody takes it.
    if (transport.isBlocked && this.#fruitless > MAX_FRUITLESS) return false;
    const bytes = inbound.shift();
    if (transport.isBlocked) this.#fruitless += bytes.length;
    if (stage === "handshake" && !this.#owner.inspect(bytes)) return false;
    transport.deliver(bytes);
    return true;
  }

  #noticeEnd(): void {
    this.#noticesEnd = false;
    if (this.#network.inbound.length === 0) this.#owner.ended();
  }
}
