import { type BoundSocket, Socket } from "node:net";

/** What one read takes at most, in bytes: what node asks the system for as well. */
const READ = 64 * 1024;
/** From here on a copy costs more than memory of one's own, in bytes. */
const LARGE = 32 * 1024;

/** What sockets with little to say are read into, all of them: what stays in it after a read is copied. */
const shared = new Uint8Array(READ);

/**
 * Where a socket's bytes go that is read with `onread`. Node otherwise makes new memory for each read, and with bulk data
 * collecting it costs as much as decrypting does; most of it is done with as soon as the bytes were handed on.
 */
export class ReadMemory {
  /** Told of what was read. The bytes are valid until it returns, unless `keep` was asked. */
  onBytes: ((bytes: Uint8Array) => void) | undefined;
  /** Memory of this socket alone, once it had much to say. */
  #own: Uint8Array | undefined;
  #wantsOwn = false;

  /** What the next read goes into. */
  next(): Uint8Array {
    if (this.#wantsOwn) this.#own ??= new Uint8Array(READ);
    return this.#own ?? shared;
  }

  /** The bytes that `onBytes` was told of last, as memory that nobody writes to any more. */
  keep(bytes: Uint8Array): Uint8Array {
    const own = this.#own;
    this.#own = undefined;
    this.#wantsOwn = bytes.length >= LARGE;
    return this.#wantsOwn && bytes.buffer === own?.buffer ? bytes : bytes.slice();
  }
}

/** A socket for a connection that we make. It tells what it reads through `memory`, and has no `data` events. */
export class DialledSocket extends Socket {
  readonly memory: ReadMemory;

  /** @param handle bound already; of the socket from here on */
  constructor(handle: BoundSocket | undefined) {
    const memory = new ReadMemory();
    super({
      allowHalfOpen: true,
      onread: {
        buffer: () => memory.next(),
        callback: (length, bytes) => {
          memory.onBytes?.(bytes.subarray(0, length));
          return true;
        },
      },
      ...(handle === undefined ? {} : { handle }),
    });
    this.memory = memory;
  }
}
