// Bundles the host into a few files below dist/host: what the package ships, and what starts in half the time, since most
// of the start of a thread is the loading of one small module after the other. Does nothing if dist/host is up to date.
import { readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const output = join(root, "dist/host");
const STAMP = "bundled";

const newest = Math.max(
  ...["host", "src/wire", "package.json", "package-lock.json", "scripts/bundle-host.ts"].flatMap((path) => timesBelow(join(root, path))),
);
if (newest > (statSync(join(output, STAMP), { throwIfNoEntry: false })?.mtimeMs ?? 0)) await bundle();

async function bundle(): Promise<void> {
  const start = Date.now();
  const build = await rolldown({
    input: {
      index: join(root, "host/index.ts"),
      "cli/main": join(root, "host/cli/main.ts"),
      "proxy/index": join(root, "host/proxy/index.ts"),
      "component/index": join(root, "host/component/index.ts"),
      "component/decision-worker": join(root, "host/component/decision-worker.ts"),
      "component/thread-start": join(root, "host/component/thread-start.ts"),
      "component/worker": join(root, "host/component/worker.ts"),
    },
    platform: "node",
    // Packages stay packages; only our own files are put together.
    external: (id) => !id.startsWith(".") && !id.startsWith("/"),
    logLevel: "warn",
  });
  const fresh = `${output}.${process.pid}`;
  // The shared chunks stand beside the worker, which they start by a path relative to themselves.
  await build.write({ dir: fresh, format: "esm", entryFileNames: "[name].js", chunkFileNames: "component/[name]-[hash].js" });
  await build.close();
  // As of the start: what changed meanwhile may not be in it.
  writeFileSync(join(fresh, STAMP), "");
  utimesSync(join(fresh, STAMP), start / 1000, start / 1000);
  rmSync(output, { recursive: true, force: true });
  renameSync(fresh, output);
  console.error(`bundle: dist/host (${((Date.now() - start) / 1000).toFixed(1)} s)`);
}

function timesBelow(path: string): number[] {
  if (!statSync(path).isDirectory()) return [statSync(path).mtimeMs];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs);
}
