import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Ended, mustRun, repositoryFile, runProgram, tokenStory } from "../support/example-run.ts";
import { makePki } from "../support/pki.ts";
import { pythonPackage } from "../support/python-packages.ts";
import { wasmtimeHeaders } from "../support/wasmtime-headers.ts";

/** docs/examples/tokens-*: tokens.wasm called from Python, C and JavaScript. The one in Rust is in examples-rust. */

const version = "50.0.1";
const tokens = repositoryFile("dist/components/tokens.wasm");
const work = mkdtempSync(join(tmpdir(), "sallyport-examples-"));
const certificate = join(work, "alice.der");
let wasmtime: string;

beforeAll(async () => {
  const { leaf } = await makePki({ leaf: { cn: "alice" } });
  writeFileSync(certificate, leaf.der);
  wasmtime = await pythonPackage(`wasmtime==${version}`);
  await buildC();
  await transpile();
}, 300_000);
afterAll(() => rmSync(work, { recursive: true, force: true }));

async function buildC(): Promise<void> {
  const include = await wasmtimeHeaders(version);
  const source = repositoryFile("docs/examples/tokens-c/tokens.c");
  const folder = join(wasmtime, "wasmtime", `linux-${process.arch === "arm64" ? "aarch64" : "x86_64"}`);
  const strict = ["-std=c11", "-Wall", "-Wextra", "-Werror"];
  const library = [join(folder, "_libwasmtime.so"), `-Wl,-rpath,${folder}`];
  await mustRun("cc", [...strict, "-I", include, source, ...library, "-o", join(work, "tokens")]);
}

/** The folder as `npm install` leaves it, with the packages that are here anyway. */
async function transpile(): Promise<void> {
  const folder = join(work, "node");
  mkdirSync(folder);
  for (const file of ["tokens.js", "package.json"]) copyFileSync(repositoryFile(`docs/examples/tokens-node/${file}`), join(folder, file));
  symlinkSync(repositoryFile("node_modules"), join(folder, "node_modules"));
  const jco = repositoryFile("node_modules/@bytecodealliance/jco/dist/jco.js");
  await mustRun(process.execPath, [jco, "transpile", tokens, "-o", "transpiled"], { cwd: folder });
}

const programs: Record<string, (certificate: string) => Promise<Ended>> = {
  Python: (file) =>
    runProgram("python3", [repositoryFile("docs/examples/tokens-python/tokens.py"), tokens, file], {
      env: { PYTHONPATH: wasmtime, PYTHONDONTWRITEBYTECODE: "1" },
    }),
  C: (file) => runProgram(join(work, "tokens"), [tokens, file]),
  "JavaScript, by jco": (file) => runProgram(process.execPath, ["tokens.js", file], { cwd: join(work, "node") }),
};

describe.each(Object.entries(programs))("tokens.wasm from %s", (_, program) => {
  it("issues, verifies and revokes, with the refusals of the WIT by name", async () => {
    expect(await program(certificate)).toEqual({ code: 0, stdout: tokenStory, stderr: "" });
  }, 120_000);

  it("says what failed and issues nothing where there is no certificate", async () => {
    const { code, stdout, stderr } = await program(join(work, "nobody.der"));
    expect(code).toBeGreaterThan(0);
    expect(stdout).toBe("");
    expect(stderr).toContain("nobody.der");
  }, 120_000);
});
