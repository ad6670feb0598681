import { shellLines, unsetVariables } from "../../proxy/client-environment.ts";
import { RunningProxy } from "../../proxy/running-proxy.ts";
import { summaryText } from "../../proxy/summary.ts";
import { accessFlags, accessFlagsHelp, accessOf } from "../access-settings.ts";
import { type Command, exitCodes, listOf, parseCommandLine, textOf, UsageError } from "../command.ts";
import { asProxyError, proxyFlags, proxyFlagsHelp, proxyStart, reloadFailure } from "../proxy-settings.ts";
import { describe } from "../run-file.ts";

export const command: Command = {
  help: `sallyport proxy: an intercepting proxy that a policy decides for

Usage: sallyport proxy --config FILE [flags]

Programs send their HTTP and HTTPS through it. The component proxy.wasm decides per connection and per request what is passed
on unread, intercepted or denied; it holds no key and no secret. Prints where it listens, and the environment that a client
needs, as lines for a shell.

${proxyFlagsHelp}
  --listen ADDRESS:PORT      where clients send CONNECT and plain HTTP (default 127.0.0.1:0: a port that the system chooses)
${accessFlagsHelp}
  --direct ADDRESS:PORT      take TLS connections there as they come, by the server name in their hello; may be repeated
  --no-auth                  ask for no session token: every program on this machine may use the proxy

The policy is read anew on SIGHUP and when its file changes; connections that it still allows go on. SIGTERM and SIGINT end
the proxy when its clients have finished, or after the policy's drain_seconds; a second one at once.

Examples:
  sallyport proxy --config policy.json
  sallyport proxy --config policy.json --listen 127.0.0.1:8080 --audit audit.jsonl --ca-dir ca`,

  async run(args) {
    const parsed = parseCommandLine(args, {
      ...proxyFlags,
      listen: { type: "string" },
      ...accessFlags,
      direct: { type: "string", multiple: true },
      "no-auth": { type: "boolean" },
    });
    if (parsed.operands.length > 0 || parsed.rest !== undefined)
      throw new UsageError("proxy takes flags only; to run a command there is exec");
    const auth = parsed.flags["no-auth"] !== true;
    const access = accessOf(parsed);
    const start = await proxyStart(parsed, {
      listen: textOf(parsed, "listen") ?? (access === undefined ? "127.0.0.1:0" : undefined),
      access,
      direct: listOf(parsed, "direct"),
      auth,
    });
    using source = start.source;
    let proxy: RunningProxy;
    try {
      proxy = await RunningProxy.start(start);
    } catch (cause) {
      throw asProxyError(cause);
    }
    const reload = () => {
      proxy.reload().then(
        () => process.stderr.write("sallyport: the policy was changed\n"),
        (cause: unknown) => process.stderr.write(`${reloadFailure(cause)}\n`),
      );
    };
    // Before anybody hears that the proxy is there, so that what they change then is seen.
    source.watch(reload);
    using trust = access?.trust;
    trust?.watch(() => {
      proxy.reloadAccess().then(
        (isChanged) => void (isChanged && process.stderr.write("sallyport: keyring and revocations were changed\n")),
        (cause: unknown) =>
          process.stderr.write(
            `sallyport: the old keyring and revocations stay: ${cause instanceof Error ? cause.message : String(cause)}\n`,
          ),
      );
    });
    if (!auth) process.stderr.write("sallyport: --no-auth: every program that reaches this address may use the proxy\n");
    const lines = [
      ...new Set([proxy.url, ...proxy.tlsUrls].map((url) => `# sallyport proxy listens on ${url}`)),
      `unset ${unsetVariables.join(" ")}`,
      ...shellLines(proxy.environment),
    ];
    process.stdout.write(`${lines.join("\n")}\n`);
    process.on("SIGHUP", reload);
    const stopped = untilStopped();
    const result = await Promise.race([stopped, proxy.ended.then((ended) => describe(ended))]);
    process.off("SIGHUP", reload);
    const summary = await proxy.stop();
    process.stderr.write(`sallyport: ${summaryText(summary)}\n`);
    if (result === "SIGTERM" || result === "SIGINT") return exitCodes.ok;
    process.stderr.write(`sallyport: ${result}\n`);
    return exitCodes.died;
  },
};

/** The first signal asks to end, a second ends this process. */
function untilStopped(): Promise<string> {
  return new Promise((resolve) => {
    let asked = false;
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.on(signal, () => {
        if (asked) process.exit(signal === "SIGINT" ? 130 : 143);
        asked = true;
        resolve(signal);
      });
    }
  });
}
