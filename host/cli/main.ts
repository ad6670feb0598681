import { readFileSync } from "node:fs";
import { CommandError, type Command, exitCodes, UsageError } from "./command.ts";
import { nearest } from "./suggestion.ts";

/** The commands, each loaded when it is used: what a command does not need costs it no start-up time. */
const commands: Record<string, { summary: string; load: () => Promise<Command> }> = {
  run: { summary: "run a component in the sandbox", load: async () => (await import("./commands/run.ts")).command },
  get: { summary: "fetch pages over TLS", load: async () => (await import("./commands/get.ts")).command },
  serve: { summary: "serve a folder over HTTPS", load: async () => (await import("./commands/serve.ts")).command },
  token: { summary: "make and check capability tokens", load: async () => (await import("./commands/token.ts")).command },
  proxy: { summary: "run an intercepting proxy", load: async () => (await import("./commands/proxy.ts")).command },
  exec: { summary: "run a command through an intercepting proxy", load: async () => (await import("./commands/exec.ts")).command },
  connect: {
    summary: "reach such a proxy with a client certificate and a token",
    load: async () => (await import("./commands/connect.ts")).command,
  },
  build: { summary: "build a component from TypeScript or JavaScript", load: async () => (await import("./commands/build.ts")).command },
  policy: { summary: "check and explain what the proxy is told to do", load: async () => (await import("./commands/policy.ts")).command },
  audit: { summary: "read the audit log of a proxy", load: async () => (await import("./commands/audit.ts")).command },
  ca: { summary: "make and keep a certification authority", load: async () => (await import("./commands/ca.ts")).command },
  demo: {
    summary: "show a component fetch a page from another one over TLS",
    load: async () => (await import("./commands/demo.ts")).command,
  },
};

/**
 * Run the program.
 *
 * @param args the command line without the program's own name
 * @returns the exit code
 */
export async function main(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  try {
    if (name === "--version" || name === "-V") return print(version());
    if (name === undefined) throw new UsageError("which command?");
    if (name === "--help" || name === "-h") return print(overview());
    if (name === "help" && rest[0] === undefined) return print(overview());
    const command = await load(name === "help" ? rest[0]! : name);
    if (name === "help" || wantsHelp(rest)) return print(command.help.trimEnd());
    return await command.run(rest);
  } catch (cause) {
    return report(cause, name);
  }
}

async function load(name: string): Promise<Command> {
  if (Object.hasOwn(commands, name)) return await commands[name]!.load();
  if (name.startsWith("-")) throw new UsageError(`unknown flag ${name}: the command comes first`);
  const near = nearest(name, Object.keys(commands));
  throw new UsageError(`unknown command ${JSON.stringify(name)}${near === undefined ? "" : `; did you mean ${near}?`}`);
}

function wantsHelp(args: string[]): boolean {
  const end = args.indexOf("--");
  const own = end === -1 ? args : args.slice(0, end);
  return own.includes("--help") || own.includes("-h");
}

function print(text: string): number {
  process.stdout.write(`${text}\n`);
  return exitCodes.ok;
}

function report(cause: unknown, command: string | undefined): number {
  if (cause instanceof UsageError) {
    const known = command !== undefined && Object.hasOwn(commands, command);
    const help = known ? `sallyport ${command} --help` : "sallyport --help";
    process.stderr.write(`sallyport: ${cause.message}\nSee ${help}\n`);
    return exitCodes.usage;
  }
  if (cause instanceof CommandError) {
    process.stderr.write(`sallyport: ${cause.message}\n`);
    return cause.exitCode;
  }
  throw cause;
}

function overview(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}   ${summary}`);
  return `sallyport: TLS for WebAssembly components

Usage: sallyport COMMAND [flags]

${lines.join("\n")}

  sallyport COMMAND --help   flags and examples of a command
  sallyport --version

Exit codes: 0 ok; the component's own; 64 the command line or a grant is wrong; 65 not a component that this host can
run; 66 an input cannot be read; 70 the instance died (trap, watchdog, limit); 73 an output or the cache cannot be
written; 130 and 143 stopped by SIGINT and SIGTERM.`;
}

function version(): string {
  // Two folders up from here in the sources, three in the compiled package.
  for (const path of ["../../package.json", "../../../package.json"]) {
    try {
      const manifest = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")) as { name?: string; version?: string };
      if (manifest.name === "sallyport") return manifest.version ?? "unknown";
    } catch {
      continue;
    }
  }
  return "unknown";
}

// Not when a test imports it.
if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
