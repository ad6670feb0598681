import { access, rename, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { basename, extname } from "node:path";
import { fileURLToPath } from "node:url";
import { ComponentBuildError, componentize } from "../../component/componentize.ts";
import { type Command, CommandError, exitCodes, listOf, parseCommandLine, textOf, UsageError } from "../command.ts";

export const command: Command = {
  help: `sallyport build: build a component from TypeScript or JavaScript

Usage: sallyport build ENTRY [--wit PATH] [--world NAME] [flags]

ENTRY is the module that exports what the world exports; what it imports is bundled, the guest library of this package
(sallyport/guest/...) included: docs/guest.md says what is in it. The WIT of WASI 0.2 and of sallyport:tls is known; further
packages stand in a folder deps beside the world.

  --wit PATH           the .wit file with the world, or a folder of such files (default: the worlds of this package)
  --world NAME         the world to build (default: tls-command, a command with the network, files and TLS)
  -o, --output FILE    where to write the component (default: ENTRY's name with .wasm, in this folder)
  --engine ENGINE      quickjs (default) or starlingmonkey: the JavaScript engine inside the component
  --wit-deps PATH      a further WIT package: a .wit file, or a folder with one package a subfolder; may be repeated

Examples:
  sallyport build hello.ts
  sallyport build app.ts --wit wit --world app
  sallyport build app.ts --wit app.wit --world app -o dist/app.wasm --engine starlingmonkey`,

  async run(args) {
    const parsed = parseCommandLine(args, {
      wit: { type: "string" },
      world: { type: "string" },
      output: { type: "string", short: "o" },
      engine: { type: "string" },
      "wit-deps": { type: "string", multiple: true },
    });
    const [entry, ...surplus] = parsed.operands;
    if (entry === undefined) throw new UsageError("build takes the module to build from");
    if (surplus.length > 0 || parsed.rest !== undefined) throw new UsageError("build takes one module");
    const root = witFolder();
    const wit = textOf(parsed, "wit") ?? `${root}samples`;
    const world = textOf(parsed, "world") ?? (parsed.flags["wit"] === undefined ? DEFAULT_WORLD : undefined);
    if (world === undefined) throw new UsageError("build needs --world NAME, the world of your --wit to build");
    const engine = textOf(parsed, "engine") ?? "quickjs";
    if (engine !== "quickjs" && engine !== "starlingmonkey") throw new UsageError("--engine is quickjs or starlingmonkey");
    const witDeps = [`${root}deps`, `${root}tls.wit`, ...listOf(parsed, "wit-deps")];
    for (const input of [entry, wit, ...witDeps]) await assertReadable(input);
    const output = textOf(parsed, "output") ?? `${basename(entry, extname(entry))}.wasm`;
    await write(output, await build({ entry, wit, witDeps, world, engine }));
    return exitCodes.ok;
  },
};

const DEFAULT_WORLD = "tls-command";

/** The folder of WIT that this package brings along: of WASI, and its own. */
function witFolder(): string {
  // Two folders up from here is the package in the sources, three in its compiled form.
  const root = ["../../../wit/", "../../../../wit/"].map((path) => fileURLToPath(new URL(path, import.meta.url))).find(existsSync);
  if (root === undefined) throw new CommandError(exitCodes.noInput, "this installation has no folder wit; install the package again");
  return root;
}

async function assertReadable(path: string): Promise<void> {
  try {
    await access(path);
  } catch (cause) {
    throw new CommandError(exitCodes.noInput, `cannot read ${path}: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`);
  }
}

async function build(source: Parameters<typeof componentize>[0]): Promise<Uint8Array> {
  try {
    return await componentize(source);
  } catch (cause) {
    if (cause instanceof ComponentBuildError) throw new CommandError(exitCodes.data, cause.message);
    throw cause;
  }
}

/** In one step, so that a failure leaves no half of a component behind. */
async function write(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeFile(`${path}.new`, bytes);
    await rename(`${path}.new`, path);
  } catch (cause) {
    throw new CommandError(exitCodes.cannotCreate, `cannot write ${path}: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`);
  }
}
