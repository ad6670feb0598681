import {
  forwardBody,
  forwardResponse,
  type HttpError,
  type Message,
  type Mover,
  type Options as MoveOptions,
} from "sallyport:gateway/http@0.1.0";
import type { InputStream, OutputStream } from "wasi:io/streams@0.2.12";
import { dropInOrder } from "../../src/bindings/drop.ts";
import { isErrorValue } from "../../src/bindings/errors.ts";
import { numberOfU64, u64 } from "../../src/bindings/integers.ts";
import { optional } from "../../src/bindings/option.ts";
import type { Framing } from "../../src/http1/index.ts";
import { Event, type Nanoseconds, race, type Scope } from "../../src/reactor/index.ts";
import { Reader, Writer } from "../../src/streams/index.ts";

/** One side's streams between messages. While a message is moved they are the host's; afterwards there are new ones. */
export class MessageStreams implements Disposable {
  reader: Reader;
  writer: Writer;
  /** A stream of this side is gone: nothing further can be read or written there. */
  isBroken = false;

  constructor(side: { reader: Reader; writer: Writer }) {
    this.reader = side.reader;
    this.writer = side.writer;
  }

  [Symbol.dispose](): void {
    dropInOrder(this.reader, this.writer);
  }
}

/** How a request and its response went. */
export type Exchanged =
  | { readonly tag: "done"; readonly response: Message; readonly fromClient: number; readonly toClient: number }
  | {
      readonly tag: "failed";
      /** Whose fault it is: the client's request, the server's response, or a limit that the policy sets. */
      readonly side: "client" | "server";
      readonly error: HttpError;
      /** Whether the client has seen a part of the response. */
      readonly begun: boolean;
      readonly fromClient: number;
      readonly toClient: number;
    };

/** How to move them. */
export interface ExchangeOptions {
  readonly method: string;
  /** Of the request's body. */
  readonly framing: Framing;
  readonly idle: Nanoseconds;
  readonly allowUpgrade: boolean;
  /** Whether FIN ends a response: the server's side has no TLS. */
  readonly allowUnauthenticatedEnd: boolean;
  readonly scope: Scope;
}

/**
 * Have the host move the body of a request, whose head was written already, and the response to it.
 *
 * @throws the reason of `scope`; both sides are broken then
 */
export async function exchange(client: MessageStreams, server: MessageStreams, options: ExchangeOptions): Promise<Exchanged> {
  const { framing, scope } = options;
  const moving = (reader: Reader, allowUpgrade = false): { source: InputStream; settings: MoveOptions } => {
    const { stream, buffered } = reader.release();
    return {
      source: stream,
      settings: {
        unread: buffered,
        idleTimeout: u64(options.idle),
        allowUpgrade,
        allowUnauthenticatedEnd: options.allowUnauthenticatedEnd,
      },
    };
  };
  let body: Moving | undefined;
  if (framing.tag === "length" || framing.tag === "chunked") {
    const { source, settings } = moving(client.reader);
    const how = framing.tag === "length" ? { tag: "length" as const, val: u64(framing.length) } : { tag: "chunked" as const };
    body = new Moving(() => forwardBody(source, server.writer.release(), how, settings));
  }
  let response: Moving | undefined;
  try {
    const { source, settings } = moving(server.reader, options.allowUpgrade);
    response = new Moving(() => forwardResponse(source, client.writer.release(), options.method, settings));
    return await follow(client, server, body, response, scope);
  } catch (error) {
    client.isBroken = server.isBroken = true;
    throw error;
  } finally {
    dropInOrder(body, response);
  }
}

async function follow(
  client: MessageStreams,
  server: MessageStreams,
  body: Moving | undefined,
  response: Moving,
  scope: Scope,
): Promise<Exchanged> {
  for (let bodyOver = body === undefined; response.outcome === undefined;) {
    if (bodyOver) await response.done.wait(scope);
    else await race([(waiting) => response.done.wait(waiting), (waiting) => body!.done.wait(waiting)], scope);
    const sent = body?.outcome;
    bodyOver ||= sent !== undefined;
    // A server that takes no more of a body may have answered already, or be about to.
    if (sent?.tag === "err" && sent.val !== "sink-failed") response.cancel();
  }
  const counts = { fromClient: body?.transferred ?? 0, toClient: response.transferred };
  const sent = body?.outcome;
  const answered = response.outcome;
  if (body !== undefined && sent !== undefined) {
    const [input, output] = body.takeBack();
    [client.reader, server.writer] = [new Reader(input), new Writer(output)];
  }
  // A response that came before the whole body was there leaves both connections in the middle of it.
  if (body !== undefined && sent?.tag !== "ok") client.isBroken = server.isBroken = true;
  const [input, output] = response.takeBack();
  [server.reader, client.writer] = [new Reader(input), new Writer(output)];
  if (answered.tag === "ok") return { tag: "done", response: answered.val, ...counts };
  server.isBroken = true;
  const begun = counts.toClient > 0;
  if (sent?.tag === "err" && sent.val !== "sink-failed") return { tag: "failed", side: "client", error: sent.val, begun, ...counts };
  return { tag: "failed", side: answered.val === "sink-failed" ? "client" : "server", error: answered.val, begun, ...counts };
}

type Outcome = { tag: "ok"; val: Message } | { tag: "err"; val: HttpError };

/** A mover with what waits for it. */
class Moving implements Disposable {
  readonly done: Event;
  private readonly mover: Mover;

  constructor(start: () => Mover) {
    this.mover = started(start);
    this.done = new Event(() => this.mover.subscribe());
  }

  get outcome(): Outcome | undefined {
    return optional(this.mover.outcome());
  }

  get transferred(): number {
    return numberOfU64(this.mover.transferred());
  }

  cancel(): void {
    this.mover.cancel();
  }

  takeBack(): [InputStream, OutputStream] {
    return this.mover.takeBack();
  }

  [Symbol.dispose](): void {
    dropInOrder(this.done, this.mover);
  }
}

/** Refused streams come back, and nobody wants them: only a mistake in here can cause that. */
function started(start: () => Mover): Mover {
  try {
    return start();
  } catch (error) {
    if (!isErrorValue(error)) throw error;
    const [reason, input, output] = error.payload as [HttpError, InputStream, OutputStream];
    dropInOrder(input, output);
    throw new Error(`a message could not be moved: ${reason}`, { cause: error });
  }
}
