import { type ParseArgsOptionDescriptor, parseArgs } from "node:util";
import { nearest } from "./suggestion.ts";

/** One command of the program. */
export interface Command {
  /** What `--help` prints: usage, flags and examples. */
  help: string;
  /**
   * Do it.
   *
   * @param args what follows the command's name
   * @returns the exit code of the process
   * @throws {UsageError}
   */
  run(args: string[]): Promise<number>;
}

/** Exit codes of the program beside the guest's own, after sysexits where it has one. */
export const exitCodes = {
  ok: 0,
  /** What was asked for cannot be done: an address that is in use, for example. */
  failed: 1,
  /** The command line cannot be understood, or a grant in it. */
  usage: 64,
  /** The input is not a component, or one that this host cannot run or build. */
  data: 65,
  /** An input file cannot be read. */
  noInput: 66,
  /** The instance died: trap, watchdog or limit. */
  died: 70,
  /** An output file cannot be written, or the cache cannot be used. */
  cannotCreate: 73,
} as const;

/** The command line is wrong. The message says what, and what to do. */
export class UsageError extends Error {
  readonly code = "ERR_SALLYPORT_USAGE";
}

/** A failure with an exit code of its own; the message is for people. */
export class CommandError extends Error {
  readonly code = "ERR_SALLYPORT_COMMAND";
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The flags that a command takes. */
export type Flags = Record<string, ParseArgsOptionDescriptor>;

/** A parsed command line. */
export interface ParsedArguments {
  flags: Record<string, string | boolean | (string | boolean)[] | undefined>;
  /** What is no flag, before `--`. */
  operands: string[];
  /** Everything after `--`, or `undefined` if there is none. */
  rest: string[] | undefined;
}

/** @throws {UsageError} on a flag that is unknown, lacks its value or has one that it does not take. */
export function parseCommandLine(args: string[], flags: Flags): ParsedArguments {
  const end = args.indexOf("--");
  const own = end === -1 ? args : args.slice(0, end);
  const { tokens } = parseArgs({ args: own, options: flags, strict: false, tokens: true });
  for (const token of tokens) if (token.kind === "option" && !Object.hasOwn(flags, token.name)) throw unknownFlag(token.rawName, flags);
  try {
    const { values, positionals } = parseArgs({ args: own, options: flags, allowPositionals: true });
    return { flags: values, operands: positionals, rest: end === -1 ? undefined : args.slice(end + 1) };
  } catch (cause) {
    throw new UsageError(`${(cause as Error).message.split(". ", 1)[0]}`, { cause });
  }
}

function unknownFlag(name: string, flags: Flags): UsageError {
  const near = nearest(name.replace(/^-+/, ""), Object.keys(flags));
  return new UsageError(`unknown flag ${name}${near === undefined ? "" : `; did you mean --${near}?`}`);
}

/** All values of a flag that may be given several times. */
export function listOf(parsed: ParsedArguments, flag: string): string[] {
  const value = parsed.flags[flag];
  return Array.isArray(value) ? value.map(String) : value === undefined ? [] : [String(value)];
}

/** The value of a flag that takes one. */
export function textOf(parsed: ParsedArguments, flag: string): string | undefined {
  const value = parsed.flags[flag];
  return typeof value === "string" ? value : undefined;
}
