import { describe, expect, it } from "vitest";
import { readRequestPath } from "../../../guest/https-serve/request-path.ts";

describe("a request path", () => {
  it.each([
    ["/", [], true],
    ["/a", ["a"], false],
    ["/a/b.html", ["a", "b.html"], false],
    ["/a/", ["a"], true],
    ["/a?b/../c", ["a"], false],
    ["/?", [], true],
    ["/%41%c3%a9%F0%9F%98%80", ["Aé😀"], false],
    ["/a%20b", ["a b"], false],
    ["/a%3fb", ["a?b"], false],
    ["/%2541", ["%41"], false],
    ["/%252e%252e", ["%2e%2e"], false],
    ["/a..b", ["a..b"], false],
  ])("%s names what it says, decoded once", (target, parts, isFolder) => {
    expect(readRequestPath(target)).toEqual({ tag: "path", parts, isFolder });
  });

  it.each(["/.a", "/a/.b", "/%2ea", "/...", "//", "//a", "/a//b", "/a//", "/.well-known/x"])("%s is hidden", (target) => {
    expect(readRequestPath(target)).toEqual({ tag: "hidden" });
  });

  it.each([
    "",
    "a",
    "*",
    "/..",
    "/.",
    "/a/../b",
    "/a/..",
    "/%2e%2e/b",
    "/%2E./b",
    "/a%2fb",
    "/a%5Cb",
    "/a\\b",
    "/%00",
    "/a%0a",
    "/%7f",
    "/%",
    "/%a",
    "/%zz",
    "/%ff",
    "/%c0%af",
    "/%ed%a0%80",
  ])("%j is malformed", (target) => {
    expect(readRequestPath(target)).toEqual({ tag: "malformed" });
  });
});
