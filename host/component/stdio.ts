import { createWriteStream, fstatSync, type Stats } from "node:fs";
import { Readable, type Writable } from "node:stream";

/** Standard streams of an instance that runs in a worker thread. */
export interface GuestStdio {
  stdin: Readable;
  stdout: Writable;
  stderr: Writable;
  /** Resolves once everything written has left this thread, or can no longer be written. */
  flushed(): Promise<void>;
}

/**
 * Standard streams for this worker.
 *
 * A worker's own stdout goes through the main thread, which never blocks on a slow reader and keeps the order; that costs
 * a copy and a message per write. Where the descriptor is a regular file no reader can be slow, and the worker writes to
 * it directly.
 *
 * @param inherit whether the guest's streams are those of the process
 * @param askForStdin called at the first read: until then the main thread must not take bytes that another process may want
 */
export function guestStdio(inherit: boolean, askForStdin: () => void): GuestStdio {
  const stdout = outputStream(inherit, 1, process.stdout);
  const stderr = outputStream(inherit, 2, process.stderr);
  return {
    stdin: asTerminal(lazyStdin(askForStdin), inherit && isTerminal(0)),
    stdout,
    stderr,
    flushed: async () => {
      await Promise.all([flushed(stdout), flushed(stderr)]);
    },
  };
}

const FILE_BUFFER = 256 * 1024;

function outputStream(inherit: boolean, fd: number, forwarded: Writable): Writable {
  const stream =
    inherit && statOf(fd)?.isFile() === true ? createWriteStream("", { fd, autoClose: false, highWaterMark: FILE_BUFFER }) : forwarded;
  // The guest is told of a reader that went away; here it must only not be an uncaught error.
  stream.on("error", () => {});
  return asTerminal(stream, inherit && isTerminal(fd));
}

/** Only what is a device may be a terminal: `node:tty`, which tells, is not loaded for anything else. */
function isTerminal(fd: number): boolean {
  return statOf(fd)?.isCharacterDevice() === true && process.getBuiltinModule("node:tty").isatty(fd);
}

/** A worker's streams do not know what the process's are; the guest may ask. */
function asTerminal<T extends object>(stream: T, terminal: boolean): T {
  return Object.defineProperty(stream, "isTTY", { value: terminal });
}

function statOf(fd: number): Stats | undefined {
  try {
    return fstatSync(fd);
  } catch {
    // Closed by whoever started the process: the forwarding path reports it as any other write error.
    return undefined;
  }
}

function lazyStdin(ask: () => void): Readable {
  let asked = false;
  return new Readable({
    read() {
      if (asked) {
        process.stdin.resume();
        return;
      }
      asked = true;
      process.stdin.on("data", (chunk: Uint8Array) => {
        if (!this.push(chunk)) process.stdin.pause();
      });
      process.stdin.once("end", () => this.push(null));
      process.stdin.once("error", (error) => this.destroy(error));
      ask();
    },
  });
}

function flushed(stream: Writable): Promise<void> {
  if (stream.writableLength === 0 || stream.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    stream.once("error", () => resolve());
    stream.once("close", resolve);
    stream.write("", () => resolve());
  });
}
