import { describe, expect, it } from "vitest";
import { JsonError, type JsonErrorCode, readJson } from "../../../src/json/read-json.ts";

describe("JSON that is read", () => {
  it.each([
    ["null", null],
    [" true ", true],
    ["-12", -12],
    ["9007199254740991", 9_007_199_254_740_991],
    [String.raw`"a\u00e9\n\ud83d\ude00\/"`, "aé\n😀/"],
    ["[1,[],{}]", [1, [], new Map()]],
    [
      '{"a":1,"":2,"__proto__":3}',
      new Map([
        ["a", 1],
        ["", 2],
        ["__proto__", 3],
      ]),
    ],
  ])("%s", (text, value) => {
    expect(readJson(text)).toEqual(value);
  });

  it("keeps members in their order", () => {
    expect([...(readJson('{"b":1,"a":2,"1":3}') as Map<string, unknown>).keys()]).toEqual(["b", "a", "1"]);
  });
});

describe("JSON that is refused", () => {
  it.each<[string, JsonErrorCode, string]>([
    ["", "syntax", "$"],
    ["nul", "syntax", "$"],
    ["NaN", "syntax", "$"],
    ["{", "syntax", "$"],
    ["[1,]", "syntax", "$[1]"],
    ['{"a":1,}', "syntax", "$"],
    ["{'a':1}", "syntax", "$"],
    ['{"a" 1}', "syntax", "$.a"],
    ["1 2", "syntax", "$"],
    ["/* */ 1", "syntax", "$"],
    ["\ufeff1", "syntax", "$"],
    ['"a\nb"', "syntax", "$"],
    [String.raw`"\x41"`, "syntax", "$"],
    [String.raw`"\u12"`, "syntax", "$"],
    ['"open', "syntax", "$"],
    ["01", "syntax", "$"],
    ["+1", "syntax", "$"],
    ["1.5", "number", "$"],
    ["1e3", "number", "$"],
    ["-0", "number", "$"],
    ["9007199254740993", "number", "$"],
    ['{"a":[{"b":1,"b":2}]}', "duplicate", "$.a[0].b"],
    [String.raw`{"a":1,"\u0061":2}`, "duplicate", "$.a"],
    [String.raw`{"a":{"x y":"\ud800"}}`, "surrogate", '$.a["x y"]'],
    [String.raw`["\udc00\ud800"]`, "surrogate", "$[0]"],
  ])("%j", (text, code, path) => {
    expect(refusal(text)).toMatchObject({ code, path });
  });

  it("says line and column", () => {
    expect(refusal('{\n  "a": tru\n}').message).toMatch(/line 2, column 8/);
  });

  it("stops at its limits of length, depth and values", () => {
    const limits = { length: 100, depth: 3, values: 10 };
    expect(readJson("[[[1]]]", limits)).toEqual([[[1]]]);
    expect(refusal("[[[[1]]]]", limits)).toMatchObject({ code: "limit", path: "$[0][0][0]" });
    expect(refusal(`[${"1,".repeat(20)}1]`, limits)).toMatchObject({ code: "limit", path: "$[9]" });
    expect(refusal(" ".repeat(101), limits)).toMatchObject({ code: "limit", path: "$" });
    expect(refusal("[".repeat(500_000))).toMatchObject({ code: "limit" });
  });

  it("makes odd member names printable in paths", () => {
    expect(refusal(String.raw`{"a\"\u001b\u202e":1.5}`).path).toBe('$["a\\22\\1B\\E2\\80\\AE"]');
  });
});

function refusal(text: string, limits?: Parameters<typeof readJson>[1]): JsonError {
  try {
    readJson(text, limits);
  } catch (error) {
    if (error instanceof JsonError) return error;
    throw error;
  }
  throw new Error("it was read");
}
