import { MILLISECOND, type Nanoseconds, now, SECOND } from "../reactor/reactor.ts";
import type { BodyWatch } from "./body.ts";
import type { Console } from "./console.ts";

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

/** One line: a bar where the end is known, bytes, and the average rate. */
export function progressText(bytes: number, total: number | undefined, elapsed: Nanoseconds): string {
  const seconds = Number(elapsed) / Number(SECOND);
  const rate = seconds > 0 ? `  ${size(bytes / seconds)}/s` : "";
  if (total === undefined || total === 0) return `${size(bytes)}${rate}`;
  const part = Math.min(1, bytes / total);
  const filled = Math.round(part * WIDTH);
  const percent = `${Math.floor(part * 100)}`.padStart(3);
  return `${percent}% [${"#".repeat(filled)}${" ".repeat(WIDTH - filled)}] ${size(bytes)} of ${size(total)}${rate}`;
}

function size(bytes: number): string {
  for (const [unit, factor] of UNITS) if (bytes >= factor) return `${(bytes / factor).toFixed(1)} ${unit}`;
  return `${Math.round(bytes)} B`;
}

const UNITS: [string, number][] = [
  ["GiB", 2 ** 30],
  ["MiB", 2 ** 20],
  ["KiB", 2 ** 10],
];
const WIDTH = 30;
const INTERVAL: Nanoseconds = BigInt(200) * MILLISECOND;
