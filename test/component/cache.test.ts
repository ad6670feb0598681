import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { CacheError, cacheFolder, loadComponent } from "../../host/component/cache.ts";
import { TranspileError } from "../../host/component/transpile.ts";
import { builtGuest } from "./guests/build.ts";

let component: Uint8Array;
let parent: string;
let folder: string;

beforeAll(async () => {
  component = readFileSync(await builtGuest("behave"));
});
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "sallyport-test-"));
  folder = join(parent, "cache");
});
afterEach(() => rmSync(parent, { recursive: true, force: true }));

function entryOf(cache: string): string {
  const [entry, ...more] = readdirSync(cache);
  expect(more).toEqual([]);
  return join(cache, entry!);
}

describe("the cache of transpiled components", () => {
  test("transpiles a component once and finds it from then on", async () => {
    const first = await loadComponent(component, folder);
    const second = await loadComponent(component, folder);
    expect([first.hit, second.hit]).toEqual([false, true]);
    expect(second.script).toBe(first.script);
    expect(second.imports).toEqual(first.imports);
    expect([...second.modules.keys()].sort()).toEqual([...first.modules.keys()].sort());
    for (const [name, bytes] of first.modules) expect(Buffer.compare(second.modules.get(name)!, bytes)).toBe(0);
  });

  test("keeps the folder and its entries to the user", async () => {
    await loadComponent(component, folder);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(entryOf(folder)).mode & 0o777).toBe(0o700);
  });

  test("stores a script that does not ask the environment whether to log", async () => {
    await loadComponent(component, folder);
    expect(readFileSync(join(entryOf(folder), "component.js"), "utf8")).not.toContain("JCO_DEBUG");
  });

  test("leaves one whole entry when the same component is loaded twice at once", async () => {
    await Promise.all([loadComponent(component, folder), loadComponent(component, folder)]);
    entryOf(folder);
    expect((await loadComponent(component, folder)).hit).toBe(true);
  });

  for (const [what, damage] of [
    ["a script that was changed", (entry: string) => writeFileSync(join(entry, "component.js"), "export const instantiate = 1;")],
    ["a core module that was cut short", (entry: string) => writeFileSync(join(entry, "component.core.wasm"), new Uint8Array(8))],
    ["a core module that is missing", (entry: string) => rmSync(join(entry, "component.core2.wasm"))],
    ["a manifest that is no JSON", (entry: string) => writeFileSync(join(entry, "manifest.json"), "{")],
    ["a manifest that names no script", (entry: string) => writeFileSync(join(entry, "manifest.json"), `{"files":{},"imports":[]}`)],
    [
      "a manifest that names a file outside",
      (entry: string) => writeFileSync(join(entry, "manifest.json"), `{"files":{"component.js":"","../x":""},"imports":[]}`),
    ],
  ] as const) {
    test(`makes an entry again that has ${what}`, async () => {
      const { modules } = await loadComponent(component, folder);
      damage(entryOf(folder));
      const again = await loadComponent(component, folder);
      expect(again.hit).toBe(false);
      expect(again.modules.size).toBe(modules.size);
      expect((await loadComponent(component, folder)).hit).toBe(true);
    });
  }

  test("refuses a folder that others can write to", async () => {
    mkdirSync(folder);
    chmodSync(folder, 0o777);
    await expect(loadComponent(component, folder)).rejects.toThrow(CacheError);
    expect(readdirSync(folder)).toEqual([]);
  });

  test("refuses an entry that others can write to", async () => {
    await loadComponent(component, folder);
    chmodSync(entryOf(folder), 0o770);
    await expect(loadComponent(component, folder)).rejects.toThrow(/can be written by other users/);
  });

  test("refuses an entry that is a link", async () => {
    await loadComponent(component, folder);
    const entry = entryOf(folder);
    const elsewhere = join(parent, "elsewhere");
    mkdirSync(elsewhere);
    rmSync(entry, { recursive: true });
    symlinkSync(elsewhere, entry);
    await expect(loadComponent(component, folder)).rejects.toThrow(/is not a folder/);
  });

  test("refuses a folder that belongs to somebody else", async () => {
    // Giving a folder away needs rights that the tests do not have: so it is the user who becomes another one.
    const user = vi.spyOn(process, "getuid").mockReturnValue(statSync(parent).uid + 1);
    try {
      await expect(loadComponent(component, folder)).rejects.toThrow(/belongs to another user/);
    } finally {
      user.mockRestore();
    }
  });

  test("says which variable to set when the folder cannot be made", async () => {
    writeFileSync(folder, "a file where the folder should be");
    await expect(loadComponent(component, join(folder, "cache"))).rejects.toThrow(/SALLYPORT_CACHE/);
  });

  for (const [what, bytes, message] of [
    ["an empty file", new Uint8Array(0), /not a WebAssembly file/],
    ["a text", Buffer.from("#!/bin/sh\necho"), /not a WebAssembly file/],
    ["a core module", Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0), /core WebAssembly module/],
    ["a component of nothing but garbage", Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0, 0xff, 0xff), /could not be transpiled/],
  ] as const) {
    test(`refuses ${what} and stores nothing`, async () => {
      const attempt = loadComponent(bytes, folder);
      await expect(attempt).rejects.toThrow(TranspileError);
      await expect(attempt).rejects.toThrow(message);
      expect(readdirSync(folder)).toEqual([]);
    });
  }
});

describe("the place of the cache", () => {
  test("is what SALLYPORT_CACHE says, before all else", () => {
    expect(cacheFolder({ SALLYPORT_CACHE: "/a", XDG_CACHE_HOME: "/b" })).toBe("/a");
  });
  test("is below XDG_CACHE_HOME", () => {
    expect(cacheFolder({ XDG_CACHE_HOME: "/b" })).toBe("/b/sallyport");
  });
  test("does not follow a relative XDG_CACHE_HOME", () => {
    expect(cacheFolder({ XDG_CACHE_HOME: "b" })).toMatch(/^\/.*\.cache\/sallyport$/);
  });
});

describe("the compiled form of the host's own modules", () => {
  /** Run the command under a umask that keeps nobody out, with its cache in `folder`. */
  function start(): void {
    const program = join(import.meta.dirname, "../../host/cli/bin.mjs");
    const script = `umask 000; exec "${process.execPath}" "${program}" --version`;
    expect(spawnSync("sh", ["-c", script], { env: { ...process.env, SALLYPORT_CACHE: folder } }).status).toBe(0);
  }

  test("is kept where nobody else can write, whatever the umask", () => {
    mkdirSync(folder, { mode: 0o755 });
    start();
    expect(statSync(join(folder, "compiled")).mode & 0o777).toBe(0o700);
    expect(readdirSync(join(folder, "compiled"))).not.toEqual([]);
  });

  test.each(["the cache", "the folder of what is compiled"])("is neither kept nor used where others can write to %s", (which) => {
    mkdirSync(join(folder, "compiled"), { recursive: true, mode: 0o700 });
    chmodSync(which === "the cache" ? folder : join(folder, "compiled"), 0o777);
    start();
    expect(readdirSync(join(folder, "compiled"))).toEqual([]);
  });
});
