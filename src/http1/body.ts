import { type Fields, hasControls, parseFields } from "./fields.ts";
import type { Framing } from "./framing.ts";
import { HttpError } from "./http-error.ts";
import type { Limits } from "./limits.ts";
import { LineReader } from "./line-reader.ts";

/** One step through a body. `at` is the index of the first byte that this step did not use. */
export type BodyStep =
  | { tag: "more"; at: number }
  | { tag: "data"; start: number; at: number }
  | { tag: "end"; at: number; trailers: Fields | undefined };

/** Follows one body through its bytes, whatever their split. Holds no body bytes, only where in the framing it is. */
export class BodyParser {
  private readonly framing: Framing;
  private readonly limits: Limits;
  private readonly lines = new LineReader();
  private state: BodyState;
  private trailerLines: string[] = [];
  private trailerBytes = 0;
  private extensionBytes = 0;

  constructor(framing: Framing, limits: Limits) {
    this.framing = framing;
    this.limits = limits;
    this.state =
      framing.tag === "length"
        ? { tag: "data", left: framing.length }
        : framing.tag === "chunked"
          ? { tag: "chunk-size" }
          : framing.tag === "close"
            ? { tag: "data", left: Infinity }
            : { tag: "end" };
  }

  /** Body bytes that are known to come next without a break: the rest of a length or of a chunk; Infinity up to the close. */
  get left(): number {
    return this.state.tag === "data" ? this.state.left : 0;
  }

  /** @throws {HttpError} ERR_SALLYPORT_HTTP_CHUNK, _FIELD or _LIMIT */
  step(bytes: Uint8Array, at: number): BodyStep {
    for (let position = at; ;) {
      const state = this.state;
      switch (state.tag) {
        case "end":
          return { tag: "end", at: position, trailers: undefined };
        case "data": {
          if (state.left === 0) {
            this.state = this.framing.tag === "chunked" ? { tag: "chunk-end", seen: 0 } : { tag: "end" };
            continue;
          }
          if (position >= bytes.length) return { tag: "more", at: position };
          const end = state.left < bytes.length - position ? position + state.left : bytes.length;
          this.state = { tag: "data", left: state.left - (end - position) };
          return { tag: "data", start: position, at: end };
        }
        case "chunk-size": {
          const lines: string[] = [];
          const taken = this.lines.take(bytes, position, lines, MAX_CHUNK_LINE, CHUNK_LINE_SLICE, 1);
          if (taken.tag === "more") return taken as BodyStep;
          this.state = this.readChunkLine(lines[0]);
          position = taken.at;
          continue;
        }
        case "chunk-end":
          if (position >= bytes.length) return { tag: "more", at: position };
          if (bytes[position] !== (state.seen === 0 ? CR : LF)) throw chunk("a chunk is not followed by CR LF");
          this.state = state.seen === 0 ? { tag: "chunk-end", seen: 1 } : { tag: "chunk-size" };
          position++;
          continue;
        case "trailers": {
          const taken = this.lines.take(bytes, position, this.trailerLines, this.limits.line, TRAILER_SLICE);
          this.trailerBytes += taken.at - position;
          if (this.trailerBytes > this.limits.trailers || this.trailerLines.length > this.limits.fields) {
            throw new HttpError("ERR_SALLYPORT_HTTP_LIMIT", "the trailers are too large");
          }
          if (taken.tag === "more") return taken as BodyStep;
          this.state = { tag: "end" };
          return { tag: "end", at: taken.at, trailers: this.readTrailers() };
        }
      }
    }
  }

  /**
   * So many body bytes went another way, through `forward` for example.
   *
   * @throws {HttpError} ERR_SALLYPORT_HTTP_ARGUMENT if that is more than `left`
   */
  skip(count: number): void {
    if (this.state.tag !== "data" || !(count >= 0 && count <= this.state.left)) {
      throw new HttpError("ERR_SALLYPORT_HTTP_ARGUMENT", "more bytes were moved than the body has left");
    }
    this.state = { tag: "data", left: this.state.left - count };
  }

  /** The transport ended here. @throws {HttpError} ERR_SALLYPORT_HTTP_TRUNCATED unless the body may end here. */
  close(): void {
    if (this.framing.tag === "close") this.state = { tag: "end" };
    if (this.state.tag === "data" && this.state.left === 0 && this.framing.tag !== "chunked") this.state = { tag: "end" };
    if (this.state.tag !== "end") throw new HttpError("ERR_SALLYPORT_HTTP_TRUNCATED", "the body was cut short");
  }

  private readChunkLine(line: string | undefined): BodyState {
    const match = line === undefined ? null : CHUNK_LINE.exec(line);
    if (match === null || hasControls([line!])) throw chunk("a chunk size is malformed");
    const digits = match[1]!;
    this.extensionBytes += line!.length - digits.length;
    if (this.extensionBytes > this.limits.chunkExtensions) throw new HttpError("ERR_SALLYPORT_HTTP_LIMIT", "too many chunk extensions");
    const size = Number.parseInt(digits, 16);
    return size === 0 ? { tag: "trailers" } : { tag: "data", left: size };
  }

  private readTrailers(): Fields | undefined {
    if (this.trailerLines.length === 0) return undefined;
    const trailers = parseFields(this.trailerLines, 0);
    for (const name of NOT_IN_TRAILERS) if (trailers.has(name)) throw new HttpError("ERR_SALLYPORT_HTTP_FIELD", `${name} in a trailer`);
    return trailers;
  }
}

type BodyState =
  | { tag: "data"; left: number }
  | { tag: "chunk-size" }
  | { tag: "chunk-end"; seen: number }
  | { tag: "trailers" }
  | { tag: "end" };

const CR = 0x0d;
const LF = 0x0a;

/** 13 hexadecimal digits stay below 2^53. White space around the size is refused: parsers differ on it. */
const CHUNK_LINE = /^([0-9A-Fa-f]{1,13})(?:;.*)?$/;
const MAX_CHUNK_LINE = 1024;
/** Most size lines are shorter than this; what comes behind them is body and need not become a string. */
const CHUNK_LINE_SLICE = 32;
const TRAILER_SLICE = 256;

/** Fields that change how the message is read must come before it (RFC 9110, section 6.5.1). */
const NOT_IN_TRAILERS = ["content-length", "transfer-encoding", "host"];

function chunk(message: string): HttpError {
  return new HttpError("ERR_SALLYPORT_HTTP_CHUNK", message);
}
