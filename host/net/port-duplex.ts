import { Duplex, type DuplexOptions } from "node:stream";
import type { MessagePort } from "node:worker_threads";

/** Bytes in each direction that the other side has not taken yet. */
const WINDOW = 256 * 1024;

/**
 * One end of a connection between two threads. Behaves as a TCP socket does: each direction ends by itself, what is written
 * waits for the other side to read, and a side that goes away in the middle of something resets the other.
 */
export class PortDuplex extends Duplex {
  bytesRead = 0;
  bytesWritten = 0;
  readonly #port: MessagePort;
  /** Bytes that were sent and not acknowledged. */
  #sent = 0;
  /** Bytes that were read from the port and not acknowledged: nobody wants more just now. */
  #owed = 0;
  #waiting: ((error?: Error) => void) | undefined;
  #hasEnded = false;
  #isGone = false;

  /** @param port owned from here on */
  constructor(port: MessagePort, options: Pick<DuplexOptions, "allowHalfOpen"> = {}) {
    super({ ...options, highWaterMark: WINDOW, decodeStrings: true });
    this.#port = port;
    port.on("message", (message: PortMessage) => this.#onMessage(message));
    port.on("close", () => this.#onGone());
  }

  override _read(): void {
    if (this.#owed === 0) return;
    this.#post(this.#owed);
    this.#owed = 0;
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error) => void): void {
    if (this.#isGone) return done(broken("EPIPE", "the other side has gone"));
    // The chunk is the writer's, and may be a part of a buffer that others use.
    const bytes = new Uint8Array(chunk);
    this.bytesWritten += bytes.length;
    this.#sent += bytes.length;
    this.#port.postMessage(bytes, [bytes.buffer]);
    if (this.#sent < WINDOW) done();
    else this.#waiting = done;
  }

  override _writev(chunks: { chunk: Uint8Array }[], done: (error?: Error) => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "buffer", done);
  }

  override _final(done: () => void): void {
    this.#post("end");
    done();
  }

  /** Cut the connection: the other side is not to take it for an end. */
  resetAndDestroy(): this {
    this.#resets = true;
    return this.destroy();
  }
  #resets = false;

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    // As a socket does: whoever is just dropped ends, and only what was left in its middle is reset.
    if (error === null && !this.#resets && !this.writableFinished && this.writableLength === 0) this.#post("end");
    this.#port.close();
    this.#waiting = undefined;
    done(error);
  }

  #onMessage(message: PortMessage): void {
    if (this.destroyed) return;
    if (message === "end") {
      this.#hasEnded = true;
      this.push(null);
    } else if (typeof message === "number") {
      this.#sent -= message;
      if (this.#sent < WINDOW) this.#release();
    } else {
      this.bytesRead += message.length;
      const bytes = Buffer.from(message.buffer, message.byteOffset, message.length);
      if (this.push(bytes)) this.#post(bytes.length);
      else this.#owed += bytes.length;
    }
  }

  #onGone(): void {
    this.#isGone = true;
    if (this.destroyed) return;
    // What it said to the end may still be read.
    if (this.#hasEnded) this.#release(broken("EPIPE", "the other side has gone"));
    else this.destroy(broken("ECONNRESET", "the other side has gone"));
  }

  #release(error?: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.(error);
  }

  #post(message: PortMessage): void {
    if (!this.#isGone) this.#port.postMessage(message, []);
  }
}

/** Bytes, how many bytes were taken, or the end of a direction. */
type PortMessage = Uint8Array<ArrayBuffer> | number | "end";

function broken(code: "EPIPE" | "ECONNRESET", message: string): Error {
  return Object.assign(new Error(message), { code });
}
