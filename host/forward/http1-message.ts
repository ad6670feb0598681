import { type BodyFraming, checkTrailers, FramingError, limits, readResponseHead } from "./http1-head.ts";

/** What is to be framed: the response to a request, or the body of one. */
export type Subject =
  | { tag: "response"; requestMethod: string; allowUpgrade: boolean }
  | { tag: "body"; framing: { tag: "length"; length: number } | { tag: "chunked" } };

/** What a message came to. */
export interface Framed {
  /** Responses: of the final head. */
  status: number | undefined;
  /** What the head says on the connection's further use. */
  reusable: boolean;
  upgraded: boolean;
  endedByClose: boolean;
  /** Interim heads before the final one. */
  interim: number;
}

/**
 * Follows exactly one HTTP/1.1 message through its bytes, whatever their split (RFC 9112). It looks at heads, chunk sizes and
 * trailers, and passes over the rest: body bytes are neither looked at nor copied. What it looks at is given out when it is
 * complete and good, never before.
 */
export class MessageFramer {
  readonly #subject: Subject;
  readonly #lines = new HeldLines();
  #state: State;
  #extensions = 0;
  #message: Framed = { status: undefined, reusable: true, upgraded: false, endedByClose: false, interim: 0 };

  constructor(subject: Subject) {
    this.#subject = subject;
    this.#state = subject.tag === "response" ? { tag: "head" } : stateOf(subject.framing);
  }

  /** Whether the message is complete. */
  get done(): boolean {
    return this.#state.tag === "done";
  }

  /** What is known of the message so far; all of it when it is complete. */
  get message(): Readonly<Framed> {
    return this.#message;
  }

  /** How many bytes may come before this wants to look at one: the rest of a body or a chunk. */
  get passing(): number {
    return this.#state.tag === "data" ? this.#state.left : 0;
  }

  /**
   * Take the next bytes.
   *
   * @param out what is to go on is appended: views of `bytes`, and copies of what was held back
   * @returns how many of `bytes` belong to the message: all, unless it is complete
   * @throws {FramingError} after which nothing of `bytes` may go on
   */
  push(bytes: Uint8Array, out: Uint8Array[]): number {
    let at = 0;
    /** First byte that is good and not given out. */
    let from = 0;
    while (at < bytes.length && this.#state.tag !== "done") {
      const state = this.#state;
      if (state.tag === "data") {
        const count = Math.min(state.left, bytes.length - at);
        at += count;
        this.#state = afterData(state, count);
        continue;
      }
      if (state.tag === "chunk-end") {
        if (bytes[at] !== (state.seen === 0 ? CR : LF)) throw new FramingError("chunk");
        at++;
        this.#state = state.seen === 0 ? { ...state, seen: 1 } : { tag: "chunk-size" };
        continue;
      }
      const held = this.#lines.bytes;
      const end = this.#lines.take(bytes, at, blockOf(state.tag));
      if (end === undefined) {
        // The beginning of the block is kept; what came before it may go.
        if (at > from) out.push(bytes.subarray(from, at));
        from = at = bytes.length;
        continue;
      }
      const lines = this.#lines.finish();
      this.#finishBlock(state.tag, lines);
      if (held.length > 0) {
        out.push(...held);
        from = at;
      }
      at = end;
    }
    if (at > from) out.push(bytes.subarray(from, at));
    return at;
  }

  /**
   * The source ended here.
   *
   * @throws {FramingError} `truncated` unless the message is complete, or this is how it ends
   */
  close(): void {
    if (this.#state.tag === "data" && this.#state.framing === "close") this.#state = { tag: "done" };
    if (this.#state.tag !== "done") throw new FramingError("truncated");
  }

  #finishBlock(tag: LineState["tag"], lines: string[]): void {
    if (tag === "chunk-size") this.#state = this.#chunk(lines[0] ?? "");
    else if (tag === "trailers") {
      checkTrailers(lines);
      this.#state = { tag: "done" };
    } else this.#state = this.#head(lines);
  }

  #head(lines: string[]): State {
    if (this.#subject.tag !== "response" || lines.length === 0) throw new FramingError("start-line");
    const head = readResponseHead(lines, this.#subject.requestMethod);
    if (head.interim) {
      if (++this.#message.interim > limits.interim) throw new FramingError("too-large");
      return { tag: "head" };
    }
    if (head.upgraded && !this.#subject.allowUpgrade) throw new FramingError("upgrade");
    const { status, reusable, upgraded, framing } = head;
    this.#message = { ...this.#message, status, reusable, upgraded, endedByClose: framing.tag === "close" };
    return stateOf(framing);
  }

  #chunk(line: string): State {
    const match = CHUNK_LINE.exec(line);
    if (match === null) throw new FramingError("chunk");
    const digits = match[1]!;
    this.#extensions += line.length - digits.length;
    if (this.#extensions > limits.chunkExtensions) throw new FramingError("too-large");
    const left = Number.parseInt(digits, 16);
    return left === 0 ? { tag: "trailers" } : { tag: "data", framing: "chunked", left };
  }
}

type LineState = { tag: "head" } | { tag: "chunk-size" } | { tag: "trailers" };

type State =
  | LineState
  | { tag: "data"; framing: "length" | "chunked" | "close"; left: number }
  | { tag: "chunk-end"; seen: 0 | 1 }
  | { tag: "done" };

function stateOf(framing: BodyFraming): State {
  switch (framing.tag) {
    case "none":
      return { tag: "done" };
    case "length":
      return framing.length === 0 ? { tag: "done" } : { tag: "data", framing: "length", left: framing.length };
    case "chunked":
      return { tag: "chunk-size" };
    case "close":
      return { tag: "data", framing: "close", left: Infinity };
  }
}

function afterData(state: State & { tag: "data" }, count: number): State {
  if (count < state.left) return { ...state, left: state.left - count };
  return state.framing === "chunked" ? { tag: "chunk-end", seen: 0 } : { tag: "done" };
}

/** A block of lines that is looked at as a whole. */
interface Block {
  /** Lines, each with its end, that the block has at most; an empty line ends it before. */
  lines: number;
  /** Whether it ends only with an empty line, more lines than `lines` being too many. */
  untilEmpty: boolean;
  /** Bytes, line ends included. */
  bytes: number;
  /** Bytes of one line. */
  line: number;
}

function blockOf(tag: LineState["tag"]): Block {
  return tag === "head" ? HEAD : tag === "trailers" ? TRAILERS : CHUNK_SIZE;
}

const HEAD: Block = { lines: limits.fields + 1, untilEmpty: true, bytes: limits.head, line: limits.line };
const TRAILERS: Block = { lines: limits.fields, untilEmpty: true, bytes: limits.trailers, line: limits.line };
const CHUNK_SIZE: Block = { lines: 1, untilEmpty: false, bytes: Infinity, line: limits.chunkLine };

/** The lines of a block that is not complete, and its bytes so far. */
class HeldLines {
  #lines: string[] = [];
  #bytes: Uint8Array[] = [];
  #size = 0;
  /** Of the line that has begun. */
  #partial = "";

  /** Copies of what the earlier calls of `take` used. */
  get bytes(): readonly Uint8Array[] {
    return this.#bytes;
  }

  /** The block is complete. */
  finish(): string[] {
    const lines = this.#lines;
    this.#lines = [];
    this.#bytes = [];
    this.#size = 0;
    this.#partial = "";
    return lines;
  }

  /**
   * Look for the end of the block.
   *
   * @returns the index behind it; `undefined` if it is not there: then all bytes from `at` were kept
   * @throws {FramingError} `field` or `chunk` for a line that ends in LF alone, `too-large`
   */
  take(bytes: Uint8Array, at: number, block: Block): number | undefined {
    for (let start = at; ;) {
      const lineFeed = bytes.indexOf(LF, start);
      const stop = lineFeed < 0 ? bytes.length : lineFeed;
      if (this.#partial.length + stop - start > block.line + 1 || this.#size + stop - at >= block.bytes + (lineFeed < 0 ? 1 : 0))
        throw new FramingError("too-large");
      const text = this.#partial + latin1(bytes, start, stop);
      if (lineFeed < 0) {
        this.#partial = text;
        this.#keep(bytes.slice(at));
        return undefined;
      }
      if (!text.endsWith("\r")) throw new FramingError(block.untilEmpty ? "field" : "chunk");
      this.#partial = "";
      start = lineFeed + 1;
      if (text.length > 1) this.#lines.push(text.slice(0, -1));
      if (text.length === 1 || (!block.untilEmpty && this.#lines.length === block.lines)) return start;
      if (this.#lines.length > block.lines) throw new FramingError("too-large");
    }
  }

  #keep(bytes: Uint8Array): void {
    // A peer that sends single bytes must not make an object of each.
    if (this.#bytes.length >= MAX_PIECES) this.#bytes = [Buffer.concat(this.#bytes)];
    this.#bytes.push(bytes);
    this.#size += bytes.length;
  }
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
}

const MAX_PIECES = 64;
const CR = 0x0d;
const LF = 0x0a;

/** 13 hexadecimal digits stay below 2^53. White space around the size is refused: parsers differ on it. */
// oxlint-disable-next-line no-control-regex -- refusing them is what this is for
const CHUNK_LINE = /^([0-9A-Fa-f]{1,13})(?:;[^\0-\x08\x0a-\x1f\x7f]*)?$/;
