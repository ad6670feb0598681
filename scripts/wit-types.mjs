// Generates the TypeScript types of every WIT world into .generated/: ambient modules for guests (.generated/guest), and
// what a host implements (.generated/host). With --check it fails if what is there differs from what it would write.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const node = process.execPath;
const jco = join(root, "node_modules/@bytecodealliance/jco/dist/jco.js");
const packages = { "sallyport-tls": ["tls.wit"], "sallyport-gateway": ["gateway"], "sallyport-policy": ["policy"] };

/** Every package of ours as a dependency folder, and one world that holds every world of them. */
function assemble(dir) {
  cpSync(join(root, "wit/deps"), join(dir, "deps"), { recursive: true });
  for (const [name, [path]] of Object.entries(packages)) {
    const from = join(root, "wit", path);
    if (!existsSync(from)) continue;
    const to = join(dir, "deps", name);
    if (path.endsWith(".wit")) {
      mkdirSync(to);
      cpSync(from, join(to, path));
    } else cpSync(from, to, { recursive: true });
  }
  const samples = join(dir, "deps", "sallyport-samples");
  cpSync(join(root, "wit/samples"), samples, { recursive: true });
  const worlds = [];
  for (const name of readdirSync(join(dir, "deps")).filter((n) => n.startsWith("sallyport-"))) {
    for (const file of readdirSync(join(dir, "deps", name))) {
      const text = readFileSync(join(dir, "deps", name, file), "utf8");
      const pkg = /^package ([^;@]+)@([^;]+);/m.exec(text);
      for (const [, world] of text.matchAll(/^world ([\w-]+)/gm)) if (pkg) worlds.push(`${pkg[1]}/${world}@${pkg[2]}`);
    }
  }
  writeFileSync(
    join(dir, "everything.wit"),
    `package sallyport:generated@0.1.0;\nworld everything {\n  include wasi:cli/imports@0.2.12;\n${worlds.map((w) => `  include ${w};\n`).join("")}}\n`,
  );
}

function generate(target) {
  const dir = mkdtempSync(join(tmpdir(), "sallyport-wit-"));
  try {
    assemble(dir);
    execFileSync(node, [jco, "guest-types", dir, "-n", "everything", "-o", join(target, "guest"), "-q"], { stdio: "inherit" });
    execFileSync(node, [jco, "types", dir, "-n", "everything", "-o", join(target, "host"), "-q"], { stdio: "inherit" });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function contents(dir) {
  if (!existsSync(dir)) return "";
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((e) => e.isFile())
    .map((e) => join(e.parentPath, e.name))
    .sort()
    .map((path) => `${path.slice(dir.length)}\n${readFileSync(path, "utf8")}`)
    .join("\n");
}

if (process.argv.includes("--check")) {
  const fresh = mkdtempSync(join(tmpdir(), "sallyport-types-"));
  generate(fresh);
  const stale = contents(fresh) !== contents(join(root, ".generated"));
  rmSync(fresh, { recursive: true, force: true });
  if (stale) {
    console.error("the generated types do not match wit/: run `npm run wit`");
    process.exit(1);
  }
} else {
  rmSync(join(root, ".generated"), { recursive: true, force: true });
  generate(join(root, ".generated"));
}
