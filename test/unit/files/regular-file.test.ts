import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readRegularFile } from "../../../host/files/regular-file.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-regular-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const fileWith = (name: string, size: number) => {
  const path = join(folder, name);
  writeFileSync(path, Buffer.alloc(size, "x"));
  return path;
};

describe("a regular file", () => {
  it.each([0, 1, 99, 100])("of %i bytes is read whole", (size) => {
    expect(readRegularFile(fileWith("some", size), 100)).toEqual(new Uint8Array(Buffer.alloc(size, "x")));
  });

  it("is read through a link", () => {
    symlinkSync(fileWith("there", 3), join(folder, "link"));
    expect(readRegularFile(join(folder, "link"), 3)).toHaveLength(3);
  });

  it("that says less of its size than it has is read whole, and no further than it may be", () => {
    // The system makes it while it is read, and calls it empty. Elsewhere there is no such file.
    const path = existsSync("/proc/self/status") ? "/proc/self/status" : fileWith("status", 1000);
    expect(readRegularFile(path, 100_000).length).toBeGreaterThan(100);
    expect(() => readRegularFile(path, 100)).toThrow(expect.objectContaining({ code: "too-large" }));
  });

  it("of one byte too many is not read", () => {
    expect(() => readRegularFile(fileWith("large", 101), 100)).toThrow(expect.objectContaining({ code: "too-large" }));
  });

  it("is not a folder, a device without end, a FIFO that nobody writes to, or nothing", () => {
    const fifo = join(folder, "fifo");
    execFileSync("mkfifo", [fifo]);
    for (const path of [folder, "/dev/zero", fifo])
      expect(() => readRegularFile(path, 100)).toThrow(expect.objectContaining({ code: "not-regular" }));
    expect(() => readRegularFile(join(folder, "none"), 100)).toThrow(expect.objectContaining({ code: "ENOENT" }));
  });

  it("is not read if what was opened is not to be used", () => {
    const refuse = () => {
      throw new Error("not this one");
    };
    expect(() => readRegularFile(fileWith("checked", 1), 100, refuse)).toThrow("not this one");
  });
});
