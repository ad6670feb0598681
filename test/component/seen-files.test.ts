import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { loadComponentFile } from "../../host/component/cache.ts";
import { builtGuest } from "./guests/build.ts";

let component: Uint8Array;
let folder: string;
let cache: string;
let file: string;

beforeAll(async () => {
  component = readFileSync(await builtGuest("behave"));
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
  cache = join(folder, "cache");
  file = join(folder, "component.wasm");
  writeFileSync(file, component);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const later = () => new Promise((resolve) => setTimeout(resolve, 2100));
const entry = () => readdirSync(cache).filter((name) => name !== "seen");
const noted = () => readdirSync(join(cache, "seen"));

/** Load it often and late enough that it is noted. */
async function noteIt(): Promise<void> {
  await loadComponentFile(file, cache);
  await later();
  await loadComponentFile(file, cache);
  expect(noted()).toHaveLength(1);
}

describe("a component in a file that was loaded before", () => {
  test("is found by the note as by its bytes", async () => {
    await noteIt();
    const byNote = await loadComponentFile(file, cache);
    rmSync(join(cache, "seen"), { recursive: true });
    expect(await loadComponentFile(file, cache)).toEqual(byNote);
    expect(byNote.hit).toBe(true);
  });

  test("is not noted right after it or what is kept of it was made: it could change within a tick of the clock", async () => {
    await loadComponentFile(file, cache);
    await loadComponentFile(file, cache);
    expect(readdirSync(cache)).toEqual(entry());
  });

  test("is read again after a change that leaves size and modification time as they were", async () => {
    await noteIt();
    const times = new Date(1_700_000_000_000);
    utimesSync(file, times, times);
    await later();
    await loadComponentFile(file, cache);
    writeFileSync(file, new Uint8Array(component.length));
    utimesSync(file, times, times);
    await expect(loadComponentFile(file, cache)).rejects.toThrow(/not a WebAssembly file/);
  });

  test("is read again when another file takes its place, or its link points elsewhere", async () => {
    const link = join(folder, "link.wasm");
    symlinkSync(file, link);
    await loadComponentFile(link, cache);
    await later();
    await loadComponentFile(link, cache);
    expect(noted()).toHaveLength(1);
    const other = join(folder, "other.wasm");
    writeFileSync(other, "no component");
    rmSync(link);
    symlinkSync(other, link);
    await expect(loadComponentFile(link, cache)).rejects.toThrow(/not a WebAssembly file/);
    renameSync(other, file);
    await expect(loadComponentFile(file, cache)).rejects.toThrow(/not a WebAssembly file/);
  });

  test.each(["component.js", "component.core.wasm", "manifest.json"])("is made again when %s of what is kept was damaged", async (name) => {
    await noteIt();
    const damaged = join(cache, entry()[0]!, name);
    const good = readFileSync(damaged);
    writeFileSync(damaged, name.endsWith(".json") ? "{}" : good.subarray(0, good.length - 1));
    expect((await loadComponentFile(file, cache)).hit).toBe(false);
    expect(readFileSync(damaged).equals(good)).toBe(true);
  });

  test("is read again when a file of what is kept has become a link", async () => {
    await noteIt();
    const script = join(cache, entry()[0]!, "component.js");
    renameSync(script, join(folder, "elsewhere.js"));
    symlinkSync(join(folder, "elsewhere.js"), script);
    // What it points to is the very file: its hash is still looked at.
    expect((await loadComponentFile(file, cache)).hit).toBe(true);
  });

  test.each([
    ["nothing", ""],
    ["no JSON", "{"],
    ["a list", "[]"],
    ["a path in place of an entry", JSON.stringify({ entry: "../../elsewhere", files: {} })],
  ])("is read where the note says %s", async (_, text) => {
    await noteIt();
    writeFileSync(join(cache, "seen", noted()[0]!), text);
    expect((await loadComponentFile(file, cache)).hit).toBe(true);
  });

  test("is read where the note leads to an entry with fewer files than were hashed", async () => {
    await noteIt();
    const note = join(cache, "seen", noted()[0]!);
    const said = JSON.parse(readFileSync(note, "utf8")) as { files: Record<string, string> };
    writeFileSync(note, JSON.stringify({ ...said, files: {} }));
    const damaged = join(cache, entry()[0]!, "component.js");
    writeFileSync(damaged, "damaged");
    expect((await loadComponentFile(file, cache)).hit).toBe(false);
  });

  test("is refused where others can write to the cache, whatever was noted", async () => {
    await noteIt();
    chmodSync(cache, 0o777);
    await expect(loadComponentFile(file, cache)).rejects.toThrow(/can be written by other users/);
  });

  test("is loaded where its note cannot be written", async () => {
    mkdirSync(cache, { mode: 0o700 });
    writeFileSync(join(cache, "seen"), "a file in the place of the folder");
    await loadComponentFile(file, cache);
    await later();
    expect((await loadComponentFile(file, cache)).hit).toBe(true);
  });
});
