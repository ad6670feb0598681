import { describe, expect, test } from "vitest";
import { decodeBase64, decodeBase64url, encodeBase64, encodeBase64url } from "../../../src/wire/base64url.ts";
import { decodeHex, encodeHex } from "../../../src/wire/hex.ts";
import { printable } from "../../../src/wire/printable.ts";
import { decodeUtf8, encodeUtf8, latin1 } from "../../../src/wire/utf8.ts";
import { expectWireError } from "../../support/wire-errors.ts";

const everyLength = Array.from({ length: 70 }, (_, length) => Uint8Array.from({ length }, (_, index) => (index * 83 + length * 29) & 0xff));

describe("base64url", () => {
  test("agrees with Node for every length", () => {
    for (const bytes of everyLength) {
      const text = Buffer.from(bytes).toString("base64url");
      expect(encodeBase64url(bytes)).toBe(text);
      expect(decodeBase64url(text)).toEqual(bytes);
    }
  });

  test.each(["A", "AAAAA", "AA=", "AA==", "AA A", "AAA\n", "\nAAAA", "AA+A", "AA/A", "AAAé", "AAA\0", "====", "AAA="])(
    "refuses %j",
    (text) => {
      expectWireError(() => decodeBase64url(text), "invalid-base64url");
    },
  );

  test("refuses every second spelling of the same bytes", () => {
    for (const last of "BCDEFGHIJKLMNOPRSTUVWXYZ_-") expectWireError(() => decodeBase64url(`A${last}`), "invalid-base64url");
    expect([..."AQgw"].map((last) => decodeBase64url(`A${last}`)[0])).toEqual([0, 1, 2, 3]);
    for (const last of "BCDFGH_") expectWireError(() => decodeBase64url(`AA${last}`), "invalid-base64url");
    expect(decodeBase64url("AAE")).toEqual(Uint8Array.of(0, 1));
  });
});

describe("base64", () => {
  test("agrees with Node for every length", () => {
    for (const bytes of everyLength) {
      expect(encodeBase64(bytes)).toBe(Buffer.from(bytes).toString("base64"));
      expect(decodeBase64(encodeBase64(bytes))).toEqual(bytes);
    }
  });

  test("takes nothing that is not canonical", () => {
    for (const text of ["A", "AA", "AAA", "AB==", "AAB=", "A===", "AA==AAAA", "AA-_", "AA A", "=AAA"])
      expect(decodeBase64(text)).toBeUndefined();
  });
});

describe("hexadecimal", () => {
  test("agrees with Node", () => {
    for (const bytes of everyLength) {
      expect(encodeHex(bytes)).toBe(Buffer.from(bytes).toString("hex"));
      expect(decodeHex(encodeHex(bytes).toUpperCase())).toEqual(bytes);
    }
  });

  test.each(["0", "abc", "0g", "0x00", "00 00", "00:00", "00\n0"])("refuses %j", (text) =>
    expectWireError(() => decodeHex(text), "invalid-hex"),
  );
});

describe("UTF-8", () => {
  const texts = [
    "",
    "plain",
    "é",
    "grün",
    "€",
    "日本語",
    "😀 and 𝒳",
    "\u{10ffff}",
    "\ufeffbom",
    "a".repeat(20_000),
    "ß€😀".repeat(5000),
    `${"a".repeat(9000)}é`,
  ];

  test("agrees with Node", () => {
    for (const text of texts) {
      const bytes = new Uint8Array(Buffer.from(text));
      expect(encodeUtf8(text)).toEqual(bytes);
      expect(decodeUtf8(bytes)).toBe(text);
    }
  });

  test("writes a lone surrogate as U+FFFD", () => {
    for (const text of ["\ud800", "a\udc00b", "\ud800\ud800\udc00"]) expect(encodeUtf8(text)).toEqual(new TextEncoder().encode(text));
  });

  test("refuses whatever a strict decoder refuses, of all that begins with any two bytes", () => {
    const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    for (const tail of [[], [0x80], [0x80, 0x80], [0xbf, 0xbf], [0x41], [0x80, 0x41]]) {
      for (let first = 0x70; first < 0x100; first++) {
        for (let second = 0x70; second < 0x100; second++) {
          const bytes = Uint8Array.of(first, second, ...tail);
          let expected: string | undefined;
          try {
            expected = strict.decode(bytes);
          } catch {
            expected = undefined;
          }
          if (expected === undefined) expectWireError(() => decodeUtf8(bytes), "invalid-utf8");
          else if (decodeUtf8(bytes) !== expected) expect(decodeUtf8(bytes)).toBe(expected);
        }
      }
    }
  });

  test("latin1 gives every byte its character, across slices", () => {
    const bytes = Uint8Array.from({ length: 10_000 }, (_, index) => index & 0xff);
    expect(latin1(bytes)).toBe(Buffer.from(bytes).toString("latin1"));
  });
});

describe("printable", () => {
  test("leaves ordinary text alone", () => expect(printable("Société Générale, 日本 😀")).toBe("Société Générale, 日本 😀"));
  test.each([
    ["line breaks", "a\r\nb", "a\\0D\\0Ab"],
    ["NUL", "a\0", "a\\00"],
    ["an escape sequence of terminals", "\u001b[2J", "\\1B[2J"],
    ["a C1 control", "\u009b2J", "\\C2\\9B2J"],
    ["a line separator", "a\u2028b", "a\\E2\\80\\A8b"],
    ["a right-to-left override", "\u202egnp.exe", "\\E2\\80\\AEgnp.exe"],
    ["a zero-width joiner", "a\u200db", "a\\E2\\80\\8Db"],
    ["a byte order mark", "\ufeff", "\\EF\\BB\\BF"],
    ["a tag character", "\u{e0041}", "\\F3\\A0\\81\\81"],
    ["a lone surrogate", "\ud800", "\\EF\\BF\\BD"],
    ["a backslash", "\\0A", "\\\\0A"],
  ])("escapes %s", (_, text, expected) => expect(printable(text)).toBe(expected));
});
