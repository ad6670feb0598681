import { describe, expect, it } from "vitest";
import { isALabel } from "../../../src/policy/a-label.ts";
import { parseHost } from "../../../src/policy/host-name.ts";
import { HostPatternError, parseHostPattern, patternContains } from "../../../src/policy/host-pattern.ts";
import { HostRules, type Ports } from "../../../src/policy/match.ts";

describe("a pattern for hosts", () => {
  it.each([
    [
      "example.com",
      ["example.com", "a.example.com", "a.b.example.com", "EXAMPLE.com."],
      ["notexample.com", "example.com.evil.test", "com", "examplecom"],
    ],
    ["*.example.com", ["a.example.com", "a.b.example.com"], ["example.com", "aexample.com"]],
    ["=example.com", ["example.com", "Example.COM"], ["a.example.com", "xexample.com"]],
    ["Example.COM.", ["example.com"], ["example.co"]],
    ["192.0.2.1", ["192.0.2.1", "::ffff:192.0.2.1", "[::ffff:c000:201]"], ["192.0.2.2", "192.0.2.1.example"]],
    ["10.0.0.0/8", ["10.255.255.255", "::ffff:10.0.0.1"], ["11.0.0.0", "10.example"]],
    ["2001:db8::/32", ["2001:DB8::1", "[2001:db8:ffff::]"], ["2001:db9::", "192.0.2.1"]],
    ["=[2001:db8::1]:443", ["2001:db8:0:0::1"], ["2001:db8::2"]],
  ])("%s", (text, inside, outside) => {
    const pattern = parseHostPattern(text);
    const contains = (name: string) => {
      const host = parseHost(name);
      return host.tag !== "invalid" && patternContains(pattern, host);
    };
    expect(inside.filter((name) => !contains(name))).toEqual([]);
    expect(outside.filter(contains)).toEqual([]);
  });

  it.each([
    ["example.com:8443", 8443],
    ["example.com:*", "any"],
    ["example.com", undefined],
    ["[::1]:8443", 8443],
    ["[2001:db8::/32]:1", 1],
    ["::1", undefined],
    ["2001:db8::443", undefined],
    ["10.0.0.0/8:22", 22],
  ])("%s has the port %s", (text, port) => {
    expect(parseHostPattern(text).port).toBe(port);
  });

  it.each([
    "",
    "*",
    "**",
    "*example.com",
    "*.",
    "=",
    "=*.example.com",
    "*.=example.com",
    "a.*.com",
    "*.*.com",
    "*.192.0.2.1",
    "example.com:",
    "example.com:0",
    "example.com:65536",
    "example.com:08",
    "example.com:443:443",
    "example.com:https",
    "http://example.com",
    "example.com/path",
    "user@example.com",
    "ex ample.com",
    "example.com\n",
    "example\0.com",
    "é.example",
    "example。com",
    "-a.example",
    "a..example",
    ".example.com",
    "10.0.0.0/33",
    "10.1.0.0/8",
    "010.0.0.1",
    "0x0a.0.0.1",
    "10.1",
    "1234",
    "[10.0.0.1]x",
    "[::1",
    "::1]",
    "fe80::1%eth0",
    "::ffff:10.0.0.0/8/8",
    "xn--a.example",
    "xn--zzzzzzzzzzz.example",
  ])("%j is none", (text) => {
    expect(() => parseHostPattern(text)).toThrow(HostPatternError);
  });
});

describe("rules for hosts", () => {
  const rules = (...list: [text: string, ports?: Ports][]) => {
    const made = new HostRules<number>();
    for (const [index, [text, ports = "any"]] of list.entries())
      made.add({ pattern: parseHostPattern(text), ports, path: `$[${index}]`, value: index });
    return made;
  };
  const matching = (made: HostRules<number>, name: string, port = 443) => {
    const host = parseHost(name);
    return host.tag === "invalid" ? "invalid" : made.matching(host, port).map(({ value }) => value);
  };

  it("match in the order in which they were added, however close the name is", () => {
    const made = rules(["example"], ["=a.b.example"], ["*.b.example"], ["10.0.0.0/8"], ["10.0.0.1"]);
    expect(matching(made, "a.b.example")).toEqual([0, 1, 2]);
    expect(matching(made, "b.example")).toEqual([0]);
    expect(matching(made, "10.0.0.1")).toEqual([3, 4]);
    expect(matching(made, "other.test")).toEqual([]);
  });

  it("match on their ports only", () => {
    const made = rules(["a.example", [443]], ["a.example", [22, 25]], ["a.example"]);
    expect(matching(made, "a.example", 25)).toEqual([1, 2]);
    expect(matching(made, "a.example", 80)).toEqual([2]);
  });

  it.each<[string, Ports, string, Ports, boolean]>([
    ["example", "any", "a.example", [443], true],
    ["*.example", "any", "=a.example", "any", true],
    ["*.example", "any", "example", "any", false],
    ["=example", "any", "example", "any", false],
    ["=example", "any", "=example", "any", true],
    ["example", [443], "example", "any", false],
    ["example", [443, 80], "example", [80], true],
    ["10.0.0.0/8", "any", "10.1.0.0/16", "any", true],
    ["10.1.0.0/16", "any", "10.0.0.0/8", "any", false],
    ["10.0.0.0/16", "any", "10.0.0.0/8", "any", false],
    ["0.0.0.0/0", "any", "example", "any", false],
    ["ample", "any", "example", "any", false],
  ])("%s on %j is for all of %s on %j: %s", (outer, outerPorts, inner, innerPorts, expected) => {
    expect(rules([outer, outerPorts]).covering(parseHostPattern(inner), innerPorts) !== undefined).toBe(expected);
  });

  it("find a name among ten thousand by its labels", () => {
    const made = rules(...Array.from({ length: 10_000 }, (_, index): [string] => [`n${index}.example`]));
    expect(matching(made, "deep.below.n7777.example")).toEqual([7777]);
    expect(matching(made, `${"a.".repeat(120)}n1.example`)).toEqual([1]);
  });
});

describe("an A-label", () => {
  // The samples of RFC 3492, section 7.1, in lower case, and some names in use.
  it.each([
    "xn--bcher-kva",
    "xn--egbpdaj6bu4bxfgehfvwxn",
    "xn--ihqwcrb4cv8a8dqg056pqjye",
    "xn--80ak6aa92e",
    "xn--p1ai",
    "xn--3b-ww4c5e180e575a65lsy2b",
    "xn--fiqs8s",
    "xn--n3h",
  ])("%s is one", (label) => {
    expect(isALabel(label)).toBe(true);
  });

  it.each(["xn--", "xn--a", "xn--abc-", "xn---abc", "xn--zzzzzzzzzzz", "xn--99999999", "xn--a_b", "example", "xn--é"])(
    "%s is none",
    (label) => {
      expect(isALabel(label)).toBe(false);
    },
  );
});
