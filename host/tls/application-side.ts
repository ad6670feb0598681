import { ByteQueue } from "../io/byte-queue.ts";
import { Signal } from "../io/signal.ts";
import type { IoFailure, Sink, SinkState, Source, SourceState, StreamOwner } from "../io/source.ts";
import type { NodeTls } from "./node-tls.ts";

/** Bytes that each private stream may hold between the guest and the TLS library. */
const WINDOW = 256 * 1024;

const OPEN = { tag: "open" } as const;
const CLOSED = { tag: "closed" } as const;

/** What the application side tells its connection. */
export interface ApplicationEvents {
  /** The guest, or a mover, cut the connection. */
  cut(): void;
  /** Everything was written and the end asked for without close_notify. */
  endedWithoutNotice(): void;
}

/**
 * The two private streams of a connection. Before `open` what is written waits, and what was decrypted is not shown: while
 * a connection is suspended no byte moves.
 */
export class ApplicationSide {
  /** `private-input`: application data from the peer. */
  readonly input: Source;
  /** `private-output`: application data to the peer. */
  readonly output: Sink;
  readonly #events: ApplicationEvents;
  readonly #toWrite = new ByteQueue();
  readonly #toRead = new ByteQueue();
  readonly #inputChanged = new Signal();
  readonly #outputChanged = new Signal();
  #node: NodeTls | undefined;
  #isStarted = false;
  #over: SinkState | undefined;
  #outputClosed = false;
  #withoutNotice = false;
  #inputDropped = false;
  #paused = false;
  #ending: SourceState = OPEN;

  constructor(owner: StreamOwner, events: ApplicationEvents) {
    this.#events = events;
    this.input = {
      owner,
      changed: this.#inputChanged,
      available: () => this.#toRead.length,
      state: () => this.#ending,
      read: (max, scratch) => this.#read(this.#toRead.take(max, scratch)),
      readChunk: (max) => this.#read(this.#toRead.shift(max)),
      close: () => {
        this.#inputDropped = true;
        this.#toRead.clear();
        this.#flow();
      },
    };
    this.output = {
      owner,
      changed: this.#outputChanged,
      capacity: () => (this.#isStarted && this.#isWritable ? Math.max(0, WINDOW - this.#unwritten) : 0),
      pending: () => this.#unwritten,
      state: () => this.#over ?? (this.#outputClosed ? CLOSED : OPEN),
      write: (bytes) => {
        if (this.#node !== undefined) this.#encrypt(this.#node, bytes);
        else this.#toWrite.push(bytes);
      },
      end: () => this.closeOutput(),
      endUnauthenticated: () => {
        this.#withoutNotice = true;
        this.closeOutput();
      },
      abort: () => events.cut(),
    };
  }

  /** How the inbound direction ended, if it did. */
  get ending(): SourceState {
    return this.#ending;
  }

  /** From here on the guest may write; what it writes waits. */
  start(): void {
    this.#isStarted = true;
    this.#outputChanged.notify();
  }

  /** Application data may move. */
  open(node: NodeTls): void {
    this.#node = node;
    for (let bytes = this.#toWrite.shift(); bytes.length > 0; bytes = this.#toWrite.shift()) this.#encrypt(node, bytes);
    if (this.#outputClosed) this.#endOutput(node);
    node.open();
    this.#outputChanged.notify();
  }

  /** No more from us: what was written, then close_notify. */
  closeOutput(): void {
    if (this.#outputClosed) return;
    this.#outputClosed = true;
    if (this.#node !== undefined) this.#endOutput(this.#node);
    this.#outputChanged.notify();
  }

  /** Decrypted bytes. */
  receive(bytes: Uint8Array): void {
    if (this.#inputDropped || this.#inputChanged.offer(bytes)) return;
    this.#toRead.push(bytes);
    if (this.#toRead.length >= WINDOW && !this.#paused) {
      this.#paused = true;
      this.#node?.pause();
    }
    this.#inputChanged.notify();
  }

  /** The inbound direction is over, with whatever the TLS library still held back. @returns false if it was over before */
  settle(ending: SourceState): boolean {
    if (this.#ending.tag !== "open") return false;
    if (!this.#inputDropped) for (const bytes of this.#node?.drain() ?? []) this.#toRead.push(bytes);
    this.#ending = ending;
    this.#inputChanged.notify();
    return true;
  }

  /** The connection is over. What was decrypted stays readable. */
  close(failure: IoFailure | undefined): void {
    this.#over = failure === undefined ? { tag: "closed" } : { tag: "failed", failure };
    this.#node = undefined;
    this.#toWrite.clear();
    if (this.#ending.tag === "open" && failure !== undefined) this.#ending = { tag: "failed", failure };
    this.#inputChanged.notify();
    this.#outputChanged.notify();
  }

  get #isWritable(): boolean {
    return this.#over === undefined && !this.#outputClosed;
  }

  get #unwritten(): number {
    return this.#toWrite.length + (this.#node?.pending ?? 0);
  }

  #encrypt(node: NodeTls, bytes: Uint8Array): void {
    node.write(bytes, this.#onWritten);
  }

  readonly #onWritten = (): void => this.#outputChanged.notify();

  #endOutput(node: NodeTls): void {
    if (!this.#withoutNotice) return node.end();
    const whenWritten = () => {
      if (node.pending > 0 || this.#over !== undefined) return;
      stop();
      this.#events.endedWithoutNotice();
    };
    const stop = this.#outputChanged.listen(whenWritten);
    whenWritten();
  }

  #read(bytes: Uint8Array): Uint8Array {
    if (bytes.length > 0) this.#flow();
    return bytes;
  }

  #flow(): void {
    if (!this.#paused || this.#toRead.length >= WINDOW / 2) return;
    this.#paused = false;
    this.#node?.resume();
  }
}
