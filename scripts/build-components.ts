// Builds every guest into dist/components/NAME.wasm. A component whose sources, WIT and tools are those of the last build
// is left alone. `node scripts/build-components.ts NAME…` builds these only.
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ComponentSource, componentize, sourceHash } from "../host/component/componentize.ts";

interface Guest extends Pick<ComponentSource, "entry" | "world" | "engine"> {
  /** Of the built file, without `.wasm`. */
  name: string;
  /** Folder of the WIT package with its world; that of the samples if it is not given. */
  wit?: string;
  /** Folders of further packages of ours that the world refers to. */
  witDeps?: string[];
}

const guests: Guest[] = [
  { name: "echo", entry: "guest/echo/main.ts", world: "echo", engine: "quickjs" },
  { name: "https-get", entry: "guest/https-get/main.ts", world: "https-get", engine: "quickjs" },
  { name: "https-get-starlingmonkey", entry: "guest/https-get/main.ts", world: "https-get", engine: "starlingmonkey" },
  { name: "https-serve", entry: "guest/https-serve/main.ts", world: "https-serve", engine: "quickjs" },
  { name: "https-get-wasi-tls", entry: "guest/https-get-wasi-tls/main.ts", world: "https-get-wasi-tls", engine: "quickjs" },
  { name: "tokens", entry: "guest/tokens/main.ts", world: "tokens-self-contained", engine: "quickjs", wit: "wit/policy" },
  { name: "interception", entry: "guest/interception/main.ts", world: "policy", engine: "quickjs", wit: "wit/policy" },
  { name: "proxy", entry: "guest/proxy/main.ts", world: "proxy", engine: "quickjs", wit: "wit/gateway", witDeps: ["wit/policy"] },
  { name: "connect", entry: "guest/connect/main.ts", world: "connect", engine: "quickjs" },
  {
    name: "tokens-host-assisted",
    entry: "guest/tokens/host-assisted.ts",
    world: "tokens-host-assisted",
    engine: "quickjs",
    wit: "wit/policy",
  },
];

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const output = join(root, "dist/components");
const witDeps = [join(root, "wit/deps"), join(root, "wit/tls.wit")];

const named = process.argv.slice(2);
const unknown = named.filter((name) => !guests.some((guest) => guest.name === name));
if (unknown.length > 0) {
  console.error(`no guest is called ${unknown.join(", ")}; there are ${guests.map((guest) => guest.name).join(", ")}`);
  process.exit(64);
}

mkdirSync(output, { recursive: true });
const shared = sharedInputs();
for (const guest of guests) if (named.length === 0 || named.includes(guest.name)) await build(guest);

async function build(guest: Guest): Promise<void> {
  if (!existsSync(join(root, guest.entry))) return console.error(`build: ${guest.name}: ${guest.entry} is not written yet`);
  const hash = sourceHash([guest.entry, guest.world, guest.engine, ...shared]);
  const file = join(output, `${guest.name}.wasm`);
  const stamp = `${file}.hash`;
  if (existsSync(file) && existsSync(stamp) && readFileSync(stamp, "utf8") === hash) return;
  const start = performance.now();
  const component = await componentize({
    ...guest,
    entry: join(root, guest.entry),
    wit: join(root, guest.wit ?? "wit/samples"),
    witDeps: [...witDeps, ...(guest.witDeps ?? []).map((path) => join(root, path))],
  });
  writeFileSync(`${file}.new`, component);
  renameSync(`${file}.new`, file);
  writeFileSync(stamp, hash);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.error(`build: ${guest.name} (${guest.engine}, ${(component.length / 2 ** 20).toFixed(1)} MiB, ${seconds} s)`);
}

/** What decides about every component: the guests and their library, the WIT, and the tools. */
function sharedInputs(): (string | Uint8Array)[] {
  const tools = ["componentize-qjs", "@bytecodealliance/componentize-js", "rolldown"].map((name) => {
    const { version } = JSON.parse(readFileSync(join(root, "node_modules", name, "package.json"), "utf8")) as { version: string };
    return `${name} ${version}`;
  });
  const paths = ["src", "guest", "wit"].flatMap((folder) => filesBelow(folder)).concat("host/component/componentize.ts");
  return [...tools, ...paths.flatMap((path) => [path, readFileSync(join(root, path))])];
}

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|wit)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();
}
