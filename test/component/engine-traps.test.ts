import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { instantiate } from "../../host/component/instance.ts";
import { createImports } from "../../host/index.ts";
import { type BuiltGuest, buildGuest } from "../support/guest-run.ts";

// When an engine's new version fails one of the first group, a trap that src/bindings fences has moved: look at what the
// fence does there before changing the expectation.

/** What a probe came to: what it returned, what the host received, and whether the instance survived. */
interface Seen {
  answer: string | "trap";
  received: unknown[];
}

async function probe(guest: BuiltGuest, what: string): Promise<Seen> {
  const received: unknown[] = [];
  const host = createImports();
  const take = (value: unknown) => void received.push(value);
  const edge = {
    takeU64: take,
    takeU32: take,
    takeText: take,
    takeOption: take,
    giveU64: (which: number) => (which === 0 ? 2n ** 53n + 1n : 2n ** 64n - 1n),
    giveU32: () => 0xffff_ffff,
    giveNone: () => undefined,
    fail: () => {
      throw Object.assign(new Error("x"), { payload: "no" });
    },
  };
  const instance = await instantiate(guest.code, { ...host.imports, "sallyport:library-test/edge": edge });
  const call = instance.exports["probe"] as (what: string) => Promise<string>;
  const answer = await call(what).catch(() => "trap");
  host.dispose();
  return { answer, received };
}

const source = { entry: "test/component/library-guests/probe.ts", wit: "test/component/library-guests", world: "probe" };

describe("QuickJS at the component's edge", () => {
  let guest: BuiltGuest;
  beforeAll(async () => {
    guest = await buildGuest(source);
  });
  afterAll(async () => await guest?.remove());

  it.each([
    ["raw u64 2^53+1", "number 9007199254740992"],
    ["raw u64 max", "number -1"],
    ["raw u32 max", "number -1"],
    ["raw none", "object null"],
    ["raw error", "object Error: no"],
    ["missing globals", "TextEncoder TextDecoder URL Buffer crypto setTimeout AbortController structuredClone Intl"],
    ["present globals", "queueMicrotask WeakRef BigInt Proxy SuppressedError"],
    ["own promises", "true"],
  ])("still shows %s as %s", async (what, answer) => {
    expect(await probe(guest, what)).toEqual({ answer, received: [] });
  });

  it.each(["raw take BigInt", "raw take lone surrogate", "raw throw"])("still ends the instance at: %s", async (what) => {
    expect(await probe(guest, what)).toEqual({ answer: "trap", received: [] });
  });

  it.each([
    ["raw take Number", 5n],
    ["raw take u32 max", 0x7fff_ffff],
    ["raw take undefined", undefined],
    ["raw take null", undefined],
  ])("still passes on %s as %s", async (what, value) => {
    expect((await probe(guest, what)).received).toEqual([value]);
  });

  it.each([
    ["u64 2^53+1", "bigint 9007199254740991"],
    ["u64 max", "number 9007199254740991"],
    ["u32 max", "number 4294967295"],
    ["none", "undefined undefined"],
    ["error", "string no"],
  ])("is fenced: %s reads as %s", async (what, answer) => {
    expect(await probe(guest, what)).toEqual({ answer, received: [] });
  });

  it.each([
    ["take u64 5", 5n],
    ["take u64 2^53-1", 2n ** 53n - 1n],
    ["take u32 max", 0xffff_ffff],
    ["take text", "a\ufffdb"],
  ])("is fenced: %s arrives as %s", async (what, value) => {
    expect(await probe(guest, what)).toEqual({ answer: "undefined", received: [value] });
  });
});

describe("StarlingMonkey at the component's edge", () => {
  let guest: BuiltGuest;
  beforeAll(async () => {
    guest = await buildGuest({ ...source, engine: "starlingmonkey" });
  }, 180_000);
  afterAll(async () => await guest?.remove());

  it.each([
    ["raw u64 2^53+1", "bigint 9007199254740993"],
    ["raw u64 max", "bigint 18446744073709551615"],
    ["raw none", "undefined undefined"],
    ["u64 max", "number 9007199254740991"],
    ["none", "undefined undefined"],
    ["error", "string no"],
  ])("shows %s as %s", async (what, answer) => {
    expect((await probe(guest, what)).answer).toBe(answer);
  });

  it.each([
    ["take u64 5", 5n],
    ["take u64 2^53-1", 2n ** 53n - 1n],
    ["take text", "a\ufffdb"],
  ])("is fenced: %s arrives as %s", async (what, value) => {
    expect((await probe(guest, what)).received).toEqual([value]);
  });

  it("is not given a u32 that it would pass as another number", async () => {
    expect(await probe(guest, "take u32 max")).toEqual({ answer: "trap", received: [] });
  });
});
