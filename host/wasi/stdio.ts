import type { Readable, Writable } from "node:stream";
import { ByteQueue } from "../io/byte-queue.ts";
import type { Ledger } from "../io/ledger.ts";
import { Signal } from "../io/signal.ts";
import type { Sink, SinkState, Source, SourceState } from "../io/source.ts";

/**
 * A Node stream as a `Source`. It is not touched before something reads or waits here, so that an instance which never looks
 * at its standard input takes no byte of it and does not keep the process alive.
 */
export function readableSource(stream: Readable, ledger: Ledger): Source {
  const queue = new ByteQueue();
  let state: SourceState = { tag: "open" };
  let started = false;
  let paused = false;

  const settle = (to: SourceState) => {
    if (state.tag !== "open") return;
    state = to;
    stop();
    changed.notify();
  };
  const onData = (chunk: Uint8Array | string) => {
    queue.push(typeof chunk === "string" ? new TextEncoder().encode(chunk) : new Uint8Array(chunk));
    if (queue.length >= LIMIT) {
      paused = true;
      stream.pause();
    }
    changed.notify();
  };
  const onEnd = () => settle({ tag: "ended", ending: "unauthenticated" });
  const onError = () => settle({ tag: "failed", failure: { message: "standard input failed" } });
  const stop = () => {
    if (!started) return;
    stream.off("data", onData).off("end", onEnd).off("close", onEnd).off("error", onError).pause();
    release();
  };
  let release = () => {};
  const start = () => {
    if (started || state.tag !== "open") return;
    started = true;
    if (stream.readableEnded || stream.destroyed) {
      state = { tag: "ended", ending: "unauthenticated" };
      return;
    }
    release = ledger.own(stop);
    stream.on("data", onData).on("end", onEnd).on("close", onEnd).on("error", onError).resume();
  };
  const taken = (bytes: Uint8Array) => {
    if (paused && state.tag === "open" && queue.length < LIMIT / 2) {
      paused = false;
      stream.resume();
    }
    return bytes;
  };
  const changed = new StartingSignal(start);

  return {
    changed,
    available: () => {
      start();
      return queue.length;
    },
    state: () => {
      start();
      return state;
    },
    read: (max) => taken(queue.take(max)),
    readChunk: (max) => taken(queue.shift(max)),
    close: () => {},
  };
}

/** A Node stream as a `Sink` that many handles may share: none of them ends the stream. */
export function writableSink(stream: Writable, ledger: Ledger): Sink {
  const changed = new Signal();
  let state: SinkState = { tag: "open" };
  const settle = (to: SinkState) => {
    if (state.tag !== "open") return;
    state = to;
    changed.notify();
  };
  const onWritten = (error?: Error | null) => (error ? onError() : changed.notify());
  const onError = () => settle({ tag: "failed", failure: { message: "standard output failed" } });
  const onClose = () => settle({ tag: "closed" });
  stream.on("error", onError).on("close", onClose);
  ledger.own(() => stream.off("error", onError).off("close", onClose));

  return {
    changed,
    capacity: () => (state.tag === "open" ? Math.max(0, LIMIT - stream.writableLength) : 0),
    pending: () => (state.tag === "open" ? stream.writableLength : 0),
    state: () => state,
    write: (bytes) => {
      if (state.tag === "open") stream.write(bytes, onWritten);
    },
    end: () => {},
    abort: () => {},
  };
}

/** Where nothing comes from. */
export function emptySource(): Source {
  const nothing = new Uint8Array(0);
  return {
    changed: new Signal(),
    available: () => 0,
    state: () => ({ tag: "ended", ending: "unauthenticated" }),
    read: () => nothing,
    readChunk: () => nothing,
    close: () => {},
  };
}

/** Where bytes vanish. */
export function discardingSink(): Sink {
  return {
    changed: new Signal(),
    capacity: () => LIMIT,
    pending: () => 0,
    state: () => ({ tag: "open" }),
    write: () => {},
    end: () => {},
    abort: () => {},
  };
}

class StartingSignal extends Signal {
  readonly #start: () => void;

  constructor(start: () => void) {
    super();
    this.#start = start;
  }

  override listen(wake: () => void): () => void {
    this.#start();
    return super.listen(wake);
  }
}

const LIMIT = 64 * 1024;
