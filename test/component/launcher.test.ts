import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

const program = fileURLToPath(new URL("../../host/cli/bin.mjs", import.meta.url));
let folder: string;
let policy: string;
const started: ChildProcess[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
  policy = join(folder, "policy.json");
  writeFileSync(policy, JSON.stringify({ version: 1, hosts: [{ match: ["a.test"], mode: "tunnel" }] }), { mode: 0o600 });
  writeFileSync(
    join(folder, "evil.cjs"),
    `require("node:fs").appendFileSync(process.env.EVIL, process.pid + " " + process.execArgv.join() + "\\n")`,
  );
});
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function sallyport(args: string[], env: Record<string, string> = {}, program_ = process.execPath) {
  const child = spawn(program_, [program, ...args], { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, TMPDIR: folder, ...env } });
  started.push(child);
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) child[name]!.on("data", (chunk) => (texts[name] += String(chunk)));
  const ended = new Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }>((resolve) =>
    child.once("close", (code, signal) => resolve({ code, signal, ...texts })),
  );
  return { child, texts, ended };
}

/** Where this file of the process says it. */
const proc = (pid: number, file: string) => readFileSync(`/proc/${pid}/${file}`, "utf8");

/** Sockets of a process that listen on an inspector's port or on any other that it did not have before. */
function listening(pid: number): string[] {
  return proc(pid, "net/tcp")
    .split("\n")
    .filter((line) => / 0A /.test(line))
    .map((line) => line.trim().split(/\s+/)[1]!)
    .filter((address) => Number.parseInt(address.split(":")[1]!, 16) === 9229);
}

describe.runIf(process.platform === "linux")("a process that holds keys", () => {
  const proxy = async (env: Record<string, string> = {}) => {
    const run = sallyport(["proxy", "--config", policy], env);
    await expect.poll(() => run.texts.stdout, { timeout: 20_000 }).toContain("listens on");
    return run;
  };

  it("opens no inspector at SIGUSR1, and goes on", async () => {
    const before = listening(process.pid);
    const run = await proxy();
    run.child.kill("SIGUSR1");
    run.child.kill("SIGHUP");
    // Signals come in the order of their numbers, and this one is answered.
    await expect.poll(() => run.texts.stderr, { timeout: 20_000 }).toContain("the policy was changed");
    expect(listening(run.child.pid!)).toEqual(before);
    expect(run.texts.stderr).not.toContain("Debugger");
    run.child.kill("SIGTERM");
    expect(await run.ended).toMatchObject({ code: 0, signal: null });
  });

  it("leaves no core dump, and cannot be made to", async () => {
    const run = await proxy();
    expect(proc(run.child.pid!, "limits")).toMatch(/^Max core file size +0 +0 /m);
  });

  it("runs nothing that NODE_OPTIONS names", async () => {
    const log = join(folder, "evil-proxy.log");
    const run = await proxy({ NODE_OPTIONS: `--require ${join(folder, "evil.cjs")}`, EVIL: log });
    const environment = proc(run.child.pid!, "environ").split("\0");
    expect(environment.filter((it) => it.startsWith("NODE_OPTIONS="))).toEqual([]);
    // The launcher, before it became this process, and nobody else.
    expect(readFileSync(log, "utf8")).toBe(`${run.child.pid} \n`);
  });

  it("is that of connect and serve as well, before they look at their arguments", async () => {
    for (const command of ["connect", "serve", "exec"]) {
      const log = join(folder, `evil-${command}.log`);
      const { code } = await sallyport([command], { NODE_OPTIONS: `--require ${join(folder, "evil.cjs")}`, EVIL: log }).ended;
      expect([command, code, readFileSync(log, "utf8").split("\n").length]).toEqual([command, 64, 2]);
    }
  });

  it("is not to be had by a variable that somebody set", async () => {
    const run = await proxy({ SALLYPORT_LAUNCHED: "1" });
    expect(proc(run.child.pid!, "cmdline")).toContain("--disable-sigusr1");
  });
});

describe.runIf(process.platform === "linux")("exec", () => {
  it("gives its command the NODE_OPTIONS of the user, and nothing of the launcher's", async () => {
    const script =
      "console.log(JSON.stringify([process.env.NODE_OPTIONS, Object.keys(process.env).filter((k) => /^SALLYPORT_(LAUNCHED|NODE)/.test(k))]))";
    const args = ["exec", "-q", "--config", policy, "--", process.execPath, "-e", script];
    expect((await sallyport(args, { NODE_OPTIONS: "--no-warnings" }).ended).stdout).toBe('["--no-warnings",[]]\n');
    expect((await sallyport(args, { SALLYPORT_NODE_OPTIONS: "--no-warnings" }).ended).stdout).toBe("[null,[]]\n");
  });

  it("keeps SIGUSR1 for itself alone: its command may use it", async () => {
    const script =
      "process.on('SIGUSR1', () => { console.log('heard'); process.exit(5); }); process.kill(process.pid, 'SIGUSR1'); setTimeout(() => {}, 5000)";
    const run = sallyport(["exec", "-q", "--config", policy, "--", process.execPath, "-e", script]);
    expect(await run.ended).toMatchObject({ code: 5, stdout: "heard\n" });
  });
});

describe.runIf(process.platform === "linux")("npm run sallyport", () => {
  it.each([["quiet", ["-s"]] as const, ["as it is", []] as const])(
    "hands a signal on to the program, which ends with it (%s)",
    async (_, flags) => {
      const args = ["run", ...flags, "sallyport", "--", "serve", folder, "--self-signed", "localhost", "--listen", "127.0.0.1:0"];
      const child = spawn("npm", args, {
        cwd: fileURLToPath(new URL("../..", import.meta.url)),
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, TMPDIR: folder },
        // For the end of this test: whatever is left then.
        detached: true,
      });
      try {
        let text = "";
        for (const output of [child.stdout, child.stderr]) output.on("data", (chunk) => (text += String(chunk)));
        await expect.poll(() => text, { timeout: 20_000 }).toMatch(/listening on https:\/\/127\.0\.0\.1:\d+/);
        let isOver = false;
        // Once nobody holds these outputs any more, a program that npm left behind included.
        child.once("close", () => (isOver = true));
        child.kill("SIGTERM");
        await expect.poll(() => isOver, { timeout: 20_000 }).toBe(true);
      } finally {
        try {
          process.kill(-child.pid!, "SIGKILL");
        } catch {
          // Nothing is left.
        }
      }
    },
  );
});
