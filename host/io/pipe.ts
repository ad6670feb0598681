import { ByteQueue } from "./byte-queue.ts";
import { Signal } from "./signal.ts";
import type { IoFailure, Sink, Source, SourceState } from "./source.ts";

/** A bounded pipe in memory: what is written to `sink` is read from `source`. */
export interface Pipe {
  source: Source;
  sink: Sink & { fail(failure: IoFailure): void };
}

/** @param limit bytes that may be in flight */
export function pipe(limit: number): Pipe {
  const changed = new Signal();
  const queue = new ByteQueue();
  let state: SourceState = { tag: "open" };
  let readerGone = false;

  const settle = (to: SourceState) => {
    if (state.tag !== "open") return;
    state = to;
    changed.notify();
  };
  const taken = (bytes: Uint8Array) => {
    if (bytes.length > 0) changed.notify();
    return bytes;
  };

  return {
    source: {
      changed,
      available: () => queue.length,
      state: () => state,
      read: (max, scratch) => taken(queue.take(max, scratch)),
      readChunk: (max) => taken(queue.shift(max)),
      close: () => {
        readerGone = true;
        queue.clear();
        changed.notify();
      },
    },
    sink: {
      changed,
      capacity: () => (state.tag === "open" && !readerGone ? Math.max(0, limit - queue.length) : 0),
      pending: () => queue.length,
      state: () => (state.tag === "failed" ? state : state.tag === "ended" || readerGone ? { tag: "closed" } : { tag: "open" }),
      write: (bytes) => {
        queue.push(bytes);
        changed.notify();
      },
      end: () => settle({ tag: "ended", ending: "unauthenticated" }),
      abort: () => settle({ tag: "failed", failure: { message: "the other side of the pipe was aborted", tls: { tag: "transport" } } }),
      fail: (failure) => settle({ tag: "failed", failure }),
    },
  };
}
