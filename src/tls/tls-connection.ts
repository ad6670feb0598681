import type { Client, ConnectionInfo, Server } from "sallyport:tls/connection@0.1.0";
import { relay, type Relayer } from "sallyport:tls/forward@0.1.0";
import type { Error as WitTlsError } from "sallyport:tls/types@0.1.0";
import type { Pollable } from "wasi:io/poll@0.2.12";
import type { InputStream, OutputStream } from "wasi:io/streams@0.2.12";
import { dropInOrder } from "../bindings/drop.ts";
import { attempt } from "../bindings/errors.ts";
import { optional } from "../bindings/option.ts";
import { Event } from "../reactor/event.ts";
import { type Nanoseconds, SECOND, spawn, timeout } from "../reactor/reactor.ts";
import type { Scope } from "../reactor/cancel.ts";
import { Reader } from "../streams/reader.ts";
import { Writer } from "../streams/writer.ts";
import { asTlsError, TlsError, tls } from "./tls-error.ts";

/** What TLS runs over: a `TcpConnection`, or anything else that gives its two streams away. */
export interface Transport extends Disposable {
  /** The streams, with the bytes that were read already. What is left is dropped after them. */
  releaseStreams(): { input: InputStream; buffered: Uint8Array; output: OutputStream };
}

/** What both roles of `sallyport:tls/connection` have and this module uses. */
export type Endpoint = Pick<
  Client & Server,
  "start" | "streams" | "info" | "peerIdentity" | "channelBinding" | "outcome" | "errorDetail" | "abort" | "closeOutput"
> & {
  subscribe(): Pollable;
  [Symbol.dispose](): void;
};

// Private members are TypeScript's here, and nothing is `using` where each connection passes: the build lowers both, to what
// costs QuickJS half a microsecond an access and eight a block.

/**
 * An established TLS connection over a TCP connection. The host moves the ciphertext; the guest sees `reader` and `writer`.
 * Dispose it, best with `using`; `end` first if the peer is to know that everything was sent.
 */
export class TlsConnection implements Disposable {
  readonly reader: Reader;
  readonly writer: Writer;
  readonly endpoint: Endpoint;
  private readonly carrier: Carrier;

  /** For `connectTls` and `acceptTls`. */
  constructor(endpoint: Endpoint, carrier: Carrier) {
    this.endpoint = endpoint;
    this.carrier = carrier;
    this.reader = new Reader(carrier.privateInput);
    this.writer = new Writer(carrier.privateOutput);
  }

  /** What was negotiated. */
  get info(): ConnectionInfo {
    const info = optional(this.endpoint.info());
    if (info === undefined) throw new TlsError({ tag: "closed" });
    return info;
  }

  /** The accepted chain of the peer, DER, leaf first; empty if it showed none. @throws {TlsError} */
  peerChain(): Uint8Array[] {
    const identity = optional(tls(() => this.endpoint.peerIdentity()));
    if (identity === undefined) return [];
    using chain = identity;
    return chain.exportX509Chain();
  }

  /** Whether the peer ended with close_notify; `undefined` while it has not ended. */
  get endedAuthenticated(): boolean | undefined {
    const outcome = optional(this.endpoint.outcome());
    return outcome === undefined ? undefined : outcome.tag === "ok" && outcome.val === "authenticated";
  }

  /** Send what was written, then close_notify. Reading goes on. @throws {TlsError} */
  async end(scope?: Scope): Promise<void> {
    try {
      // `close-output` sends what was written first, and costs less than waiting for it here; but only what the stream has
      // taken without an error was sent.
      if (this.writer.permit() === 0) await this.writer.flush(scope);
      this.endpoint.closeOutput();
    } catch (error) {
      throw asTlsError(error);
    }
  }

  /** End at once with a fatal alert, where one can still be sent. */
  abort(description: number): void {
    attempt(() => this.endpoint.abort(description));
  }

  /**
   * After `end`: wait until the host has handed everything to the network, the peer's end included if it comes. For servers
   * that would otherwise drop the connection under their last bytes.
   */
  async drained(scope?: Scope): Promise<void> {
    await this.carrier.done(scope);
  }

  [Symbol.dispose](): void {
    dropInOrder(this.reader, this.writer, this.carrier, this.endpoint);
  }
}

/** A connection that the host carries, in parts. */
export interface Carried {
  readonly carrier: Relayer;
  readonly privateInput: InputStream;
  readonly privateOutput: OutputStream;
}

/** The public side of a connection, moved by the host between TCP and TLS. */
export class Carrier implements Disposable {
  readonly privateInput: InputStream;
  readonly privateOutput: OutputStream;
  private readonly relayer: Relayer;
  private readonly over: Event;
  private readonly transport: Transport | undefined;

  /** @param transport owned from here on; what the relayer moves may need it */
  constructor({ carrier, privateInput, privateOutput }: Carried, transport?: Transport) {
    this.transport = transport;
    this.relayer = carrier;
    this.over = new Event(() => this.relayer.subscribe());
    this.privateInput = privateInput;
    this.privateOutput = privateOutput;
  }

  /** Have the host carry a connection that is about to start. @param transport owned from here on */
  static over(endpoint: Endpoint, transport: Transport): Carrier {
    const { publicInput, publicOutput, privateInput, privateOutput } = tls(() => endpoint.streams());
    const { input, buffered, output } = transport.releaseStreams();
    if (buffered.length > 0) publicOutput.write(buffered);
    const carrier = relay(input, output, publicInput, publicOutput, { atEnd: "propagate" });
    return new Carrier({ carrier, privateInput, privateOutput }, transport);
  }

  async done(scope?: Scope): Promise<void> {
    await this.over.wait(scope);
  }

  [Symbol.dispose](): void {
    dropInOrder(this.over, this.relayer, this.transport);
  }

  /**
   * Give up a connection that was never established. An alert may still have to leave, so the host is left to move it until
   * both sides have ended; only then, or after a while, is the rest dropped.
   */
  abandon(): void {
    dropInOrder(this.privateInput, this.privateOutput);
    spawn(
      async () => {
        try {
          await timeout(LINGER, (scope) => this.done(scope));
        } finally {
          this[Symbol.dispose]();
        }
      },
      () => {},
    );
  }
}

/** How long a refused peer has to take its alert. */
const LINGER: Nanoseconds = SECOND;

/** Why an endpoint that ended did so. */
export function failureOf(endpoint: Endpoint): TlsError {
  const outcome = optional(endpoint.outcome());
  const reason: WitTlsError = outcome?.tag === "err" ? outcome.val : { tag: "closed" };
  return new TlsError(reason, optional(endpoint.errorDetail()));
}
