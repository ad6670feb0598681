import { describe, expect, it } from "vitest";
import { formatUrl, parseAuthority, parseUrl, resolveUrl } from "../../../src/http1/index.ts";
import { codeOf } from "./parts.ts";

describe("an http or https URL", () => {
  it.each([
    ["https://Example.COM", "https", "example.com", 443, "/", "example.com"],
    ["HTTP://example.com:8080/a%2Fb?c=%20#frag", "http", "example.com", 8080, "/a%2Fb?c=%20", "example.com:8080"],
    ["https://example.com:443/", "https", "example.com", 443, "/", "example.com"],
    ["https://example.com.?q", "https", "example.com", 443, "/?q", "example.com"],
    ["https://127.0.0.1/", "https", "127.0.0.1", 443, "/", "127.0.0.1"],
    ["https://[2001:DB8:0:0::1]:8443/", "https", "2001:db8::1", 8443, "/", "[2001:db8::1]:8443"],
    ["https://x/a/./b/../c/", "https", "x", 443, "/a/c/", "x"],
    ["https://x/../../a", "https", "x", 443, "/a", "x"],
    ["https://x/a/..", "https", "x", 443, "/", "x"],
  ])("%s is taken apart", (text, scheme, host, port, path, authority) => {
    expect(parseUrl(text)).toEqual({ scheme, host, port, path, authority });
  });

  it.each([
    ["g", "/b/c/g"],
    ["./g/", "/b/c/g/"],
    ["/g", "/g"],
    ["?y", "/b/c/d?y"],
    ["g?y/../x", "/b/c/g?y/../x"],
    ["", "/b/c/d?q"],
    ["#s", "/b/c/d?q"],
    ["..", "/b/"],
    ["../g", "/b/g"],
    ["../../../g", "/g"],
    ["/./g", "/g"],
    ["g;x=1/../y", "/b/c/y"],
    ["..g", "/b/c/..g"],
  ])("resolves %j as RFC 3986 has it", (reference, path) => {
    expect(formatUrl(resolveUrl(parseUrl("http://a:81/b/c/d?q"), reference))).toBe(`http://a:81${path}`);
  });

  it("resolves a reference to another server", () => {
    const base = parseUrl("https://a/b");
    expect(formatUrl(resolveUrl(base, "//c:444/d"))).toBe("https://c:444/d");
    expect(formatUrl(resolveUrl(base, "http://c/d"))).toBe("http://c/d");
  });

  it("round-trips through its text", () => {
    for (const text of ["https://a/", "http://a:81/b?c", "https://[::1]:8443/"]) expect(formatUrl(parseUrl(text))).toBe(text);
  });
});

describe("a URL is refused", () => {
  it.each([
    [""],
    ["example.com"],
    ["/path"],
    ["https:/x"],
    ["https:x"],
    ["https://"],
    ["https:///path"],
    ["ftp://x/"],
    ["file:///etc/passwd"],
    ["javascript:alert(1)"],
    ["https://user@x/"],
    ["https://user:secret@x/"],
    ["https://x@y@z/"],
    ["https://x:/"],
    ["https://x:0/"],
    ["https://x:65536/"],
    ["https://x:443:443/"],
    ["https://x:+1/"],
    ["https://::1/"],
    ["https://[::1"],
    ["https://[::1]x/"],
    ["https://[fe80::1%25eth0]/"],
    ["https://[127.0.0.1]/"],
    ["https://[x]/"],
    ["https://0x7f.1/"],
    ["https://127.1/"],
    ["https://2130706433/"],
    ["https://a..b/"],
    ["https://-a/"],
    ["https://a_b/"],
    ["https://*.a/"],
    ["https://ex%61mple.com/"],
    ["https://b\u00fccher.de/"],
    ["https://x/\u00e9"],
    ["https://x/a b"],
    ["https://x/%"],
    ["https://x/%4"],
    ["https://x/%zz"],
    ["https://x\\y/"],
    ["https://x/a\\b"],
    ["https://x/\r\nHost: y"],
    ["https://x/\0"],
    ["https://x/[a]"],
    ["https://x/{a}"],
    [" https://x/"],
    [`https://x/${"a".repeat(17_000)}`],
  ])("%j", (text) => {
    expect(codeOf(() => parseUrl(text))).toBe("ERR_SALLYPORT_URL");
  });

  it.each(["javascript:x", "data:,x", "//", "//u@x/", "http://", "http:g", "/a b", "/\u00e9", "\\\\x\\y"])(
    "as the target of a redirect: %j",
    (reference) => {
      expect(codeOf(() => resolveUrl(parseUrl("https://a/b"), reference))).toBe("ERR_SALLYPORT_URL");
    },
  );

  it.each(["", "a:", ":443", "a:b", "[::1", "a b", "a/b", "a?b"])("as an authority: %j", (text) => {
    expect(codeOf(() => parseAuthority(text))).toBe("ERR_SALLYPORT_URL");
  });

  it("without repeating what it holds", () => {
    for (const text of ["https://user:secret@x/", "https://secret secret/"]) {
      expect(() => parseUrl(text)).toThrow(expect.not.objectContaining({ message: expect.stringContaining("secret") }));
    }
  });
});
