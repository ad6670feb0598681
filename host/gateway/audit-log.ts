import { closeSync, constants, fstatSync, fsyncSync, openSync, writeSync } from "node:fs";
import { getSystemErrorName } from "node:util";
import type { LifeCounts } from "./instance-life.ts";

/** Where an instance's audit records go, as a value that can be posted to a worker. Several workers may share a file. */
export interface AuditGrant {
  /** Appended to; made with mode 0600 if it does not exist. */
  file: string;
  /** When written records are forced to the disk: by the system (`none`), each second (`interval`, the default), at once (`each`). */
  fsync?: "none" | "interval" | "each";
  /**
   * What happens where a record cannot be written: `strict` (the default) refuses what it is about, `best-effort` goes on and
   * counts what was lost.
   */
  mode?: "strict" | "best-effort";
}

export type AuditErrorCode =
  /** The file cannot be opened or made, or a link stands in its place. */
  | "unwritable"
  /** It is no regular file. */
  | "no-file"
  /** It belongs to somebody else, or others may read or write it. */
  | "not-private";

/** Why an audit file cannot be used. */
export class AuditError extends Error {
  override readonly name = "AuditError";
  readonly code: AuditErrorCode;

  constructor(code: AuditErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** A value in a record. */
export type AuditValue = string | number | boolean | readonly string[] | { readonly [key: string]: AuditValue | undefined };

/** One record: names and values in the order in which they are written. `undefined` is left out. */
export type AuditRecord = Readonly<Record<string, AuditValue | undefined>>;

/** The longest line of an audit file, in bytes, its end not counted. */
export const MAX_AUDIT_LINE = 16 * 1024;

/** Appends records to a file, one JSON object a line. */
export class AuditLog {
  readonly #fd: number;
  readonly #strict: boolean;
  readonly #syncsEach: boolean;
  readonly #timer: NodeJS.Timeout | undefined;
  #dirty = false;
  #torn = false;
  #lost = 0;
  #unreported = 0;
  #closed = false;
  /** Lines that may wait for others, and how many. */
  #waiting = "";
  #waitingCount = 0;
  #flushing: NodeJS.Immediate | undefined;
  readonly #onExit = () => this.#flush();
  readonly #life: LifeCounts | undefined;

  private constructor(fd: number, { fsync = "interval", mode = "strict" }: AuditGrant, life: LifeCounts | undefined) {
    this.#fd = fd;
    this.#life = life;
    this.#strict = mode === "strict";
    this.#syncsEach = fsync === "each";
    if (fsync === "interval") this.#timer = setInterval(() => this.#sync(), SYNC_INTERVAL).unref();
  }

  /**
   * @param life of the instance whose records these are: nothing is written after its last
   * @throws {AuditError}
   */
  static open(grant: AuditGrant, life?: LifeCounts): AuditLog {
    const { O_APPEND, O_CREAT, O_WRONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    let fd: number;
    try {
      // Not to wait for a reader where a pipe stands in its place.
      fd = openSync(grant.file, O_APPEND | O_CREAT | O_WRONLY | O_NOFOLLOW | O_NONBLOCK, 0o600);
    } catch (cause) {
      throw new AuditError("unwritable", `the audit file ${grant.file} cannot be opened: ${systemName(cause)}`);
    }
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile()) throw new AuditError("no-file", `${grant.file} is no regular file: name another for the audit records`);
      if (stat.uid !== process.geteuid?.() || (stat.mode & 0o077) !== 0)
        throw new AuditError("not-private", `others may read or change the audit file ${grant.file}: make it yours, with mode 0600`);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return new AuditLog(fd, grant, life);
  }

  /** Whether what cannot be recorded is refused. */
  get isStrict(): boolean {
    return this.#strict;
  }

  /** Records that were lost so far. */
  get lost(): number {
    return this.#lost;
  }

  /**
   * Append a record.
   *
   * @returns whether what it is about may go on: false if it was not written and the log is strict
   */
  write(record: AuditRecord): boolean {
    return this.#writeLine(auditLine(record));
  }

  /**
   * As `write`, of a line that `auditLine` made. Where a lost record refuses nothing and none has to be on the disk at once, it is written with others of the same
   * turn of the event loop: a call of the system for each costs more than all the rest of it. What is written in this way is lost
   * with a thread that never gets to its next turn, so nothing goes here that an instance must not be able to leave out.
   */
  writeSoon(line: string): boolean {
    if (this.#strict || this.#syncsEach || this.#closed) return this.#writeLine(line);
    this.#waiting += `${line}\n`;
    this.#waitingCount++;
    if (this.#waiting.length > MAX_WAITING) this.#flush();
    else if (this.#flushing === undefined) {
      this.#hearOfExit();
      this.#flushing = setImmediate(() => this.#flush());
    }
    return true;
  }

  /** Force what was written to the disk and close the file. What comes afterwards is lost. */
  close(): void {
    if (this.#closed) return;
    clearInterval(this.#timer);
    this.#flush();
    process.off("exit", this.#onExit);
    this.#sync();
    this.#closed = true;
    closeSync(this.#fd);
  }

  #writeLine(line: string): boolean {
    this.#flush();
    return this.#writeLines(`${line}\n`, 1);
  }

  #hearOfExit(): void {
    if (this.#hearsOfExit) return;
    this.#hearsOfExit = true;
    process.on("exit", this.#onExit);
  }
  #hearsOfExit = false;

  #flush(): void {
    clearImmediate(this.#flushing);
    this.#flushing = undefined;
    if (this.#waitingCount === 0) return;
    const [lines, count] = [this.#waiting, this.#waitingCount];
    this.#waiting = "";
    this.#waitingCount = 0;
    this.#writeLines(lines, count);
  }

  /** @param lines so many, each with its end */
  #writeLines(lines: string, count: number): boolean {
    const isWritten = this.#life === undefined ? this.#tryWrite(lines) : this.#life.during(() => this.#tryWrite(lines));
    if (isWritten === true) return true;
    this.#lost += count;
    this.#unreported += count;
    return !this.#strict;
  }

  #tryWrite(lines: string): boolean {
    if (this.#closed) return false;
    const lost =
      this.#unreported === 0
        ? ""
        : `${auditLine({ time: new Date().toISOString(), by: "host", event: "lost", count: this.#unreported })}\n`;
    // What was cut short must not run into what follows it.
    const bytes = Buffer.from(`${this.#torn ? "\n" : ""}${lost}${lines}`);
    try {
      for (let at = 0; at < bytes.length;) {
        at += writeSync(this.#fd, bytes, at);
        this.#torn = at < bytes.length;
      }
      this.#dirty = true;
      if (this.#syncsEach) fsyncSync(this.#fd);
    } catch {
      return false;
    }
    this.#unreported = 0;
    return true;
  }

  #sync(): void {
    if (!this.#dirty || this.#closed) return;
    this.#dirty = false;
    try {
      fsyncSync(this.#fd);
    } catch {
      this.#dirty = true;
    }
  }
}

/**
 * A record as one line of ASCII control-free JSON, at most `MAX_AUDIT_LINE` bytes. Texts are cut to fit, which `cut` then
 * says.
 */
export function auditLine(record: AuditRecord): string {
  if (isPlain(record)) {
    const line = JSON.stringify(record);
    if (line.length <= MAX_AUDIT_LINE) return line;
  }
  for (const limit of TEXT_LIMITS) {
    let wasCut = false;
    const bounded = bound(record, limit, () => (wasCut = true)) as AuditRecord;
    const line = escaped(JSON.stringify(wasCut ? { ...bounded, cut: true } : bounded));
    if (Buffer.byteLength(line) <= MAX_AUDIT_LINE) return line;
  }
  const { time, by, event } = record;
  return escaped(JSON.stringify({ time, by, event, cut: true }));
}

/** Characters of one text: the first that makes the line fit. */
const TEXT_LIMITS = [1024, 256, 64, 8];
const MAX_LIST = 64;

/** Whether nothing in it has to be cut or escaped, as in most records. */
function isPlain(record: AuditRecord): boolean {
  for (const key in record) {
    const value = record[key];
    if (typeof value === "string" ? value.length > TEXT_LIMITS[0]! || !PRINTABLE_ASCII.test(value) : typeof value === "object")
      return false;
  }
  return true;
}

const PRINTABLE_ASCII = /^[\x20-\x7e]*$/;

function bound(value: AuditValue | undefined, limit: number, onCut: () => void): AuditValue | undefined {
  if (typeof value === "string") {
    if (value.length <= limit) return value.toWellFormed();
    onCut();
    return `${value.slice(0, limit)}…`.toWellFormed();
  }
  if (typeof value !== "object") return value;
  if (isList(value)) {
    if (value.length > MAX_LIST) onCut();
    return value.slice(0, MAX_LIST).map((text) => bound(text, limit, onCut) as string);
  }
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, bound(inner, limit, onCut)]));
}

function isList(value: AuditValue): value is readonly string[] {
  return Array.isArray(value);
}

/** JSON escapes the controls below U+0020; the others, and what changes how a line is shown, are escaped here. */
function escaped(json: string): string {
  return json.replaceAll(/[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    Array.from({ length: character.length }, (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`).join(""),
  );
}

function systemName(cause: unknown): string {
  const { errno } = cause as { errno?: number };
  return errno === undefined ? "unknown error" : getSystemErrorName(errno);
}

/** Characters that wait for others at most. */
const MAX_WAITING = 64 * 1024;
/** Milliseconds. */
const SYNC_INTERVAL = 1000;
