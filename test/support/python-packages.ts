import { execFile } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
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
  const folder = join(cache, `python-${requirement.replace("==", "-")}`);
  if (existsSync(folder)) return folder;
  // Test files run in processes of their own and may install the same package at once: whoever is first has its folder kept.
  const own = `${folder}.${process.pid}`;
  rmSync(own, { recursive: true, force: true });
  mkdirSync(own, { recursive: true });
  const quiet = ["-q", "--disable-pip-version-check", "--root-user-action=ignore"];
  await run("python3", ["-m", "pip", "install", ...quiet, "--target", own, requirement]);
  try {
    renameSync(own, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
    rmSync(own, { recursive: true, force: true });
  }
  return folder;
}

/** Run a Python program to its end and return what it printed; it fails if the program does. */
export async function python(args: string[], options: { packages: string[]; input?: string; cwd?: string }): Promise<string> {
  const env = { ...process.env, PYTHONPATH: options.packages.join(":"), PYTHONIOENCODING: "utf-8" };
  const running = run("python3", args, { env, cwd: options.cwd, encoding: "utf8", maxBuffer: 16 * 1024 * 1024 });
  running.child.stdin?.end(options.input ?? "");
  return (await running).stdout;
}
