import { WitError } from "../io/error.ts";
import { InputStream } from "../io/input-stream.ts";
import { type Ledger, Resource } from "../io/ledger.ts";
import { OutputStream } from "../io/output-stream.ts";
import { Pollable } from "../io/poll.ts";
import type { Sink, Source, TlsErrorValue } from "../io/source.ts";
import { type Stop, Transfer, type TransferOptions, type TransferOutcome } from "./transfer.ts";
import { monotonicNow } from "../io/monotonic.ts";

/** The WIT record `options`. */
interface ForwardOptions {
  limit?: bigint;
  atEnd: "propagate" | "leave" | "abort";
  /** Nanoseconds. */
  idleTimeout?: bigint;
}

type RelayOutcome = { tag: "ok"; val: [Stop, Stop] } | { tag: "err"; val: TlsErrorValue };

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

  class Relayer extends Resource {
    readonly #aToB: Transfer;
    readonly #bToA: Transfer;
    #failure: (RelayOutcome & { tag: "err" }) | undefined;

    constructor(aToB: Transfer, bToA: Transfer) {
      super(ledger);
      this.#aToB = aToB;
      this.#bToA = bToA;
      aToB.changed.listen(() => this.#stopBothAfterFailure(aToB, bToA));
      bToA.changed.listen(() => this.#stopBothAfterFailure(bToA, aToB));
      aToB.start();
      bToA.start();
    }

    subscribe(): Pollable {
      const [a, b] = [this.#aToB, this.#bToA];
      return new Pollable(ledger, {
        ready: () => this.outcome() !== undefined,
        listen: (wake) => {
          const stops = [a.changed.listen(wake), b.changed.listen(wake)];
          return () => stops.forEach((stop) => stop());
        },
      });
    }

    transferred(): [bigint, bigint] {
      return [BigInt(this.#aToB.transferred), BigInt(this.#bToA.transferred)];
    }

    outcome(): RelayOutcome | undefined {
      if (this.#failure !== undefined) return this.#failure;
      const [a, b] = [stopOf(this.#aToB), stopOf(this.#bToA)];
      return a === undefined || b === undefined ? undefined : { tag: "ok", val: [a, b] };
    }
    protected override release(): void {
      this.#aToB.drop();
      this.#bToA.drop();
    }

    #stopBothAfterFailure(from: Transfer, other: Transfer): void {
      const { outcome } = from;
      if (outcome?.tag !== "err" || outcome.val.tag === "closed") return;
      this.#failure ??= outcome;
      other.cancel({ tag: "closed" });
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
      const [aSource, bSource] = taken.sources;
      const [aSink, bSink] = taken.sinks;
      const activity = { lastMoved: monotonicNow() };
      return new Relayer(new Transfer(aSource!, bSink!, read, activity), new Transfer(bSource!, aSink!, read, activity));
    },
  };
}

/** How one direction of a relay stopped, if it did without a failure. A sink that has ended is none: the other goes on. */
function stopOf({ outcome }: Transfer): Stop | undefined {
  if (outcome?.tag === "ok") return outcome.val;
  return outcome?.val.tag === "closed" ? "closed" : undefined;
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
