// Builds wit/deps from the WIT texts that installed packages ship, so that no foreign text is vendored by hand.
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const builtin = join(root, "node_modules/@bytecodealliance/jco/lib/wit/builtin");
const deps = join(root, "wit/deps");

rmSync(deps, { recursive: true, force: true });
mkdirSync(deps, { recursive: true });
for (const name of readdirSync(join(builtin, "0.2.12")).filter((n) => n !== "wasi-http")) {
  cpSync(join(builtin, "0.2.12", name), join(deps, name), { recursive: true });
}

// jco adds `is-available` to wasi:tls. Upstream has no such function, and an engine that imports every function of an
// interface could then not run on a host that follows upstream, so guests are built without it.
const tls = join(builtin, "wasi-tls-0.2.0-draft");
const types = readFileSync(join(tls, "types.wit"), "utf8");
const withoutQuery = types.replace(/^.*\n.*is-available: func\(\) -> bool;\n/m, "");
if (withoutQuery === types) throw new Error("wasi:tls as shipped by jco has changed: is-available not found");
mkdirSync(join(deps, "wasi-tls"));
writeFileSync(join(deps, "wasi-tls", "types.wit"), withoutQuery);
writeFileSync(join(deps, "wasi-tls", "world.wit"), readFileSync(join(tls, "world.wit")));
