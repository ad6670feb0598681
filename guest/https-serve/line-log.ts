import type { OutputStream } from "wasi:io/streams@0.2.12";
import { encodeUtf8 } from "../../src/bindings/text.ts";
import { Writer } from "../../src/streams/index.ts";

/** Text from many connections to one output, each piece whole, in the order in which they were written. */
export class LineLog implements Disposable {
  private readonly writer: Writer;
  private pending = "";
  private writing: Promise<void> | undefined;

  /** @param stream owned from here on */
  constructor(stream: OutputStream) {
    this.writer = new Writer(stream);
  }

  /**
   * Write one or more whole lines. Resolves when the output has taken them: who waits for it before doing more cannot fill
   * the memory. An output that nobody reads any more is not an error.
   *
   * @param text well-formed, without control characters but line feeds
   */
  write(text: string): Promise<void> {
    if (text === "") return Promise.resolve();
    this.pending += text;
    return (this.writing ??= this.drain());
  }

  /** Resolves when everything has left. */
  async flush(): Promise<void> {
    await this.writing;
    await this.writer.flush().catch(() => {});
  }

  [Symbol.dispose](): void {
    this.writer[Symbol.dispose]();
  }

  private async drain(): Promise<void> {
    try {
      while (this.pending !== "") {
        const bytes = encodeUtf8(this.pending);
        this.pending = "";
        await this.writer.write(bytes);
      }
    } catch {
      this.pending = "";
    } finally {
      this.writing = undefined;
    }
  }
}
