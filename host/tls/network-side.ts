import { ByteQueue } from "../io/byte-queue.ts";
import { Signal } from "../io/signal.ts";
import type { HostMover, Sink, Source, StreamOwner } from "../io/source.ts";

/** Bytes from the network that may wait for the TLS library. */
const INBOUND_WINDOW = 256 * 1024;
/** Bytes to the network that may wait before the TLS library is told to stop. */
const OUTBOUND_MARK = 256 * 1024;

const OPEN = { tag: "open" } as const;
const CLOSED = { tag: "closed" } as const;
const ENDED = { tag: "ended", ending: "authenticated" } as const;

/** What the network side tells its connection. */
export interface NetworkEvents {
  /** Bytes came, or the end did. */
  arrived(): void;
  /** Whether bytes that come now could be used soon. */
  isTaking(): boolean;
  /** Use these bytes now and keep none of them. @returns false if that cannot be; nothing was used then */
  use(bytes: Uint8Array): boolean;
  /** The network broke. */
  broke(): void;
  /** Bytes were taken towards the network. */
  taken(): void;
}

/** The two public streams of a connection: ciphertext from and to whatever carries it. */
export class NetworkSide {
  /** `public-input`: what goes to the network. */
  readonly input: Source;
  /** `public-output`: what came from the network. */
  readonly output: Sink;
  /** What came and was not given to the TLS library. */
  readonly inbound = new ByteQueue();
  readonly #outbound = new ByteQueue();
  readonly #inputChanged = new Signal();
  readonly #outputChanged = new Signal();
  #ended = false;
  #closed = false;
  #outboundEnded = false;
  #inputDropped = false;
  #wasTaken = false;

  constructor(owner: StreamOwner, events: NetworkEvents) {
    const taken = (bytes: Uint8Array) => {
      if (bytes.length === 0) return bytes;
      this.#wasTaken = true;
      events.taken();
      return bytes;
    };
    this.input = {
      owner,
      changed: this.#inputChanged,
      available: () => this.#outbound.length,
      state: () => (this.#outboundEnded ? ENDED : OPEN),
      read: (max, scratch) => taken(this.#outbound.take(max, scratch)),
      readChunk: (max) => taken(this.#outbound.shift(max)),
      close: () => {
        this.#inputDropped = true;
        this.#outbound.clear();
        events.taken();
      },
    };
    const isOver = () => this.#closed || this.#ended;
    this.output = {
      owner,
      changed: this.#outputChanged,
      capacity: () => (isOver() || !events.isTaking() ? 0 : Math.max(0, INBOUND_WINDOW - this.inbound.length)),
      pending: () => 0,
      state: () => (isOver() ? CLOSED : OPEN),
      write: (bytes) => {
        this.inbound.push(bytes);
        events.arrived();
      },
      absorb: (bytes) => !isOver() && this.inbound.length === 0 && events.use(bytes),
      end: () => {
        if (this.#ended) return;
        this.#ended = true;
        this.#outputChanged.notify();
        events.arrived();
      },
      abort: () => events.broke(),
    };
  }

  /** Whether the network has ended. What came before may still be waiting. */
  get hasEnded(): boolean {
    return this.#ended;
  }

  /** Whether a byte was taken towards the network. */
  get wasTaken(): boolean {
    return this.#wasTaken;
  }

  /** Whether nothing will follow what was sent. */
  get isOutboundEnded(): boolean {
    return this.#outboundEnded;
  }

  /** Whether ciphertext is being taken away fast enough. */
  get hasRoom(): boolean {
    return this.#inputDropped || this.#outbound.length < OUTBOUND_MARK;
  }

  send(bytes: Uint8Array): void {
    if (this.#inputDropped) return;
    if (this.#inputChanged.offer(bytes)) {
      this.#wasTaken = true;
      return;
    }
    this.#outbound.push(bytes);
    this.#inputChanged.notify();
  }

  /**
   * In one piece: a peer that refuses the first record of a flight and closes answers the rest with a RST, which can cost us
   * the alert that says why.
   */
  sendFlight(records: readonly Uint8Array[]): void {
    if (records.length > 0) this.send(Buffer.concat(records));
  }

  /** Nothing follows. */
  endOutbound(): void {
    if (this.#outboundEnded) return;
    this.#outboundEnded = true;
    this.#inputChanged.notify();
  }

  /** There is room for more from the network. */
  madeRoom(): void {
    this.#outputChanged.notify();
  }

  /** The connection is over: take nothing more. What is on its way out stays readable. */
  close(): void {
    this.#closed = true;
    this.inbound.clear();
    this.endOutbound();
    this.#outputChanged.notify();
  }
}

/** Which movers of the host carry the public streams, and how many move any stream of the connection. */
export class Movers {
  #count = 0;
  inbound: HostMover | undefined;
  outbound: HostMover | undefined;
  /** The one that has carried every byte towards the network: nobody else can have sent this connection elsewhere. */
  carrier: HostMover | undefined;
  readonly #network: () => NetworkSide;

  constructor(network: () => NetworkSide) {
    this.#network = network;
  }

  get count(): number {
    return this.#count;
  }

  add(mover: HostMover): void {
    this.#count++;
    if (mover.sink === this.#network().output) this.inbound = mover;
    if (mover.source !== this.#network().input) return;
    this.outbound = mover;
    if (!this.#network().wasTaken) this.carrier = mover;
  }

  remove(mover: HostMover): void {
    this.#count--;
    if (mover === this.inbound) this.inbound = undefined;
    if (mover === this.outbound) this.outbound = undefined;
    if (mover === this.carrier) this.carrier = undefined;
  }
}
