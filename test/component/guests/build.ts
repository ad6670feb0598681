import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { componentize, sourceHash } from "../../../host/component/componentize.ts";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../../..");

/**
 * The path of a component built from a guest of this folder, from the last build if nothing has changed since.
 *
 * @param name of the module, without `.ts`
 */
export async function builtGuest(name: string): Promise<string> {
  const entry = join(here, `${name}.ts`);
  const wit = join(here, "commands.wit");
  const sources = [entry, wit, join(root, "wit/tls.wit"), join(root, "host/component/componentize.ts"), join(root, "package-lock.json")];
  const folder = join(root, ".cache/test-guests");
  const file = join(folder, `${name}-${sourceHash(sources.map((path) => readFileSync(path)))}.wasm`);
  if (existsSync(file)) return file;
  const witDeps = [join(root, "wit/deps"), join(root, "wit/tls.wit")];
  const component = await componentize({ entry, wit, witDeps, world: "command", engine: "quickjs" });
  mkdirSync(folder, { recursive: true });
  // Test files run in processes of their own and may build the same guest at once.
  writeFileSync(`${file}.${process.pid}`, component);
  renameSync(`${file}.${process.pid}`, file);
  return file;
}
