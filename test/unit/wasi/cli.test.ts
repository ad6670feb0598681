import { PassThrough, Writable } from "node:stream";
import { afterEach, describe, expect, it } from "vitest";
import { Exit } from "../../../host/index.ts";
import { Trap } from "../../../host/io/ledger.ts";
import { HostInstance, block, bytes, readAll, text, witError } from "../../support/host-instance.ts";
import type { ImportsOptions } from "../../../host/index.ts";

const instances: HostInstance[] = [];
function instance(options: ImportsOptions = {}): HostInstance {
  const made = new HostInstance(options);
  instances.push(made);
  return made;
}
afterEach(() => instances.splice(0).forEach((made) => made.dispose()));

describe("cli", () => {
  it("shows the arguments and variables that were given, and nothing of the process", () => {
    const { wasi } = instance({ args: ["app", "-x"], env: { A: "1" } });
    expect(wasi["wasi:cli/environment"].getArguments()).toEqual(["app", "-x"]);
    expect(wasi["wasi:cli/environment"].getEnvironment()).toEqual([["A", "1"]]);
    expect(instance().wasi["wasi:cli/environment"].getEnvironment()).toEqual([]);
    expect(wasi["wasi:cli/environment"].initialCwd()).toBeUndefined();
  });

  it("ends by an Exit that carries the status", () => {
    const { exit, exitWithCode } = instance().wasi["wasi:cli/exit"];
    const codeOf = (run: () => never) => {
      try {
        run();
      } catch (error) {
        return error instanceof Exit ? error.code : error;
      }
    };
    expect([codeOf(() => exit({ tag: "ok" })), codeOf(() => exit({ tag: "err" })), codeOf(() => exitWithCode(42))]).toEqual([0, 1, 42]);
  });

  it("has an ended standard input and outputs that take everything, if none was given", async () => {
    const { wasi } = instance();
    expect(await witError(() => wasi["wasi:cli/stdin"].getStdin().read(1n))).toBe("closed");
    await wasi["wasi:cli/stdout"].getStdout().blockingWriteAndFlush(bytes("gone"));
  });

  it("reads standard input to its end, through any number of handles", async () => {
    const stdin = new PassThrough();
    const { wasi } = instance({ stdin });
    const first = wasi["wasi:cli/stdin"].getStdin();
    stdin.write("hello ");
    expect(text(await first.blockingRead(100n))).toBe("hello ");
    first[Symbol.dispose]();
    stdin.end("world");
    expect(text(await readAll(wasi["wasi:cli/stdin"].getStdin()))).toBe("world");
  });

  it("takes no byte of standard input before the guest looks at it", async () => {
    const stdin = new PassThrough();
    const { wasi } = instance({ stdin });
    const input = wasi["wasi:cli/stdin"].getStdin();
    stdin.write("for another");
    await new Promise(setImmediate);
    expect(stdin.readableFlowing).toBe(null);
    await block(input.subscribe());
    expect(text(input.read(100n))).toBe("for another");
  });

  it("holds a bounded part of a standard input that nobody reads", async () => {
    const stdin = new PassThrough({ highWaterMark: 1024 });
    const input = instance({ stdin }).wasi["wasi:cli/stdin"].getStdin();
    input.read(0n);
    let taken = 0;
    for (let i = 0; i < 200; i++) {
      if (!stdin.writableNeedDrain) {
        stdin.write(new Uint8Array(16_384));
        taken += 16_384;
      }
      await new Promise(setImmediate);
    }
    expect(taken).toBeLessThan(256 * 1024);
    let read = 0;
    while (read < taken) read += (await input.blockingRead(65_536n)).length;
    expect(read).toBe(taken);
  });

  it("fails reading when standard input fails", async () => {
    const stdin = new PassThrough();
    const input = instance({ stdin }).wasi["wasi:cli/stdin"].getStdin();
    input.read(0n);
    stdin.destroy(new Error("gone"));
    await block(input.subscribe());
    expect(await witError(() => input.read(1n))).toBe("last-operation-failed");
  });

  it("passes back-pressure of standard output on, and never ends it", async () => {
    const waiting: (() => void)[] = [];
    const chunks: Buffer[] = [];
    const stdout = new Writable({
      write: (chunk: Buffer, _, done) => {
        chunks.push(chunk);
        waiting.push(done);
      },
    });
    const output = instance({ stdout }).wasi["wasi:cli/stdout"].getStdout();
    const permit = Number(output.checkWrite());
    output.write(new Uint8Array(permit));
    expect(output.checkWrite()).toBe(0n);
    expect(() => output.write(new Uint8Array(1))).toThrow(Trap);
    const room = block(output.subscribe());
    waiting.shift()!();
    await room;
    expect(Number(output.checkWrite())).toBe(permit);
    output[Symbol.dispose]();
    expect(stdout.writableEnded).toBe(false);
  });

  it("is flushed only when the stream has taken what was written", async () => {
    let done: () => void = () => {};
    const stdout = new Writable({ write: (_chunk, _encoding, written) => (done = written) });
    const output = instance({ stdout }).wasi["wasi:cli/stdout"].getStdout();
    let flushed = false;
    const flushing = output.blockingWriteAndFlush(bytes("x")).then(() => (flushed = true));
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(flushed).toBe(false);
    done();
    await flushing;
    expect(flushed).toBe(true);
  });

  it("says closed once the reader of standard output is gone", async () => {
    const stdout = new Writable({ write: (_chunk, _encoding, done) => done(Object.assign(new Error("EPIPE"), { code: "EPIPE" })) });
    const output = instance({ stdout }).wasi["wasi:cli/stdout"].getStdout();
    output.write(bytes("x"));
    await new Promise(setImmediate);
    expect(await witError(() => output.checkWrite())).toBe("last-operation-failed");
    expect(await witError(() => output.checkWrite())).toBe("closed");
  });

  it("splices standard input to standard output until it is closed", async () => {
    const stdin = new PassThrough();
    const stdout = new PassThrough();
    const { wasi } = instance({ stdin, stdout });
    stdin.end("0123456789".repeat(1000));
    const [input, output] = [wasi["wasi:cli/stdin"].getStdin(), wasi["wasi:cli/stdout"].getStdout()];
    let moved = 0n;
    const copy = async () => {
      for (;;) moved += await output.blockingSplice(input, 4096n);
    };
    expect(await witError(copy)).toBe("closed");
    expect(moved).toBe(10_000n);
    stdout.end();
    expect(Buffer.concat(await stdout.toArray())).toHaveLength(10_000);
  });

  it("shows no terminal where there is none", () => {
    const { wasi } = instance({ stdin: new PassThrough(), stdout: new PassThrough() });
    expect(wasi["wasi:cli/terminal-stdin"].getTerminalStdin()).toBeUndefined();
    expect(wasi["wasi:cli/terminal-stdout"].getTerminalStdout()).toBeUndefined();
    expect(wasi["wasi:cli/terminal-stderr"].getTerminalStderr()).toBeUndefined();
  });

  it("leaves no listener on the process's streams behind", () => {
    const [stdin, stdout] = [new PassThrough(), new PassThrough()];
    const before = [stdin, stdout].map((stream) => stream.eventNames().map((name) => [name, stream.listenerCount(name)]));
    const made = instance({ stdin, stdout, stderr: stdout });
    made.wasi["wasi:cli/stdin"].getStdin().read(0n);
    made.dispose();
    expect([stdin, stdout].map((stream) => stream.eventNames().map((name) => [name, stream.listenerCount(name)]))).toEqual(before);
  });
});

describe("random", () => {
  const random = () => instance().host.imports["wasi:random/random"] as { getRandomBytes(len: bigint): Uint8Array; getRandomU64(): bigint };

  it("gives as many bytes as asked for, different ones each time", () => {
    expect(random().getRandomBytes(32n)).toHaveLength(32);
    expect(random().getRandomBytes(0n)).toHaveLength(0);
    expect(random().getRandomBytes(32n)).not.toEqual(random().getRandomBytes(32n));
    expect(random().getRandomU64()).not.toBe(random().getRandomU64());
  });
  it("traps rather than to allocate what a guest likes", () => expect(() => random().getRandomBytes(2n ** 40n)).toThrow(Trap));
});

it("every interface is there with and without its version", () => {
  const { imports } = instance().host;
  const names = Object.keys(imports).filter((name) => /^wasi:(?!tls)[^@]*$/.test(name));
  expect(names.length).toBeGreaterThan(20);
  for (const name of names) expect(imports[`${name}@0.2.12`]).toBe(imports[name]);
});
