import { monotonicNow } from "../io/monotonic.ts";
import type { Readiness } from "../io/signal.ts";
import type { Sink, Source, TlsErrorValue } from "../io/source.ts";
import { type Stop, Transfer, type TransferOptions } from "./transfer.ts";

/** Both streams of one side. */
export interface RelaySide {
  readonly source: Source;
  readonly sink: Sink;
}

/** How each direction stopped, that from `a` first, or what ended both. */
export type RelayOutcome = { tag: "ok"; val: [Stop, Stop] } | { tag: "err"; val: TlsErrorValue };

/** Both directions between two sides, which end together when one fails. */
export class Relay implements Readiness {
  readonly #aToB: Transfer;
  readonly #bToA: Transfer;
  #failure: (RelayOutcome & { tag: "err" }) | undefined;

  constructor(a: RelaySide, b: RelaySide, options: TransferOptions) {
    const activity = { lastMoved: monotonicNow() };
    this.#aToB = new Transfer(a.source, b.sink, options, activity);
    this.#bToA = new Transfer(b.source, a.sink, options, activity);
  }

  /** Begin; the outcome may be known before this returns. */
  start(): void {
    const [a, b] = [this.#aToB, this.#bToA];
    a.changed.listen(() => this.#stopBothAfterFailure(a, b));
    b.changed.listen(() => this.#stopBothAfterFailure(b, a));
    a.start();
    b.start();
  }

  /** Bytes from `a`, and bytes to it. */
  get transferred(): [fromA: number, toA: number] {
    return [this.#aToB.transferred, this.#bToA.transferred];
  }

  get outcome(): RelayOutcome | undefined {
    if (this.#failure !== undefined) return this.#failure;
    const [a, b] = [stopOf(this.#aToB), stopOf(this.#bToA)];
    return a === undefined || b === undefined ? undefined : { tag: "ok", val: [a, b] };
  }

  /** Whether it is over. */
  ready(): boolean {
    return this.outcome !== undefined;
  }

  listen(wake: () => void): () => void {
    const stops = [this.#aToB.changed.listen(wake), this.#bToA.changed.listen(wake)];
    return () => stops.forEach((stop) => stop());
  }

  /** Stop moving. Nothing is done to the streams: they are somebody else's from here on. */
  release(): void {
    for (const transfer of [this.#aToB, this.#bToA]) {
      transfer.cancel({ tag: "closed" });
      transfer.release();
    }
  }

  /** Give all streams up: gracefully where a direction was moved whole. */
  drop(): void {
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

/** How one direction of a relay stopped, if it did without a failure. A sink that has ended is none: the other goes on. */
function stopOf({ outcome }: Transfer): Stop | undefined {
  if (outcome?.tag === "ok") return outcome.val;
  return outcome?.val.tag === "closed" ? "closed" : undefined;
}
