import { Signal } from "../io/signal.ts";
import type { HostMover, Sink, Source, SourceState, TlsErrorValue } from "../io/source.ts";
import { monotonicNow } from "../io/monotonic.ts";

/** The WIT enum `sallyport:tls/forward.stop`. */
export type Stop = "authenticated" | "truncated" | "unauthenticated" | "limit" | "closed";

/** The WIT record `sallyport:tls/forward.options`, times in milliseconds. */
export interface TransferOptions {
  /** Bytes, or `undefined` for no limit. */
  limit: number | undefined;
  atEnd: "propagate" | "leave" | "abort";
  idleTimeout: number | undefined;
}

/** When bytes last moved, on the clock of `monotonicNow`. */
export interface Activity {
  lastMoved: number;
}

export type TransferOutcome = { tag: "ok"; val: Stop } | { tag: "err"; val: TlsErrorValue };

/**
 * Moves one source into one sink until the source ends, the limit is reached, or either fails. What is in flight is what
 * the two buffer themselves: bytes are only taken that the sink has room for.
 */
export class Transfer implements HostMover {
  readonly changed = new Signal();
  readonly source: Source;
  readonly sink: Sink;
  readonly #options: TransferOptions;
  #transferred = 0;
  #outcome: TransferOutcome | undefined;
  /** The source has stopped; what was written is still on its way through the sink. */
  #draining: TransferOutcome | undefined;
  /** Whether something has to be done once the sink has room, or has handed everything on. */
  #waitsForSink = false;
  #handedOver = false;
  #moving = false;
  #again = false;
  #stopListening: (() => void)[] = [];
  #idle: NodeJS.Timeout | undefined;
  readonly #activity: Activity;

  /** @param activity shared by transfers of which one that moves keeps the others from being idle */
  constructor(source: Source, sink: Sink, options: TransferOptions, activity: Activity = { lastMoved: monotonicNow() }) {
    this.source = source;
    this.sink = sink;
    this.#options = options;
    this.#activity = activity;
    source.owner?.streamForwarded(this);
    sink.owner?.streamForwarded(this);
  }

  /** Begin; the outcome may be known before this returns. */
  start(): void {
    const move = () => this.#move();
    // That bytes are on their way is of no interest while none wait for that.
    const sinkChanged = () => {
      if (this.#waitsForSink || this.sink.state().tag !== "open") this.#move();
    };
    this.#stopListening = [this.source.changed.listen(move), this.sink.changed.listen(sinkChanged)];
    if (this.#options.limit === undefined) this.#stopListening.push(this.source.changed.take(this.#take));
    this.#watchIdle();
    this.#move();
  }

  get transferred(): number {
    return this.#transferred;
  }

  /** Set once: when the source stopped and the sink has handed on everything, or at a failure. */
  get outcome(): TransferOutcome | undefined {
    return this.#outcome;
  }

  get canHandOver(): boolean {
    const { limit, atEnd, idleTimeout } = this.#options;
    return (
      limit === undefined &&
      idleTimeout === undefined &&
      atEnd === "propagate" &&
      this.#outcome === undefined &&
      this.#draining === undefined
    );
  }

  handOver(): (failed: boolean, transferred: number) => void {
    this.#handedOver = true;
    return (failed, transferred) => {
      this.#transferred += transferred;
      this.#settle(failed ? { tag: "err", val: { tag: "transport" } } : { tag: "ok", val: "unauthenticated" });
    };
  }

  /** Stop now. Neither stream is touched. */
  cancel(error: TlsErrorValue): void {
    this.#settle({ tag: "err", val: error });
  }

  /** Give both streams up, as dropping them would, but never as if the sink had got everything. */
  drop(): void {
    const isWhole = this.#outcome?.tag === "ok";
    this.#settle({ tag: "err", val: { tag: "closed" } });
    this.source.close();
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
    if (this.#isOver) return;
    if (this.#draining !== undefined) {
      if (this.sink.pending() === 0) this.#settle(this.#draining);
      else if (this.sink.state().tag === "failed") this.#sinkFailed();
      return;
    }
    if (this.sink.state().tag !== "open") {
      this.#sinkFailed();
      return;
    }
    this.#copy();
    if (this.#isOver) return;
    if (this.#transferred === this.#options.limit) {
      this.#drain({ tag: "ok", val: "limit" });
      return;
    }
    if (this.source.available() > 0) return;
    const state = this.source.state();
    if (state.tag === "open") return;
    if (state.tag === "failed") this.#sourceFailed(state.failure.tls ?? { tag: "transport" });
    else this.#sourceEnded(state);
  }

  #copy(): void {
    const { limit = Infinity } = this.#options;
    const before = this.#transferred;
    for (;;) {
      const capacity = this.sink.capacity();
      if (this.sink.absorb !== undefined) this.source.hold?.(capacity === 0);
      const room = Math.min(capacity, limit - this.#transferred);
      this.#waitsForSink = room <= 0;
      if (room <= 0) break;
      const isLent = this.source.lend?.(room, this.#absorb) === true;
      // Whoever was lent them may have ended this: from here on the source is somebody else's.
      if (this.#isOver) break;
      if (isLent) continue;
      const chunk = this.source.readChunk(room);
      if (chunk.length === 0) break;
      this.#write(chunk);
      if (this.#isOver) break;
    }
    if (this.#transferred > before) this.#activity.lastMoved = monotonicNow();
  }

  /** Bytes that have just arrived: straight on, unless something stands before them or the sink has no room for all of them. */
  readonly #take = (bytes: Uint8Array, lent: boolean): boolean => {
    const { source, sink } = this;
    if (this.#moving || this.#isOver || this.#draining !== undefined || source.available() > 0) return false;
    if (sink.state().tag !== "open" || sink.capacity() < bytes.length) return false;
    this.#moving = true;
    this.#again = false;
    const isTaken = lent ? this.#absorb(bytes) : this.#write(bytes);
    if (isTaken) this.#activity.lastMoved = performance.now();
    this.#moving = false;
    // What this brought about, or a source that has to be held: what comes next would have to be kept.
    if (this.#again || (lent && sink.capacity() === 0)) this.#move();
    return isTaken;
  };

  /** Whether the streams are no longer moved here. */
  get #isOver(): boolean {
    return this.#outcome !== undefined || this.#handedOver;
  }

  readonly #absorb = (bytes: Uint8Array): boolean => {
    if (this.sink.absorb?.(bytes) !== true) return false;
    this.#transferred += bytes.length;
    return true;
  };

  #write(bytes: Uint8Array): true {
    this.#transferred += bytes.length;
    this.sink.write(bytes);
    return true;
  }

  #sourceEnded({ ending, mayBeCut }: SourceState & { tag: "ended" }): void {
    const { atEnd } = this.#options;
    if (atEnd === "abort") this.sink.abort();
    // Never make a clean end of what may have been cut.
    else if (atEnd === "propagate" && mayBeCut === true && this.sink.endUnauthenticated !== undefined) this.sink.endUnauthenticated();
    else if (atEnd === "propagate") this.sink.end();
    this.#drain({ tag: "ok", val: ending });
  }

  #sourceFailed(error: TlsErrorValue): void {
    // A cut is passed on as a cut: the peer behind the sink must not take it for the end.
    if (this.#options.atEnd !== "leave") this.sink.abort();
    this.#settle({ tag: "err", val: error });
  }

  #sinkFailed(): void {
    const state = this.sink.state();
    this.#settle({ tag: "err", val: state.tag === "failed" ? (state.failure.tls ?? { tag: "transport" }) : { tag: "closed" } });
  }

  #drain(outcome: TransferOutcome): void {
    this.#draining = outcome;
    this.#waitsForSink = true;
    this.#step();
  }

  #settle(outcome: TransferOutcome): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    for (const stop of this.#stopListening) stop();
    this.source.hold?.(false);
    clearTimeout(this.#idle);
    this.changed.notify();
  }

  /** One timer that looks when bytes last moved, in place of one that is set anew for each chunk. */
  #watchIdle(): void {
    const { idleTimeout } = this.#options;
    if (idleTimeout === undefined || this.#outcome !== undefined) return;
    const left = this.#activity.lastMoved + idleTimeout - monotonicNow();
    if (left <= 0) {
      // In this order: an aborted sink is a failure of its own, and would be told in place of the reason.
      this.cancel({ tag: "timeout" });
      if (this.#options.atEnd !== "leave") this.sink.abort();
      return;
    }
    this.#idle = setTimeout(() => this.#watchIdle(), Math.min(left, MAX_TIMER));
  }
}

/** The longest delay that setTimeout takes. */
const MAX_TIMER = 2 ** 31 - 1;
