import type { InputStream, OutputStream } from "wasi:io/streams@0.2.12";
import { relay, type Relayer } from "sallyport:tls/forward@0.1.0";
import { u64 } from "../../../src/bindings/integers.ts";
import { isErrorValue } from "../../../src/bindings/errors.ts";
import type { Cleanup, Setting } from "./program.ts";
import { dial, type Duplex } from "./tcp.ts";

/** The network's side of one end of a connection. */
export interface PublicStreams {
  publicInput: InputStream;
  publicOutput: OutputStream;
}

/** What moves ciphertext between the two ends of a connection. */
export interface Link {
  /** Towards the client and towards the server, where the guest moves the bytes itself. */
  readonly toClient: Hose | undefined;
  readonly toServer: Hose | undefined;
  /** Move what can be moved now. */
  pump(): void;
}

/** Connect two ends in the way that the command line asks for. */
export function link(setting: Setting, client: PublicStreams, server: PublicStreams, cleanup: Cleanup, nest: Nest): Link {
  switch (setting.transport) {
    case "memory":
      return hoses(cleanup, [new Hose(client.publicInput, server.publicOutput)], [new Hose(server.publicInput, client.publicOutput)]);
    case "tcp": {
      const [a, b] = dialTwice(setting, cleanup);
      return hoses(
        cleanup,
        [new Hose(client.publicInput, a.output), new Hose(b.input, server.publicOutput)],
        [new Hose(server.publicInput, b.output), new Hose(a.input, client.publicOutput)],
      );
    }
    case "relay": {
      const [a, b] = dialTwice(setting, cleanup);
      const movers: Relayer[] = [
        relay(a.input, a.output, client.publicInput, client.publicOutput, { limit: undefined, atEnd: "propagate", idleTimeout: undefined }),
        relay(b.input, b.output, server.publicInput, server.publicOutput, { limit: undefined, atEnd: "propagate", idleTimeout: undefined }),
      ];
      cleanup(() => movers.forEach((mover) => mover[Symbol.dispose]()));
      return { toClient: undefined, toServer: undefined, pump: () => {} };
    }
    case "nested": {
      const outer = nest();
      const inner = hoses(
        cleanup,
        [new Hose(client.publicInput, outer.client.output), new Hose(outer.server.input, server.publicOutput)],
        [new Hose(server.publicInput, outer.server.output), new Hose(outer.client.input, client.publicOutput)],
      );
      return {
        ...inner,
        pump: () => {
          inner.pump();
          outer.pump();
          inner.pump();
        },
      };
    }
  }
}

/** Makes the established connection that another one goes through. */
export type Nest = () => { client: Duplex; server: Duplex; pump(): void };

/** Moves bytes from a source to a sink, in the guest, and passes ends on. */
export class Hose {
  readonly #source: InputStream;
  readonly #sink: OutputStream;
  /** Set to let nothing through. */
  isShut = false;
  /** Bytes that went through. */
  moved = 0;
  /** Everything that went through. */
  seen: Uint8Array[] = [];
  #sourceIsOver = false;
  #sinkIsOver = false;

  constructor(source: InputStream, sink: OutputStream) {
    this.#source = source;
    this.#sink = sink;
  }

  pump(): void {
    while (!this.isShut && !this.#sourceIsOver && this.#step());
  }

  /** Bytes that nobody wrote at the source. */
  inject(bytes: Uint8Array): void {
    this.#sink.write(bytes);
  }

  /** End the sink, whatever the source says: the transport was cut. */
  cut(): void {
    this.isShut = true;
    this.#endSink();
  }

  close(): void {
    this.#sourceIsOver = true;
    this.#source[Symbol.dispose]();
    this.#endSink();
  }

  #step(): boolean {
    const room = this.#sinkIsOver ? MAX : orOver(() => Number(this.#sink.checkWrite()));
    if (room === "over") {
      // Whatever still comes is of no use to anybody, but the source must not be held up by it.
      this.#endSink();
      return true;
    }
    if (room === 0) return false;
    const bytes = orOver(() => this.#source.read(u64(Math.min(room, MAX))));
    if (bytes === "over") {
      this.#sourceIsOver = true;
      this.#endSink();
      return false;
    }
    if (bytes.length === 0) return false;
    this.moved += bytes.length;
    this.seen.push(bytes);
    if (!this.#sinkIsOver) this.#sink.write(bytes);
    return true;
  }

  #endSink(): void {
    if (this.#sinkIsOver) return;
    this.#sinkIsOver = true;
    this.#sink[Symbol.dispose]();
  }
}

const MAX = 65_536;

function hoses(cleanup: Cleanup, toServer: Hose[], toClient: Hose[]): Link {
  const all = [...toServer, ...toClient];
  cleanup(() => all.forEach((hose) => hose.close()));
  return {
    toServer: toServer.at(-1),
    toClient: toClient.at(-1),
    pump: () => all.forEach((hose) => hose.pump()),
  };
}

/** Two connections to the peer, which joins them. */
function dialTwice(setting: Setting, cleanup: Cleanup): [Duplex, Duplex] {
  return [dial(setting.peer, cleanup), dial(setting.peer, cleanup)];
}

function orOver<T>(call: () => T): T | "over" {
  try {
    return call();
  } catch (error) {
    if (!isErrorValue(error)) throw error;
    return "over";
  }
}
