import { MILLISECOND, type Nanoseconds, now } from "../reactor/reactor.ts";
import type { BodyWatch } from "./body.ts";
import type { Console } from "./console.ts";
import { progressText } from "./progress-text.ts";

/** Shows on a terminal how far a body has come. */
export class Progress implements BodyWatch {
  readonly live = true;
  readonly #console: Console;
  readonly #total: number | undefined;
  readonly #begin = now();
  #next = this.#begin;

  /** @param total bytes, if the server said how many there are */
  constructor(console: Console, total: number | undefined) {
    this.#console = console;
    this.#total = total;
  }

  async moved(bytes: number): Promise<void> {
    const time = now();
    if (time < this.#next) return;
    this.#next = time + INTERVAL;
    await this.#console.bar(progressText(bytes, this.#total, time - this.#begin));
  }
}

/** Nobody looks. */
export const unwatched: BodyWatch = { live: false, moved: async () => {} };

const INTERVAL: Nanoseconds = BigInt(200) * MILLISECOND;
