import type { Socket } from "node:net";
import { ByteQueue } from "../io/byte-queue.ts";
import { Signal } from "../io/signal.ts";
import type { Sink, SinkState, Source, SourceState } from "../io/source.ts";
import { DialledSocket, type ReadMemory } from "./dialled-socket.ts";
import { type NetworkErrorCode, describeNetworkError, networkErrorCode } from "./network-error.ts";

/** Bytes that each direction of a connection may hold in the host. */
export const TCP_BUFFER = 256 * 1024;

/** A socket that its owner takes over from a connection. */
export interface DetachedSocket {
  /** Paused, with no listener left but one that swallows errors. */
  socket: Socket;
  /** What was read from the socket and not yet taken. It comes before whatever the socket still holds: `unshift` it. */
  buffered: Uint8Array;
}

/**
 * A connected TCP socket as a `Source` and a `Sink`. The two directions end separately; the socket is closed when both are over.
 *
 * The socket must have been made with `allowHalfOpen`. From here on it belongs to the connection.
 */
export class TcpConnection {
  readonly source: TcpSource;
  readonly sink: TcpSink;
  readonly #socket: Socket;
  #detached = false;
  #lingering: NodeJS.Timeout | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    const memory = socket instanceof DialledSocket ? socket.memory : undefined;
    this.source = new TcpSource(this, socket, memory);
    this.sink = new TcpSink(this, socket);
    // Half the latency of small writes: Node leaves Nagle's algorithm on.
    socket.setNoDelay(true);
    if (memory === undefined) socket.on("data", this.#onData);
    else memory.onBytes = (bytes) => this.source.arrive(bytes);
    socket.on("end", this.#onEnd).on("error", this.#onError).on("close", this.#onClose);
    if (socket.destroyed) this.#onClose();
    else socket.resume();
  }

  /** Whether taking the socket out loses nothing: no end or error was seen yet, and no byte is still to be written. */
  get canDetach(): boolean {
    const whole = this.source.state().tag === "open" && this.sink.state().tag === "open" && !this.source.closed;
    return !this.#detached && whole && !this.#socket.destroyed && this.#socket.writableLength === 0;
  }

  /**
   * Take the socket out, to hand it to something that wants a socket (a TLSSocket on the same handle).
   * Afterwards source and sink are closed.
   *
   * @returns `undefined` if `canDetach` is false
   */
  detach(): DetachedSocket | undefined {
    if (!this.canDetach) return undefined;
    const socket = this.#socket;
    this.#detached = true;
    socket.off("data", this.#onData).off("end", this.#onEnd).off("error", this.#onError).off("close", this.#onClose);
    socket.on("error", () => {});
    socket.pause();
    const buffered = this.source.drain();
    this.source.settle({ tag: "ended", ending: "unauthenticated" });
    this.sink.settle({ tag: "closed" });
    return { socket, buffered };
  }

  /** Cut the connection with a RST. */
  abort(): void {
    if (this.#detached) return;
    this.#fail("the connection was aborted", "connection-aborted");
    this.#socket.resetAndDestroy();
  }

  /** One direction was given up by its user: once both are, the socket has to go, but not before what was written arrived. */
  lingerIfUnused(): void {
    if (this.#detached || this.#lingering !== undefined || this.#socket.destroyed) return;
    if (!this.source.closed || this.sink.state().tag === "open") return;
    // Closing with unread bytes in the kernel sends a RST that can overtake our last bytes. So go on discarding until the
    // peer ends, for a while.
    this.#lingering = setTimeout(() => this.#socket.destroy(), LINGER).unref();
  }

  readonly #onData = (chunk: Uint8Array): void => this.source.push(chunk);

  readonly #onEnd = (): void => this.source.settle({ tag: "ended", ending: "unauthenticated" });

  readonly #onError = (error: Error): void => this.#fail(describeNetworkError(error), networkErrorCode(error));

  readonly #onClose = (): void => {
    clearTimeout(this.#lingering);
    this.source.settle({ tag: "failed", failure: { message: "the connection was closed", tls: { tag: "transport" } } });
    this.sink.settle({ tag: "closed" });
  };

  #fail(message: string, network: NetworkErrorCode): void {
    const failed = { tag: "failed" as const, failure: { message, network, tls: { tag: "transport" as const } } };
    this.source.settle(failed);
    this.sink.settle(failed);
  }
}

/** The receiving half of a connection. */
export class TcpSource implements Source {
  readonly changed = new Signal();
  readonly connection: TcpConnection;
  readonly #socket: Socket;
  readonly #memory: ReadMemory | undefined;
  readonly #queue = new ByteQueue();
  #chunks = 0;
  /** What came just now, after all that is queued, in memory that is about to be used again. */
  #lent: Uint8Array | undefined;
  #state: SourceState = { tag: "open" };
  #closed = false;
  #full = false;
  #held = false;

  constructor(connection: TcpConnection, socket: Socket, memory: ReadMemory | undefined) {
    this.connection = connection;
    this.#socket = socket;
    this.#memory = memory;
  }

  /** Whether its reader is gone. */
  get closed(): boolean {
    return this.#closed;
  }

  available(): number {
    return this.#queue.length + (this.#lent?.length ?? 0);
  }

  state(): SourceState {
    return this.#state;
  }

  lend(max: number, use: (bytes: Uint8Array) => boolean): boolean {
    const lent = this.#lent;
    if (lent === undefined || lent.length > max || this.#queue.length > 0) return false;
    this.#lent = undefined;
    if (use(lent)) return true;
    // Its user may have given the source up.
    if (!this.#closed && this.#state.tag === "open") this.#lent = lent;
    return false;
  }

  hold(held: boolean): void {
    if (held === this.#held) return;
    this.#held = held;
    this.#flow();
  }

  read(max: number, scratch?: Uint8Array): Uint8Array {
    this.#keepLent();
    return this.#taken(this.#queue.take(max, scratch));
  }

  readChunk(max: number): Uint8Array {
    this.#keepLent();
    return this.#taken(this.#queue.shift(max));
  }

  /** Put back in front what was read. */
  unread(bytes: Uint8Array): void {
    this.#keepLent();
    this.#queue.unshift(bytes);
    this.changed.notify();
  }

  /** The socket goes on being read, so that its end is noticed and the peer's bytes are not what keeps it open. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#forget();
    this.changed.notify();
    this.connection.lingerIfUnused();
  }

  /** For shutdown(receive): the guest sees the end at once, bytes that were not read are gone. */
  shutdown(): void {
    this.settle({ tag: "ended", ending: "unauthenticated" });
    this.#forget();
  }

  /** @internal for TcpConnection */
  push(chunk: Uint8Array): void {
    if (this.#closed || this.#state.tag !== "open") return;
    const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length);
    if (this.changed.offer(bytes)) return;
    this.#enqueue(bytes);
    this.changed.notify();
  }

  /** @internal for TcpConnection: as `push`, of bytes that are valid until this returns */
  arrive(bytes: Uint8Array): void {
    if (this.#closed || this.#state.tag !== "open") return;
    if (this.changed.offer(bytes, true)) return;
    this.#lent = bytes;
    try {
      this.changed.notify();
    } finally {
      // Whatever becomes of this: the memory is another connection's in a moment.
      this.#keepLent();
    }
  }

  /** @internal for TcpConnection */
  drain(): Uint8Array {
    this.#keepLent();
    return this.#queue.take(this.#queue.length);
  }

  /** @internal for TcpConnection */
  settle(state: SourceState): void {
    if (this.#state.tag !== "open") return;
    this.#state = state;
    this.changed.notify();
  }

  #taken(bytes: Uint8Array): Uint8Array {
    if (this.#queue.length === 0) this.#chunks = 0;
    if (this.#full && (this.#chunks === 0 || (this.#chunks < MAX_CHUNKS && this.#queue.length <= TCP_BUFFER / 2))) {
      this.#full = false;
      this.#flow();
    }
    return bytes;
  }

  #keepLent(): void {
    const lent = this.#lent;
    if (lent === undefined) return;
    this.#lent = undefined;
    this.#enqueue(this.#memory!.keep(lent));
  }

  #enqueue(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#chunks++;
    // A peer that sends single bytes costs more in chunks than in bytes.
    if (this.#queue.length < TCP_BUFFER && this.#chunks < MAX_CHUNKS) return;
    this.#full = true;
    this.#flow();
  }

  /** Nobody reads what has come. */
  #forget(): void {
    this.#queue.clear();
    this.#lent = undefined;
    this.#full = false;
    this.#flow();
  }

  #flow(): void {
    if (this.#socket.destroyed) return;
    const isWanted = this.#closed || this.#state.tag !== "open" || !(this.#full || this.#held);
    if (isWanted) this.#socket.resume();
    else this.#socket.pause();
  }
}

/** The sending half of a connection. */
export class TcpSink implements Sink {
  readonly changed = new Signal();
  readonly connection: TcpConnection;
  readonly #socket: Socket;
  #writes = 0;
  #state: SinkState = { tag: "open" };

  constructor(connection: TcpConnection, socket: Socket) {
    this.connection = connection;
    this.#socket = socket;
  }

  capacity(): number {
    if (this.#state.tag !== "open" || this.#writes >= MAX_CHUNKS) return 0;
    return Math.max(0, TCP_BUFFER - this.#socket.writableLength);
  }

  pending(): number {
    return this.#socket.destroyed ? 0 : this.#socket.writableLength;
  }

  state(): SinkState {
    return this.#state;
  }

  write(bytes: Uint8Array): void {
    if (this.#state.tag !== "open" || bytes.length === 0) return;
    this.#writes++;
    this.#gather();
    this.#socket.write(bytes, this.#onWritten);
  }

  /**
   * What is written in one turn leaves in one piece. Not only for the system calls: a peer that refuses the first part of a
   * TLS flight sends an alert and closes, and a part that is written after that fails, with the alert unread.
   */
  #gather(): void {
    if (this.#socket.writableCorked > 0) return;
    this.#socket.cork();
    process.nextTick(() => this.#socket.uncork());
  }

  end(): void {
    if (this.#state.tag === "open") {
      this.settle({ tag: "closed" });
      this.#socket.end();
    }
    this.connection.lingerIfUnused();
  }

  abort(): void {
    this.connection.abort();
  }

  /** @internal for TcpConnection */
  settle(state: SinkState): void {
    if (this.#state.tag !== "open") return;
    this.#state = state;
    this.changed.notify();
  }

  readonly #onWritten = (): void => {
    this.#writes--;
    this.changed.notify();
  };
}

/** The connection whose two halves these are, if they are. */
export function connectionOf(source: Source, sink: Sink): TcpConnection | undefined {
  if (!(source instanceof TcpSource) || !(sink instanceof TcpSink)) return undefined;
  return source.connection === sink.connection ? source.connection : undefined;
}

const MAX_CHUNKS = 1024;
/** How long a connection that nobody uses any more may take to end by itself, in milliseconds. */
const LINGER = 10_000;
