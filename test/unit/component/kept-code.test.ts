import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { KeptScript } from "../../../host/component/kept-code.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Two sources of one length, which is all that V8 compares. */
const ONE = "(() => () => 'one')()";
const TWO = "(() => () => 'two')()";

function script(source: string, name: string, version: string): KeptScript {
  return new KeptScript(source, { filename: join(folder, "script.js"), lineOffset: 0, place: join(folder, name, "kept"), version });
}

/** A script that ran, and whose compiled form is in a folder of its own. */
function kept(name: string, version: string): void {
  mkdirSync(join(folder, name));
  const made = script(ONE, name, version);
  expect((made.run() as () => string)()).toBe("one");
  made.keep();
  expect(readdirSync(join(folder, name))).toHaveLength(1);
}

function written(name: string): bigint {
  const [file] = readdirSync(join(folder, name));
  return statSync(join(folder, name, file!), { bigint: true }).ino;
}

test("what was compiled is taken by the next, and not written again", () => {
  kept("same", "1");
  const before = written("same");
  const next = script(ONE, "same", "1");
  expect((next.run() as () => string)()).toBe("one");
  next.keep();
  expect(written("same")).toBe(before);
});

test("what was compiled of another version is not run, though the sources are of one length", () => {
  kept("other", "1");
  const before = written("other");
  const next = script(TWO, "other", "2");
  expect((next.run() as () => string)()).toBe("two");
  next.keep();
  expect(written("other")).not.toBe(before);
});

test("a folder that cannot be used costs nothing but time", () => {
  const lost = script(ONE, "missing", "1");
  lost.keep();
  expect((lost.run() as () => string)()).toBe("one");
  expect(readdirSync(folder)).not.toContain("missing");
});

test("nothing is kept where no place is given", () => {
  const script = new KeptScript(ONE, { filename: join(folder, "script.js"), lineOffset: 0, place: undefined, version: "" });
  expect((script.run() as () => string)()).toBe("one");
  const before = readdirSync(folder);
  script.keep();
  expect(readdirSync(folder)).toEqual(before);
});

test("what is kept is for the user alone", () => {
  kept("private", "1");
  const [file] = readdirSync(join(folder, "private"));
  expect(statSync(join(folder, "private", file!)).mode & 0o777).toBe(0o600);
});
