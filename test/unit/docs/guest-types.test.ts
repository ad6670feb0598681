import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

// The compiler run that docs/guest.md gives to authors of guests: their type library is newer than the one of this checkout,
// and the guest library, which the package ships as source, is checked along with their guest.

const root = join(import.meta.dirname, "../../..");
const page = readFileSync(join(root, "docs/guest.md"), "utf8");
const documented = /`tsc (--noEmit [^`]+) hello\.ts`/
  .exec(page)![1]!
  .split(/\s+/)
  .map((word) => (word === "sallyport/guest-types" ? join(root, ".generated/guest/everything.d.ts") : word));
const check = (files: string[]) =>
  spawnSync(join(root, "node_modules/.bin/tsc"), ["--ignoreConfig", ...documented, ...files], { cwd: root, encoding: "utf8" });

const modules = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => join("src", path));

test("no module of the guest library contradicts the type library that the documents tell to check guests with", () => {
  expect(modules).toContain(join("src", "wire", "index.ts"));
  expect(check(modules)).toMatchObject({ stdout: "", status: 0 });
}, 120_000);

test("the same run finds a module that is not there", () => {
  expect(check([join("src", "nothing-of-this-name.ts")]).status).not.toBe(0);
});
