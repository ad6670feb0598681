import { Signal } from "../io/signal.ts";
import type { HostMover, Sink, Source } from "../io/source.ts";
import { FramingError, type FramingFault } from "./http1-head.ts";
import { type Framed, MessageFramer, type Subject } from "./http1-message.ts";
import { UnreadSource } from "./unread-source.ts";
import { monotonicNow } from "../io/monotonic.ts";

/** Why a message was not moved whole. */
export type MoveFault = FramingFault | "source-failed" | "sink-failed" | "timeout" | "cancelled";

export interface MoveOptions {
  /** Comes before what the source has. */
  unread: Uint8Array;
  /** Milliseconds. */
  idleTimeout: number | undefined;
  allowUnauthenticatedEnd: boolean;
}

/** A message that was moved whole. */
export interface Moved extends Framed {
  /** All bytes that went to the sink. */
  bytes: number;
}

export type MoveOutcome = { tag: "ok"; val: Moved } | { tag: "err"; val: MoveFault };

/** Moves exactly one HTTP/1.1 message from a source to a sink. Takes only what the sink has room for, and copies no body. */
export class MessageMover implements HostMover {
  readonly changed = new Signal();
  readonly source: Source;
  readonly sink: Sink;
  readonly canHandOver = false;
  readonly #from: UnreadSource;
  readonly #framer: MessageFramer;
  readonly #isResponse: boolean;
  readonly #options: MoveOptions;
  /** Given out by the framer and not taken by the sink. */
  #out: Uint8Array[] = [];
  #transferred = 0;
  #outcome: MoveOutcome | undefined;
  #moving = false;
  #again = false;
  #stopListening: (() => void)[] = [];
  #lastMoved = monotonicNow();
  #idle: NodeJS.Timeout | undefined;

  constructor(source: Source, sink: Sink, subject: Subject, options: MoveOptions) {
    this.source = source;
    this.sink = sink;
    // One is enough: each more would make reading a call deeper.
    this.#from = source instanceof UnreadSource ? source : new UnreadSource(source);
    this.#from.unread(options.unread);
    this.#framer = new MessageFramer(subject);
    this.#isResponse = subject.tag === "response";
    this.#options = options;
    source.owner?.streamForwarded(this);
    sink.owner?.streamForwarded(this);
  }

  /** Begin; the outcome may be known before this returns. */
  start(): void {
    const move = () => this.#move();
    this.#stopListening = [this.source.changed.listen(move), this.sink.changed.listen(move)];
    this.#watchIdle();
    this.#move();
  }

  get transferred(): number {
    return this.#transferred;
  }

  /** Of the final head, once that has begun to leave. */
  get status(): number | undefined {
    return this.#transferred > 0 ? this.#framer.message.status : undefined;
  }

  /** Set once: when the sink has taken the whole message, or at a fault. */
  get outcome(): MoveOutcome | undefined {
    return this.#outcome;
  }

  /** The source, behind the message. */
  get rest(): Source {
    return this.#from.plain;
  }

  handOver(): never {
    throw new Error("a message is not handed over");
  }

  cancel(): void {
    this.#fail("cancelled");
  }

  /** Give both streams up: a sink that did not get the whole message is aborted. */
  drop(): void {
    const isWhole = this.#outcome?.tag === "ok";
    this.#fail("cancelled");
    this.#from.close();
    if (isWhole) this.sink.end();
    else this.sink.abort();
    this.release();
  }

  /** The streams belong to somebody else from here on. */
  release(): void {
    this.source.owner?.streamReturned(this);
    this.sink.owner?.streamReturned(this);
  }

  #move(): void {
    if (this.#moving) {
      this.#again = true;
      return;
    }
    this.#moving = true;
    do {
      this.#again = false;
      this.#step();
    } while (this.#again && this.#outcome === undefined);
    this.#moving = false;
  }

  #step(): void {
    while (this.#outcome === undefined) {
      if (this.sink.state().tag !== "open") return this.#fail("sink-failed");
      if (!this.#write()) return;
      if (this.#framer.done) return this.#finish();
      if (!this.#read()) return;
    }
  }

  /** @returns false while something waits for room */
  #write(): boolean {
    for (let piece = this.#out[0]; piece !== undefined; piece = this.#out[0]) {
      const room = this.sink.capacity();
      if (room <= 0) return false;
      if (piece.length > room) this.#out[0] = piece.subarray(room);
      else this.#out.shift();
      const chunk = piece.subarray(0, room);
      this.#transferred += chunk.length;
      this.#lastMoved = monotonicNow();
      this.sink.write(chunk);
    }
    return true;
  }

  /** Take the next bytes into the framer. @returns false while there are none, or no room for them */
  #read(): boolean {
    const room = this.sink.capacity();
    if (room <= 0) return false;
    const chunk = this.#from.readChunk(room);
    if (chunk.length === 0) return this.#ended();
    try {
      const used = this.#framer.push(chunk, this.#out);
      if (used < chunk.length) this.#from.unread(chunk.subarray(used));
      return true;
    } catch (error) {
      return this.#refuse(error);
    }
  }

  #ended(): boolean {
    const state = this.#from.state();
    if (state.tag === "open") return false;
    if (state.tag === "failed") {
      this.#fail(state.failure.tls?.tag === "truncated" ? "truncated" : "source-failed");
      return false;
    }
    const isKnown =
      state.ending === "authenticated" ||
      (this.#options.allowUnauthenticatedEnd && state.ending === "unauthenticated" && state.mayBeCut !== true);
    if (!isKnown) {
      this.#fail("truncated");
      return false;
    }
    try {
      this.#framer.close();
      return true;
    } catch (error) {
      return this.#refuse(error);
    }
  }

  #refuse(error: unknown): false {
    if (!(error instanceof FramingError)) throw error;
    this.#fail(error.code);
    return false;
  }

  #finish(): void {
    const { message } = this.#framer;
    // What comes unasked behind a response would be taken for the answer to the next request.
    const isClean = !this.#isResponse || (this.#from.available() === 0 && this.#from.state().tag === "open");
    this.#settle({
      tag: "ok",
      val: { ...message, reusable: message.reusable && isClean, bytes: this.#transferred },
    });
  }

  #fail(fault: MoveFault): void {
    this.#settle({ tag: "err", val: fault });
  }

  #settle(outcome: MoveOutcome): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    this.#out = [];
    for (const stop of this.#stopListening) stop();
    clearTimeout(this.#idle);
    this.changed.notify();
  }

  /** One timer that looks when bytes last moved, in place of one that is set anew for each chunk. */
  #watchIdle(): void {
    const { idleTimeout } = this.#options;
    if (idleTimeout === undefined || this.#outcome !== undefined) return;
    const left = this.#lastMoved + idleTimeout - monotonicNow();
    if (left <= 0) return this.#fail("timeout");
    this.#idle = setTimeout(() => this.#watchIdle(), Math.min(left, MAX_TIMER));
  }
}

/** The longest delay that setTimeout takes. */
const MAX_TIMER = 2 ** 31 - 1;
