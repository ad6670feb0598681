import { describe, expect, it } from "vitest";
import { InputStream } from "../../../host/io/input-stream.ts";
import { Ledger, Trap } from "../../../host/io/ledger.ts";
import { OutputStream } from "../../../host/io/output-stream.ts";
import { pipe } from "../../../host/io/pipe.ts";
import { bytes, text, witError } from "../../support/host-instance.ts";

/** Both ends of a pipe as streams. */
function ends(limit = 16) {
  const ledger = new Ledger();
  const { source, sink } = pipe(limit);
  return { input: new InputStream(ledger, source), output: new OutputStream(ledger, sink), source, sink, ledger };
}

describe("input-stream", () => {
  it("reads nothing, without waiting, where there is nothing", () => expect(ends().input.read(10n)).toHaveLength(0));
  it("reads at most what was asked for, and nothing for 0", () => {
    const { input, output } = ends();
    output.write(bytes("hello"));
    expect(input.read(0n)).toHaveLength(0);
    expect(text(input.read(2n))).toBe("he");
    expect(text(input.read(2n ** 64n - 1n))).toBe("llo");
  });
  it("joins what was written in pieces", () => {
    const { input, output } = ends();
    for (const piece of ["a", "bc", "def"]) output.write(bytes(piece));
    expect(text(input.read(5n))).toBe("abcde");
    expect(text(input.read(5n))).toBe("f");
  });
  it("skips and says how many", () => {
    const { input, output } = ends();
    output.write(bytes("hello"));
    expect(input.skip(2n)).toBe(2n);
    expect(input.skip(10n)).toBe(3n);
    expect(input.skip(10n)).toBe(0n);
  });
  it("skips after waiting", async () => {
    const { input, output } = ends();
    setImmediate(() => output.write(bytes("ab")));
    expect(await input.blockingSkip(10n)).toBe(2n);
  });
  it("hands out what was there before it says closed, and says closed for good", async () => {
    const { input, output } = ends();
    output.write(bytes("last"));
    output[Symbol.dispose]();
    expect(text(input.read(10n))).toBe("last");
    expect(await witError(() => input.read(10n))).toBe("closed");
    expect(await witError(() => input.blockingRead(10n))).toBe("closed");
    expect(await witError(() => input.skip(1n))).toBe("closed");
  });
  it("tells a failure once, then closed", async () => {
    const { input, sink } = ends();
    sink.fail({ message: "wire cut" });
    expect(await witError(() => input.read(1n))).toBe("last-operation-failed");
    expect(await witError(() => input.read(1n))).toBe("closed");
  });
  it("is ready for bytes, an end, a failure, and not before", () => {
    const { input, output } = ends();
    const pollable = input.subscribe();
    expect(pollable.ready()).toBe(false);
    output.write(bytes("a"));
    expect(pollable.ready()).toBe(true);
    input.read(1n);
    expect(pollable.ready()).toBe(false);
    output[Symbol.dispose]();
    expect(pollable.ready()).toBe(true);
  });
});

describe("output-stream", () => {
  it("permits what there is room for", () => {
    const { output, input } = ends(8);
    expect(output.checkWrite()).toBe(8n);
    output.write(bytes("12345"));
    expect(output.checkWrite()).toBe(3n);
    input.read(4n);
    expect(output.checkWrite()).toBe(7n);
  });
  it("traps on a write over the permit and takes none of it", () => {
    const { output, input } = ends(4);
    expect(() => output.write(bytes("12345"))).toThrow(Trap);
    expect(() => output.writeZeroes(5n)).toThrow(Trap);
    expect(() => output.writeZeroes(2n ** 64n - 1n)).toThrow(Trap);
    expect(input.read(10n)).toHaveLength(0);
  });
  it("traps on more than 4096 bytes in blocking-write-and-flush", async () => {
    const { output } = ends(100_000);
    await expect(output.blockingWriteAndFlush(new Uint8Array(4097))).rejects.toThrow(Trap);
    await expect(output.blockingWriteZeroesAndFlush(4097n)).rejects.toThrow(Trap);
  });
  it("takes a blocking write that is larger than the room, as it becomes free", async () => {
    const { output, input } = ends(3);
    const written = output.blockingWriteAndFlush(bytes("12345678"));
    let read = "";
    while (read.length < 8) read += text(await input.blockingRead(2n));
    await written;
    expect(read).toBe("12345678");
  });
  it("permits nothing while it flushes", async () => {
    const { output, input } = ends();
    output.write(bytes("abc"));
    output.flush();
    expect(output.checkWrite()).toBe(0n);
    expect(() => output.write(bytes("d"))).toThrow(Trap);
    const pollable = output.subscribe();
    expect(pollable.ready()).toBe(false);
    input.read(10n);
    expect(pollable.ready()).toBe(true);
    expect(output.checkWrite()).toBe(16n);
  });
  it("is not ready while check-write would answer 0", () => {
    const { output, input } = ends(2);
    const pollable = output.subscribe();
    output.write(bytes("ab"));
    expect(pollable.ready()).toBe(false);
    input.read(1n);
    expect(pollable.ready()).toBe(true);
  });
  it("answers closed to everything once the reader is gone", async () => {
    const { output, input } = ends();
    output.write(bytes("abc"));
    input[Symbol.dispose]();
    expect(await witError(() => output.checkWrite())).toBe("closed");
    expect(await witError(() => output.write(bytes("d")))).toBe("closed");
    expect(await witError(() => output.flush())).toBe("closed");
    expect(await witError(() => output.blockingFlush())).toBe("closed");
  });
  it("writes zeroes", () => {
    const { output, input } = ends();
    output.writeZeroes(3n);
    expect([...input.read(10n)]).toEqual([0, 0, 0]);
  });
});

describe("splice", () => {
  const pair = (limit = 16) => ({ from: ends(64), to: ends(limit) });

  it("moves what is there, up to the length", () => {
    const { from, to } = pair();
    from.output.write(bytes("hello world"));
    expect(to.output.splice(from.input, 5n)).toBe(5n);
    expect(text(to.input.read(100n))).toBe("hello");
    expect(text(from.input.read(100n))).toBe(" world");
  });
  it("moves no more than there is room for, even if asked for everything", () => {
    const { from, to } = pair(4);
    from.output.write(bytes("hello world"));
    expect(to.output.splice(from.input, 2n ** 64n - 1n)).toBe(4n);
    expect(to.output.splice(from.input, 100n)).toBe(0n);
    expect(text(from.input.read(100n))).toBe("o world");
  });
  it("moves nothing, without an error, from a source that is open and empty", () => {
    const { from, to } = pair();
    expect(to.output.splice(from.input, 10n)).toBe(0n);
  });
  it("says closed at the source's end, after the rest was moved", async () => {
    const { from, to } = pair();
    from.output.write(bytes("x"));
    from.output[Symbol.dispose]();
    expect(to.output.splice(from.input, 10n)).toBe(1n);
    expect(await witError(() => to.output.splice(from.input, 10n))).toBe("closed");
    expect(await witError(() => to.output.blockingSplice(from.input, 4096n))).toBe("closed");
  });
  it("does not take from the source what the sink would refuse", async () => {
    const { from, to } = pair();
    from.output.write(bytes("keep"));
    to.input[Symbol.dispose]();
    expect(await witError(() => to.output.splice(from.input, 10n))).toBe("closed");
    expect(text(from.input.read(10n))).toBe("keep");
  });
  it("waits for the source when it blocks", async () => {
    const { from, to } = pair();
    setImmediate(() => from.output.write(bytes("late")));
    expect(await to.output.blockingSplice(from.input, 4096n)).toBe(4n);
  });
  it("stops waiting for the source when the sink dies", async () => {
    const { from, to } = pair();
    const moved = witError(() => to.output.blockingSplice(from.input, 4096n));
    setImmediate(() => to.input[Symbol.dispose]());
    expect(await moved).toBe("closed");
  });
});
