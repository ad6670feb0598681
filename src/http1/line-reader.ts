import { HttpError } from "./http-error.ts";
import { latin1 } from "../wire/utf8.ts";

/**
 * Cuts bytes into lines that end in CR LF, across any split of the input. Bytes become a string once, in slices, and native
 * string functions do the rest: a loop over bytes costs ten times as much on QuickJS.
 */
export class LineReader {
  private partial = "";

  /** Whether a line has begun. */
  get midLine(): boolean {
    return this.partial.length > 0;
  }

  /**
   * Take bytes up to the end of the block: the first empty line, or the first `maxLines` lines.
   *
   * @param lines whole lines are added here, without their ends, the empty one not at all
   * @param limit the most bytes that one line may have
   * @param slice how many bytes to look at in one go: as much as the block probably has
   */
  take(bytes: Uint8Array, at: number, lines: string[], limit: number, slice: number, maxLines = Infinity): Taken {
    let position = at;
    while (position < bytes.length) {
      const text = latin1(bytes.subarray(position, position + slice));
      let lineStart = 0;
      for (;;) {
        const lineFeed = text.indexOf("\n", lineStart);
        if (lineFeed < 0) break;
        const line = this.finish(text.slice(lineStart, lineFeed), limit);
        lineStart = lineFeed + 1;
        if (line === "") return { tag: "empty-line", at: position + lineStart };
        lines.push(line);
        if (lines.length >= maxLines) return { tag: "lines", at: position + lineStart };
      }
      this.partial = this.partial === "" ? text.slice(lineStart) : this.partial + text.slice(lineStart);
      if (this.partial.length > limit + 1) throw tooLong();
      position += text.length;
    }
    return { tag: "more", at: position };
  }

  private finish(rest: string, limit: number): string {
    const line = this.partial + rest;
    this.partial = "";
    if (line.length > limit + 1) throw tooLong();
    if (line.charCodeAt(line.length - 1) !== CR) throw new HttpError("ERR_SALLYPORT_HTTP_LINE", "a line ends in LF without CR");
    return line.slice(0, -1);
  }
}

/** Where reading stopped, and why. */
export interface Taken {
  tag: "more" | "empty-line" | "lines";
  /** Index of the first byte that was not taken. */
  at: number;
}

const CR = 0x0d;

function tooLong(): HttpError {
  return new HttpError("ERR_SALLYPORT_HTTP_LIMIT", "a line is too long");
}
