import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

/** What the documents name has to be there: a page that points at a test which does not exist claims what nobody checks. */
const root = fileURLToPath(new URL("../../../", import.meta.url));
const pages = [
  "README.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  "CHANGELOG.md",
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md") && !/(?:^|\/)(?:node_modules|target)\//.test(path))
    .map((path) => `docs/${path}`),
].filter((page) => existsSync(join(root, page)));

/** `unit/policy/decide`: below `test/`, a file without its ending or a folder. */
const TEST_NAME = /`((?:unit|component|hostile|interop|conformance|fuzz)\/[A-Za-z0-9_./-]+)`/g;
/** `test/interop/proxy`, `docs/proxy.md`: from the root, as code. */
const ROOT_NAME = /`((?:test|docs|host|src|guest|scripts|wit|bench)\/[A-Za-z0-9_./-]+)`/g;
/** `[text](path)`, without a scheme. */
const LINK = /\]\(([A-Za-z0-9_./-]+)(?:#[^)]*)?\)/g;

const isThere = (path: string) =>
  existsSync(join(root, path)) || existsSync(join(root, `${path}.test.ts`)) || existsSync(join(root, `${path}.ts`));
/** What is built and lies in no repository. */
const isBuilt = (path: string) => /(?:^|\/)(?:deps|generated|target|dist)(?:\/|$)/.test(path);

function missing(text: string, page: string): string[] {
  const named = [
    ...Array.from(text.matchAll(TEST_NAME), ([, name]) => join("test", name!)),
    ...Array.from(text.matchAll(ROOT_NAME), ([, name]) => name!),
    ...Array.from(text.matchAll(LINK), ([, path]) => join(dirname(page), path!)),
  ];
  return [...new Set(named)].filter((path) => !isBuilt(path) && !isThere(path));
}

test.each(pages)("every file that %s names exists", (page) => {
  expect(missing(readFileSync(join(root, page), "utf8"), page)).toEqual([]);
});

describe("what does not exist is noticed", () => {
  test.each([
    ["a test", "as `unit/policy/no-such-thing` shows", "docs/x.md", "test/unit/policy/no-such-thing"],
    ["a file", "see `host/no-such-thing.ts`", "docs/x.md", "host/no-such-thing.ts"],
    ["a page", "[here](no-such-page.md#part)", "docs/x.md", "docs/no-such-page.md"],
    ["a page above", "[here](../no-such-page.md)", "docs/decisions/x.md", "docs/no-such-page.md"],
  ])("%s", (_, text, page, path) => expect(missing(text, page)).toEqual([path]));

  test("and what does is not", () => {
    expect(missing("`unit/docs/named-files`, `test/unit`, [this](proxy.md), [that](https://example.com/x)", "docs/x.md")).toEqual([]);
  });
});

test("the page on parity names tests", () => {
  expect(Array.from(readFileSync(join(root, "docs/parity.md"), "utf8").matchAll(TEST_NAME)).length).toBeGreaterThan(50);
});
