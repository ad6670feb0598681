import { describe, expect, test } from "vitest";
import { parseDnsName, parseServerName, requestedServerName } from "../../../src/wire/server-name.ts";
import { ascii } from "../../support/hello-bytes.ts";
import { expectWireError } from "../../support/wire-errors.ts";

const label63 = "a".repeat(63);
const name253 = `${label63}.${label63}.${label63}.${"b".repeat(61)}`;

const names = [
  "example.com",
  "localhost",
  "a",
  "xn--bcher-kva.example",
  "1.example",
  "123.0x7f.example",
  "a--b.example",
  "r1---sn-aaa.example",
  "a.b1",
  "0xyz",
  name253,
];

const notNames: [string, string][] = [
  ["empty", ""],
  ["a dot", "."],
  ["two dots at the end", "example.com.."],
  ["a leading dot", ".example.com"],
  ["an empty label", "a..b"],
  ["a label past 63", `${label63}a.example`],
  ["a name past 253", `${name253}b`],
  ["an underscore", "_dmarc.example"],
  ["a wildcard", "*.example.com"],
  ["a leading hyphen", "-a.example"],
  ["a trailing hyphen", "a-.example"],
  ["a space", "a b.example"],
  ["a line feed at the end", "example.com\n"],
  ["a NUL", "a.example\0"],
  ["a slash", "a.example/"],
  ["a port", "a.example:443"],
  ["brackets", "[::1]"],
  ["a non-ASCII letter", "b\u00fccher.example"],
  ["a letter that lower-cases into ASCII", "\u212aelvin.example"],
  ["a full-width dot", "a\uff0eexample"],
  ["a number as the last label", "a.123"],
  ["a short spelling of an IPv4 address", "127.1"],
  ["a hexadecimal spelling", "0x7f.1"],
  ["a hexadecimal last label", "127.0.0.0x1"],
  ["one hexadecimal number", "0X7F000001"],
  ["a bare 0x", "a.0x"],
  ["one decimal number", "2130706433"],
  ["an IPv4 address with a leading zero", "127.0.0.01"],
  ["an IPv4 address past 255", "1.2.3.256"],
];

describe("DNS names", () => {
  test.each(names)("%s", (name) => {
    expect(parseDnsName(name)).toEqual({ tag: "dns", name });
    expect(requestedServerName(Uint8Array.from(ascii(name)))).toEqual({ tag: "dns", name });
  });

  test("are lower-cased", () => {
    expect(parseServerName("WWW.Example.COM")).toEqual({ tag: "dns", name: "www.example.com" });
    expect(requestedServerName(Uint8Array.from(ascii("WWW.Example.COM")))).toEqual({ tag: "dns", name: "www.example.com" });
  });

  test.each(notNames)("refuses %s", (_, text) => {
    expectWireError(() => parseServerName(text), "invalid-server-name");
    expectWireError(() => parseServerName(text, { trailingDot: "drop" }), "invalid-server-name");
    expectWireError(() => parseDnsName(text), "invalid-server-name");
    if (ascii(text).some((code) => code > 0xff)) return;
    const bytes = Uint8Array.from(ascii(text));
    expect(requestedServerName(bytes)).toEqual({ tag: "invalid", bytes });
  });

  test("drop one trailing dot only where that is asked for", () => {
    expect(parseServerName("example.com.", { trailingDot: "drop" })).toEqual({ tag: "dns", name: "example.com" });
    expectWireError(() => parseServerName("example.com."), "invalid-server-name");
    expect(requestedServerName(Uint8Array.from(ascii("example.com."))).tag).toBe("invalid");
  });
});

describe("addresses as server names", () => {
  test("are told apart from names", () => {
    expect(parseServerName("127.0.0.1")).toMatchObject({ tag: "ipv4", text: "127.0.0.1" });
    expect(parseServerName("2001:DB8::1")).toMatchObject({ tag: "ipv6", text: "2001:db8::1" });
  });

  test("are no DNS names, and no server names in a hello", () => {
    for (const text of ["127.0.0.1", "::1"]) {
      expectWireError(() => parseDnsName(text), "invalid-server-name");
      expect(requestedServerName(Uint8Array.from(ascii(text))).tag).toBe("invalid");
    }
  });

  test("do not get a trailing dot dropped", () => {
    expectWireError(() => parseServerName("127.0.0.1.", { trailingDot: "drop" }), "invalid-server-name");
  });
});
