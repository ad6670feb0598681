import { IoError, WitError } from "./error.ts";
import { type Ledger, Resource, Trap } from "./ledger.ts";
import { Pollable, untilReady } from "./poll.ts";
import type { Readiness } from "./signal.ts";
import type { Source } from "./source.ts";
import { breathe } from "./turn.ts";

/** The WIT variant wasi:io/streams `stream-error`. */
export type StreamError = { tag: "closed" } | { tag: "last-operation-failed"; val: IoError };

/** The most that one read returns, whatever the guest asks for: it bounds what a guest can make the host copy at once. */
const MAX_READ = 256 * 1024;

/** For every stream of this thread: a fresh buffer of this size for each read costs more than the copy into it. */
const SCRATCH = new Uint8Array(MAX_READ);

/** wasi:io/streams `input-stream` over a `Source`. */
export class InputStream extends Resource {
  #source: Source | undefined;
  #failureTold = false;

  /** @param parent the resource that must outlive this stream */
  constructor(ledger: Ledger, source: Source, parent?: Resource) {
    super(ledger, parent);
    this.#source = source;
  }

  /** @throws {WitError<StreamError>} */
  read(len: bigint): Uint8Array {
    // The generated glue copies the result into the guest's memory before anything else can run.
    return this.#read(len, SCRATCH);
  }

  #read(len: bigint, scratch: Uint8Array | undefined): Uint8Array {
    const bytes = this.#open().read(clamp(len), scratch);
    if (bytes.length === 0) this.#throwIfOver();
    return bytes;
  }

  /** @throws {WitError<StreamError>} */
  async blockingRead(len: bigint): Promise<Uint8Array> {
    await this.#untilReadable();
    // Its result is copied only after the promise was looked at.
    return this.#read(len, undefined);
  }

  /** @throws {WitError<StreamError>} */
  skip(len: bigint): bigint {
    return BigInt(this.read(len).length);
  }

  /** @throws {WitError<StreamError>} */
  async blockingSkip(len: bigint): Promise<bigint> {
    await this.#untilReadable();
    return this.skip(len);
  }

  subscribe(): Pollable {
    return new Pollable(this.ledger, this.readiness(), this);
  }

  /** Ready when a read would return bytes, an end or an error. */
  readiness(): Readiness {
    const source = this.#open();
    return source.changed.when(() => source.available() > 0 || source.state().tag !== "open");
  }

  /** The source, for host code that moves bytes itself (splice). */
  get source(): Source {
    return this.#open();
  }

  /** Bytes moved from here failed or ended: what a read would say. @throws {WitError<StreamError>} */
  throwIfOver(): void {
    this.#throwIfOver();
  }

  /**
   * Take the source out for good: the resource is consumed. `undefined` if a pollable is alive on it.
   * The caller owns the source; dropping this resource no longer closes it.
   */
  consume(): Source | undefined {
    if (this.hasChildren) return undefined;
    const source = this.#source;
    this.#source = undefined;
    this[Symbol.dispose]();
    return source;
  }

  protected override release(): void {
    this.#source?.close();
    this.#source = undefined;
  }

  #open(): Source {
    if (this.#source === undefined) throw new Trap("input-stream used after it was dropped");
    return this.#source;
  }

  async #untilReadable(): Promise<void> {
    await breathe();
    await untilReady(this.readiness());
  }

  #throwIfOver(): void {
    const state = this.#open().state();
    if (state.tag === "open" || this.#open().available() > 0) return;
    if (state.tag === "failed" && !this.#failureTold) {
      this.#failureTold = true;
      throw new WitError<StreamError>({ tag: "last-operation-failed", val: new IoError(this.ledger, state.failure) });
    }
    throw new WitError<StreamError>({ tag: "closed" });
  }
}

function clamp(len: bigint): number {
  return len > BigInt(MAX_READ) ? MAX_READ : Number(len);
}
