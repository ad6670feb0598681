import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const cache = fileURLToPath(new URL("../../.cache/interop/", import.meta.url));

/**
 * A folder for PYTHONPATH with this package of PyPI, installed there unless it is already.
 *
 * @param requirement name and exact version: `wasmtime==50.0.1`
 * @throws what pip says if it cannot be installed
 */
export async function pythonPackage(requirement: string): Promise<string> {
  const folder = join(cache, `python-${requirement.split("==", 1)[0]!}`);
  const stamp = join(folder, "version");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === requirement) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const quiet = ["-q", "--disable-pip-version-check", "--root-user-action=ignore"];
  await run("python3", ["-m", "pip", "install", ...quiet, "--target", folder, requirement]);
  writeFileSync(stamp, requirement);
  return folder;
}

/** Run a Python program to its end and return what it printed; it fails if the program does. */
export async function python(args: string[], options: { packages: string[]; input?: string; cwd?: string }): Promise<string> {
  const env = { ...process.env, PYTHONPATH: options.packages.join(":"), PYTHONIOENCODING: "utf-8" };
  const running = run("python3", args, { env, cwd: options.cwd, encoding: "utf8", maxBuffer: 16 * 1024 * 1024 });
  running.child.stdin?.end(options.input ?? "");
  return (await running).stdout;
}
