import type { Readable, Writable } from "node:stream";
import { InputStream } from "../io/input-stream.ts";
import { type Ledger, Resource } from "../io/ledger.ts";
import { OutputStream } from "../io/output-stream.ts";
import type { Sink, Source } from "../io/source.ts";
import { discardingSink, emptySource, readableSource, writableSink } from "./stdio.ts";

/** What a command sees of the world around it. */
export interface CliOptions {
  /** Arguments; the first is the program's name, as for any command. */
  args?: readonly string[];
  /** Environment variables. Nothing is inherited. */
  env?: Readonly<Record<string, string>>;
  /** Standard input; nothing to read by default. A Node stream is read only once the guest reads. */
  stdin?: Readable | Source;
  /** Standard output; thrown away by default. The stream is never ended. */
  stdout?: Writable | Sink;
  /** Standard error; thrown away by default. The stream is never ended. */
  stderr?: Writable | Sink;
}

/**
 * The guest asked to end. Thrown out of the export that it runs in; the instance is not to be used again.
 * Source: wasi:cli/exit.
 */
export class Exit extends Error {
  override readonly name = "Exit";
  /** The exit status, 0–255. */
  readonly code: number;

  constructor(code: number) {
    super(`the guest exited with status ${code}`);
    this.code = code;
  }
}

/** wasi:cli/terminal-input `terminal-input`. */
export class TerminalInput extends Resource {}

/** wasi:cli/terminal-output `terminal-output`. */
export class TerminalOutput extends Resource {}

/** wasi:cli for one instance. */
export function cliImports(ledger: Ledger, options: CliOptions): CliImports {
  const { stdin, stdout, stderr } = options;
  const input = stdin === undefined ? emptySource() : isStream(stdin) ? readableSource(stdin, ledger) : sharedSource(stdin);
  const sink = (to: Writable | Sink | undefined) =>
    to === undefined ? discardingSink() : isStream(to) ? writableSink(to, ledger) : sharedSink(to);
  const output = sink(stdout);
  const errors = sink(stderr);
  return {
    "wasi:cli/environment": {
      getEnvironment: () => Object.entries(options.env ?? {}),
      getArguments: () => [...(options.args ?? [])],
      initialCwd: () => undefined,
    },
    "wasi:cli/exit": {
      exit: (status) => {
        throw new Exit(status.tag === "ok" ? 0 : 1);
      },
      exitWithCode: (code) => {
        throw new Exit(code);
      },
    },
    "wasi:cli/stdin": { getStdin: () => new InputStream(ledger, input) },
    "wasi:cli/stdout": { getStdout: () => new OutputStream(ledger, output) },
    "wasi:cli/stderr": { getStderr: () => new OutputStream(ledger, errors) },
    "wasi:cli/terminal-input": { TerminalInput },
    "wasi:cli/terminal-output": { TerminalOutput },
    "wasi:cli/terminal-stdin": { getTerminalStdin: () => (isTerminal(stdin) ? new TerminalInput(ledger) : undefined) },
    "wasi:cli/terminal-stdout": { getTerminalStdout: () => (isTerminal(stdout) ? new TerminalOutput(ledger) : undefined) },
    "wasi:cli/terminal-stderr": { getTerminalStderr: () => (isTerminal(stderr) ? new TerminalOutput(ledger) : undefined) },
  };
}

export interface CliImports {
  "wasi:cli/environment": { getEnvironment(): [string, string][]; getArguments(): string[]; initialCwd(): string | undefined };
  "wasi:cli/exit": { exit(status: { tag: "ok" | "err" }): never; exitWithCode(code: number): never };
  "wasi:cli/stdin": { getStdin(): InputStream };
  "wasi:cli/stdout": { getStdout(): OutputStream };
  "wasi:cli/stderr": { getStderr(): OutputStream };
  "wasi:cli/terminal-input": { TerminalInput: typeof TerminalInput };
  "wasi:cli/terminal-output": { TerminalOutput: typeof TerminalOutput };
  "wasi:cli/terminal-stdin": { getTerminalStdin(): TerminalInput | undefined };
  "wasi:cli/terminal-stdout": { getTerminalStdout(): TerminalOutput | undefined };
  "wasi:cli/terminal-stderr": { getTerminalStderr(): TerminalOutput | undefined };
}

function isStream<T extends object>(value: T | Source | Sink): value is Exclude<T, Source | Sink> {
  return !("changed" in value);
}

function isTerminal(stream: object | undefined): boolean {
  return stream !== undefined && "isTTY" in stream && stream.isTTY === true;
}

/** The guest may ask for its standard streams again after it dropped them: a drop ends nothing. */
function sharedSource(source: Source): Source {
  return {
    changed: source.changed,
    available: () => source.available(),
    state: () => source.state(),
    read: (max) => source.read(max),
    readChunk: (max) => source.readChunk(max),
    close: () => {},
  };
}

function sharedSink(sink: Sink): Sink {
  return {
    changed: sink.changed,
    capacity: () => sink.capacity(),
    pending: () => sink.pending(),
    state: () => sink.state(),
    write: (bytes) => sink.write(bytes),
    end: () => {},
    abort: () => {},
  };
}
