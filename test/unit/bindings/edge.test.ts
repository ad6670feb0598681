import { describe, expect, it } from "vitest";
import {
  attempt,
  bigintOfU64,
  dropInOrder,
  isQuickJs,
  MAX_EXACT,
  numberOfU32,
  numberOfU64,
  optional,
  ownPromises,
  payloadOf,
  u32,
  u64,
  wellFormed,
} from "../../../src/bindings/index.ts";

describe("the edge of a guest", () => {
  it("leaves the engine's promises alone where async functions run natively", () => {
    expect({ ownPromises, quickjs: isQuickJs() }).toEqual({ ownPromises: false, quickjs: false });
    expect(Promise.prototype.constructor.toString()).toContain("native code");
  });

  it.each([
    [0n, 0],
    [5n, 5],
    [2n ** 53n - 1n, MAX_EXACT],
    [2n ** 53n + 1n, MAX_EXACT],
    [2n ** 64n - 1n, MAX_EXACT],
    // As QuickJS hands them out.
    [-1, MAX_EXACT],
    [2 ** 53, MAX_EXACT],
    [7, 7],
  ])("reads the u64 %s, saturating at what is exact", (value, number) => {
    expect(numberOfU64(value as bigint)).toBe(number);
    expect(bigintOfU64(value as bigint)).toBe(BigInt(number));
  });

  it.each([
    [-1, 0n],
    [Number.NaN, 0n],
    [1.9, 1n],
    [Infinity, BigInt(MAX_EXACT)],
    [2n ** 64n, BigInt(MAX_EXACT)],
    [-5n, 0n],
  ])("passes %s as a u64 that is one", (value, expected) => {
    expect(u64(value)).toBe(expected);
  });

  it("reads a u32 that arrives negative", () => {
    expect([numberOfU32(-1), numberOfU32(5)]).toEqual([0xffff_ffff, 5]);
  });

  it.each([-1, 1.5, 2 ** 32, Number.NaN, 2 ** 31])("refuses to pass %d as a u32 where it would become another number", (value) => {
    expect(() => u32(value)).toThrow(RangeError);
  });

  it("takes null and undefined for none, and nothing else", () => {
    expect([optional(null), optional(undefined), optional(0), optional(""), optional(false)]).toEqual([undefined, undefined, 0, "", false]);
  });

  it("replaces what is no text before it reaches a host", () => {
    expect(wellFormed("a\ud800b\udc00\ud83d\ude00")).toBe("a\ufffdb\ufffd\ud83d\ude00");
  });

  it("tells the host's answer from a mistake of ours", () => {
    const answer = Object.assign(new Error("x"), { payload: "would-block" });
    expect(attempt(() => 1)).toEqual({ tag: "ok", val: 1 });
    expect(
      attempt(() => {
        throw answer;
      }),
    ).toEqual({ tag: "err", val: "would-block" });
    expect(() =>
      attempt(() => {
        throw new TypeError("ours");
      }),
    ).toThrow("ours");
    expect([payloadOf(answer), payloadOf(new Error("x")), payloadOf(null), payloadOf("text")]).toEqual([
      "would-block",
      undefined,
      undefined,
      undefined,
    ]);
  });

  it("drops in the order given, all of it, and then throws the first error", () => {
    const log: string[] = [];
    const resource = (name: string, fails = false): Disposable => ({
      [Symbol.dispose]() {
        log.push(name);
        if (fails) throw new Error(name);
      },
    });
    expect(() => dropInOrder(resource("pollable", true), undefined, resource("stream", true), resource("socket"))).toThrow("pollable");
    expect(log).toEqual(["pollable", "stream", "socket"]);
  });
});
