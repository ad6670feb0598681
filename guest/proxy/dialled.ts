import { type Connection, dial, type DialError, type Dialing } from "sallyport:gateway/dial@0.1.0";
import type { InputStream, OutputStream } from "wasi:io/streams@0.2.12";
import { dropInOrder } from "../../src/bindings/drop.ts";
import { attempt } from "../../src/bindings/errors.ts";
import { numberOfU64, u64 } from "../../src/bindings/integers.ts";
import { wellFormed } from "../../src/bindings/text.ts";
import { Event, type Nanoseconds, type Scope } from "../../src/reactor/index.ts";
import { Reader, Writer } from "../../src/streams/index.ts";
import type { Transport } from "../../src/tls/index.ts";

/** There is no connection to the server; `reason` is the host's, in a word. */
export class DialFailed extends Error {
  readonly code = "ERR_SALLYPORT_DIAL";
  readonly reason: string;
  /** Whether the host's rules forbid it, as against a network that failed. */
  readonly isRefusal: boolean;

  constructor(error: DialError) {
    const reason = error.tag === "refused" ? error.val : error.tag;
    super(error.tag === "refused" ? `the host does not connect there: ${reason}` : `no connection to the server: ${reason}`);
    this.reason = reason;
    this.isRefusal = error.tag === "refused" || error.tag === "not-recorded";
  }
}

/** A TCP connection that the host made. */
export class DialledConnection implements Transport {
  readonly reader: Reader;
  readonly writer: Writer;
  /** What was connected to. */
  readonly address: string;
  /** The host's number of it. */
  readonly id: number;

  constructor({ id, address, input, output }: Connection) {
    this.reader = new Reader(input);
    this.writer = new Writer(output);
    this.address = address;
    this.id = numberOfU64(id);
  }

  releaseStreams(): { input: InputStream; buffered: Uint8Array; output: OutputStream } {
    const { stream: input, buffered } = this.reader.release();
    return { input, buffered, output: this.writer.release() };
  }

  [Symbol.dispose](): void {
    dropInOrder(this.reader, this.writer);
  }
}

/**
 * Connect to a server by name: the host resolves it, checks every address and connects to what it checked.
 *
 * @param connection what the host's records call it
 * @throws {DialFailed} @throws the scope's reason
 */
export async function dialServer(
  host: string,
  port: number,
  options: { connection: number; timeout: Nanoseconds; scope: Scope },
): Promise<DialledConnection> {
  options.scope.throwIfCancelled();
  using dialing = take(() =>
    dial(wellFormed(host), port, { connection: u64(options.connection), timeout: u64(options.timeout) }),
  ) satisfies Dialing;
  using ready = new Event(() => dialing.subscribe());
  await ready.wait(options.scope);
  return new DialledConnection(take(() => dialing.finish()));
}

function take<T>(call: () => T): T {
  const result = attempt<T, DialError>(call);
  if (result.tag === "err") throw new DialFailed(result.val);
  return result.val;
}
