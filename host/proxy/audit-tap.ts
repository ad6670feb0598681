import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { AuditReader } from "./audit-reader.ts";

/**
 * Gives each record of an audit log to a function. In between lies a file of its own: the host writes a record before what it is
 * about comes to be, and waits for nobody who reads it.
 */
export class AuditTap implements Disposable {
  readonly file: string;
  readonly #reader: AuditReader;
  readonly #take: (record: Record<string, unknown>) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(take: (record: Record<string, unknown>) => void) {
    this.#take = take;
    // Made with mode 0700.
    this.file = join(mkdtempSync(join(tmpdir(), "sallyport-audit-")), "audit.jsonl");
    closeSync(openSync(this.file, "wx", 0o600));
    this.#reader = new AuditReader(this.file);
    process.once("exit", this.#remove);
  }

  /** Give what was written, and what will be. */
  start(): void {
    this.#timer = setInterval(() => this.#give(), INTERVAL);
  }

  /** Give the last records, and remove the file. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    process.off("exit", this.#remove);
    try {
      this.#give();
    } finally {
      this.#reader[Symbol.dispose]();
      this.#remove();
    }
  }

  #give(): void {
    for (const line of this.#reader.read()) if (line.tag === "record") this.#take(line.record);
  }

  readonly #remove = () => rmSync(dirname(this.file), { recursive: true, force: true });
}

/** Milliseconds. */
const INTERVAL = 100;
