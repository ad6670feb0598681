import type { Signal } from "./signal.ts";

/** Why a stream failed. Held by the host; the guest sees an opaque wasi:io error. */
export interface IoFailure {
  /** For people; no secret. */
  message: string;
  /** The `sallyport:tls/types` error, where TLS is what failed. */
  tls?: TlsErrorValue;
  /** The wasi:filesystem error code, where a file is what failed. */
  filesystem?: string;
  /** The wasi:sockets error code, where a connection is what failed. */
  network?: string;
}

/** The WIT variant `sallyport:tls/types.error` as jco represents it. */
export type TlsErrorValue =
  | { tag: "alert-received" | "alert-sent"; val: number }
  | { tag: "certificate"; val: CertificateError }
  | {
      tag:
        | "protocol"
        | "truncated"
        | "transport"
        | "timeout"
        | "not-permitted"
        | "not-supported"
        | "wrong-phase"
        | "invalid-argument"
        | "closed"
        | "internal";
    };

/** The WIT enum `sallyport:tls/types.certificate-error`. */
export type CertificateError =
  | "expired"
  | "not-yet-valid"
  | "name-mismatch"
  | "unknown-issuer"
  | "self-signed"
  | "revoked"
  | "bad-usage"
  | "bad-encoding"
  | "bad-signature"
  | "constraint-violated"
  | "none-presented"
  | "other";

/** The WIT enum `sallyport:tls/types.ending`. */
export type Ending = "authenticated" | "truncated" | "unauthenticated";

export type SourceState =
  | { tag: "open" }
  /** No byte will follow those that are available. `tolerated` is a truncation that the guest asked to take for an end,
   *  `mayBeCut` an end of a TLS connection that could not be told from a truncation. */
  | { tag: "ended"; ending: Ending; tolerated?: boolean; mayBeCut?: boolean }
  | { tag: "failed"; failure: IoFailure };

/** What a stream is part of, and has to know that the host moves its bytes: its handle may be dropped meanwhile. */
export interface StreamOwner {
  /** One of its streams is moved by the host from now on. */
  streamForwarded(mover: HostMover): void;
  /** It no longer is. */
  streamReturned(mover: HostMover): void;
}

/** What moves bytes in the host, seen from the streams that it moves. */
export interface HostMover {
  readonly source: Source;
  readonly sink: Sink;
  /** Whether somebody else could do the same work and nobody would notice: nothing is limited, timed or left open. */
  readonly canHandOver: boolean;
  /** Stop moving; somebody else does from here on, and says with the returned function how it ended and what was moved. */
  handOver(): (failed: boolean, transferred: number) => void;
}

/** Where an input-stream's bytes come from. */
export interface Source {
  readonly owner?: StreamOwner;
  /** Notified when bytes, an end or a failure arrived. Some sources offer bytes that arrive before they keep them. */
  readonly changed: Signal;
  /** Bytes that can be read now. */
  available(): number;
  /** What follows the available bytes. */
  state(): SourceState;
  /**
   * Up to `max` bytes in one piece; empty if none are available. Frees room for the producer.
   *
   * @param scratch a buffer that the result may be a view of, for callers that are done with it before they read again
   */
  read(max: number, scratch?: Uint8Array): Uint8Array;
  /** The next chunk as the producer made it, cut to `max`; never copies. */
  readChunk(max: number): Uint8Array;
  /**
   * If the next bytes are at most `max` and in memory that is about to be used again: give them to `use`, which must not keep
   * them. They are taken if it returns true. Where absent, there are never such bytes.
   */
  lend?(max: number, use: (bytes: Uint8Array) => boolean): boolean;
  /** Whether the producer shall wait, since its bytes cannot be handed on now. Only a source that lends has an advantage of it. */
  hold?(held: boolean): void;
  /** The reader is gone: bytes that arrive from now on may be thrown away. */
  close(): void;
}

export type SinkState = { tag: "open" } | { tag: "closed" } | { tag: "failed"; failure: IoFailure };

/** Where an output-stream's bytes go. */
export interface Sink {
  readonly owner?: StreamOwner;
  /** Notified when room, a completed flush, an end or a failure came about. */
  readonly changed: Signal;
  /** Bytes that may be written now; 0 means wait. */
  capacity(): number;
  /** Bytes written that have not reached what is behind this sink: a flush is done when this is 0. */
  pending(): number;
  state(): SinkState;
  /** Takes all of `bytes`, at most `capacity()` of them, and owns them from here on. */
  write(bytes: Uint8Array): void;
  /** As `write`, but is done with them when it returns true. At false it took none. Where absent, it would never take any. */
  absorb?(bytes: Uint8Array): boolean;
  /** After what was written: end gracefully (FIN, close_notify). */
  end(): void;
  /** After what was written: end so that the peer cannot take it for a graceful end. Where absent, there is no difference. */
  endUnauthenticated?(): void;
  /** Cut at once (RST, no close_notify). What was written may be lost. */
  abort(): void;
}
