import { WitError } from "../io/error.ts";
import { InputStream } from "../io/input-stream.ts";
import { type Ledger, Resource } from "../io/ledger.ts";
import { OutputStream } from "../io/output-stream.ts";
import { Pollable } from "../io/poll.ts";
import type { Sink, Source, TlsErrorValue } from "../io/source.ts";
import { Relay, type RelayOutcome } from "./relay.ts";
import { Transfer, type TransferOptions, type TransferOutcome } from "./transfer.ts";

/** The WIT record `options`. */
interface ForwardOptions {
  limit?: bigint;
  atEnd: "propagate" | "leave" | "abort";
  /** Nanoseconds. */
  idleTimeout?: bigint;
}

/** The imports `sallyport:tls/forward` of one instance. */
export function forwardImports(ledger: Ledger): Record<string, object> {
  class Forwarder extends Resource {
    #transfer: Transfer | undefined;

    constructor(transfer: Transfer) {
      super(ledger);
      this.#transfer = transfer;
      transfer.start();
    }

    subscribe(): Pollable {
      const transfer = this.#running();
      return new Pollable(
        ledger,
        transfer.changed.when(() => transfer.outcome !== undefined),
      );
    }

    transferred(): bigint {
      return BigInt(this.#running().transferred);
    }

    outcome(): TransferOutcome | undefined {
      return this.#running().outcome;
    }

    takeBack(): [InputStream, OutputStream] {
      const transfer = this.#transfer;
      if (transfer?.outcome === undefined || this.#takenBack) throw wrongPhase();
      this.#takenBack = true;
      transfer.release();
      return [new InputStream(ledger, transfer.source), new OutputStream(ledger, transfer.sink)];
    }
    #takenBack = false;

    protected override release(): void {
      if (!this.#takenBack) this.#transfer?.drop();
      this.#transfer = undefined;
    }

    #running(): Transfer {
      if (this.#transfer === undefined) throw wrongPhase();
      return this.#transfer;
    }
  }

  return {
    Forwarder,
    Relayer,
    forward(source: InputStream, sink: OutputStream, options: ForwardOptions): Forwarder {
      const taken = consume([source], [sink]);
      if (taken === undefined) throw new WitError([{ tag: "invalid-argument" }, source, sink]);
      return new Forwarder(new Transfer(taken.sources[0]!, taken.sinks[0]!, readOptions(options)));
    },
    relay(aInput: InputStream, aOutput: OutputStream, bInput: InputStream, bOutput: OutputStream, options: ForwardOptions): Relayer {
      const taken = consume([aInput, bInput], [aOutput, bOutput]);
      if (taken === undefined) throw new WitError([{ tag: "invalid-argument" }, aInput, aOutput, bInput, bOutput]);
      const read = readOptions(options);
      const [a, b] = [0, 1].map((i) => ({ source: taken.sources[i]!, sink: taken.sinks[i]! }));
      const moved = new Relay(a!, b!, read);
      moved.start();
      return new Relayer(ledger, moved);
    },
  };
}

/** The WIT resource `relayer`. */
export class Relayer extends Resource {
  readonly #relay: Relay;

  /** @param relay begun; owned from here on */
  constructor(ledger: Ledger, relay: Relay) {
    super(ledger);
    this.#relay = relay;
  }

  subscribe(): Pollable {
    return new Pollable(this.ledger, this.#relay);
  }

  transferred(): [bigint, bigint] {
    const [fromA, toA] = this.#relay.transferred;
    return [BigInt(fromA), BigInt(toA)];
  }

  outcome(): RelayOutcome | undefined {
    return this.#relay.outcome;
  }

  protected override release(): void {
    this.#relay.drop();
  }
}

/** Take all of these streams out of their handles, or none. */
function consume(inputs: InputStream[], outputs: OutputStream[]): { sources: Source[]; sinks: Sink[] } | undefined {
  if (inputs.some((input) => input.hasChildren) || outputs.some((output) => output.hasChildren)) return undefined;
  return { sources: inputs.map((input) => input.consume()!), sinks: outputs.map((output) => output.consume()!) };
}

function readOptions({ limit, atEnd, idleTimeout }: ForwardOptions): TransferOptions {
  return {
    // Past 2^53 a count of bytes is as good as no limit.
    limit: limit === undefined || limit > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : Number(limit),
    atEnd,
    // Never sooner than was asked for.
    idleTimeout: idleTimeout === undefined ? undefined : Number((idleTimeout + 999_999n) / 1_000_000n),
  };
}

function wrongPhase(): WitError<TlsErrorValue> {
  return new WitError<TlsErrorValue>({ tag: "wrong-phase" });
}
