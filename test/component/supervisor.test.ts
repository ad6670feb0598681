import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { beforeAll, describe, expect, test } from "vitest";
import { loadComponent } from "../../host/component/cache.ts";
import { type ComponentCode, compileComponent, type RunResult } from "../../host/component/instance.ts";
import { type Supervised, type SuperviseOptions, supervise } from "../../host/component/supervisor.ts";
import { builtGuest } from "./guests/build.ts";

const MIB = 1024 * 1024;
let code: ComponentCode;

beforeAll(async () => {
  code = await compileComponent(await loadComponent(readFileSync(await builtGuest("behave"))), 64 * MIB);
});

function start(args: string[], options: Partial<SuperviseOptions> = {}): Supervised {
  return supervise({ code, instance: { args: ["behave", ...args] }, stdio: "pipe", ...options });
}

async function finish(running: Supervised): Promise<{ result: RunResult; stdout: string; stderr: string }> {
  const [result, stdout, stderr] = await Promise.all([running.result, text(running.stdout!), text(running.stderr!)]);
  return { result, stdout, stderr };
}

/** Resolves when the guest has written `word`; reads all that it writes. */
async function said(running: Supervised, word: string): Promise<void> {
  running.stderr!.resume();
  let heard = "";
  await new Promise<void>((resolve) => {
    running.stdout!.on("data", (chunk: Uint8Array) => {
      heard += Buffer.from(chunk).toString();
      if (heard.includes(word)) resolve();
    });
  });
}

describe("a supervised component", () => {
  test("exits with 0 when it returns, and all that it wrote arrives", async () => {
    expect(await finish(start(["speak"]))).toEqual({ result: { tag: "exit", code: 0 }, stdout: "to stdout\n", stderr: "to stderr\n" });
  });

  test("sees its arguments and nothing else of them", async () => {
    expect((await finish(start(["print-arguments", "a b", "", "--c"]))).stdout).toBe("a b||--c");
  });

  test("exits with the code that it asked for", async () => {
    expect((await finish(start(["exit", "7"]))).result).toEqual({ tag: "exit", code: 7 });
  });

  test("exits with 1 when run returns its error", async () => {
    expect((await finish(start(["fail"]))).result).toEqual({ tag: "exit", code: 1 });
  });

  test("reads what is written to its input, to the end", async () => {
    const running = start(["copy"]);
    const outcome = finish(running);
    running.stdin!.end("line\n".repeat(20_000));
    expect((await outcome).stdout).toBe("line\n".repeat(20_000));
  });

  test("loses no output that its reader is slow to take", async () => {
    const running = start(["flood", "20000"]);
    running.stderr!.resume();
    const early = await Promise.race([running.result.then(() => "ended"), new Promise((resolve) => setTimeout(resolve, 300, "waits"))]);
    expect(early).toBe("waits");
    expect((await text(running.stdout!)).length).toBe(2_000_000);
    expect(await running.result).toEqual({ tag: "exit", code: 0 });
  });

  test("learns that nobody reads its output any more, and does not wait for ever", async () => {
    const running = start(["flood", "20000"]);
    running.stderr!.resume();
    running.stdout!.destroy();
    // Its write fails; that it does not catch this is its own affair.
    expect(await running.result).toEqual({ tag: "exit", code: 1 });
  });
});

describe("a component that goes wrong", () => {
  test("is reported as a trap with a reason when an error escapes it", async () => {
    const { result, stderr } = await finish(start(["trap"]));
    expect(result).toEqual({ tag: "trap", reason: expect.stringContaining("unreachable") });
    expect(stderr).toContain("an error that nothing catches");
  });

  test("is reported as a trap when its calls nest too deeply", async () => {
    expect((await finish(start(["nest"]))).result).toEqual({ tag: "trap", reason: "the guest's calls are nested too deeply" });
  });

  test("is ended by the watchdog when it never yields", async () => {
    const { result, stdout } = await finish(start(["spin"], { watchdog: 1000 }));
    expect(result).toEqual({ tag: "unresponsive" });
    expect(stdout).toBe("spinning\n");
  });

  test("is left alone by the watchdog while it waits", async () => {
    const { result, stdout } = await finish(start(["sleep", "2500"], { watchdog: 1000 }));
    expect(result).toEqual({ tag: "exit", code: 0 });
    expect(stdout).toBe("sleeping\nawake\n");
  });

  test("cannot grow past its memory limit, though it never yields", async () => {
    expect((await finish(start(["grow"]))).result).toEqual({ tag: "limit", which: "memory" });
  });

  test("cannot hold more handles than its limit", async () => {
    const { result } = await finish(start(["hoard"], { instance: { args: ["behave", "hoard"], limits: { handles: 50 } } }));
    expect(result).toEqual({ tag: "limit", which: "handles" });
  });

  test("does not disturb another one that runs beside it", async () => {
    const beside = start(["sleep", "800"]);
    const outcome = finish(beside);
    await Promise.all([finish(start(["trap"])), finish(start(["spin"], { watchdog: 1000 })), finish(start(["grow"]))]);
    expect(await outcome).toEqual({ result: { tag: "exit", code: 0 }, stdout: "sleeping\nawake\n", stderr: "" });
  });

  test("is refused with the grant's own message when a grant is not understood", async () => {
    const running = start(["speak"], { instance: { args: [], grants: { allowNet: ["not a grant:x"] } } });
    await expect(running.result).rejects.toMatchObject({ code: "ERR_SALLYPORT_GRANT" });
  });

  test("is refused when it imports what the host does not have", async () => {
    const wanting = { ...code, imports: [...code.imports, "acme:rocket/launch"] };
    const running = start(["speak"], { code: wanting });
    await expect(running.result).rejects.toMatchObject({
      code: "ERR_SALLYPORT_COMPONENT",
      message: expect.stringContaining("acme:rocket/launch"),
    });
  });

  test("passes on the error of a component that never came", async () => {
    const running = start(["speak"], { code: Promise.reject(new Error("no such file")) });
    await expect(running.result).rejects.toThrow("no such file");
  });
});

describe("stopping", () => {
  test("ends a component that waits", async () => {
    const running = start(["sleep", "60000"]);
    await said(running, "sleeping");
    expect(await running.stop(10_000)).toEqual({ tag: "stopped" });
  });

  test("ends a component that does not listen once the deadline has passed", async () => {
    const running = start(["spin"]);
    await said(running, "spinning");
    expect(await running.stop(50)).toEqual({ tag: "stopped" });
  });

  test("before the start means that nothing runs", async () => {
    const { promise, resolve } = Promise.withResolvers<ComponentCode>();
    const running = start(["speak"], { code: promise });
    const outcome = finish(running);
    void running.stop(10_000);
    resolve(code);
    expect(await outcome).toEqual({ result: { tag: "stopped" }, stdout: "", stderr: "" });
  });
});

describe("restarting", () => {
  test("follows a death by the next instance, until it is stopped", async () => {
    const deaths: RunResult[] = [];
    const running: Supervised = start(["spin"], {
      watchdog: 300,
      restart: true,
      onRestart: (death) => {
        deaths.push(death);
        if (deaths.length === 3) void running.stop(0);
      },
    });
    const { result } = await finish(running);
    expect(deaths).toEqual([{ tag: "unresponsive" }, { tag: "unresponsive" }, { tag: "unresponsive" }]);
    expect(result).toEqual({ tag: "unresponsive" });
  });

  test("waits between deaths that follow each other too fast", async () => {
    const delays: number[] = [];
    const running: Supervised = start(["trap"], {
      restart: true,
      onRestart: (_, delay) => {
        delays.push(delay);
        if (delays.length === 7) void running.stop(0);
      },
    });
    const { stderr } = await finish(running);
    expect(delays).toEqual([0, 0, 0, 0, 0, 100, 200]);
    expect(stderr.match(/an error that nothing catches/g)).toHaveLength(7);
  });

  test("does not follow an exit, whatever its code", async () => {
    const { result, stdout } = await finish(start(["exit", "3"], { restart: true }));
    expect(result).toEqual({ tag: "exit", code: 3 });
    expect(stdout).toBe("");
  });
});
