import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { componentize, sourceHash } from "../../host/component/componentize.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** What to build; paths are absolute. */
export interface GuestSource {
  /** For the file; unique among the tests. */
  name: string;
  entry: string;
  wit: string;
  world: string;
}

/**
 * The path of a component, from the last build if nothing has changed since: neither beside its entry, nor in the programs of
 * the conformance suite and the engine fence, which such guests stand on.
 */
export async function builtComponent({ name, entry, wit, world }: GuestSource): Promise<string> {
  const folders = new Set([dirname(entry), join(root, "test/conformance/guests"), join(root, "src/bindings"), join(root, "src/wire")]);
  const sources = [
    ...[...folders].flatMap(textsBelow),
    wit,
    join(root, "wit/tls.wit"),
    join(root, "host/component/componentize.ts"),
    join(root, "package-lock.json"),
  ];
  const folder = join(root, ".cache/test-guests");
  const file = join(folder, `${name}-${sourceHash(sources.map((path) => readFileSync(path)))}.wasm`);
  if (existsSync(file)) return file;
  const component = await componentize({
    entry,
    wit,
    witDeps: [join(root, "wit/deps"), join(root, "wit/tls.wit")],
    world,
    engine: "quickjs",
  });
  mkdirSync(folder, { recursive: true });
  // Test files run in processes of their own and may build the same component at once.
  writeFileSync(`${file}.${process.pid}`, component);
  renameSync(`${file}.${process.pid}`, file);
  return file;
}

function textsBelow(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}
