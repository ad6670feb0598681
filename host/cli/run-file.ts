import { loadComponentFile } from "../component/cache.ts";
import { Compilation, type ComponentCode } from "../component/compile.ts";
import { UnusableError } from "../component/guest-thread.ts";
import type { RunResult } from "../component/instance.ts";
import { type Supervised, supervise } from "../component/supervisor.ts";
import { CommandError, exitCodes, type ParsedArguments, UsageError } from "./command.ts";
import { type InstanceSettings, instanceSettings } from "./instance-settings.ts";

/** How long a component may take to end after a first signal, in milliseconds. */
const STOP_DEADLINE = 5000;

/**
 * Run a component from a file until it ends or a signal ends it.
 *
 * @param parsed flags, `instanceFlags` among them
 * @param options.args what the guest sees as its arguments, the program's name first
 * @param options.restart whether a dead instance is followed by a new one
 * @returns the exit code that stands for how it ended
 * @throws {CommandError} when the file cannot be read or run
 * @throws {UsageError} when a flag's value is not understood
 */
export async function runFile(file: string, parsed: ParsedArguments, options: { args: string[]; restart: boolean }): Promise<number> {
  return await runInstance(file, instanceSettings(parsed, options.args), options);
}

/** As `runFile`, for commands that have settings of their own. @throws {CommandError} as `runFile` */
export async function runInstance(
  file: string,
  settings: InstanceSettings,
  options: { restart: boolean; brief?: boolean },
): Promise<number> {
  const code = loadFile(file, settings.memory);
  // Whichever of the two fails first is reported; the other's failure is then no news.
  for (const pending of [code, settings.options]) Promise.resolve(pending).catch(() => {});
  const running = supervise({
    code,
    instance: settings.options,
    restart: options.restart,
    brief: options.brief ?? false,
    ...(settings.watchdog === undefined ? {} : { watchdog: settings.watchdog }),
    onRestart: (death, delay) => {
      const when = delay === 0 ? "now" : `in ${delay} ms`;
      process.stderr.write(`sallyport: ${describe(death)}; restarting ${when}\n`);
    },
  });
  const signals = stopOnSignals(running);
  try {
    const result = await running.result;
    await running.drained;
    return exitCodeOf(result, signals.received());
  } catch (cause) {
    throw asCommandError(cause);
  } finally {
    signals.release();
  }
}

/**
 * A component from a file, compiled.
 *
 * @param memory the most linear memory of an instance, in bytes; `undefined` for the default
 * @throws {CommandError} when the file cannot be read
 */
export async function loadFile(file: string, memory?: number): Promise<ComponentCode> {
  // Other threads compile while this one still checks what was read.
  const compilation = new Compilation(memory);
  const onModule = (module: Uint8Array) => compilation.begin(module);
  const component = await loadComponentFile(file, undefined, { onModule }).catch(nameFile(file));
  return await compilation.of(component);
}

/** Says which file cannot be read, or is no component. */
function nameFile(file: string): (cause: unknown) => never {
  return (cause) => {
    const { code, path } = cause as NodeJS.ErrnoException;
    if (path === file) throw new CommandError(exitCodes.noInput, `cannot read ${file}: ${code ?? String(cause)}`);
    if (code !== "ERR_SALLYPORT_TRANSPILE") throw cause;
    throw new CommandError(exitCodes.data, `${file}: ${(cause as Error).message}`);
  };
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

/** What went wrong with a component, as a command throws it; what nobody expected as it is. */
export function asCommandError(cause: unknown): unknown {
  if (cause instanceof CommandError || cause instanceof UsageError) return cause;
  if (cause instanceof WebAssembly.CompileError) return new CommandError(exitCodes.data, `the component is not valid: ${cause.message}`);
  const { code, message } = cause as { code?: string; message: string };
  if (code !== undefined && Object.hasOwn(exitCodeOfError, code)) return new CommandError(exitCodeOfError[code]!, message);
  if (!(cause instanceof UnusableError)) return cause;
  // Without a code of ours it is this host that failed; with one, a grant or a file that it names.
  return new CommandError(code?.startsWith("ERR_SALLYPORT_") && code !== "ERR_SALLYPORT_HOST" ? exitCodes.usage : exitCodes.died, message);
}

const exitCodeOfError: Record<string, number> = {
  ERR_SALLYPORT_CACHE: exitCodes.cannotCreate,
  ERR_SALLYPORT_TRANSPILE: exitCodes.data,
  ERR_SALLYPORT_MEMORY_LIMIT: exitCodes.data,
  ERR_SALLYPORT_COMPONENT: exitCodes.data,
};
