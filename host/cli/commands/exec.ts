import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import { unsetVariables } from "../../proxy/client-environment.ts";
import { type ProxyStart, RunningProxy } from "../../proxy/running-proxy.ts";
import { summaryText } from "../../proxy/summary.ts";
import { type Command, CommandError, exitCodes, parseCommandLine, UsageError } from "../command.ts";
import { asProxyError, proxyFlags, proxyFlagsHelp, proxyStart, reloadFailure } from "../proxy-settings.ts";

export const command: Command = {
  help: `sallyport exec: run a command whose HTTPS goes through an intercepting proxy

An environment is not a sandbox: a command that ignores the variables for proxies connects as it likes. What has to be kept
from that runs where the network leads nowhere else (a container, a network namespace, a firewall rule).

Usage: sallyport exec --config FILE [flags] -- COMMAND [ARGUMENTS]

Starts a proxy for this run on a port of the loopback, with a token and a certification authority of its own, and runs the
command with the variables that make programs use and trust it, and those for which the policy has placeholders of secrets;
variables that secrets come from are taken out. Signals are passed on; the exit code is the command's. Ends with a line on what
the proxy did.

${proxyFlagsHelp}
  -q, --quiet                no line at the end

Exit codes: the command's, 128 and the signal's number where one ended it; 126 it cannot be run, 127 it is not there.

Examples:
  sallyport exec --config policy.json -- curl https://example.com/
  sallyport exec --config policy.json --audit audit.jsonl -- npm ci`,

  async run(args) {
    const parsed = parseCommandLine(args, { ...proxyFlags, quiet: { type: "boolean", short: "q" } });
    const [program, ...programArgs] = parsed.rest ?? [];
    if (parsed.operands.length > 0 || program === undefined) throw new UsageError("exec takes the command to run after --");
    const start = await proxyStart(parsed, { listen: "127.0.0.1:0", direct: [], auth: true });
    using source = start.source;
    let proxy: RunningProxy;
    try {
      proxy = await RunningProxy.start(start);
    } catch (cause) {
      throw asProxyError(cause);
    }
    source.watch(() => void proxy.reload().catch((cause: unknown) => process.stderr.write(`${reloadFailure(cause)}\n`)));
    const code = await runWith(program, programArgs, {
      ...withoutSources(commandEnvironment(process.env), start.secrets),
      ...proxy.environment,
    });
    const summary = await proxy.stop();
    if (parsed.flags.quiet !== true) {
      const log = proxy.auditFile === undefined ? "" : `; the audit log is ${proxy.auditFile}`;
      process.stderr.write(`sallyport: ${summaryText(summary)}${log}\n`);
    }
    return code;
  },
};

/** The environment of a command: without what keeps programs from using the proxy, and with what the launcher kept from this process. */
export function commandEnvironment({ SALLYPORT_NODE_OPTIONS: nodeOptions, ...environment }: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const left: NodeJS.ProcessEnv = { ...environment };
  for (const name of unsetVariables) delete left[name];
  if (nodeOptions !== undefined) left["NODE_OPTIONS"] = nodeOptions;
  return left;
}

/** An environment without the variables that secrets come from: the command is to have none of them. */
function withoutSources(environment: NodeJS.ProcessEnv, secrets: ProxyStart["secrets"]): NodeJS.ProcessEnv {
  const left = { ...environment };
  for (const { source } of Object.values(secrets)) if ("env" in source) delete left[source.env];
  return left;
}

/** Run it with our standard streams, and pass signals on. @returns its exit code */
export function runWith(program: string, args: string[], env: NodeJS.ProcessEnv): Promise<number> {
  const child = spawn(program, args, { stdio: "inherit", env });
  const signals = passSignals(child);
  return new Promise((resolve, reject) => {
    child.once("error", (error: NodeJS.ErrnoException) => {
      signals.release();
      const code = error.code === "ENOENT" ? 127 : 126;
      // The command's own failure to start is its exit code, as a shell has it.
      process.stderr.write(`sallyport: ${program} cannot be run: ${error.code}\n`);
      if (error.code === undefined) reject(new CommandError(exitCodes.died, error.message));
      else resolve(code);
    });
    child.once("exit", (code, signal) => {
      signals.release();
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}

function passSignals(child: ChildProcess): { release: () => void } {
  const pass = (signal: NodeJS.Signals) => void child.kill(signal);
  // The terminal sends this one to the command by itself.
  const ignore = () => {};
  const passed = ["SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR2"] as const;
  for (const signal of passed) process.on(signal, pass);
  process.on("SIGINT", ignore);
  return {
    release: () => {
      for (const signal of passed) process.off(signal, pass);
      process.off("SIGINT", ignore);
    },
  };
}
