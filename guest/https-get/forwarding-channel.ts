import { forward, type Forwarder } from "sallyport:tls/forward@0.1.0";
import type { Error as TlsReason } from "sallyport:tls/types@0.1.0";
import type { OutputStream } from "wasi:io/streams@0.2.12";
import { attempt } from "../../src/bindings/errors.ts";
import { dropInOrder } from "../../src/bindings/drop.ts";
import { numberOfU64, u64 } from "../../src/bindings/integers.ts";
import { optional } from "../../src/bindings/option.ts";
import type { Channel, Forwarded, ForwardOptions } from "../../src/fetch/binding.ts";
import { Event, MILLISECOND, type Nanoseconds, race, type Scope, sleep } from "../../src/reactor/index.ts";
import { Reader, type Writer } from "../../src/streams/index.ts";
import { type TlsConnection, TlsError } from "../../src/tls/index.ts";
import { tls } from "../../src/tls/tls-error.ts";

/** A TLS connection whose incoming bytes the host can move elsewhere. */
export class ForwardingChannel implements Channel {
  reader: Reader;
  readonly writer: Writer;
  readonly #connection: TlsConnection;

  /** @param connection owned from here on */
  constructor(connection: TlsConnection) {
    this.#connection = connection;
    this.reader = connection.reader;
    this.writer = connection.writer;
  }

  get endedAuthenticated(): boolean {
    return this.#connection.endedAuthenticated === true;
  }

  readonly forward = async (sink: OutputStream, { limit, onProgress, scope }: ForwardOptions): Promise<Forwarded> => {
    const { stream, buffered } = this.reader.release();
    // Only what the parser has used up is forwarded past, and a reader buffers nothing else.
    if (buffered.length > 0) throw new RangeError("bytes are left in front of what is to be forwarded");
    const started = attempt<Forwarder, [TlsReason, ...unknown[]]>(() =>
      forward(stream, sink, { limit: limit === undefined ? undefined : u64(limit), atEnd: "leave" }),
    );
    if (started.tag === "err") throw new TlsError(started.val[0]);
    // Dropped with both streams in it if anything goes wrong before they are taken back.
    using forwarder = started.val;
    await untilDone(forwarder, onProgress, scope);
    const bytes = numberOfU64(forwarder.transferred());
    const outcome = optional(forwarder.outcome())!;
    const [source, back] = tls(() => forwarder.takeBack());
    this.reader = new Reader(source);
    return { bytes, sink: back, stop: stopOf(outcome) };
  };

  end(): void {
    attempt(() => this.#connection.endpoint.closeOutput());
  }

  [Symbol.dispose](): void {
    dropInOrder(this.reader, this.#connection);
  }
}

async function untilDone(forwarder: Forwarder, onProgress: ForwardOptions["onProgress"], scope: Scope): Promise<void> {
  using done = new Event(() => forwarder.subscribe());
  if (onProgress === undefined) return await done.wait(scope);
  while (optional(forwarder.outcome()) === undefined) {
    await race([(waiting) => done.wait(waiting), (waiting) => sleep(STEP, waiting)], scope);
    await onProgress(numberOfU64(forwarder.transferred()));
  }
}

function stopOf(outcome: NonNullable<ReturnType<Forwarder["outcome"]>>): Forwarded["stop"] {
  if (outcome.tag === "err") return outcome.val.tag === "truncated" ? "cut" : { failed: new TlsError(outcome.val) };
  if (outcome.val === "limit") return "limit";
  return outcome.val === "authenticated" ? "ended" : "cut";
}

/** How often progress is looked at. */
const STEP: Nanoseconds = BigInt(200) * MILLISECOND;
