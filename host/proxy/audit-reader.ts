import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";

/** A line of an audit log. */
export type AuditLine =
  | { tag: "record"; record: Record<string, unknown> }
  /** `line` counts from 1, anew in each file that takes the place of another. */
  | { tag: "malformed"; line: number; why: "no JSON object" | "too long" | "cut short" };

/**
 * Reads an audit log as it grows, also past a file that is put in its place or truncated. Holds one line at most, and none of
 * more than 64 KiB.
 */
export class AuditReader implements Disposable {
  readonly #path: string;
  readonly #block = Buffer.alloc(BLOCK);
  #fd: number;
  #at = 0;
  #lines = new Lines();

  /** @throws the system's error when it cannot be opened */
  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, "r");
  }

  /** The lines that are there and were not read yet. What has no end yet waits. */
  *read(): Generator<AuditLine> {
    for (;;) {
      yield* this.#rest();
      // In this order: what was written before the file was replaced has been read only if it was replaced before.
      if (!this.#isReplaced()) return;
      yield* this.#rest();
      yield* this.end();
      closeSync(this.#fd);
      this.#fd = openSync(this.#path, "r");
      this.#at = 0;
    }
  }

  /** No more will come: a line without an end is what it is. */
  *end(): Generator<AuditLine> {
    const last = this.#lines.end();
    this.#lines = new Lines();
    if (last !== undefined) yield last;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  *#rest(): Generator<AuditLine> {
    if (fstatSync(this.#fd).size < this.#at) {
      this.#at = 0;
      this.#lines = new Lines();
    }
    for (;;) {
      const count = readSync(this.#fd, this.#block, 0, BLOCK, this.#at);
      if (count === 0) return;
      this.#at += count;
      yield* this.#lines.push(this.#block.subarray(0, count));
    }
  }

  #isReplaced(): boolean {
    const there = statSync(this.#path, { throwIfNoEntry: false });
    const ours = fstatSync(this.#fd);
    // While there is none, the next is still to come.
    return there !== undefined && (there.ino !== ours.ino || there.dev !== ours.dev);
  }
}

/** Lines out of blocks. */
class Lines {
  #held: Buffer[] = [];
  #length = 0;
  #count = 0;

  *push(block: Buffer): Generator<AuditLine> {
    for (let start = 0; ;) {
      const end = block.indexOf(LF, start);
      this.#hold(block.subarray(start, end < 0 ? block.length : end));
      if (end < 0) return;
      const line = this.#finish(true);
      if (line !== undefined) yield line;
      start = end + 1;
    }
  }

  end(): AuditLine | undefined {
    return this.#length === 0 ? undefined : this.#finish(false);
  }

  #hold(piece: Buffer): void {
    this.#length += piece.length;
    if (this.#length > MAX_LINE) this.#held = [];
    // The block is written over by the next read.
    else if (piece.length > 0) this.#held.push(Buffer.from(piece));
  }

  #finish(isWhole: boolean): AuditLine | undefined {
    const text = Buffer.concat(this.#held).toString("utf8");
    const length = this.#length;
    this.#held = [];
    this.#length = 0;
    const line = ++this.#count;
    if (length > MAX_LINE) return { tag: "malformed", line, why: "too long" };
    if (length === 0) return undefined;
    try {
      const record: unknown = JSON.parse(text);
      if (typeof record === "object" && record !== null && !Array.isArray(record))
        return { tag: "record", record: record as Record<string, unknown> };
    } catch {
      if (!isWhole) return { tag: "malformed", line, why: "cut short" };
    }
    return { tag: "malformed", line, why: "no JSON object" };
  }
}

const BLOCK = 64 * 1024;
/** Bytes; four times what this host writes. */
const MAX_LINE = 64 * 1024;
const LF = 0x0a;
