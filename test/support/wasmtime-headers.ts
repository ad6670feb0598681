import { execFile } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const cache = fileURLToPath(new URL("../../.cache/interop/", import.meta.url));

/**
 * The `include` folder of Wasmtime's C API, as its releases have it: out of the crate that holds it, fetched with cargo.
 *
 * @param version of Wasmtime: `50.0.1`
 * @throws what cargo says if it cannot be fetched
 */
export async function wasmtimeHeaders(version: string): Promise<string> {
  const folder = join(cache, "wasmtime-headers");
  const include = join(folder, "include");
  const stamp = join(folder, "version");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === version) return include;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, "src"), { recursive: true });
  writeFileSync(join(folder, "src/lib.rs"), "");
  const manifest = join(folder, "Cargo.toml");
  // A workspace of its own: cargo would otherwise look for one in the folders above.
  writeFileSync(
    manifest,
    `[package]\nname = "headers"\nversion = "0.0.0"\n[dependencies]\nwasmtime-c-api-impl = "=${version}"\n[workspace]\n`,
  );
  const { stdout } = await run("cargo", ["metadata", "--format-version", "1", "--manifest-path", manifest], { maxBuffer: 64 << 20 });
  const { packages } = JSON.parse(stdout) as { packages: { name: string; manifest_path: string }[] };
  const found = packages.find(({ name }) => name === "wasmtime-c-api-impl");
  if (found === undefined) throw new Error("cargo fetched no wasmtime-c-api-impl");
  cpSync(join(dirname(found.manifest_path), "include"), include, { recursive: true });
  // The library of the Python package is built with every feature.
  const configured = readFileSync(join(include, "wasmtime/conf.h.in"), "utf8").replaceAll("#cmakedefine", "#define");
  writeFileSync(join(include, "wasmtime/conf.h"), configured);
  writeFileSync(stamp, version);
  return include;
}
