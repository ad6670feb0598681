// Bundles the host into a few files below dist/host: what the package ships, and what starts in half the time, since most
// of the start of a thread is the loading of one small module after the other. Does nothing if dist/host is up to date.
import { readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type InputOptions, type Plugin, rolldown } from "rolldown";
import { oneByteSource } from "../host/component/one-byte-source.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const output = join(root, "dist/host");
const STAMP = "bundled";

/** What a command loads before the component that it runs is on its way: one file, since each takes half a millisecond. */
const STARTS_A_COMPONENT =
  /\/host\/cli\/(?:command|get-arguments|instance-flags|instance-settings|lent-files|own-component|run-file|suggestion|commands\/(?:get|run))\.ts$|\/host\/component\/(?:async-imports|cache|compile|guest-thread|memory-limit|one-byte-source|script-end|seen-files|supervisor|transpile)\.ts$|\/src\/wire\/(?:server-name|wire-error)\.ts$/;

const shared: InputOptions = {
  platform: "node",
  // Packages stay packages; only our own files are put together.
  external: isPackage,
  logLevel: "warn",
};

/**
 * Rolldown puts what a script requires at its head, also what only modules need that are loaded late. A module of its own for
 * each package is loaded with those that import it.
 */
const latePackages: Plugin = {
  name: "late-packages",
  resolveId: (id, importer) => (isPackage(id) && !isBuiltin(id) && importer?.startsWith("\0") !== true ? `\0${id}` : null),
  load: (id) => (id.startsWith("\0") && isPackage(id.slice(1)) ? `module.exports = require(${JSON.stringify(id.slice(1))});` : null),
};

const newest = Math.max(
  ...["host", "src/wire", "package.json", "package-lock.json", "scripts/bundle-host.ts"].flatMap((path) => timesBelow(join(root, path))),
);
if (newest > (statSync(join(output, STAMP), { throwIfNoEntry: false })?.mtimeMs ?? 0)) await bundle();

async function bundle(): Promise<void> {
  const start = Date.now();
  const fresh = `${output}.${process.pid}`;
  const build = await rolldown({
    ...shared,
    input: {
      index: join(root, "host/index.ts"),
      "cli/main": join(root, "host/cli/main.ts"),
      "proxy/index": join(root, "host/proxy/index.ts"),
      "component/index": join(root, "host/component/index.ts"),
      "component/decision-worker": join(root, "host/component/decision-worker.ts"),
      "component/thread-start": join(root, "host/component/thread-start.ts"),
    },
  });
  // The shared chunks stand beside the worker, which they start by a path relative to themselves.
  await build.write({
    dir: fresh,
    format: "esm",
    entryFileNames: "[name].js",
    chunkFileNames: "component/[name]-[hash].js",
    codeSplitting: {
      groups: [
        { name: "thread", test: /thread-start\.ts$/, priority: 2 },
        { name: "command", test: STARTS_A_COMPONENT },
      ],
    },
  });
  await build.close();
  await bundleWhole(fresh, { "worker-start": "host/component/worker-start.ts", "worker-whole": "host/component/worker.ts" });
  // As of the start: what changed meanwhile may not be in it.
  writeFileSync(join(fresh, STAMP), "");
  utimesSync(join(fresh, STAMP), start / 1000, start / 1000);
  rmSync(output, { recursive: true, force: true });
  renameSync(fresh, output);
  console.error(`bundle: dist/host (${((Date.now() - start) / 1000).toFixed(1)} s)`);
}

/** Each of these as one script that needs no other file: what a thread of an instance loads. */
async function bundleWhole(folder: string, inputs: Record<string, string>): Promise<void> {
  for (const [name, path] of Object.entries(inputs)) {
    const external = (id: string, importer: string | undefined) => isPackage(id) && (isBuiltin(id) || importer?.startsWith("\0") === true);
    const build = await rolldown({ ...shared, external, input: join(root, path), plugins: [latePackages] });
    const file = join(folder, "component", `${name}.cjs`);
    await build.write({ file, format: "cjs", codeSplitting: false });
    writeFileSync(file, oneByteSource(readFileSync(file, "utf8")));
    await build.close();
  }
}

function isPackage(id: string): boolean {
  return !id.startsWith(".") && !id.startsWith("/") && !id.startsWith("\0");
}

function timesBelow(path: string): number[] {
  if (!statSync(path).isDirectory()) return [statSync(path).mtimeMs];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs);
}
