import { WitError } from "../io/error.ts";
import { InputStream } from "../io/input-stream.ts";
import { type Ledger, Resource } from "../io/ledger.ts";
import { OutputStream } from "../io/output-stream.ts";
import { Pollable } from "../io/poll.ts";
import { type ConversationImports, conversationImports, type Records } from "./http1-conversation-imports.ts";
import type { Subject } from "./http1-message.ts";
import { UnreadSource } from "./unread-source.ts";
import { MessageMover, type MoveFault, type MoveOptions } from "./http1-mover.ts";

/** The WIT enum `sallyport:gateway/http.http-error`. */
export type HttpError = MoveFault | "invalid-argument" | "wrong-phase";

/** The WIT variant `framing`. */
type WitFraming = { tag: "length"; val: bigint } | { tag: "chunked" };

/** The WIT record `options`. */
export interface HttpOptions {
  unread: Uint8Array;
  /** Nanoseconds. */
  idleTimeout?: bigint;
  allowUpgrade: boolean;
  allowUnauthenticatedEnd: boolean;
}

/** The WIT record `message`. */
export interface WitMessage {
  status: number | undefined;
  reusable: boolean;
  upgraded: boolean;
  endedByClose: boolean;
  interim: number;
  bytes: bigint;
}

/** The imports `sallyport:gateway/http` of one instance. */
export interface HttpImports extends ConversationImports {
  Mover: new (mover: MessageMover) => MoverResource;
  /** @throws {WitError<[HttpError, InputStream, OutputStream]>} `invalid-argument` */
  forwardBody(source: InputStream, sink: OutputStream, framing: WitFraming, options: HttpOptions): MoverResource;
  /** @throws {WitError<[HttpError, InputStream, OutputStream]>} `invalid-argument` */
  forwardResponse(source: InputStream, sink: OutputStream, requestMethod: string, options: HttpOptions): MoverResource;
}

export function httpImports(ledger: Ledger, records: Records): HttpImports {
  class Mover extends MoverResource {
    constructor(mover: MessageMover) {
      super(ledger, mover);
    }
  }
  const move = (source: InputStream, sink: OutputStream, subject: Subject | undefined, options: HttpOptions): Mover => {
    const isUsable = subject !== undefined && !source.hasChildren && !sink.hasChildren && fits(source, options.unread);
    if (!isUsable) throw new WitError<[HttpError, InputStream, OutputStream]>(["invalid-argument", source, sink]);
    const mover = new MessageMover(source.consume()!, sink.consume()!, subject, readOptions(options));
    mover.start();
    return new Mover(mover);
  };
  return {
    ...conversationImports(ledger, records),
    Mover,
    forwardBody: (source, sink, framing, options) => move(source, sink, bodySubject(framing), options),
    forwardResponse: (source, sink, requestMethod, options) =>
      move(source, sink, { tag: "response", requestMethod: known(requestMethod), allowUpgrade: options.allowUpgrade }, options),
  };
}

/** The WIT resource `mover`. */
export class MoverResource extends Resource {
  readonly #mover: MessageMover;
  #takenBack = false;

  constructor(ledger: Ledger, mover: MessageMover) {
    super(ledger);
    this.#mover = mover;
  }

  subscribe(): Pollable {
    const mover = this.#mover;
    return new Pollable(
      this.ledger,
      mover.changed.when(() => mover.outcome !== undefined),
    );
  }

  transferred(): bigint {
    return BigInt(this.#mover.transferred);
  }

  status(): number | undefined {
    return this.#mover.status;
  }

  outcome(): { tag: "ok"; val: WitMessage } | { tag: "err"; val: HttpError } | undefined {
    const { outcome } = this.#mover;
    if (outcome?.tag !== "ok") return outcome;
    const { status, reusable, upgraded, endedByClose, interim, bytes } = outcome.val;
    return { tag: "ok", val: { status, reusable, upgraded, endedByClose, interim, bytes: BigInt(bytes) } };
  }

  cancel(): void {
    this.#mover.cancel();
  }

  /** @throws {WitError<HttpError>} `wrong-phase` */
  takeBack(): [InputStream, OutputStream] {
    if (this.#takenBack || this.#mover.outcome === undefined) throw new WitError<HttpError>("wrong-phase");
    this.#takenBack = true;
    this.#mover.release();
    return [new InputStream(this.ledger, this.#mover.rest), new OutputStream(this.ledger, this.#mover.sink)];
  }

  protected override release(): void {
    if (!this.#takenBack) this.#mover.drop();
  }
}

/** Whether so much may be put back, beside what was before: else a guest could make the host hold any amount. */
function fits({ source }: InputStream, unread: Uint8Array): boolean {
  const held = source instanceof UnreadSource ? source.held : 0;
  return unread.length === 0 || held + unread.length <= MAX_UNREAD;
}

/** A method that an answer is read by, and not a text of any length that a guest would have kept. */
function known(method: string): string {
  return method === "HEAD" || method === "CONNECT" ? method : "GET";
}

function bodySubject(framing: WitFraming): Subject | undefined {
  if (framing.tag === "chunked") return { tag: "body", framing };
  if (framing.val > BigInt(Number.MAX_SAFE_INTEGER)) return undefined;
  return { tag: "body", framing: { tag: "length", length: Number(framing.val) } };
}

function readOptions({ unread, idleTimeout, allowUnauthenticatedEnd }: HttpOptions): MoveOptions {
  return {
    // The guest's memory may move or be written over.
    unread: unread.slice(),
    idleTimeout: idleTimeout === undefined ? undefined : Number(idleTimeout / 1_000_000n),
    allowUnauthenticatedEnd,
  };
}

const MAX_UNREAD = 1024 * 1024;
