import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makePki, writePki } from "../support/pki.ts";
import { builtGuest } from "./guests/build.ts";

const program = fileURLToPath(new URL("../../host/cli/bin.mjs", import.meta.url));
let guest: string;
let folder: string;

beforeAll(async () => {
  guest = await builtGuest("behave");
  folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Outcome {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

function start(args: string[], nodeFlags: string[] = []) {
  const child = spawn(process.execPath, [...nodeFlags, program, ...args], { stdio: "pipe" });
  const outcome = Promise.all([
    new Promise<[number | null, NodeJS.Signals | null]>((resolve) => child.once("close", (code, signal) => resolve([code, signal]))),
    text(child.stdout),
    text(child.stderr),
  ]).then(([[code, signal], stdout, stderr]): Outcome => ({ code, signal, stdout, stderr }));
  return { child, outcome };
}

async function sallyport(args: string[], input = ""): Promise<Outcome> {
  const { child, outcome } = start(args);
  child.stdin.end(input);
  return await outcome;
}

/** Makes Node say that it is an old one. */
const OLD_NODE = ["--import", `data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"20.0.0"}})`];

describe("sallyport run", () => {
  test("ends with the component's exit code and passes its outputs on", async () => {
    expect(await sallyport(["run", guest, "--", "speak"])).toEqual({ code: 0, signal: null, stdout: "to stdout\n", stderr: "to stderr\n" });
    expect((await sallyport(["run", guest, "--", "exit", "9"])).code).toBe(9);
  });

  test("gives the component what follows --, flags included", async () => {
    expect((await sallyport(["run", guest, "--memory", "64", "--", "print-arguments", "--help", "--", "-x"])).stdout).toBe("--help|--|-x");
  });

  test("gives the component its input", async () => {
    expect((await sallyport(["run", guest, "--", "copy"], "some input")).stdout).toBe("some input");
  });

  test("passes megabytes on through a pipe without losing the end", async () => {
    expect((await sallyport(["run", guest, "--", "flood", "50000"])).stdout.length).toBe(5_000_000);
  });

  test("ends with 70 and a reason when the component traps", async () => {
    const { code, stderr } = await sallyport(["run", guest, "--", "trap"]);
    expect(code).toBe(70);
    expect(stderr).toContain("sallyport: the component trapped");
  });

  test("ends with 70 and names the flag when the watchdog or a limit ended the component", async () => {
    expect(await sallyport(["run", guest, "--watchdog", "1000", "--", "spin"])).toMatchObject({
      code: 70,
      stderr: expect.stringContaining("--watchdog"),
    });
    expect(await sallyport(["run", guest, "--memory", "16", "--", "grow"])).toMatchObject({
      code: 70,
      stderr: expect.stringContaining("--memory"),
    });
  });

  test("dies quietly when its reader goes away", async () => {
    const { child, outcome } = start(["run", guest, "--", "flood", "100000"]);
    child.stdout.once("data", () => child.stdout.destroy());
    const { stderr } = await outcome.catch(() => ({ stderr: "" }));
    expect(stderr).not.toContain("EPIPE");
  });

  test("stops on a signal and says which by its exit code", async () => {
    const { child, outcome } = start(["run", guest, "--", "sleep", "60000"]);
    child.stdout.once("data", () => child.kill("SIGTERM"));
    expect((await outcome).code).toBe(143);
  });

  for (const [what, args, code, message] of [
    ["no component", [], 64, "takes the component"],
    ["an operand too many", ["a.wasm", "b"], 64, "after --"],
    ["a flag that it does not know, with a suggestion", ["a.wasm", "--alow-net", "x"], 64, "did you mean --allow-net?"],
    ["a flag that nothing is like", ["a.wasm", "--frobnicate"], 64, "unknown flag --frobnicate"],
    ["a flag without its value", ["a.wasm", "--allow-net"], 64, "--allow-net"],
    ["a value for a flag that takes none", ["a.wasm", "--restart=yes"], 64, "--restart"],
    ["a watchdog that is no number", ["a.wasm", "--watchdog", "soon"], 64, "--watchdog takes a whole number"],
    ["a memory limit of nothing", ["a.wasm", "--memory", "0"], 64, "--memory takes"],
    ["an environment variable without a name", ["a.wasm", "--env", "=x"], 64, "--env takes NAME=VALUE"],
    ["an environment variable that is not set", ["a.wasm", "--env", "SALLYPORT_NOT_SET"], 64, "SALLYPORT_NOT_SET"],
    ["a folder with an unknown mode", ["a.wasm", "--dir", "a:b:rw"], 64, "HOST:GUEST:ro"],
    ["a component that is not there", ["no-such-file.wasm"], 66, "ENOENT"],
    ["a component that is none, by its name", [program], 65, `${program}: not a WebAssembly file`],
  ] as const) {
    test(`refuses ${what}`, async () => {
      const outcome = await sallyport(["run", ...args]);
      expect(outcome.code).toBe(code);
      expect(outcome.stderr).toContain(message);
      expect(outcome.stderr).not.toContain("    at ");
      expect(outcome.stdout).toBe("");
    });
  }

  test("refuses a grant that is not understood and says what is", async () => {
    const { code, stderr } = await sallyport(["run", guest, "--allow-net", "http://x/", "--", "speak"]);
    expect(code).toBe(64);
    expect(stderr).toContain("--allow-net");
  });

  test("gives the component the identities that were granted, and no others", async () => {
    const files = writePki(join(folder, "pki"), await makePki());
    const identity = `${files.chain},${files.key}`;
    const granted = ["--identity", `b=${identity}`, "--identity", `a=${identity}`, "--ca", files.ca];
    expect(await sallyport(["run", guest, ...granted, "--", "identities"])).toMatchObject({ code: 0, stdout: "a 2\nb 2\n" });
    expect(await sallyport(["run", guest, "--", "identities"])).toMatchObject({ code: 0, stdout: "" });
  });

  test("refuses a key that others can read", async () => {
    const files = writePki(join(folder, "open-pki"), await makePki());
    chmodSync(files.key, 0o644);
    const { code, stderr } = await sallyport(["run", guest, "--identity", `a=${files.chain},${files.key}`, "--", "identities"]);
    expect(code).toBe(66);
    expect(stderr).toContain("chmod 600");
  });

  for (const [what, flags, code, message] of [
    ["an identity without a file", ["--identity", "site"], 64, "name=cert.pem,key.pem"],
    ["an identity whose files are not there", ["--identity", "site=absent.pem,absent.key"], 66, "absent.key"],
    ["certification authorities that are not there", ["--ca", "absent.pem"], 66, "absent.pem"],
    ["certification authorities in a file that holds none", ["--ca", program], 66, "bin.mjs"],
    ["an override without a reason", ["--allow-invalid", "example.com"], 64, "SERVER:REASON"],
    ["a handshake timeout that is no number", ["--handshake-timeout", "1s"], 64, "--handshake-timeout takes"],
  ] as const) {
    test(`refuses ${what}`, async () => {
      const outcome = await sallyport(["run", guest, ...flags, "--", "speak"]);
      expect(outcome.code).toBe(code);
      expect(outcome.stderr).toContain(message);
      expect(outcome.stderr).not.toContain("    at ");
      expect(outcome.stdout).toBe("");
    });
  }

  test("refuses a folder that is not there", async () => {
    const { code, stderr } = await sallyport(["run", guest, "--dir", join(folder, "absent"), "--", "speak"]);
    expect(code).toBe(64);
    expect(stderr).toContain("absent");
  });
});

describe("sallyport build", () => {
  test("builds a component that runs", async () => {
    const wit = fileURLToPath(new URL("guests/commands.wit", import.meta.url));
    const entry = fileURLToPath(new URL("guests/behave.ts", import.meta.url));
    const output = join(folder, "built.wasm");
    expect(await sallyport(["build", entry, "--wit", wit, "--world", "command", "-o", output])).toMatchObject({ code: 0, stderr: "" });
    expect((await sallyport(["run", output, "--", "speak"])).stdout).toBe("to stdout\n");
  });

  test("leaves no output behind when the sources do not build", async () => {
    const wit = fileURLToPath(new URL("guests/commands.wit", import.meta.url));
    const entry = join(folder, "broken.ts");
    writeFileSync(entry, `import { missing } from "./absent.ts"; export const run = { run() { missing(); } };`);
    const outcome = await sallyport(["build", entry, "--wit", wit, "--world", "command", "-o", join(folder, "broken.wasm")]);
    expect(outcome.code).toBe(65);
    expect(outcome.stderr).toContain("absent.ts");
    expect(readdirSync(folder).filter((name) => name.startsWith("broken."))).toEqual(["broken.ts"]);
  });

  test("finds the guest library where it is not installed, and says which module is nowhere", async () => {
    const entry = join(folder, "nowhere.ts");
    writeFileSync(
      entry,
      `import "sallyport/guest/reactor"; import "sallyport/guest/absent"; import "nothing"; import "node:fs"; export const run = { run() {} };`,
    );
    const outcome = await sallyport(["build", entry, "-o", join(folder, "nowhere.wasm")]);
    expect(outcome.code).toBe(65);
    expect(outcome.stderr).toContain('"sallyport/guest/absent": there is no such module\n');
    expect(outcome.stderr).toContain('"nothing": there is no such module\n');
    expect(outcome.stderr).toContain('"node:fs": a component has no Node\n');
    expect(outcome.stderr).not.toContain("sallyport/guest/reactor");
    expect(readdirSync(folder)).not.toContain("nowhere.wasm");
  });

  test("refuses a module without an export of its world, which would trap when it is run", async () => {
    const entry = join(folder, "useless.ts");
    writeFileSync(entry, "export const main = { run() {} };");
    const outcome = await sallyport(["build", entry, "-o", join(folder, "useless.wasm")]);
    expect(outcome.code).toBe(65);
    expect(outcome.stderr).toContain("does not export run");
    expect(readdirSync(folder)).not.toContain("useless.wasm");
  });

  test("names a world that is not there", async () => {
    const wit = fileURLToPath(new URL("guests/commands.wit", import.meta.url));
    const entry = join(folder, "worldless.ts");
    writeFileSync(entry, "export const run = { run() {} };");
    const outcome = await sallyport(["build", entry, "--wit", wit, "--world", "absent", "-o", join(folder, "x.wasm")]);
    expect(outcome.code).toBe(65);
    expect(outcome.stderr).toContain("'absent'");
  });

  for (const [what, args, code, message] of [
    ["no module", [], 64, "takes the module"],
    ["no world", ["a.ts", "--wit", "w"], 64, "--world NAME"],
    ["an engine that it does not have", ["a.ts", "--wit", "w", "--world", "x", "--engine", "v8"], 64, "quickjs or starlingmonkey"],
    ["a module that is not there", ["no-such.ts", "--wit", "w", "--world", "x"], 66, "no-such.ts"],
  ] as const) {
    test(`refuses ${what}`, async () => {
      const outcome = await sallyport(["build", ...args]);
      expect(outcome.code).toBe(code);
      expect(outcome.stderr).toContain(message);
    });
  }
});

describe("sallyport", () => {
  test("knows its version", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
    expect(await sallyport(["--version"])).toEqual({ code: 0, signal: null, stdout: `${version}\n`, stderr: "" });
  });

  for (const args of [["--help"], ["run", "--help"], ["build", "--help"], ["help", "run"]]) {
    test(`helps with ${args.join(" ")}`, async () => {
      const { code, stdout, stderr } = await sallyport(args);
      expect([code, stderr]).toEqual([0, ""]);
      expect(stdout).toContain("Usage: sallyport");
    });
  }

  test("refuses an unknown command with a suggestion", async () => {
    expect(await sallyport(["biuld"])).toMatchObject({ code: 64, stderr: expect.stringContaining("did you mean build?") });
  });

  test("refuses a command named like a property of every object", async () => {
    expect(await sallyport(["constructor"])).toMatchObject({ code: 64, stderr: expect.stringContaining("unknown command") });
  });

  test("runs on the packaged Node when the one at hand is too old, with exit code and signals passed on", async () => {
    const exited = start(["run", guest, "--", "exit", "9"], OLD_NODE);
    expect((await exited.outcome).code).toBe(9);
    const stopped = start(["run", guest, "--", "sleep", "60000"], OLD_NODE);
    stopped.child.stdout.once("data", () => stopped.child.kill("SIGTERM"));
    expect((await stopped.outcome).code).toBe(143);
  });
});
