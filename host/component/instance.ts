import { Trap } from "../io/ledger.ts";
import { Exit } from "../wasi/cli.ts";
import type { ComponentCode } from "./compile.ts";
import { MemoryLimitError } from "./memory-limit.ts";
import { loadScript } from "./script.ts";

export { type ComponentCode, compileComponent, DEFAULT_MEMORY } from "./compile.ts";

/** How a run ended. */
export type RunResult =
  /** The guest returned from `run` (0, or 1 for its error case) or called `exit`. */
  | { tag: "exit"; code: number }
  /** The instance is dead: the guest trapped, or broke a rule of the interfaces that it uses. */
  | { tag: "trap"; reason: string }
  /** The guest kept its thread busy past the watchdog's time without giving the event loop a turn. */
  | { tag: "unresponsive" }
  /** The instance ended because it reached a limit. */
  | { tag: "limit"; which: "memory" | "handles" }
  /** It was asked to stop, and did or was stopped. */
  | { tag: "stopped" };

/** What a component imports: interfaces by name, as `createImports` makes them. */
export type ImportObject = Record<string, unknown>;

/** A live instance of a component. */
export interface Instance {
  /** Its exports as jco presents them. Every function returns a promise; one call runs at a time. */
  exports: Record<string, unknown>;
  /** Bytes of linear memory that it has now. */
  memoryUsed(): number;
}

/**
 * Make an instance.
 *
 * @throws {ComponentError} when the script is not one of ours or an import is missing
 * @throws what the component's own start-up throws: `resultOf` says what that means
 */
export async function instantiate(code: ComponentCode, imports: ImportObject): Promise<Instance> {
  const missing = code.imports.filter((name) => !(name in imports));
  if (missing.length > 0) throw new ComponentError(`the component imports what this host does not have: ${missing.join(", ")}`);
  const instantiateScript = await loadScript(code.script);
  if (instantiateScript === undefined) throw new ComponentError(`${code.script} is not a transpiled component`);
  const memories = new Set<WebAssembly.Memory>();
  const exports = await instantiateScript(
    (name) => {
      const module = code.modules.get(name);
      if (module === undefined) throw new ComponentError(`the core module ${name} is missing`);
      return module;
    },
    imports,
    async (module, coreImports) => {
      const core = await WebAssembly.instantiate(module, coreImports);
      for (const item of Object.values(core.exports)) if (item instanceof WebAssembly.Memory) memories.add(item);
      return core;
    },
  );
  return {
    exports,
    memoryUsed: () => Array.from(memories).reduce((sum, memory) => sum + memory.buffer.byteLength, 0),
  };
}

/**
 * Instantiate a command and call its `wasi:cli/run`. Never rejects for what the guest does.
 *
 * @param options.started called with the instance before it runs
 * @throws {ComponentError} when the component is no command, or imports what the host does not have
 */
export async function runCommand(
  code: ComponentCode,
  imports: ImportObject,
  options: { started?: (instance: Instance) => void } = {},
): Promise<RunResult> {
  let instance: Instance | undefined;
  try {
    instance = await instantiate(code, imports);
    const run = commandOf(instance);
    options.started?.(instance);
    await run();
    return { tag: "exit", code: 0 };
  } catch (cause) {
    return resultOf(cause, instance, code.memory);
  }
}

/** The component cannot be run by this host, whatever it would do. */
export class ComponentError extends Error {
  readonly code = "ERR_SALLYPORT_COMPONENT";
}

function commandOf(instance: Instance): () => Promise<void> {
  const name = Object.keys(instance.exports).find((key) => /^wasi:cli\/run(@|$)/.test(key));
  const run = name === undefined ? undefined : (instance.exports[name] as { run?: unknown }).run;
  if (typeof run !== "function") throw new ComponentError("the component exports no wasi:cli/run: it is not a command");
  return run as () => Promise<void>;
}

/** What an error that came out of a guest's call means. @throws {ComponentError} unchanged */
function resultOf(cause: unknown, instance: Instance | undefined, memory: number): RunResult {
  if (cause instanceof ComponentError) throw cause;
  if (cause instanceof Exit) return { tag: "exit", code: cause.code };
  if (cause instanceof MemoryLimitError) return { tag: "limit", which: "memory" };
  if (cause instanceof WebAssembly.LinkError) throw new ComponentError(`the component does not fit this host: ${cause.message}`, { cause });
  // The error case of `run`: jco throws the payload, and there is none.
  if (cause === undefined) return { tag: "exit", code: 1 };
  const reason = trapReason(cause);
  if (cause instanceof Trap && reason.startsWith("limit reached:")) return { tag: "limit", which: "handles" };
  // The engine's refusal to grow shows only as a guest that gives up. An allocator asks for as much again as it has.
  if (instance !== undefined && instance.memoryUsed() * 2 >= memory) return { tag: "limit", which: "memory" };
  return { tag: "trap", reason };
}

function trapReason(cause: unknown): string {
  // V8 found the guest's calls too deep. The instance is not marked as dead, but nothing in it was unwound.
  if (cause instanceof RangeError) return "the guest's calls are nested too deeply";
  const text = cause instanceof Error ? cause.message : String(cause);
  return text.replaceAll(/[^\x20-\x7e]+/g, " ").slice(0, 300);
}
