import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadComponent } from "../../host/component/cache.ts";
import { loadScript, rememberCompiled } from "../../host/component/script.ts";
import { builtGuest } from "./guests/build.ts";

let folder: string;
let script: string;
let compiled: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
  const { script: url } = await loadComponent(readFileSync(await builtGuest("behave")), join(folder, "cache"));
  script = fileURLToPath(url);
  await loadScript(url);
  rememberCompiled(url);
  compiled = compiledOf(script);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function compiledOf(path: string): string {
  const kept = readdirSync(join(path, "..")).filter((name) => name.endsWith(".compiled"));
  expect(kept).toHaveLength(1);
  return join(path, "..", kept[0]!);
}

/** The same script elsewhere: this thread has not loaded that one. */
function copied(name: string, change: (bytes: Buffer) => Buffer): { url: string; kept: string } {
  mkdirSync(join(folder, name));
  const path = join(folder, name, "component.js");
  copyFileSync(script, path);
  const kept = join(folder, name, basename(compiled));
  writeFileSync(kept, change(readFileSync(compiled)));
  return { url: pathToFileURL(path).href, kept };
}

describe("what V8 compiled of a component's script", () => {
  test("is kept beside the script, for the user alone", () => {
    expect(statSync(compiled).mode & 0o777).toBe(0o600);
    expect(statSync(compiled).size).toBeGreaterThan(1000);
  });

  test("is taken as it is by the next start, and not written again", async () => {
    const { url, kept } = copied("intact", (bytes) => bytes);
    const before = statSync(kept, { bigint: true });
    expect(await loadScript(url)).toBeTypeOf("function");
    rememberCompiled(url);
    expect(statSync(kept, { bigint: true })).toMatchObject({ ino: before.ino, mtimeNs: before.mtimeNs });
  });

  for (const [what, change] of [
    ["a byte was changed", (bytes: Buffer) => bytes.fill(bytes.at(-9)! ^ 1, bytes.length - 9, bytes.length - 8)],
    ["it was cut short", (bytes: Buffer) => bytes.subarray(0, bytes.length / 2)],
    ["it is empty", () => Buffer.alloc(0)],
  ] as const) {
    test(`is not used but made again if ${what}`, async () => {
      const { url, kept } = copied(what, change);
      const damaged = readFileSync(kept);
      expect(await loadScript(url)).toBeTypeOf("function");
      rememberCompiled(url);
      expect(readFileSync(kept).equals(damaged)).toBe(false);
      expect(readdirSync(join(kept, "..")).sort()).toEqual(["component.js", basename(kept)]);
    });
  }
});

describe("a component's script", () => {
  test("is refused if it is no module that the transpiler made", async () => {
    const path = join(folder, "other.js");
    writeFileSync(path, "export const instantiate = 1;\n");
    expect(await loadScript(pathToFileURL(path).href)).toBeUndefined();
  });

  test("that is missing is an error", async () => {
    await expect(loadScript(pathToFileURL(join(folder, "missing.js")).href)).rejects.toThrow("ENOENT");
  });

  test("that was never loaded leaves nothing behind", () => {
    mkdirSync(join(folder, "unused"));
    rememberCompiled(pathToFileURL(join(folder, "unused", "component.js")).href);
    expect(readdirSync(join(folder, "unused"))).toEqual([]);
  });
});
