import { forward, type Forwarder } from "sallyport:tls/forward@0.1.0";
import type { Error as WitTlsError } from "sallyport:tls/types@0.1.0";
import type { InputStream, OutputStream } from "wasi:io/streams@0.2.12";
import { dropInOrder } from "../../src/bindings/drop.ts";
import { attempt } from "../../src/bindings/errors.ts";
import { numberOfU64, u64 } from "../../src/bindings/integers.ts";
import { optional } from "../../src/bindings/option.ts";
import { encodeUtf8 } from "../../src/bindings/text.ts";
import { type FieldLine, responseHead } from "../../src/http1/index.ts";
import { Event, type Nanoseconds, timeout } from "../../src/reactor/index.ts";
import { Writer } from "../../src/streams/index.ts";
import { TlsError } from "../../src/tls/index.ts";

/** A response could not be sent as it was announced: the client must see that it is incomplete. */
export class ResponseCut extends Error {
  readonly code = "ERR_SALLYPORT_RESPONSE_CUT";
  /** Body bytes that were sent. */
  readonly sent: number;

  constructor(sent: number, why: string) {
    super(`a response ended after ${sent} bytes of its body: ${why}`);
    this.sent = sent;
  }
}

/** Writes the responses of one connection. Bodies from files are moved by the host; no byte of them enters the guest. */
export class ResponseWriter implements Disposable {
  private writer: Writer | undefined;
  private readonly idle: Nanoseconds;

  /**
   * @param stream owned from here on
   * @param idle how long the client may take no byte
   */
  constructor(stream: OutputStream, idle: Nanoseconds) {
    this.writer = new Writer(stream);
    this.idle = idle;
  }

  /** A head without a body, or before one. @throws {TimedOut} @throws {StreamFailure} @throws {StreamClosed} */
  async head(status: number, fields: readonly FieldLine[]): Promise<void> {
    await this.write(responseHead(status, fields));
  }

  /** Head and text in one piece. @throws as `head` */
  async text(status: number, fields: readonly FieldLine[], text: string): Promise<void> {
    const head = responseHead(status, fields);
    const body = encodeUtf8(text);
    const whole = new Uint8Array(head.length + body.length);
    whole.set(head);
    whole.set(body, head.length);
    await this.write(whole);
  }

  /**
   * Exactly `length` bytes of `source`.
   *
   * @param source owned from here on
   * @throws {ResponseCut} the connection has to be aborted then
   */
  async body(source: InputStream, length: number): Promise<void> {
    const sink = this.alive().release();
    this.writer = undefined;
    let forwarder: Forwarder | undefined;
    try {
      forwarder = forward(source, sink, { limit: u64(length), atEnd: "leave", idleTimeout: u64(this.idle) });
      await ended(forwarder);
      const sent = numberOfU64(forwarder.transferred());
      const outcome = optional(forwarder.outcome());
      // Taken back whatever the outcome: dropped with the forwarder, the stream would end as if all were well.
      const [rest, stream] = forwarder.takeBack();
      this.writer = new Writer(stream);
      dropInOrder(rest);
      if (outcome?.tag === "err") throw new ResponseCut(sent, new TlsError(outcome.val).message);
      if (sent !== length) throw new ResponseCut(sent, "the file has become shorter meanwhile");
    } catch (error) {
      if (forwarder === undefined) dropHandedBack(error);
      throw error;
    } finally {
      dropInOrder(forwarder);
    }
  }

  [Symbol.dispose](): void {
    dropInOrder(this.writer);
    this.writer = undefined;
  }

  private async write(bytes: Uint8Array): Promise<void> {
    const writer = this.alive();
    // What fits is taken at once: no clock is needed for it.
    if (writer.permit() >= bytes.length) await writer.write(bytes);
    else await timeout(this.idle, (scope) => writer.write(bytes, scope));
  }

  private alive(): Writer {
    if (this.writer === undefined) throw new ResponseCut(0, "the connection is gone");
    return this.writer;
  }
}

async function ended(forwarder: Forwarder): Promise<void> {
  using event = new Event(() => forwarder.subscribe());
  await event.wait();
}

/** `forward` gives the streams back when it refuses them. */
function dropHandedBack(error: unknown): void {
  const refused = attempt<never, [WitTlsError, InputStream, OutputStream]>(() => {
    throw error;
  });
  if (refused.tag === "err") dropInOrder(refused.val[1], refused.val[2]);
}
