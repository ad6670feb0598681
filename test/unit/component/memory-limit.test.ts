import { describe, expect, test } from "vitest";
import { limitMemory, MemoryLimitError, PAGE } from "../../../host/component/memory-limit.ts";

const PREAMBLE = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
/** Exports memory 0 as "m". */
const EXPORT_SECTION = [7, 5, 1, 1, 0x6d, 2, 0];

function moduleWith(memorySection: number[], after: number[] = EXPORT_SECTION): Uint8Array {
  return Uint8Array.from([...PREAMBLE, 5, memorySection.length, ...memorySection, ...after]);
}

async function memoryOf(module: Uint8Array): Promise<WebAssembly.Memory & { grow(pages: number): number }> {
  const { exports } = await WebAssembly.instantiate(await WebAssembly.compile(module));
  return exports.m as WebAssembly.Memory & { grow(pages: number): number };
}

describe("limiting a module's memory", () => {
  test("bounds a memory that had no maximum", async () => {
    const memory = await memoryOf(limitMemory(moduleWith([1, 0x00, 1]), 3 * PAGE));
    expect(memory.grow(2)).toBe(1);
    expect(() => memory.grow(1)).toThrow(RangeError);
  });

  test("lowers a maximum that was higher", async () => {
    const memory = await memoryOf(limitMemory(moduleWith([1, 0x01, 1, 0x80, 0x02]), 2 * PAGE));
    expect(memory.grow(1)).toBe(1);
    expect(() => memory.grow(1)).toThrow(RangeError);
  });

  test("does not raise a maximum that was lower", async () => {
    const memory = await memoryOf(limitMemory(moduleWith([1, 0x01, 1, 2]), 100 * PAGE));
    expect(() => memory.grow(2)).toThrow(RangeError);
  });

  test("rounds the limit down to whole pages", async () => {
    const memory = await memoryOf(limitMemory(moduleWith([1, 0x00, 1]), 2 * PAGE - 1));
    expect(() => memory.grow(1)).toThrow(RangeError);
  });

  test("keeps a module that has no memory as it is", () => {
    const module = Uint8Array.from(PREAMBLE);
    expect(limitMemory(module, PAGE)).toBe(module);
  });

  test("refuses a module that starts with more", () => {
    expect(() => limitMemory(moduleWith([1, 0x00, 2]), PAGE)).toThrow(MemoryLimitError);
  });

  for (const [what, section] of [
    ["shared", [1, 0x03, 1, 2]],
    ["64-bit", [1, 0x04, 1]],
    ["of custom page size", [1, 0x08, 1, 0]],
  ] as const) {
    test(`refuses a memory that is ${what}`, () => {
      expect(() => limitMemory(moduleWith([...section]), 100 * PAGE)).toThrow(MemoryLimitError);
    });
  }

  for (const [what, bytes] of [
    ["a section that is longer than the module", [...PREAMBLE, 5, 100, 1, 0]],
    ["a section without an end to its size", [...PREAMBLE, 5, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80]],
    ["more memories than there are bytes", [...PREAMBLE, 5, 3, 0x7f, 0, 1]],
    ["bytes after the last memory", [...PREAMBLE, 5, 4, 1, 0, 1, 9]],
    ["an empty memory section", [...PREAMBLE, 5, 0]],
  ] as const) {
    test(`refuses ${what}`, () => {
      expect(() => limitMemory(Uint8Array.from(bytes), 100 * PAGE)).toThrow(MemoryLimitError);
    });
  }
});
