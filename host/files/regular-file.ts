import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";

/** Why a file is not read, beside what the system says. */
export class RegularFileError extends Error {
  override readonly name = "RegularFileError";
  readonly code: "not-regular" | "too-large";

  constructor(code: RegularFileError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Read a file that is one: no folder, no device without end, no FIFO to wait for. Links are followed.
 *
 * @param most bytes
 * @param check looks at what was opened, and throws if it is not to be used
 * @throws {RegularFileError} @throws what the system says
 */
export function readRegularFile(path: string, most: number, check: (stats: Stats) => void = () => {}): Uint8Array {
  // Without O_NONBLOCK, opening a FIFO would wait for somebody to write to it.
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw new RegularFileError("not-regular", `${path}: not a regular file`);
    check(stats);
    return readAll(path, file, stats.size, most);
  } finally {
    closeSync(file);
  }
}

/** The file may grow while it is read, so its size is a hint: one byte more than is permitted is enough to know. */
function readAll(path: string, file: number, size: number, most: number): Uint8Array {
  let buffer = new Uint8Array(Math.min(size, most) + 1);
  let length = 0;
  for (;;) {
    const read = readSync(file, buffer, length, buffer.length - length, null);
    length += read;
    if (length > most) throw new RegularFileError("too-large", `${path}: longer than ${most} bytes`);
    if (read === 0) return buffer.subarray(0, length);
    if (length === buffer.length) {
      const larger = new Uint8Array(Math.min(2 * length, most) + 1);
      larger.set(buffer);
      buffer = larger;
    }
  }
}
