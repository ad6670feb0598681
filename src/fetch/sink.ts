import { getStdout } from "wasi:cli/stdout@0.2.12";
import type { Descriptor, ErrorCode } from "wasi:filesystem/types@0.2.12";
import type { OutputStream } from "wasi:io/streams@0.2.12";
import { attempt } from "../bindings/errors.ts";
import { dropInOrder } from "../bindings/drop.ts";
import { u64 } from "../bindings/integers.ts";
import { now } from "../reactor/reactor.ts";
import type { Scope } from "../reactor/cancel.ts";
import { Writer } from "../streams/writer.ts";
import { exitCodes, FetchError } from "./exit-code.ts";
import { messageOf } from "./failure.ts";
import { type Files, fileResult, type Place } from "./files.ts";

/** Where a body goes. Disposing one that was not finished throws away what it got, where that can be done. */
export interface Sink extends Disposable {
  /** @throws {FetchError} `write`; the scope's reason */
  write(bytes: Uint8Array, scope: Scope): Promise<void>;
  /** The stream, for `forward`, which consumes it; undefined if there is none. `giveBack` or nothing more is written. */
  lend(): OutputStream | undefined;
  giveBack(stream: OutputStream): void;
  /** Everything is there. @throws {FetchError} `write` */
  finish(scope: Scope): Promise<void>;
}

/** Bodies that nobody wants. */
export const nowhere: Sink = {
  write: async () => {},
  lend: () => undefined,
  giveBack: () => {},
  finish: async () => {},
  [Symbol.dispose]: () => {},
};

/** As `nowhere`, for at most so many bytes. @throws {FetchError} `write` on more */
export function discarding(limit: number): Sink {
  let left = limit;
  const write = async (bytes: Uint8Array) => {
    left -= bytes.length;
    if (left < 0) throw new FetchError(exitCodes.write, `more than ${limit} bytes to throw away`);
  };
  return { ...nowhere, write };
}

/** Standard output. Every body goes behind the one before. */
export function standardOutput(): Sink {
  return new StreamSink("standard output", new Writer(getStdout()));
}

/**
 * A file that is there under its name once it is whole: it grows beside, under another name, and is renamed.
 *
 * @throws {FetchError} `write`
 */
export function fileSink(files: Files, path: string): Sink {
  try {
    const place = files.locate(path);
    refuseSpecial(path, place);
    // A name that another run, even one that was killed, does not have.
    const slash = place.path.lastIndexOf("/") + 1;
    const beside = `${place.path.slice(0, slash)}.${place.path.slice(slash, slash + MAX_NAME)}.${now()}.part`;
    const file = fileResult(path, () => place.folder.openAt({}, beside, { create: true, exclusive: true }, { write: true }));
    return new FileSink(path, place, beside, file);
  } catch (error) {
    throw writeFailure(path, error);
  }
}

class StreamSink implements Sink {
  readonly #name: string;
  #writer: Writer | undefined;

  constructor(name: string, writer: Writer) {
    this.#name = name;
    this.#writer = writer;
  }

  async write(bytes: Uint8Array, scope: Scope): Promise<void> {
    await this.#try((writer) => writer.write(bytes, scope), scope);
  }

  lend(): OutputStream | undefined {
    const stream = this.#writer?.release();
    this.#writer = undefined;
    return stream;
  }

  giveBack(stream: OutputStream): void {
    this.#writer = new Writer(stream);
  }

  async finish(scope: Scope): Promise<void> {
    await this.#try((writer) => writer.flush(scope), scope);
  }

  [Symbol.dispose](): void {
    this.#writer?.[Symbol.dispose]();
    this.#writer = undefined;
  }

  async #try(use: (writer: Writer) => Promise<void>, scope: Scope): Promise<void> {
    try {
      if (this.#writer === undefined) throw new Error("the stream was lost");
      await use(this.#writer);
    } catch (error) {
      throw scope.reason ?? writeFailure(this.#name, error);
    }
  }
}

class FileSink implements Sink {
  readonly #path: string;
  readonly #place: Place;
  readonly #beside: string;
  readonly #file: Descriptor;
  readonly #stream: StreamSink;
  #state: "open" | "whole" | "disposed" = "open";

  constructor(path: string, place: Place, beside: string, file: Descriptor) {
    this.#path = path;
    this.#place = place;
    this.#beside = beside;
    this.#file = file;
    this.#stream = new StreamSink(path, new Writer(fileResult(path, () => file.writeViaStream(u64(0)))));
  }

  write(bytes: Uint8Array, scope: Scope): Promise<void> {
    return this.#stream.write(bytes, scope);
  }

  lend(): OutputStream | undefined {
    return this.#stream.lend();
  }

  giveBack(stream: OutputStream): void {
    this.#stream.giveBack(stream);
  }

  async finish(scope: Scope): Promise<void> {
    await this.#stream.finish(scope);
    dropInOrder(this.#stream, this.#file);
    this.#state = "whole";
    const { folder, path } = this.#place;
    const renamed = attempt<void, ErrorCode>(() => folder.renameAt(this.#beside, folder, path));
    if (renamed.tag === "ok") return;
    attempt(() => folder.unlinkFileAt(this.#beside));
    throw writeFailure(this.#path, new Error(renamed.val));
  }

  [Symbol.dispose](): void {
    if (this.#state !== "open") return;
    this.#state = "disposed";
    dropInOrder(this.#stream, this.#file);
    attempt(() => this.#place.folder.unlinkFileAt(this.#beside));
  }
}

/** A rename would put a file in the place of whatever is there. */
function refuseSpecial(path: string, { folder, path: at }: Place): void {
  const there = attempt(() => folder.statAt({ symlinkFollow: true }, at));
  if (there.tag === "ok" && there.val.type !== "regular-file") throw new Error(`${path} is there and is no file`);
}

function writeFailure(name: string, error: unknown): unknown {
  if (error instanceof FetchError) return error;
  const message = messageOf(error);
  const text = message.startsWith(name) ? message : `${name}: ${message}`;
  return new FetchError(exitCodes.write, `cannot write ${text}; check the place and its rights`, error);
}

/** Leaves room for what is put around a name, in file systems that allow 255 bytes. */
const MAX_NAME = 100;
