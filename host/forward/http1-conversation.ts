import { Signal } from "../io/signal.ts";
import type { HostMover, Sink, Source } from "../io/source.ts";
import { type MoveFault, type Moved, MessageMover, type MoveOptions } from "./http1-mover.ts";
import { type HeadEdits, MAX_PLAIN_HEAD, type PlainRequest, readPlainRequest } from "./http1-request.ts";
import { UnreadSource } from "./unread-source.ts";
import { monotonicNow } from "../io/monotonic.ts";

/** One side's streams. */
export interface Side {
  readonly source: Source;
  readonly sink: Sink;
}

/** Times in milliseconds. */
export interface ConversationOptions {
  /** Between two requests, and within a message, without a byte. */
  readonly idleTimeout: number | undefined;
  /** Bytes of a head; no more than `MAX_PLAIN_HEAD` count. */
  readonly headLimit: number;
  readonly allowUnauthenticatedEnd: boolean;
}

/** Why no further request is taken here. */
export type ConversationStop =
  /** What comes next is no plain request in one piece: bytes, an end or a failure, for the guest to read. */
  | { tag: "not-plain" }
  /** The request that was to go on did not: its head is where it came from, and the server has not answered a byte of it. */
  | { tag: "not-answered" }
  | { tag: "idle" }
  | { tag: "finished" }
  /** An answer that was the last on these connections. */
  | { tag: "last"; val: { message: Moved; bodyWhole: boolean } }
  | { tag: "failed"; val: { side: "client" | "server"; error: MoveFault; begun: boolean; bodyWhole: boolean } };

/** What was decided on a request, for all that are the same. */
interface Standing {
  readonly edits: HeadEdits;
  readonly record: () => boolean;
}

type Phase =
  | { tag: "waiting" }
  /** Somebody decides on it. */
  | { tag: "request"; request: PlainRequest; head: Uint8Array }
  | { tag: "moving"; request: PlainRequest; head: Uint8Array; body: MessageMover | undefined; response: MessageMover; unfollow: () => void }
  | { tag: "stopped"; stop: ConversationStop }
  | { tag: "over" };

/** The requests of one client to one server and the answers to them, one after another; each is decided on by somebody else. */
export class Conversation {
  readonly changed = new Signal();
  readonly #client: { source: UnreadSource; sink: Sink };
  readonly #server: { source: UnreadSource; sink: Sink };
  readonly #carriers: readonly HostMover[];
  readonly #moving: MoveOptions;
  readonly #idleTimeout: number | undefined;
  readonly #headLimit: number;
  #phase: Phase = { tag: "waiting" };
  /** What is passed on without asking, by what `keyOf` makes of it. The last was remembered last. */
  readonly #standing = new Map<string, Standing>();
  #unasked = 0;
  #last: PlainRequest | undefined;
  #looking = false;
  #finishing = false;
  #fromClient = 0;
  #toClient = 0;
  #waitingSince = monotonicNow();
  #idle: NodeJS.Timeout | undefined;
  #stopListening: () => void = () => {};

  constructor(client: Side, server: Side, { idleTimeout, headLimit, allowUnauthenticatedEnd }: ConversationOptions) {
    this.#client = { source: unreadable(client.source), sink: client.sink };
    this.#server = { source: unreadable(server.source), sink: server.sink };
    // Each stream is somebody's who has to know that it is moved here, between two messages as well.
    this.#carriers = [carrier(client.source, server.sink), carrier(server.source, client.sink)];
    for (const mover of this.#carriers) {
      mover.source.owner?.streamForwarded(mover);
      mover.sink.owner?.streamForwarded(mover);
    }
    this.#moving = { unread: EMPTY, idleTimeout, allowUnauthenticatedEnd };
    this.#idleTimeout = idleTimeout;
    this.#headLimit = Math.min(headLimit, MAX_PLAIN_HEAD);
  }

  /** Begin; a request may be there before this returns. */
  start(): void {
    this.#stopListening = this.#client.source.changed.listen(() => this.#look());
    this.#watchIdle();
    this.#look();
  }

  /** Whether there is anything to know: a request to decide on, or the end. */
  get isReady(): boolean {
    return this.#phase.tag === "request" || this.#phase.tag === "stopped";
  }

  /** The request to decide on. */
  get request(): PlainRequest | undefined {
    return this.#phase.tag === "request" ? this.#phase.request : undefined;
  }

  /** Set once. */
  get stopped(): ConversationStop | undefined {
    return this.#phase.tag === "stopped" ? this.#phase.stop : undefined;
  }

  /** The request that was passed on last, or that is to be decided on. */
  get last(): PlainRequest | undefined {
    return this.request ?? this.#last;
  }

  /** Requests that were passed on without asking. */
  get unasked(): number {
    return this.#unasked;
  }

  /** Bytes of requests that were read, and of answers that went to the client. */
  get transferred(): [fromClient: number, toClient: number] {
    const { body, response } = this.#phase.tag === "moving" ? this.#phase : { body: undefined, response: undefined };
    return [this.#fromClient + (body?.transferred ?? 0), this.#toClient + (response?.transferred ?? 0)];
  }

  /**
   * Have the request go on, and its answer come back.
   *
   * @returns false unless there is one to decide on
   */
  forward(edits: HeadEdits): boolean {
    if (this.#phase.tag !== "request") return false;
    this.#pass(this.#phase, edits);
    return true;
  }

  /**
   * Have requests with the same method, target and host as the one to decide on go on without asking, from the next one on.
   *
   * @param record called before each; one of which it answers false is asked about
   */
  remember(edits: HeadEdits, record: () => boolean): void {
    const { request } = this;
    const key = request === undefined ? "" : keyOf(request);
    if (request === undefined || key.length > MAX_KEY) return;
    this.#standing.delete(key);
    this.#standing.set(key, { edits, record });
    if (this.#standing.size <= MAX_STANDING) return;
    for (const oldest of this.#standing.keys()) return void this.#standing.delete(oldest);
  }

  /** Ask about every request from here on. */
  forget(): void {
    this.#standing.clear();
  }

  #pass({ request, head }: Phase & { tag: "request" }, edits: HeadEdits): void {
    this.#last = request;
    const { source, sink } = this.#server;
    const bytes = Buffer.from(edits.apply(request), "latin1");
    // Nothing may come where nothing was asked, neither an end nor an answer.
    const isUsable = source.available() === 0 && source.state().tag === "open" && sink.state().tag === "open";
    if (!isUsable || sink.capacity() < bytes.length) {
      this.#putBack(head);
      return this.#stop({ tag: "not-answered" });
    }
    const { method, framing } = request;
    this.#fromClient += head.length;
    sink.write(bytes);
    const body = framing.tag === "none" ? undefined : new MessageMover(this.#client.source, sink, { tag: "body", framing }, this.#moving);
    const subject = { tag: "response", requestMethod: method, allowUpgrade: false } as const;
    const response = new MessageMover(source, this.#client.sink, subject, this.#moving);
    const look = () => this.#follow();
    const stops = [body?.changed.listen(look), response.changed.listen(look)];
    this.#phase = { tag: "moving", request, head, body, response, unfollow: () => stops.forEach((stop) => stop?.()) };
    body?.start();
    // A body that failed at once has ended this too.
    if (response.outcome === undefined) response.start();
  }

  /** Take no further request: stop when the answer that is on its way has gone. */
  finish(): void {
    this.#finishing = true;
    if (this.#phase.tag === "waiting") this.#stop({ tag: "finished" });
  }

  /** Both sides' streams; the request that is decided on is in the client's again. `undefined` while a message moves. */
  takeBack(): { client: Side; server: Side } | undefined {
    if (this.#phase.tag === "moving" || this.#phase.tag === "over") return undefined;
    if (this.#phase.tag === "request") this.#putBack(this.#phase.head);
    this.#end();
    return {
      client: { source: this.#client.source.plain, sink: this.#client.sink },
      server: { source: this.#server.source.plain, sink: this.#server.sink },
    };
  }

  /** Give all streams up: who did not get a whole message must not take it for one. */
  drop(): void {
    const phase = this.#phase;
    if (phase.tag === "over") return;
    const isWhole =
      phase.tag === "waiting" ||
      (phase.tag === "stopped" && phase.stop.tag !== "failed" && (phase.stop.tag !== "last" || phase.stop.val.bodyWhole));
    this.#phase = { tag: "over" };
    if (phase.tag === "moving") {
      phase.body?.drop();
      phase.response.drop();
    }
    for (const { source, sink } of [this.#client, this.#server]) {
      source.close();
      if (isWhole) sink.end();
      else sink.abort();
    }
    this.#end();
  }

  /** Look for requests. A loop, since a server may answer before it was written to the end. */
  #look(): void {
    if (this.#looking) return;
    this.#looking = true;
    try {
      while (this.#phase.tag === "waiting" && this.#takeNext());
    } finally {
      this.#looking = false;
    }
  }

  /** @returns whether there was a request that was passed on without asking */
  #takeNext(): boolean {
    const { source } = this.#client;
    if (source.available() === 0) {
      if (source.state().tag !== "open") this.#stop({ tag: "not-plain" });
      return false;
    }
    const chunk = source.readChunk(MAX_PLAIN_HEAD);
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    const end = bytes.indexOf("\r\n\r\n");
    const request = end < 0 || end + 4 > this.#headLimit ? undefined : readPlainRequest(bytes.toString("latin1", 0, end + 2));
    if (request === undefined) {
      this.#putBack(chunk);
      this.#stop({ tag: "not-plain" });
      return false;
    }
    if (end + 4 < chunk.length) source.unread(chunk.subarray(end + 4));
    const phase = { tag: "request", request, head: chunk.subarray(0, end + 4) } as const;
    this.#phase = phase;
    const standing = this.#standing.size === 0 ? undefined : this.#standing.get(keyOf(request));
    if (standing?.record() === true) {
      this.#unasked++;
      this.#pass(phase, standing.edits);
      return true;
    }
    this.changed.notify();
    return false;
  }

  /** Something of the request or its answer is over. */
  #follow(): void {
    if (this.#phase.tag !== "moving") return;
    const { body, response, request, head, unfollow } = this.#phase;
    const sent = body?.outcome;
    // A server that takes no more of a body may have answered already, or be about to.
    if (sent?.tag === "err" && sent.val !== "sink-failed" && response.outcome === undefined) return response.cancel();
    const answered = response.outcome;
    if (answered === undefined) return;
    // What is cancelled below would come back here, and be counted and given back twice.
    unfollow();
    const bodyWhole = body === undefined || sent?.tag === "ok";
    this.#fromClient += body?.transferred ?? 0;
    this.#toClient += response.transferred;
    // An answer that came before the whole body was there leaves both connections in the middle of it.
    if (body !== undefined && sent === undefined) body.cancel();
    body?.release();
    response.release();
    if (answered.tag === "ok") {
      const { reusable, endedByClose } = answered.val;
      if (!reusable || endedByClose || !bodyWhole) return this.#stop({ tag: "last", val: { message: answered.val, bodyWhole } });
      this.#waitingSince = monotonicNow();
      this.#phase = { tag: "waiting" };
      if (this.#finishing) this.#stop({ tag: "finished" });
      else this.#look();
      return;
    }
    const begun = response.transferred > 0;
    // The server ended an idle connection just when it was used again (RFC 9112, section 9.3.1).
    const mayRepeat = !begun && body === undefined && IDEMPOTENT.has(request.method);
    if (mayRepeat && (answered.val === "truncated" || answered.val === "source-failed")) {
      this.#fromClient -= head.length;
      this.#putBack(head);
      return this.#stop({ tag: "not-answered" });
    }
    if (sent?.tag === "err" && sent.val !== "sink-failed")
      return this.#stop({ tag: "failed", val: { side: "client", error: sent.val, begun, bodyWhole } });
    const side = answered.val === "sink-failed" ? "client" : "server";
    this.#stop({ tag: "failed", val: { side, error: answered.val, begun, bodyWhole } });
  }

  #putBack(bytes: Uint8Array): void {
    this.#client.source.unread(bytes);
  }

  #stop(stop: ConversationStop): void {
    this.#phase = { tag: "stopped", stop };
    this.#stopListening();
    clearTimeout(this.#idle);
    this.changed.notify();
  }

  #end(): void {
    this.#phase = { tag: "over" };
    this.#stopListening();
    clearTimeout(this.#idle);
    for (const mover of this.#carriers) {
      mover.source.owner?.streamReturned(mover);
      mover.sink.owner?.streamReturned(mover);
    }
  }

  /** One timer for all waits. Within a message its mover watches. */
  #watchIdle(): void {
    if (this.#idleTimeout === undefined || this.#phase.tag === "stopped" || this.#phase.tag === "over") return;
    const left = this.#phase.tag === "waiting" ? this.#waitingSince + this.#idleTimeout - monotonicNow() : this.#idleTimeout;
    if (left <= 0) return this.#stop({ tag: "idle" });
    this.#idle = setTimeout(() => this.#watchIdle(), Math.min(left, MAX_TIMER));
  }
}

function unreadable(source: Source): UnreadSource {
  return source instanceof UnreadSource ? source : new UnreadSource(source);
}

function carrier(source: Source, sink: Sink): HostMover {
  return {
    source,
    sink,
    canHandOver: false,
    handOver: () => {
      throw new Error("a conversation is not handed over");
    },
  };
}

/** None of the three has a blank in it. */
function keyOf({ method, target, host }: PlainRequest): string {
  return `${method} ${target} ${host}`;
}

const EMPTY = new Uint8Array(0);
/** Of thousands of connections each keeps so much. */
const MAX_STANDING = 16;
const MAX_KEY = 512;
/** The longest delay that setTimeout takes. */
const MAX_TIMER = 2 ** 31 - 1;
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);
