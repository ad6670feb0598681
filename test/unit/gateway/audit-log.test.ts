import { chmodSync, closeSync, fstatSync, linkSync, openSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { afterAll, describe, expect, it } from "vitest";
import { AuditError, AuditLog, auditLine, type AuditGrant, MAX_AUDIT_LINE } from "../../../host/gateway/audit-log.ts";
import { recordsOf, temporaryFolder } from "../../support/gateway-instance.ts";

const folder = temporaryFolder();
afterAll(() => folder.remove());
let files = 0;
const newFile = () => folder.path(`log-${++files}`);

function opened(options: Omit<AuditGrant, "file"> = {}) {
  const file = newFile();
  return { file, log: AuditLog.open({ file, ...options }) };
}

function codeOf(file: string): string {
  try {
    AuditLog.open({ file }).close();
  } catch (error) {
    if (error instanceof AuditError) return error.code;
    throw error;
  }
  return "opened";
}

describe("an audit log", () => {
  it("appends one line of JSON a record, to a file that only its owner reads", () => {
    const { file, log } = opened({ fsync: "each" });
    expect([log.write({ a: 1 }), log.write({ b: "x", c: undefined })]).toEqual([true, true]);
    log.close();
    AuditLog.open({ file }).close();
    expect(readFileSync(file, "utf8")).toBe('{"a":1}\n{"b":"x"}\n');
    const fd = openSync(file, "r");
    expect(fstatSync(fd).mode & 0o777).toBe(0o600);
    closeSync(fd);
  });

  it("takes records of several writers without mixing them", () => {
    const { file, log } = opened();
    const other = AuditLog.open({ file });
    for (let i = 0; i < 100; i++) (i % 2 === 0 ? log : other).write({ i });
    log.close();
    other.close();
    expect(recordsOf(file).map(({ i }) => i)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  it("keeps a record on its line whatever is in its texts", () => {
    const hostile = '"}\n{"by":"host"}\r\0\u001b[2K\u007f\u0085\u2028\u202e\u{e0001}\ud800';
    const line = auditLine({ reason: hostile });
    expect(line).toMatch(/^[\x20-\x7e\ufffd]+$/);
    expect(JSON.parse(line)).toEqual({ reason: hostile.toWellFormed() });
  });

  it("says how many records a full disk cost, once it can write again, and starts them on a line of their own", () => {
    const file = newFile();
    const lines = onFullDisk(file, "best-effort");
    expect(lines).toEqual([["went on", "went on"], 2]);
    const written = readFileSync(file, "utf8").split("\n");
    expect(written.map((line) => (line === "" ? "" : (JSON.parse(line) as { event: string }).event))).toEqual(["", "lost", "after", ""]);
    expect(JSON.parse(written[1]!)).toMatchObject({ by: "host", count: 2 });
  });
});

describe("records that may wait", () => {
  const texts = (file: string) => readFileSync(file, "utf8");
  const turn = () => new Promise((resolve) => setImmediate(resolve));

  it("are written together at the next turn of the event loop", async () => {
    const { file, log } = opened({ mode: "best-effort" });
    expect([log.writeSoon(auditLine({ a: 1 })), log.writeSoon(auditLine({ b: "\u2028" }))]).toEqual([true, true]);
    expect(texts(file)).toBe("");
    await turn();
    expect(texts(file)).toBe('{"a":1}\n{"b":"\\u2028"}\n');
    log.close();
  });

  it("stand before what is written at once after them, and before the end", () => {
    const { file, log } = opened({ mode: "best-effort" });
    log.writeSoon(auditLine({ n: 1 }));
    log.write({ n: 2 });
    expect(recordsOf(file).map(({ n }) => n)).toEqual([1, 2]);
    log.writeSoon(auditLine({ n: 3 }));
    log.close();
    expect(recordsOf(file).map(({ n }) => n)).toEqual([1, 2, 3]);
    expect([log.writeSoon(auditLine({ n: 4 })), log.lost]).toEqual([true, 1]);
  });

  it("wait for nobody once there are many", () => {
    const { file, log } = opened({ mode: "best-effort" });
    for (let i = 0; i < 100; i++) log.writeSoon(auditLine({ text: "x".repeat(1000) }));
    expect(recordsOf(file).length).toBeGreaterThan(50);
    log.close();
    expect(recordsOf(file)).toHaveLength(100);
  });

  it("never wait where what is not recorded is refused, or has to be on the disk", () => {
    for (const options of [{ mode: "strict" }, { mode: "best-effort", fsync: "each" }] as const) {
      const { file, log } = opened(options);
      log.writeSoon(auditLine({ n: 1 }));
      expect(recordsOf(file)).toEqual([{ n: 1 }]);
      log.close();
    }
  });

  it("are in the file when the process ends by itself", () => {
    const file = newFile();
    const script = `
      import { AuditLog } from ${JSON.stringify(import.meta.resolve("../../../host/gateway/audit-log.ts"))};
      AuditLog.open({ file: process.argv[1], mode: "best-effort" }).writeSoon('{"n":1}');
      process.exit();`;
    execFileSync(process.execPath, ["--input-type=module", "--eval", script, file]);
    expect(recordsOf(file)).toEqual([{ n: 1 }]);
  });

  it("are counted as lost, each of them, when they cannot be written", () => {
    const file = newFile();
    expect(onFullDisk(file, "best-effort", "writeSoon")).toEqual([["went on", "went on"], 2]);
    expect(recordsOf(file).find(({ event }) => event === "lost")).toMatchObject({ by: "host", count: 2 });
  });
});

describe("an audit log does not", () => {
  it("let anything go on that it could not record, when it is strict", () => {
    expect(onFullDisk(newFile(), "strict")).toEqual([["refused", "refused"], 2]);
  });

  it("grow a line beyond its bound, whatever has to be cut", () => {
    const wide = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`field${i}`, "\u0000".repeat(5000)]));
    for (const record of [
      wide,
      { names: Array.from({ length: 5000 }, () => "x".repeat(5000)) },
      { by: "host", event: "e", ...manyFields() },
    ]) {
      const line = auditLine(record);
      expect(Buffer.byteLength(line)).toBeLessThanOrEqual(MAX_AUDIT_LINE);
      expect(JSON.parse(line)).toMatchObject({ cut: true });
    }
  });

  it("follow a link, write into what is no file, or into what others can read", () => {
    const target = newFile();
    writeFileSync(target, "", { mode: 0o600 });
    const link = newFile();
    symlinkSync(target, link);
    const open = newFile();
    writeFileSync(open, "");
    chmodSync(open, 0o640);
    const pipe = newFile();
    execFileSync("mkfifo", ["-m", "600", pipe]);
    expect(codeOf(link)).toBe("unwritable");
    expect(codeOf(open)).toBe("not-private");
    expect(codeOf(folder.path("."))).toBe("unwritable");
    expect(codeOf(folder.path("missing/log"))).toBe("unwritable");
    expect(["unwritable", "no-file"]).toContain(codeOf(pipe));
    expect(readFileSync(target, "utf8")).toBe("");
  });

  it("write after it was closed", () => {
    const { file, log } = opened();
    log.close();
    log.close();
    expect(log.write({ n: 1 })).toBe(false);
    expect(readFileSync(file, "utf8")).toBe("");
  });

  it("mind that its file has other names", () => {
    const { file, log } = opened();
    linkSync(file, newFile());
    expect(log.write({ n: 1 })).toBe(true);
    log.close();
  });
});

/**
 * Two records to a file that may not grow beyond a block, then one after it was emptied.
 *
 * @returns what the first two were answered, and how many were lost
 */
function onFullDisk(file: string, mode: "strict" | "best-effort", how: "write" | "writeSoon" = "write"): unknown {
  const script = `
    import { truncateSync } from "node:fs";
    import { AuditLog, auditLine } from ${JSON.stringify(import.meta.resolve("../../../host/gateway/audit-log.ts"))};
    const [file, mode] = process.argv.slice(1);
    const log = AuditLog.open({ file, mode });
    const big = { event: "big", reason: Array.from({ length: 8 }, () => "x".repeat(1000)) };
    const write = () => ${how === "write" ? "log.write(big)" : "log.writeSoon(auditLine(big))"};
    const answers = [write(), write()].map((wentOn) => (wentOn ? "went on" : "refused"));
    await new Promise((resolve) => setImmediate(resolve));
    truncateSync(file, 0);
    log.write({ event: "after" });
    console.log(JSON.stringify([answers, log.lost]));
    log.close();`;
  const command = 'ulimit -f 1; exec "$0" --input-type=module --eval "$1" "$2" "$3"';
  return JSON.parse(execFileSync("bash", ["-c", command, process.execPath, script, file, mode], { encoding: "utf8" }));
}

function manyFields(): Record<string, number> {
  return Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`field${i}`, i]));
}
