import { parseServerName, type ServerName } from "../../src/wire/server-name.ts";
import { WireError } from "../../src/wire/wire-error.ts";
import { Transfer } from "../forward/transfer.ts";
import { IoError } from "../io/error.ts";
import { InputStream } from "../io/input-stream.ts";
import { type Ledger, Resource, Trap } from "../io/ledger.ts";
import { OutputStream } from "../io/output-stream.ts";
import { Pollable } from "../io/poll.ts";
import { Signal } from "../io/signal.ts";
import type { IoFailure, Sink, Source } from "../io/source.ts";
import { TlsConnection } from "../tls/connection.ts";
import type { TlsHost } from "../tls/tls-host.ts";

type Taken = [connection: object, input: InputStream, output: OutputStream];
type Handshake = { tag: "ok"; val: Taken } | { tag: "err"; val: IoError };

/**
 * The imports `wasi:tls/types@0.2.0-draft` of one instance, as upstream defines it, over the same engine as
 * `sallyport:tls`: the host verifies, the guest has no say. `isAvailable` is not upstream's; guests made by jco ask for it.
 */
export function wasiTlsImports(ledger: Ledger, tls: TlsHost): Record<string, object> {
  class ClientConnection extends Resource {
    readonly #session: Session;

    constructor(session: Session) {
      super(ledger);
      this.#session = session;
    }

    closeOutput(): void {
      this.#session.closeOutput();
    }

    protected override release(): void {
      this.#session.drop();
    }
  }

  class FutureClientStreams extends Resource {
    readonly #session: Session;
    #taken = false;

    constructor(session: Session) {
      super(ledger);
      this.#session = session;
    }

    subscribe(): Pollable {
      return new Pollable(
        ledger,
        this.#session.changed.when(() => this.#session.isSettled),
        this,
      );
    }

    get(): { tag: "ok"; val: Handshake } | { tag: "err" } | undefined {
      if (this.#taken) return { tag: "err" };
      if (!this.#session.isSettled) return undefined;
      this.#taken = true;
      const { failure, connection } = this.#session;
      if (failure !== undefined || connection === undefined)
        return { tag: "ok", val: { tag: "err", val: new IoError(ledger, failure ?? { message: "the connection has ended" }) } };
      const handle = new ClientConnection(this.#session);
      const input = new InputStream(ledger, connection.privateInput, handle);
      const output = new OutputStream(ledger, withoutEnd(connection.privateOutput), handle);
      return { tag: "ok", val: { tag: "ok", val: [handle, input, output] } };
    }

    protected override release(): void {
      if (!this.#taken) this.#session.drop();
    }
  }

  class ClientHandshake extends Resource {
    #begin: (() => Session) | undefined;
    #giveUp: (() => void) | undefined;

    constructor(serverName: string, input: InputStream, output: OutputStream) {
      if (input.hasChildren || output.hasChildren) throw new Trap("client-handshake: a stream that is handed over has a live pollable");
      super(ledger);
      const source = input.consume()!;
      const sink = output.consume()!;
      this.#begin = () => new Session(tls, serverName, source, sink);
      this.#giveUp = () => {
        source.close();
        sink.abort();
      };
    }

    static finish(handshake: ClientHandshake): FutureClientStreams {
      const begin = handshake.#begin!;
      handshake.#begin = undefined;
      handshake.#giveUp = undefined;
      handshake[Symbol.dispose]();
      return new FutureClientStreams(begin());
    }

    protected override release(): void {
      this.#giveUp?.();
      this.#giveUp = undefined;
      this.#begin = undefined;
    }
  }

  return { ClientHandshake, ClientConnection, FutureClientStreams, isAvailable: () => true };
}

/** A client connection and the two transfers that carry it. */
class Session {
  readonly changed: Signal;
  readonly connection: TlsConnection | undefined;
  readonly #transfers: Transfer[] = [];
  readonly #refused: IoFailure | undefined;
  #outputClosed = false;

  constructor(tls: TlsHost, serverName: string, source: Source, sink: Sink) {
    const server = tls.isFull ? undefined : parseName(serverName);
    if (server === undefined) {
      this.changed = new Signal();
      this.#refused = {
        message: tls.isFull ? "too many TLS connections" : "invalid server name",
        tls: { tag: tls.isFull ? "not-permitted" : "invalid-argument" },
      };
      source.close();
      sink.abort();
      return;
    }
    const name = server.tag === "dns" ? server.name : server.text;
    const connection = new TlsConnection(
      tls,
      { role: "client", points: new Set() },
      { server, name, sni: server.tag === "dns" ? name : undefined },
    );
    this.connection = connection;
    this.changed = connection.changed;
    const options = { limit: undefined, atEnd: "propagate" as const, idleTimeout: undefined };
    this.#transfers = [new Transfer(source, connection.publicOutput, options), new Transfer(connection.publicInput, sink, options)];
    connection.start();
    for (const transfer of this.#transfers) transfer.start();
  }

  get isSettled(): boolean {
    return this.#refused !== undefined || this.connection!.pointsPassed;
  }

  get failure(): IoFailure | undefined {
    const outcome = this.connection?.outcome;
    if (outcome?.tag !== "err") return this.#refused;
    return { message: this.connection?.detail ?? outcome.val.tag, tls: outcome.val };
  }

  closeOutput(): void {
    this.#outputClosed = true;
    this.connection?.closeOutput();
  }

  /** What was written and closed is still carried to the network; anything else is cut. */
  drop(): void {
    this.connection?.dropHandle();
    if (this.#outputClosed) return;
    for (const transfer of this.#transfers) transfer.drop();
  }
}

/** Upstream has `close-output` for a graceful end; merely dropping the stream says nothing to the peer. */
function withoutEnd(sink: Sink): Sink {
  return { ...sink, end: () => {} };
}

function parseName(text: string): ServerName | undefined {
  try {
    return parseServerName(text, { trailingDot: "drop" });
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}
