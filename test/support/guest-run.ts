import { PassThrough, type Readable } from "node:stream";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadComponent } from "../../host/component/cache.ts";
import { type ComponentSource, componentize } from "../../host/component/componentize.ts";
import { compileComponent, type ComponentCode, type RunResult, runCommand } from "../../host/component/instance.ts";
import { createImports, type ImportsOptions } from "../../host/index.ts";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** A guest that was built for a test; `remove` deletes its files. */
export interface BuiltGuest {
  code: ComponentCode;
  remove(): Promise<void>;
}

/** Build a guest, paths relative to the project. */
export async function buildGuest(source: Pick<ComponentSource, "entry" | "wit" | "world"> & Partial<ComponentSource>): Promise<BuiltGuest> {
  const folder = await mkdtemp(join(tmpdir(), "sallyport-test-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const component = await componentize({
      engine: "quickjs",
      ...source,
      entry: join(root, source.entry),
      wit: join(root, source.wit),
      witDeps: source.witDeps ?? [join(root, "wit/deps"), join(root, "wit/tls.wit")],
    });
    return { code: await compileComponent(await loadComponent(component, join(folder, "cache"))), remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** A guest that runs, or ran. */
export interface GuestRun {
  /** Everything it wrote so far. */
  stdout(): string;
  stderr(): string;
  /** Resolves with the first match in what it writes to its standard output; rejects when it ends without one. */
  said(pattern: RegExp): Promise<RegExpExecArray>;
  /** How it ended, and how many handles it held at that moment. */
  ended: Promise<RunResult & { handles: number }>;
  refusals: string[];
}

/** Run a guest against the real host. */
export function startGuest(code: ComponentCode, options: ImportsOptions & { stdin?: Readable } = {}): GuestRun {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const texts = { stdout: "", stderr: "" };
  stdout.on("data", (chunk: Uint8Array) => (texts.stdout += Buffer.from(chunk).toString("latin1")));
  stderr.on("data", (chunk: Uint8Array) => (texts.stderr += Buffer.from(chunk).toString("latin1")));
  const refusals: string[] = [];
  const host = createImports({ stdout, stderr, onRefusal: (line) => refusals.push(line), ...options });
  const ended = runCommand(code, host.imports).then((result) => {
    const handles = host.ledger.handles;
    host.dispose();
    return { ...result, handles };
  });
  const said = async (pattern: RegExp): Promise<RegExpExecArray> => {
    let over = false;
    void ended.then(() => (over = true));
    for (;;) {
      const match = pattern.exec(texts.stdout);
      if (match !== null) return match;
      if (over) throw new Error(`the guest ended without saying ${pattern}: ${JSON.stringify(texts)}`);
      await Promise.race([ended, new Promise((resolve) => stdout.once("data", resolve))]);
    }
  };
  return { stdout: () => texts.stdout, stderr: () => texts.stderr, said, ended, refusals };
}
