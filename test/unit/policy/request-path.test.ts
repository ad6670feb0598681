import { describe, expect, it } from "vitest";
import { applyEndpointRules, joinEdits, noEdits } from "../../../src/policy/endpoint-rules.ts";
import { parsePathPattern, pathMatches } from "../../../src/policy/path-pattern.ts";
import { type RequestPath, requestPath } from "../../../src/policy/request-path.ts";

describe("the path of a request", () => {
  it.each([
    ["/", "/"],
    ["/?a=/../b", "/"],
    ["/a/b/", "/a/b"],
    ["//a///b//", "/a/b"],
    ["/a/./b/.", "/a/b"],
    ["/a/../b", "/b"],
    ["/a/b/..", "/a"],
    ["/%61%2Eb", "/a.b"],
    ["/a/%2e%2e/b", "/b"],
    ["/%e2%82%ac", "/\u20ac"],
    ["/a;x=1/b", "/a;x=1/b"],
    ["/...", "/..."],
    ["/a%25", "/a%"],
    ["/a+b", "/a+b"],
  ])("%s is %s", (target, text) => {
    expect(requestPath(target)).toMatchObject({ tag: "path", text });
  });

  it.each([
    ["", "no-path"],
    ["a", "no-path"],
    ["*", "no-path"],
    ["?/a", "no-path"],
    ["http://a/b", "no-path"],
    ["/..", "above-root"],
    ["/a/../..", "above-root"],
    ["/%2e%2e/", "above-root"],
    ["/a/.;/b", "dots-with-parameters"],
    ["/a/%2e%2e;x/b", "dots-with-parameters"],
    ["/a%2Fb", "hidden-separator"],
    ["/a%5Cb", "hidden-separator"],
    ["/a\\b", "hidden-separator"],
    ["/a%00", "encoded-control-character"],
    ["/a%0A", "encoded-control-character"],
    ["/a%7f", "encoded-control-character"],
    ["/a%2", "bad-percent-encoding"],
    ["/a%zz", "bad-percent-encoding"],
    ["/a%252fb", "doubly-encoded"],
    ["/a%25%32%66", "doubly-encoded"],
    ["/a%c0%af", "path-not-utf-8"],
    ["/a%ff", "path-not-utf-8"],
    ["/a%ed%a0%80", "path-not-utf-8"],
    ["/a b", "path-character"],
    ["/a\tb", "path-character"],
    ["/a\u0000", "path-character"],
    ["/\u00e9", "path-character"],
    ["/a?\u00e9", "path-character"],
    ["/a#b", "path-character"],
    [`/${"a/".repeat(300)}`, "path-too-long"],
    [`/${"a".repeat(16_384)}`, "path-too-long"],
  ])("%j is refused: %s", (target, fault) => {
    expect(requestPath(target)).toEqual({ tag: "invalid", fault });
  });
});

describe("a pattern for paths", () => {
  it.each([
    ["/", ["/"], ["/a"]],
    ["/a/b", ["/a/b", "/a/b/", "//a/./b"], ["/a", "/a/b/c", "/A/b"]],
    ["/a/*", ["/a/b"], ["/a", "/a/b/c"]],
    ["/a/**", ["/a", "/a/b", "/a/b/c/d"], ["/ab", "/b/a"]],
    ["/**", ["/", "/a/b"], []],
    ["/**/x", ["/x", "/a/b/x", "/x/x"], ["/x/y", "/ax"]],
    ["/a/**/b/*/c", ["/a/b/1/c", "/a/x/b/y/b/2/c"], ["/a/b/c", "/a/b/1/2/c"]],
    ["/repos/*.git", ["/repos/.git", "/repos/a.git"], ["/repos/git", "/repos/a.git.x", "/repos/a/b.git"]],
    ["/ab*ba", ["/abba", "/abxba"], ["/aba", "/ab", "/ba"]],
    ["/v*-beta/x", ["/v1-beta/x", "/v-beta/x"], ["/v1/x", "/v-bet/x"]],
  ])("%s", (text, inside, outside) => {
    const pattern = parsePathPattern(text);
    const matches = (target: string) => pathMatches(pattern.parts, path(target).segments);
    expect(inside.filter((target) => !matches(target))).toEqual([]);
    expect(outside.filter(matches)).toEqual([]);
  });

  it("takes no more than steps in proportion, however many wildcards meet however many segments", () => {
    const pattern = parsePathPattern(`/${"**/a/".repeat(30)}b`);
    let compared = 0;
    const segments = Array.from({ length: 250 }, () => "a");
    const counting = new Proxy(segments, {
      get(target, key) {
        if (typeof key === "string" && /^\d+$/.test(key)) compared++;
        return Reflect.get(target, key) as unknown;
      },
    });
    expect(pathMatches(pattern.parts, counting)).toBe(false);
    expect(compared).toBeLessThan(62 * 250);
  });
});

describe("rules for requests", () => {
  const rule = (action: "allow" | "deny", methods: string[] | "any", pattern: string) => ({
    id: `${action} ${pattern}`,
    action,
    methods,
    paths: [parsePathPattern(pattern)],
    upgrades: [],
    edits: noEdits,
  });
  const rules = {
    rules: [rule("allow", "any", "/**"), rule("deny", ["POST"], "/a/**"), rule("allow", ["GET"], "/a")],
    otherwise: "allow" as const,
    otherwiseId: "default",
  };
  const verdict = (method: string, target: string) => applyEndpointRules(rules, method, path(target)).id;

  it("deny before they allow, wherever they stand", () => {
    expect(verdict("POST", "/a/b")).toBe("deny /a/**");
    expect(verdict("post", "/A")).toBe("deny /a/**");
    expect(verdict("POST", "/a;v=1/b")).toBe("deny /a/**");
    expect(verdict("POST", "/;v/a")).toBe("deny /a/**");
  });

  it("allow by the first that matches", () => {
    expect(verdict("GET", "/a")).toBe("allow /**");
    expect(verdict("POST", "/b")).toBe("allow /**");
  });

  it("join edits so that what is said later of a field is what counts", () => {
    const first = {
      remove: ["cookie"],
      set: [
        ["x-a", "1"],
        ["x-b", "1"],
      ] as const,
      secrets: [{ secret: "s", header: "authorization" }],
    };
    const second = { remove: ["cookie", "x-c"], set: [["authorization", "none"]] as const, secrets: [{ secret: "t", header: "x-a" }] };
    expect(joinEdits(first, second)).toEqual({
      remove: ["cookie", "x-c"],
      set: [
        ["x-b", "1"],
        ["authorization", "none"],
      ],
      secrets: [{ secret: "t", header: "x-a" }],
    });
    expect(joinEdits(first, noEdits)).toEqual(first);
  });
});

function path(target: string): RequestPath {
  const parsed = requestPath(target);
  if (parsed.tag === "invalid") throw new Error(`${target}: ${parsed.fault}`);
  return parsed;
}
