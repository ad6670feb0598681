import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, it } from "vitest";

const program = fileURLToPath(new URL("../../host/cli/bin.mjs", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const time = "2026-11-24T10:11:12.131Z";
const denied = {
  time,
  by: "component",
  instance: "aa",
  event: "connection",
  connection: 7,
  decision: "deny",
  target: "evil.test:443",
  reason: "x",
};
const dial = {
  time,
  by: "host",
  instance: "aa",
  event: "dial",
  connection: 8,
  dial: 1,
  host: "api.a.test",
  port: 443,
  addresses: ["192.0.2.1"],
};
const allowed = { ...denied, connection: 8, decision: "intercept", target: "api.a.test:443" };

let files = 0;
function log(...lines: (object | string)[]): string {
  const file = join(folder, `audit-${++files}.jsonl`);
  writeFileSync(file, text(...lines));
  return file;
}
const text = (...lines: (object | string)[]) => lines.map((line) => `${typeof line === "string" ? line : JSON.stringify(line)}\n`).join("");

function tail(...args: string[]) {
  const child = spawn(process.execPath, [program, "audit", "tail", ...args], { stdio: ["ignore", "pipe", "pipe"] });
  started.push(child);
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) child[name]!.on("data", (chunk) => (texts[name] += String(chunk)));
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) =>
    child.once("close", (code) => resolve({ code, ...texts })),
  );
  return { child, texts, ended };
}

describe("sallyport audit tail", () => {
  it("shows each record as one line whose columns are aligned", async () => {
    const { code, stdout, stderr } = await tail(log(denied, dial, allowed)).ended;
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout.split("\n").map((line) => line.trimEnd())).toEqual([
      "10:11:12.131     #7 comp connection          deny      evil.test:443                    reason=x",
      '10:11:12.131     #8 host dial                          api.a.test:443                   dial=1 addresses=["192.0.2.1"]',
      "10:11:12.131     #8 comp connection          intercept api.a.test:443                   reason=x",
      "",
    ]);
  });

  it("shows the last of them, and those that are asked for", async () => {
    const file = log(denied, dial, allowed);
    const count = async (...args: string[]) => (await tail(file, "--json", ...args).ended).stdout.split("\n").filter(Boolean).length;
    expect(await count("-n", "1")).toBe(1);
    expect(await count("-n", "0")).toBe(0);
    expect(await count("-n", "all", "--host", "A.TEST.")).toBe(2);
    expect(await count("--host", "pi.a.test")).toBe(0);
    expect(await count("--decision", "deny")).toBe(1);
    expect(await count("-n", "1", "--decision", "deny")).toBe(1);
  });

  it("shows nothing that changes a terminal, as lines and as JSON", async () => {
    const file = log({ ...denied, target: "\x1b[2J\u202eevil\x9b1m\n", "na\x07me": "\x1b]0;x\x07" });
    for (const json of [[], ["--json"]]) {
      const { stdout } = await tail(file, ...json).ended;
      // oxlint-disable-next-line no-control-regex -- that there is none is what this is about
      expect(stdout.slice(0, -1)).not.toMatch(/[\x00-\x1f\x7f-\x9f\u202e]/);
      expect(stdout).toContain("evil");
    }
  });

  it("shows what a peer said as one value, whatever looks like others in it", async () => {
    const said = 'x" decision=allow  rule=y';
    const { stdout } = await tail(log({ ...denied, target: undefined, server_name: said, reason: said, [said]: 1 })).ended;
    const quoted = JSON.stringify(said);
    expect(stdout.replaceAll(quoted, "Q").trimEnd()).toMatch(/ deny +Q +reason=Q server_name=Q Q=1$/);
  });

  it("names what is no record, leaves it out, and says so with its exit code", async () => {
    const file = log(denied, "{ no", "[1]", `{"long":"${"x".repeat(70_000)}"}`, dial, "", "null");
    appendFileSync(file, '{"half":');
    const { code, stdout, stderr } = await tail(file).ended;
    expect(code).toBe(65);
    expect(stdout.split("\n")).toHaveLength(3);
    expect(stderr.match(/line \d+ is left out: .*/g)).toEqual([
      "line 2 is left out: no JSON object",
      "line 3 is left out: no JSON object",
      "line 4 is left out: too long",
      "line 7 is left out: no JSON object",
      "line 8 is left out: cut short",
    ]);
  });

  it("holds no line that has no end: 256 MiB without one cost it little", async () => {
    const file = log(denied);
    // A hole of zeros.
    truncateSync(file, 256 * 1024 * 1024);
    appendFileSync(file, text("", dial));
    const script = `process.argv.splice(1, 0); const before = process.memoryUsage().rss; await import(${JSON.stringify(program)});
      console.error("grown", Math.round((process.memoryUsage().rss - before) / 2 ** 20))`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script, program, "audit", "tail", file], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    child.stderr.on("data", (chunk) => (said += String(chunk)));
    await new Promise((resolve) => child.once("close", resolve));
    expect(said).toContain("line 2 is left out: too long");
    expect(Number(/grown (\d+)/.exec(said)![1])).toBeLessThan(128);
  });

  it("follows what is written, into a file that takes its place, and after a truncation", async () => {
    const file = log(denied);
    const run = tail(file, "-f");
    const sees = (...wanted: string[]) => expect.poll(() => run.texts.stdout.match(/#\d+/g), { timeout: 20_000 }).toEqual(wanted);
    await sees("#7");
    const line = text({ ...denied, connection: 9 });
    appendFileSync(file, line.slice(0, 20));
    appendFileSync(file, line.slice(20));
    await sees("#7", "#9");
    renameSync(file, `${file}.1`);
    appendFileSync(`${file}.1`, text({ ...denied, connection: 10 }));
    writeFileSync(file, text({ ...denied, connection: 11 }));
    await sees("#7", "#9", "#10", "#11");
    truncateSync(file, 0);
    appendFileSync(file, text({ time, event: "short", connection: 12 }));
    await sees("#7", "#9", "#10", "#11", "#12");
    run.child.kill("SIGINT");
    expect(await run.ended).toMatchObject({ code: 0, stderr: "" });
  });

  it.each([
    [["/nonexistent/audit.jsonl"], 66],
    [[folder], 66],
    [[], 64],
    [["x", "-n", "many"], 64],
    [["x", "--decision", "maybe"], 64],
    [["x", "y"], 64],
  ])("refuses %j", async (args, code) => {
    const run = await tail(...args).ended;
    expect([run.code, run.stdout]).toEqual([code, ""]);
    expect(run.stderr).toMatch(/^sallyport: /);
  });
});
