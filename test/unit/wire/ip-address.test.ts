import { isIP } from "node:net";
import { describe, expect, test } from "vitest";
import {
  formatIpAddress,
  ipAddressOrUndefined,
  parseIpAddress,
  parseIpPrefix,
  prefixContains,
  unmapped,
} from "../../../src/wire/ip-address.ts";
import { expectWireError } from "../../support/wire-errors.ts";

const contains = (prefix: string, address: string) => prefixContains(parseIpPrefix(prefix), parseIpAddress(address));

describe("parseIpAddress", () => {
  // Input and canonical text; the examples of RFC 5952, section 4, are among them.
  test.each([
    ["127.0.0.1", "127.0.0.1"],
    ["0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:DB8::1", "2001:db8::1"],
    ["2001:0db8:0:0:0:0:2:1", "2001:db8::2:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["0:0:0:0:0:ffff:7f00:1", "::ffff:127.0.0.1"],
    ["::ffff:10.1.2.3", "::ffff:10.1.2.3"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
  ])("%s is %s", (text, canonical) => {
    const address = parseIpAddress(text);
    expect(address.text).toBe(canonical);
    expect(formatIpAddress(address.bytes)).toBe(canonical);
    expect(address.tag).toBe(isIP(text) === 4 ? "ipv4" : "ipv6");
  });

  test.each([
    "",
    "1",
    "1.2.3",
    "1.2.3.4.",
    ".1.2.3.4",
    "1.2.3.4.5",
    "256.1.1.1",
    "01.2.3.4",
    "1.2.3.04",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "1.2.3.-4",
    "1.2.3.4 ",
    " 1.2.3.4",
    "1.2.3.4\n",
    "1..2.3",
    "１.2.3.4",
    "2130706433",
    ":",
    ":::",
    "::1::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7:8::",
    "::1:2:3:4:5:6:7:8",
    ":1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7:8:",
    "1:2:3:4:5:6:7:",
    "12345::",
    "g::",
    "::1%eth0",
    "fe80::1%1",
    "[::1]",
    "::1/64",
    "1.2.3.4::",
    "::1.2.3.4:1",
    "1:2:3:4:5:6:7:1.2.3.4",
    "::1.2.3",
    "::01.2.3.4",
    "::ffff:1.2.3.256",
    "::-1",
    "::+1",
    ":: 1",
    "0".repeat(4000),
  ])("refuses %j", (text) => {
    expectWireError(() => parseIpAddress(text), "invalid-ip-address");
    expect(ipAddressOrUndefined(text)).toBeUndefined();
  });

  test("formats nothing but 4 or 16 bytes", () => {
    for (const length of [0, 3, 5, 15, 17]) expectWireError(() => formatIpAddress(new Uint8Array(length)), "invalid-ip-address");
  });

  test("takes an IPv4 address out of its v4-mapped spelling, and nothing out of others", () => {
    expect(unmapped(parseIpAddress("::ffff:10.0.0.1"))).toEqual(parseIpAddress("10.0.0.1"));
    for (const text of ["10.0.0.1", "::1", "::fffe:10.0.0.1", "::10.0.0.1"])
      expect(unmapped(parseIpAddress(text)).text).toBe(parseIpAddress(text).text);
  });
});

describe("prefixes", () => {
  test.each([
    ["10.0.0.0/8", "10.255.1.2"],
    ["10.0.0.0/8", "::ffff:10.0.0.1"],
    ["0.0.0.0/0", "8.8.8.8"],
    ["169.254.169.254", "169.254.169.254"],
    ["192.0.2.128/25", "192.0.2.255"],
    ["fc00::/7", "fdff::1"],
    ["::1", "::1"],
    ["::ffff:0:0/96", "1.2.3.4"],
    ["::ffff:10.0.0.0/104", "10.1.2.3"],
    ["::/0", "2001:db8::1"],
  ])("%s contains %s", (prefix, address) => expect(contains(prefix, address)).toBe(true));

  test.each([
    ["10.0.0.0/8", "11.0.0.0"],
    ["10.0.0.0/8", "::10.0.0.1"],
    ["0.0.0.0/0", "::1"],
    ["192.0.2.128/25", "192.0.2.127"],
    ["fc00::/7", "fe00::"],
    ["::/0", "1.2.3.4"],
    ["::ffff:10.0.0.0/104", "11.1.2.3"],
    ["::1", "::2"],
  ])("%s does not contain %s", (prefix, address) => expect(contains(prefix, address)).toBe(false));

  test("have a canonical text", () => {
    expect(parseIpPrefix("2001:DB8:0::/32").text).toBe("2001:db8::/32");
    expect(parseIpPrefix("127.0.0.1").text).toBe("127.0.0.1/32");
  });

  test.each([
    "10.1.2.3/8",
    "fc01::/7",
    "0.0.0.1/0",
    "10.0.0.0/33",
    "::/129",
    "10.0.0.0/08",
    "10.0.0.0/",
    "10.0.0.0/-1",
    "10.0.0.0/8/8",
    "10.0.0.0/8 ",
    "/8",
    "10/8",
    "10.0.0.0/255.0.0.0",
  ])("refuses %j", (text) => expectWireError(() => parseIpPrefix(text), "invalid-ip-address"));
});
