import { readFile } from "node:fs/promises";
import { CacheError, loadComponent } from "../component/cache.ts";
import { UnusableError } from "../component/guest-thread.ts";
import { type ComponentCode, compileComponent, type RunResult } from "../component/instance.ts";
import { MemoryLimitError } from "../component/memory-limit.ts";
import { type Supervised, supervise } from "../component/supervisor.ts";
import { TranspileError } from "../component/transpile.ts";
import { CommandError, exitCodes } from "./command.ts";
import type { InstanceSettings } from "./instance-flags.ts";

/** How long a component may take to end after a first signal, in milliseconds. */
const STOP_DEADLINE = 5000;

/**
 * Run a component from a file until it ends or a signal ends it.
 *
 * @returns the exit code that stands for how it ended
 * @throws {CommandError} when the file cannot be read or run
 */
export async function runFile(file: string, settings: InstanceSettings, options: { restart: boolean }): Promise<number> {
  const code = loadFile(file, settings.memory);
  code.catch(() => {});
  const running = supervise({
    code,
    instance: settings.options,
    restart: options.restart,
    ...(settings.watchdog === undefined ? {} : { watchdog: settings.watchdog }),
    onRestart: (death, delay) => {
      const when = delay === 0 ? "now" : `in ${delay} ms`;
      process.stderr.write(`sallyport: ${describe(death)}; restarting ${when}\n`);
    },
  });
  const signals = stopOnSignals(running);
  try {
    const result = await running.result;
    return exitCodeOf(result, signals.received());
  } catch (cause) {
    throw asCommandError(cause);
  } finally {
    signals.release();
  }
}

async function loadFile(file: string, memory: number | undefined): Promise<ComponentCode> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    throw new CommandError(exitCodes.noInput, `cannot read ${file}: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`);
  }
  return await compileComponent(await loadComponent(bytes), memory);
}

/** The first signal asks the component to end, the second ends this process. */
function stopOnSignals(running: Supervised): { received: () => NodeJS.Signals | undefined; release: () => void } {
  let received: NodeJS.Signals | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    if (received !== undefined) process.exit(signalCode(signal));
    received = signal;
    void running.stop(STOP_DEADLINE).catch(() => {});
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, onSignal);
  return {
    received: () => received,
    release: () => {
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
}

function signalCode(signal: NodeJS.Signals): number {
  return 128 + { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 }[signal as "SIGHUP" | "SIGINT" | "SIGTERM"];
}

function exitCodeOf(result: RunResult, signal: NodeJS.Signals | undefined): number {
  if (result.tag === "exit") return result.code;
  if (result.tag === "stopped") return signal === undefined ? exitCodes.ok : signalCode(signal);
  process.stderr.write(`sallyport: ${describe(result)}\n`);
  return exitCodes.died;
}

/** How an instance ended, in a few words for people. */
export function describe(result: RunResult): string {
  switch (result.tag) {
    case "exit":
      return `the component exited with code ${result.code}`;
    case "trap":
      return `the component trapped: ${result.reason}`;
    case "unresponsive":
      return "the component kept its thread busy for too long and was ended (--watchdog)";
    case "limit":
      return result.which === "memory"
        ? "the component reached its limit of memory (--memory)"
        : "the component reached its limit of handles";
    case "stopped":
      return "the component was stopped";
  }
}

function asCommandError(cause: unknown): unknown {
  if (cause instanceof CacheError) return new CommandError(exitCodes.cannotCreate, cause.message);
  if (cause instanceof TranspileError || cause instanceof MemoryLimitError) return new CommandError(exitCodes.data, cause.message);
  if (cause instanceof WebAssembly.CompileError) return new CommandError(exitCodes.data, `the component is not valid: ${cause.message}`);
  if (cause instanceof UnusableError) {
    const code = cause.code === "ERR_SALLYPORT_COMPONENT" ? exitCodes.data : exitCodes.usage;
    return new CommandError(code, cause.message);
  }
  return cause;
}
