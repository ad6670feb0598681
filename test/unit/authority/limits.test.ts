import { describe, expect, test } from "vitest";
import { parseLimits } from "../../../host/authority/parse-limits.ts";
import { parseIpAddress } from "../../../src/wire/ip-address.ts";
import { codeOf } from "../../support/authority.ts";

const covers = (limits: ReturnType<typeof parseLimits>, name: string) => limits.covers({ tag: "dns", name });
const coversAddress = (limits: ReturnType<typeof parseLimits>, text: string) => limits.covers(parseIpAddress(text));

describe("what may be permitted", () => {
  test.each([
    [["example.com"], ["example.com"]],
    [["EXAMPLE.com"], ["example.com"]],
    [["bücher.example"], ["xn--bcher-kva.example"]],
    [
      ["corp.internal", "svc.cluster.local"],
      ["corp.internal", "svc.cluster.local"],
    ],
    [["a.example.com", "example.com", "example.com"], ["example.com"]],
    [["alice.github.io"], ["alice.github.io"]],
    [["www.ck"], ["www.ck"]],
  ])("%j is %j", (dns, permitted) => expect(parseLimits({ dns }).dns).toEqual(permitted));

  test("ranges and single addresses, without those that lie within others", () => {
    const { ip } = parseLimits({ dns: ["a.test"], ip: ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.7", "fd00::/8", "10.0.0.0/8"] });
    expect(ip.map((range) => range.text)).toEqual(["10.0.0.0/8", "192.0.2.7/32", "fd00::/8"]);
  });

  test("suffixes of companies where they are asked for", () => {
    expect(parseLimits({ dns: ["vercel.app", "googleapis.com"], allowPrivateSuffixes: true }).dns).toEqual([
      "vercel.app",
      "googleapis.com",
    ]);
  });
});

describe("what may not", () => {
  test.each([
    [[]],
    [[""]],
    [["com"]],
    [["localhost"]],
    [["internal"]],
    [["co.uk"]],
    [["CO.UK"]],
    [["xn--55qx5d.cn"]],
    [["公司.cn"]],
    [["foo.ck"]],
    [["a.kawasaki.jp"]],
    [["github.io"]],
    [["s3.amazonaws.com"]],
    [["*.example.com"]],
    [["*"]],
    [[".example.com"]],
    [["example.com."]],
    [["example..com"]],
    [["exa mple.com"]],
    [["exa_mple.com"]],
    [["example.com\0.evil.test"]],
    [["-a.example"]],
    [["127.0.0.1"]],
    [["::1"]],
    [["0x7f.1"]],
    [["1.2.3"]],
    [[`${"a".repeat(64)}.example`]],
    [[`${"a.".repeat(124)}example`]],
    [["good.example", "com"]],
  ])("%j", async (dns) => expect(await codeOf(() => parseLimits({ dns }))).toBe("bad-limits"));

  test.each(["com", "co.uk", "xn--55qx5d.cn"])("a registry's suffix, whatever is allowed: %s", async (name) => {
    expect(await codeOf(() => parseLimits({ dns: [name], allowPrivateSuffixes: true }))).toBe("bad-limits");
  });

  test.each([
    "0.0.0.0/0",
    "::/0",
    "0.0.0.0/7",
    "fc00::/6",
    "10.1.2.3/8",
    "10.0.0.0/33",
    "::ffff:10.0.0.0/104",
    "10.0.0",
    "example.com",
    "",
  ])("the range %s", async (range) => expect(await codeOf(() => parseLimits({ dns: ["a.test"], ip: [range] }))).toBe("bad-limits"));

  test("addresses alone: host names would be without limits", async () => {
    expect(await codeOf(() => parseLimits({ dns: [], ip: ["10.0.0.0/8"] }))).toBe("bad-limits");
  });

  test("more than 256 names", async () => {
    const dns = Array.from({ length: 257 }, (_, index) => `n${index}.test`);
    expect(await codeOf(() => parseLimits({ dns }))).toBe("bad-limits");
    expect(parseLimits({ dns: dns.slice(1) }).dns).toHaveLength(256);
  });
});

describe("what limits cover", () => {
  const limits = parseLimits({ dns: ["example.com", "vercel.app"], ip: ["10.0.0.0/8", "fd00::/8"], allowPrivateSuffixes: true });

  test.each(["example.com", "a.example.com", "x.y.z.example.com", "r1---sn-aaa.vercel.app"])("%s", (name) =>
    expect(covers(limits, name)).toBe(true),
  );

  test.each(["notexample.com", "example.com.evil.com", "example.org", "com", "ample.com", "evil.test", "xn--example.com-x.test"])(
    "not %s",
    (name) => expect(covers(limits, name)).toBe(false),
  );

  test.each(["10.0.0.0", "10.255.255.255", "fd00::1"])("the address %s", (text) => expect(coversAddress(limits, text)).toBe(true));

  test.each(["11.0.0.0", "9.255.255.255", "127.0.0.1", "fe80::1", "::ffff:10.0.0.1", "::10.0.0.1"])("not the address %s", (text) =>
    expect(coversAddress(limits, text)).toBe(false),
  );

  test("no address where none is permitted", () => expect(coversAddress(parseLimits({ dns: ["example.com"] }), "10.0.0.1")).toBe(false));
});

describe("limits within limits", () => {
  const limits = parseLimits({ dns: ["example.com"], ip: ["10.0.0.0/8"] });

  test("the same and narrower ones", () => {
    expect(limits.coversAll(limits)).toBe(true);
    expect(limits.coversAll(parseLimits({ dns: ["a.example.com"], ip: ["10.1.0.0/16", "10.2.3.4"] }))).toBe(true);
  });

  test.each([
    { dns: ["example.com", "example.net"] },
    { dns: ["example.net"] },
    { dns: ["a.example.com"], ip: ["11.0.0.0/8"] },
    { dns: ["a.example.com"], ip: ["fd00::/8"] },
  ])("not %j", (texts) => expect(limits.coversAll(parseLimits(texts))).toBe(false));

  test("not a wider range", () => {
    const narrow = parseLimits({ dns: ["example.com"], ip: ["10.1.0.0/16"] });
    expect(narrow.coversAll(parseLimits({ dns: ["example.com"], ip: ["10.0.0.0/8"] }))).toBe(false);
  });
});
