import { WitError } from "../io/error.ts";
import { InputStream } from "../io/input-stream.ts";
import { type Ledger, Resource } from "../io/ledger.ts";
import { OutputStream } from "../io/output-stream.ts";
import { Pollable } from "../io/poll.ts";
import { Conversation, type ConversationStop } from "./http1-conversation.ts";
import type { HttpError, WitMessage } from "./http1-imports.ts";
import { HeadEdits } from "./http1-request.ts";

/** The WIT record `conversation-options`. */
export interface WitConversationOptions {
  /** Nanoseconds. */
  idleTimeout?: bigint;
  /** Bytes. */
  headLimit: number;
  allowUnauthenticatedEnd: boolean;
}

/** The WIT variant `stop`. */
export type WitStop =
  | { tag: "not-plain" | "not-answered" | "idle" | "finished" }
  | { tag: "last"; val: { message: WitMessage; bodyWhole: boolean } }
  | { tag: "failed"; val: { ofClient: boolean; error: HttpError; begun: boolean; bodyWhole: boolean } };

/** The WIT variant `turn`. */
export type WitTurn = { tag: "none" } | { tag: "request"; val: WitRequest } | { tag: "stopped"; val: WitStop };

/** The WIT record `totals`. */
export interface WitTotals {
  fromClient: bigint;
  toClient: bigint;
  unasked: bigint;
}

/** The WIT record `request`. */
export interface WitRequest {
  method: string;
  target: string;
  host: string;
}

/** The WIT record `event` of `sallyport:gateway/audit`: of no interest here. */
export type WitEvent = { kind: string };

/** Where what the component has to say of requests is recorded. */
export interface Records {
  prepare(event: WitEvent): { readonly size: number; write(): boolean };
}

/** What of `sallyport:gateway/http` is about whole conversations. */
export interface ConversationImports {
  Edits: {
    /** @throws {WitError<HttpError>} `invalid-argument` */
    make(remove: string[], set: [string, string][]): EditsResource;
  };
  Conversation: {
    /** @throws {WitError<HttpError>} `invalid-argument` */
    start(
      clientInput: InputStream,
      clientOutput: OutputStream,
      serverInput: InputStream,
      serverOutput: OutputStream,
      options: WitConversationOptions,
    ): ConversationResource;
  };
}

export function conversationImports(ledger: Ledger, records: Records): ConversationImports {
  class Edits extends EditsResource {
    static make(remove: string[], set: [string, string][]): Edits {
      const edits = HeadEdits.from(remove, set);
      if (edits === undefined) throw new WitError<HttpError>("invalid-argument");
      return new Edits(ledger, edits);
    }
  }
  return {
    Edits,
    Conversation: class extends ConversationResource {
      static start(
        ...[clientInput, clientOutput, serverInput, serverOutput, options]: Parameters<ConversationImports["Conversation"]["start"]>
      ) {
        const streams = [clientInput, clientOutput, serverInput, serverOutput];
        if (streams.some((stream) => stream.hasChildren)) {
          // Those with pollables go with them.
          for (const stream of streams) if (!stream.hasChildren) stream[Symbol.dispose]();
          throw new WitError<HttpError>("invalid-argument");
        }
        const client = { source: clientInput.consume()!, sink: clientOutput.consume()! };
        const server = { source: serverInput.consume()!, sink: serverOutput.consume()! };
        const { idleTimeout, headLimit, allowUnauthenticatedEnd } = options;
        const conversation = new Conversation(client, server, {
          idleTimeout: idleTimeout === undefined ? undefined : Number(idleTimeout / 1_000_000n),
          // Past 2^31 a guest's number is negative here.
          headLimit: headLimit >>> 0,
          allowUnauthenticatedEnd,
        });
        conversation.start();
        return new this(ledger, conversation, records);
      }
    },
  };
}

/** The WIT resource `edits`. */
export class EditsResource extends Resource {
  readonly edits: HeadEdits;

  constructor(ledger: Ledger, edits: HeadEdits) {
    super(ledger);
    this.edits = edits;
  }
}

/** The WIT resource `conversation`. */
export class ConversationResource extends Resource {
  readonly #conversation: Conversation;
  readonly #records: Records;

  constructor(ledger: Ledger, conversation: Conversation, records: Records) {
    super(ledger);
    this.#conversation = conversation;
    this.#records = records;
  }

  subscribe(): Pollable {
    const conversation = this.#conversation;
    return new Pollable(
      this.ledger,
      conversation.changed.when(() => conversation.isReady),
    );
  }

  next(): WitTurn {
    const { request, stopped } = this.#conversation;
    if (request !== undefined) return { tag: "request", val: request };
    return stopped === undefined ? NONE : { tag: "stopped", val: witStop(stopped) };
  }

  /** @throws {WitError<HttpError>} `wrong-phase` */
  forward({ edits }: EditsResource): void {
    if (!this.#conversation.forward(edits)) throw new WitError<HttpError>("wrong-phase");
  }

  /** @throws {WitError<HttpError>} `wrong-phase` */
  forwardAlways({ edits }: EditsResource, event: WitEvent): void {
    const conversation = this.#conversation;
    if (conversation.request === undefined) throw new WitError<HttpError>("wrong-phase");
    const { size, write } = this.#records.prepare(event);
    if (size <= MAX_RECORD) conversation.remember(edits, write);
    conversation.forward(edits);
  }

  forget(): void {
    this.#conversation.forget();
  }

  last(): WitRequest | undefined {
    return this.#conversation.last;
  }

  finish(): void {
    this.#conversation.finish();
  }

  totals(): WitTotals {
    const { transferred, unasked } = this.#conversation;
    return { fromClient: BigInt(transferred[0]), toClient: BigInt(transferred[1]), unasked: BigInt(unasked) };
  }

  /** @throws {WitError<HttpError>} `wrong-phase` */
  takeBack(): [InputStream, OutputStream, InputStream, OutputStream] {
    const sides = this.#conversation.takeBack();
    if (sides === undefined) throw new WitError<HttpError>("wrong-phase");
    const { client, server } = sides;
    return [
      new InputStream(this.ledger, client.source),
      new OutputStream(this.ledger, client.sink),
      new InputStream(this.ledger, server.source),
      new OutputStream(this.ledger, server.sink),
    ];
  }

  protected override release(): void {
    this.#conversation.drop();
  }
}

const NONE: WitTurn = { tag: "none" };
/** Of a record that is kept to be written again, in characters. */
const MAX_RECORD = 2048;

function witStop(stop: ConversationStop): WitStop {
  if (stop.tag === "last") {
    const { message, bodyWhole } = stop.val;
    const { status, reusable, upgraded, endedByClose, interim, bytes } = message;
    return { tag: "last", val: { message: { status, reusable, upgraded, endedByClose, interim, bytes: BigInt(bytes) }, bodyWhole } };
  }
  if (stop.tag !== "failed") return stop;
  const { side, error, begun, bodyWhole } = stop.val;
  return { tag: "failed", val: { ofClient: side === "client", error, begun, bodyWhole } };
}
