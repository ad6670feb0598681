import { closeSync, fstatSync, ftruncateSync, openSync, readSync, statSync, writeSync, constants as O } from "node:fs";
import { ByteQueue } from "../io/byte-queue.ts";
import type { Ledger } from "../io/ledger.ts";
import { Signal } from "../io/signal.ts";
import type { Sink, SinkState, Source, SourceState } from "../io/source.ts";
import { type ContainedPath, assertUnmoved } from "./contained-path.ts";
import { FileError, fileErrorCode } from "./file-error.ts";

/** How to open a file. */
export interface OpenMode {
  read: boolean;
  write: boolean;
  create: boolean;
  exclusive: boolean;
  truncate: boolean;
  /** Every write reaches the disk before it returns: the data, or the data and all about it. */
  sync?: "data" | "file";
}

/** An open regular file, shared by a descriptor and the streams made from it: closed when the last lets go. */
export class OpenFile {
  readonly fd: number;
  readonly mode: OpenMode;
  readonly #disown: () => void;
  #users = 1;

  private constructor(fd: number, mode: OpenMode, ledger: Ledger) {
    this.fd = fd;
    this.mode = mode;
    this.#disown = ledger.own(() => closeSync(fd));
  }

  /** @throws {FileError} and what Node throws */
  static open(at: ContainedPath, mode: OpenMode, ledger: Ledger): OpenFile {
    const fd = openSync(at.path, flagsOf(mode), 0o666);
    try {
      const opened = fstatSync(fd, { bigint: true });
      // A device or a pipe could block the thread, and is not what a directory was granted for.
      if (!opened.isFile()) throw new FileError("not-permitted");
      assertUnmoved(at.path);
      const named = statSync(at.path, { bigint: true });
      if (named.ino !== opened.ino || named.dev !== opened.dev) throw new FileError("not-permitted");
      // Only now, so that what was redirected is not emptied.
      if (mode.truncate) ftruncateSync(fd, 0);
    } catch (cause) {
      closeSync(fd);
      throw cause;
    }
    return new OpenFile(fd, mode, ledger);
  }

  /** One more user. */
  share(): this {
    this.#users++;
    return this;
  }

  /** One user less. */
  release(): void {
    if (--this.#users > 0) return;
    this.#disown();
    try {
      closeSync(this.fd);
    } catch {
      // Closed with its instance.
    }
  }
}

/** Reads on from an offset, for `read-via-stream`. Owns one share of the file. */
export class FileSource implements Source {
  readonly changed = new Signal();
  readonly #file: OpenFile;
  readonly #queue = new ByteQueue();
  #offset: number;
  #state: SourceState = { tag: "open" };

  constructor(file: OpenFile, offset: number) {
    this.#file = file.share();
    this.#offset = offset;
  }

  available(): number {
    if (this.#queue.length === 0 && this.#state.tag === "open") this.#fill();
    return this.#queue.length;
  }

  state(): SourceState {
    this.available();
    return this.#state;
  }

  read(max: number): Uint8Array {
    this.available();
    return this.#queue.take(max);
  }

  readChunk(max: number): Uint8Array {
    this.available();
    return this.#queue.shift(max);
  }

  close(): void {
    if (this.#state.tag === "open") this.#state = { tag: "ended", ending: "authenticated" };
    this.#queue.clear();
    this.#releaseOnce();
  }

  #fill(): void {
    try {
      const chunk = new Uint8Array(CHUNK);
      const count = readSync(this.#file.fd, chunk, 0, CHUNK, this.#offset);
      this.#offset += count;
      if (count === 0) this.#state = { tag: "ended", ending: "authenticated" };
      else this.#queue.push(chunk.subarray(0, count));
    } catch (cause) {
      this.#state = failed(cause);
    }
  }

  #released = false;

  #releaseOnce(): void {
    if (this.#released) return;
    this.#released = true;
    this.#file.release();
  }
}

/** Writes on from an offset, or at the end, for `write-via-stream` and `append-via-stream`. Owns one share of the file. */
export class FileSink implements Sink {
  readonly changed = new Signal();
  readonly #file: OpenFile;
  #offset: number | "end";
  #state: SinkState = { tag: "open" };
  #released = false;

  constructor(file: OpenFile, offset: number | "end") {
    this.#file = file.share();
    this.#offset = offset;
  }

  capacity(): number {
    return this.#state.tag === "open" ? CHUNK : 0;
  }

  pending(): number {
    return 0;
  }

  state(): SinkState {
    return this.#state;
  }

  write(bytes: Uint8Array): void {
    if (this.#state.tag !== "open") return;
    try {
      const at = this.#offset === "end" ? fstatSync(this.#file.fd).size : this.#offset;
      writeAll(this.#file.fd, bytes, at);
      if (this.#offset !== "end") this.#offset += bytes.length;
    } catch (cause) {
      this.#state = failed(cause);
      this.changed.notify();
    }
  }

  end(): void {
    if (this.#state.tag === "open") this.#state = { tag: "closed" };
    if (this.#released) return;
    this.#released = true;
    this.#file.release();
  }

  abort(): void {
    this.end();
  }
}

/** Write all of `bytes`, however many calls the system takes for it. */
export function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, bytes.length - done, position + done);
}

function flagsOf(mode: OpenMode): number {
  let flags = mode.write ? (mode.read ? O.O_RDWR : O.O_WRONLY) : O.O_RDONLY;
  // NONBLOCK: opening a pipe must not wait for its other end. Windows has neither flag.
  flags |= (O.O_NOFOLLOW ?? 0) | (O.O_NONBLOCK ?? 0);
  if (mode.create) flags |= O.O_CREAT;
  if (mode.exclusive) flags |= O.O_EXCL;
  if (mode.sync === "file") flags |= O.O_SYNC ?? 0;
  if (mode.sync === "data") flags |= O.O_DSYNC ?? 0;
  return flags;
}

function failed(cause: unknown): { tag: "failed"; failure: { message: string; filesystem: string } } {
  const code = fileErrorCode(cause);
  return { tag: "failed", failure: { message: `the file failed: ${code}`, filesystem: code } };
}

const CHUNK = 64 * 1024;
