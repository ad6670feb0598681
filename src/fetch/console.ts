import { getStderr } from "wasi:cli/stderr@0.2.12";
import { getTerminalStderr } from "wasi:cli/terminal-stderr@0.2.12";
import { optional } from "../bindings/option.ts";
import { encodeUtf8 } from "../bindings/text.ts";
import { Writer } from "../streams/writer.ts";

/** What people are told, on standard error. Nothing that a peer sent reaches the terminal as a control character. */
export class Console implements Disposable {
  /** Whether a person sits before it. */
  readonly isTerminal: boolean;
  readonly #program: string;
  readonly #writer = new Writer(getStderr());
  #bar = "";
  #closed = false;

  constructor(program: string) {
    this.#program = program;
    const terminal = optional(getTerminalStderr());
    this.isTerminal = terminal !== undefined;
    (terminal as Partial<Disposable> | undefined)?.[Symbol.dispose]?.();
  }

  /** An error, after the program's name. */
  async error(message: string): Promise<void> {
    await this.lines([`${this.#program}: ${message}`]);
  }

  async lines(lines: readonly string[]): Promise<void> {
    const bar = this.#bar;
    await this.clear();
    await this.#write(lines.map((line) => `${visible(line)}\n`).join(""));
    if (bar !== "") await this.bar(bar);
  }

  /** Show a line that the next one replaces. */
  async bar(text: string): Promise<void> {
    await this.#write(`\r${text}${" ".repeat(Math.max(0, this.#bar.length - text.length))}`);
    this.#bar = text;
  }

  /** Take the bar away. */
  async clear(): Promise<void> {
    if (this.#bar === "") return;
    await this.#write(`\r${" ".repeat(this.#bar.length)}\r`);
    this.#bar = "";
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#writer[Symbol.dispose]();
  }

  async #write(text: string): Promise<void> {
    if (this.#closed) return;
    try {
      await this.#writer.write(encodeUtf8(text));
      await this.#writer.flush();
    } catch {
      // Nobody reads it; what is fetched does not depend on that.
      this.#closed = true;
    }
  }
}

/** Control characters and such that change the direction of text, escaped. */
export function visible(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is escaped
  return text.replaceAll(/[\0-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u{${character.charCodeAt(0).toString(16)}}`;
  });
}
