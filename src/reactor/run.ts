import { ErrorResult } from "../bindings/errors.ts";
import { drain, ownPromises } from "../bindings/install.ts";
import { spawn, stop, surfaced, turn } from "./reactor.ts";

/**
 * The body of an exported `wasi:cli/run`: runs `main` and everything it spawns, until `main` is done. Tasks that run then
 * are left where they are; the instance ends.
 *
 * ```ts
 * export const run = { run: () => runMain(async () => { … }) };
 * ```
 *
 * @param main returns an exit code; none and 0 are success
 * @param options.exit called with any other code, usually wasi:cli/exit's; without it, and if it returns, the result is an
 *   error
 * @param options.report told of the error that ends the program: the result of `wasi:cli/run` cannot carry it
 * @throws {RunFailed} when `main` or a spawned task throws, or ends with a code: the error result, exit code 1
 */
export function runMain(main: () => Promise<number | void>, options: RunOptions = {}): void | Promise<void> {
  let settled: { code: number } | { error: unknown } | undefined;
  spawn(async () => {
    try {
      settled = { code: (await main()) ?? 0 };
    } catch (error) {
      settled = { error };
    }
  });
  const outcome = () => settled ?? surfaced();
  const finish = () => end(outcome()!, options);
  if (!ownPromises) {
    return runOnEngineJobs(outcome)
      .catch((error: unknown) => {
        settled = { error };
      })
      .then(finish);
  }
  try {
    for (drain(); outcome() === undefined; drain()) turn();
  } catch (error) {
    settled = { error };
  }
  finish();
}

/** What `runMain` does at the end. */
export interface RunOptions {
  exit?: (code: number) => void;
  report?: (error: unknown) => void;
}

/**
 * `main` failed; `cause` is what it threw, if anything. Thrown out of the export for the error case of `wasi:cli/run`, which
 * has no value.
 */
export class RunFailed extends ErrorResult<undefined> {
  readonly code = "ERR_SALLYPORT_RUN_FAILED";

  constructor(message: string, cause?: unknown) {
    super(message, undefined);
    this.cause = cause;
  }
}

function end(outcome: { code: number } | { error: unknown }, { exit, report }: RunOptions): void {
  stop();
  if ("error" in outcome) {
    report?.(outcome.error);
    throw new RunFailed("the program failed", outcome.error);
  }
  if (outcome.code === 0) return;
  exit?.(outcome.code);
  throw new RunFailed(`exit code ${outcome.code}`);
}

/**
 * The engine's own jobs cannot be drained from inside, only waited past. So many turns of its queue are more than any chain
 * of awaits in this library between a wake and the next wait.
 */
const ENGINE_TURNS = 64;

async function runOnEngineJobs(outcome: () => unknown): Promise<void> {
  for (;;) {
    for (let i = 0; i < ENGINE_TURNS; i++) await undefined;
    if (outcome() !== undefined) return;
    turn();
  }
}
