import { describe, expect, it } from "vitest";
import { GrantError, Grants } from "../../../host/net/grants.ts";
import { parseHostName } from "../../../host/net/host-name.ts";
import { parseIpAddress } from "../../../src/wire/ip-address.ts";

const name = (grant: string, host: string, port?: number) => Grants.parse({ allowNet: [grant] }).name(host, port);
const address = (grant: string, host: string, port?: number) => Grants.parse({ allowNet: [grant] }).address(parseIpAddress(host), port);
const listens = (grant: string, host: string, port: number) => Grants.parse({ listen: [grant] }).listens(parseIpAddress(host), port);

describe("grants", () => {
  it("covers a name with its port", () => expect(name("example.com:443", "example.com", 443)).toBe("named"));
  it("covers a name for resolution when a port is granted", () => expect(name("example.com:443", "example.com")).toBe("named"));
  it("does not cover another port", () => expect(name("example.com:443", "example.com", 80)).toBeUndefined());
  it("covers all ports where none is given", () => expect(name("example.com", "example.com", 12_345)).toBe("named"));
  it("covers a range of ports with both its ends", () => {
    expect([7999, 8000, 8100, 8101].map((port) => name("host:8000-8100", "host", port))).toEqual([undefined, "named", "named", undefined]);
  });
  it("reads names without regard to case and to a final dot", () => expect(name("Example.COM.:443", "example.com", 443)).toBe("named"));
  it("does not take a name for its subdomains", () => expect(name("example.com", "www.example.com")).toBeUndefined());
  it("covers subdomains of any depth by a star", () => {
    expect(name("*.example.com", "a.example.com")).toBe("named");
    expect(name("*.example.com", "a.b.example.com")).toBe("named");
  });
  it("does not cover the parent by a star", () => expect(name("*.example.com", "example.com")).toBeUndefined());
  it("does not cover a name that only ends alike", () => expect(name("*.example.com", "badexample.com")).toBeUndefined());
  it("tells a grant for every name from one for this name", () => expect(name("*:443", "example.com", 443)).toBe("any"));
  it("does not take a grant for names for one of addresses", () => expect(address("*", "1.1.1.1")).toBe(false));

  it("covers an address with its port", () => expect(address("127.0.0.1:8443", "127.0.0.1", 8443)).toBe(true));
  it("covers an IPv6 address in any spelling", () => expect(address("[0:0::1]:8443", "::1", 8443)).toBe(true));
  it("covers a range", () => expect(address("10.0.0.0/8:443", "10.9.8.7", 443)).toBe(true));
  it("does not cover what lies outside a range", () => expect(address("10.0.0.0/8:443", "11.0.0.0", 443)).toBe(false));
  it("covers IPv6 ranges with and without brackets", () => {
    expect(address("[fd00::/8]:443", "fd12::1", 443)).toBe(true);
    expect(address("[fd00::]/8:443", "fd12::1", 443)).toBe(true);
    expect(address("fd00::/8", "fd12::1", 1)).toBe(true);
    expect(address("::1", "::1", 1)).toBe(true);
  });

  it("opens a metadata service to its own address only", () => {
    const metadata = parseIpAddress("169.254.169.254");
    const opens = (grant: string) => Grants.parse({ allowNet: [grant] }).restrictedAddress(metadata, "metadata", 80);
    expect(["0.0.0.0/0", "169.254.0.0/16", "169.254.169.254:443", "169.254.169.254:80"].map(opens)).toEqual([false, false, false, true]);
  });
  it("opens link-local addresses to link-local ranges only", () => {
    const local = parseIpAddress("169.254.7.7");
    const opens = (grant: string) => Grants.parse({ allowNet: [grant] }).restrictedAddress(local, "link-local", 80);
    expect(["0.0.0.0/0", "169.0.0.0/8", "169.254.0.0/16"].map(opens)).toEqual([false, false, true]);
  });

  it("covers exactly the granted place to listen", () => {
    expect(listens("127.0.0.1:0", "127.0.0.1", 0)).toBe(true);
    expect(listens("127.0.0.1:0", "127.0.0.1", 8080)).toBe(false);
    expect(listens("127.0.0.1:8080", "0.0.0.0", 8080)).toBe(false);
    expect(listens("[::1]:8443", "::1", 8443)).toBe(true);
  });
  it("covers every address where a listen grant names none", () => {
    expect(listens(":8443", "0.0.0.0", 8443)).toBe(true);
    expect(listens(":8443", "::", 8443)).toBe(true);
    expect(listens(":8443", "::", 8444)).toBe(false);
  });

  it("grants nothing by default", () => {
    expect(Grants.parse({}).name("localhost")).toBeUndefined();
    expect(Grants.none.address(parseIpAddress("127.0.0.1"))).toBe(false);
    expect(Grants.none.listens(parseIpAddress("127.0.0.1"), 0)).toBe(false);
  });

  const bad = [
    "",
    ":443",
    "https://example.com",
    "example.com:",
    "example.com:0",
    "example.com:65536",
    "example.com:9-8",
    "example.com:https",
    "exa mple.com",
    "*.*.example.com",
    "www.*.com",
    "*example.com",
    "10.1.2.3/8:443",
    "10.0.0.0/33",
    "fd00::/129",
    "256.1.1.1",
    "0x7f.1",
    "2130706433",
    "127.1:80",
    "[127.0.0.1]:80",
    "[::1",
    "::1]:80",
    "[fe80::1%eth0]:80",
    "example.com:80:90",
    "-a.com",
    "a..b",
    "a\nb",
  ];
  it.each(bad)("refuses the grant %j and says what is accepted", (text) => {
    expect(() => Grants.parse({ allowNet: [text] })).toThrow(GrantError);
    expect(() => Grants.parse({ allowNet: [text] })).toThrow(/accepted are name:port/);
  });
  it.each(["", "8443", "127.0.0.1", "localhost:80", "[::1]", ":", ":x", "*:80", "0.0.0.0/0:80"])("refuses to listen on %j", (text) =>
    expect(() => Grants.parse({ listen: [text] })).toThrow(/accepted are address:port/),
  );
  it("quotes a bounded part of a bad grant", () => {
    const attempt = () => Grants.parse({ allowNet: [" \u001b".repeat(10_000)] });
    expect(attempt).toThrow(GrantError);
    expect(attempt).not.toThrow("\u001b");
    expect(attempt).not.toThrow(/.{1200}/s);
  });
});

describe("host names", () => {
  it("turns international names into their ASCII form", () => expect(parseHostName("bücher.example")).toBe("xn--bcher-kva.example"));
  it.each([
    "1.2.3.4",
    "127.1",
    "0x7f000001",
    "0x7f.0.0.1",
    "1234",
    "::1",
    "a.0x1",
    "１２７.0.0.1",
    "",
    ".",
    "a b",
    "a/b",
    "a".repeat(64),
    "a.".repeat(127) + "aa",
  ])("does not take %j for a name", (text) => expect(parseHostName(text)).toBeUndefined());
});
