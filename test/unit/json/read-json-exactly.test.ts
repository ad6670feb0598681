import { describe, expect, test } from "vitest";
import { JsonError, type JsonValue, readJsonExactly } from "../../../src/json/read-json.ts";

/** As JSON.parse would have it. */
function plain(value: JsonValue<bigint>): unknown {
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Map) return Object.fromEntries(Array.from(value, ([name, member]) => [name, plain(member)]));
  return Array.isArray(value) ? value.map(plain) : value;
}

function codeOf(text: string): string {
  try {
    readJsonExactly(text);
  } catch (error) {
    if (error instanceof JsonError) return error.code;
    throw error;
  }
  return "read";
}

describe("what it reads", () => {
  test.each([
    "null",
    "true",
    " false ",
    "0",
    "-1",
    "1234567890",
    '""',
    '"a"',
    '"\u00e4\u4e16\u{1f511}"',
    String.raw`"\"\\\/\b\f\n\r\t\u0041\uD83D\udd11"`,
    "[]",
    "[ ]",
    "[1,[2],{}]",
    "{}",
    '{ "a" : 1 , "b" : [ true , null ] }',
    '{"":{"":{}}}',
    '"\u2028\u007f"',
  ])("%j as JSON.parse does", (text) => expect(plain(readJsonExactly(text))).toEqual(JSON.parse(text)));

  test("integers of any length exactly", () => {
    expect(readJsonExactly("9007199254740993")).toBe(9007199254740993n);
    expect(readJsonExactly(`-${"9".repeat(400)}`)).toBe(-BigInt("9".repeat(400)));
  });

  test("a member called __proto__ like any other", () => {
    expect(readJsonExactly('{"__proto__":1,"constructor":2}')).toEqual(
      new Map([
        ["__proto__", 1n],
        ["constructor", 2n],
      ]),
    );
  });

  test("nesting up to 16", () => {
    expect(codeOf("[".repeat(16) + "]".repeat(16))).toBe("read");
    expect(codeOf("[".repeat(17) + "]".repeat(17))).toBe("limit");
    expect(codeOf('{"a":'.repeat(17) + "1" + "}".repeat(17))).toBe("limit");
    expect(codeOf("[".repeat(100_000))).toBe("limit");
  });
});

describe("what it refuses although JSON.parse reads it", () => {
  test.each([
    ["number", "1.0"],
    ["number", "1e3"],
    ["number", "1E+0"],
    ["number", "-0"],
    ["number", "-0.0"],
    ["number", "[0e0]"],
    ["duplicate", '{"a":1,"a":1}'],
    ["duplicate", String.raw`{"a":1,"\u0061":1}`],
    ["duplicate", '{"__proto__":1,"__proto__":1}'],
    ["duplicate", '[{"b":{"a":1,"c":2,"a":3}}]'],
    ["surrogate", String.raw`"\ud800"`],
    ["surrogate", String.raw`"\udc00\ud800"`],
    ["surrogate", String.raw`{"\ud800x":1}`],
  ])("%s: %s", (code, text) => {
    expect(() => JSON.parse(text)).not.toThrow();
    expect(codeOf(text)).toBe(code);
  });
});

describe("what nobody reads", () => {
  test.each([
    "",
    " ",
    "nul",
    "nullx",
    "True",
    "undefined",
    "NaN",
    "Infinity",
    "-",
    "+1",
    "01",
    "-01",
    "1.",
    ".5",
    "1e",
    "0x10",
    "1_000",
    "1n",
    '"',
    '"a',
    "'a'",
    '"\u0000"',
    '"\n"',
    String.raw`"\x41"`,
    String.raw`"\u12"`,
    String.raw`"\u00g0"`,
    String.raw`"\"`,
    "[",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "{",
    "{a:1}",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{"a":1 "b":2}',
    '{"a":1]',
    "[1}",
    "{1:1}",
    "1 1",
    "[] []",
    "{}x",
    "\ufeff1",
    "\u00a01",
    "\f1",
    "1//",
    "/**/1",
  ])("%j", (text) => {
    expect(() => JSON.parse(text)).toThrow();
    expect(["syntax", "number"]).toContain(codeOf(text));
  });
});
