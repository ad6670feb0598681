import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PolicyFileError, type PolicyFileErrorCode, readPolicyFile } from "../../../host/policy/policy-file.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-policy-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, content: string | Uint8Array = "{}", mode = 0o644): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

function refusal(path: string): { code: PolicyFileErrorCode; message: string } {
  try {
    readPolicyFile(path);
  } catch (error) {
    if (error instanceof PolicyFileError) return error;
    throw error;
  }
  throw new Error("it was read");
}

describe("a policy file", () => {
  it("is read if it is ours, and others may read it too", () => {
    expect(readPolicyFile(write("policy.json", '{"é":1}'))).toBe('{"é":1}');
  });

  it("may be reached through a link to a file that is as safe", () => {
    const path = write("real.json");
    symlinkSync(path, join(folder, "link.json"));
    expect(readPolicyFile(join(folder, "link.json"))).toBe("{}");
  });

  it.each([[0o664], [0o646], [0o666]])("is refused with mode %o", (mode) => {
    expect(refusal(write("policy.json", "{}", mode))).toMatchObject({ code: "unsafe", message: expect.stringContaining("chmod go-w") });
  });

  it("is refused where others can put another one in its place", () => {
    mkdirSync(join(folder, "open"));
    const path = write("open/policy.json");
    chmodSync(join(folder, "open"), 0o777);
    expect(refusal(path).code).toBe("unsafe");
    // A link in a safe place to a file in an unsafe one, and the other way round.
    symlinkSync(path, join(folder, "to-unsafe.json"));
    expect(refusal(join(folder, "to-unsafe.json")).code).toBe("unsafe");
    symlinkSync(write("safe.json"), join(folder, "open/from-unsafe.json"));
    expect(refusal(join(folder, "open/from-unsafe.json")).code).toBe("unsafe");
    chmodSync(join(folder, "open"), 0o1777);
    expect(readPolicyFile(path)).toBe("{}");
  });

  it("is refused if it belongs to somebody else", () => {
    const path = write("policy.json");
    if (process.geteuid?.() === 0) {
      chownSync(path, 12_345, 12_345);
      expect(refusal(path)).toMatchObject({ code: "unsafe", message: expect.stringContaining("another user") });
      return;
    }
    // Not ours and not root's is out of reach without root's rights; what is root's is accepted.
    expect(() => readPolicyFile("/etc/passwd")).not.toThrow();
  });

  it("is refused if it is no file, or not there", () => {
    expect(refusal(folder).code).toBe("unreadable");
    expect(refusal(join(folder, "none.json"))).toMatchObject({ code: "unreadable", message: expect.stringContaining("ENOENT") });
    execFileSync("mkfifo", ["-m", "600", join(folder, "fifo")]);
    expect(refusal(join(folder, "fifo")).code).toBe("unreadable");
  });

  it("is refused past a length, and if it is not UTF-8", () => {
    expect(refusal(write("long.json", " ".repeat(0x10_0001))).code).toBe("too-large");
    expect(readPolicyFile(write("just.json", " ".repeat(0x10_0000)))).toHaveLength(0x10_0000);
    expect(refusal(write("latin1.json", Buffer.from([0x22, 0xe9, 0x22]))).code).toBe("bad-content");
  });
});
