import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { trustBundle, pemOf } from "../../authority/trust-bundle.ts";
import type { InstanceOptions } from "../../component/messages.ts";
import { type Supervised, supervise } from "../../component/supervisor.ts";
import { KeyFileError, loadAnchors } from "../../identity/key-file.ts";
import { clientEnvironment, shellLines, unsetVariables } from "../../proxy/client-environment.ts";
import { ProxyFiles } from "../../proxy/proxy-files.ts";
import { TokenSupply, TokenSupplyError, type TokenSource } from "../../proxy/token-supply.ts";
import { type Command, CommandError, exitCodes, listOf, parseCommandLine, type ParsedArguments, textOf, UsageError } from "../command.ts";
import { ownComponent } from "../own-component.ts";
import { asCommandError, describe, loadFile } from "../run-file.ts";
import { loadCredentials } from "../tls-settings.ts";
import { commandEnvironment, runWith } from "./exec.ts";

export const command: Command = {
  help: `sallyport connect: reach a proxy that wants a client certificate and a token, with programs that know of neither

Usage: sallyport connect --proxy https://HOST:PORT --identity NAME=CERT,KEY (--token FILE | --token-command COMMAND)
                         [flags] [-- COMMAND [ARGUMENTS]]

Listens on the loopback as an ordinary proxy with a token for this run, and goes on to the proxy in TLS with the certificate
and the capability token. With a command, it is run with the variables that make programs use the proxy, and its exit code is
that of this one; without, they are printed as lines for a shell. The component connect.wasm does it: it sees no key, and no
network but the proxy.

  --proxy https://HOST:PORT   the proxy (see sallyport proxy --tls-listen); its certificate has to be for HOST
  --identity NAME=CERT,KEY    the client certificate that the token is bound to
  --ca FILE                   trust these authorities for the proxy, in place of the system's
  --token FILE                a capability token; read anew whenever the file changes
  --token-command COMMAND     a program that prints one; run again before it expires. Words are separated by blanks
  --trust FILE                authorities of what the proxy intercepts, which programs then trust besides the system's
  --listen ADDRESS:PORT       of the loopback (default 127.0.0.1:0: a port that the system chooses)

Examples:
  sallyport connect --proxy https://gate.example:8443 --identity me=me.pem,me.key --token me.token -- npm ci
  sallyport connect --proxy https://gate.example:8443 --identity me=me.pem,me.key --token-command "sallyport token issue …"`,

  async run(args) {
    const parsed = parseCommandLine(args, {
      proxy: { type: "string" },
      identity: { type: "string", multiple: true },
      ca: { type: "string", multiple: true },
      token: { type: "string" },
      "token-command": { type: "string" },
      trust: { type: "string" },
      listen: { type: "string" },
    });
    const [program, ...programArgs] = parsed.rest ?? [];
    if (parsed.operands.length > 0 || (parsed.rest !== undefined && program === undefined))
      throw new UsageError("connect takes flags, and the command to run after --");
    const proxy = proxyOf(textOf(parsed, "proxy"));
    const listen = listenOf(textOf(parsed, "listen") ?? "127.0.0.1:0");
    const identity = identityOf(parsed);
    const source = sourceOf(parsed);
    const tls = loadCredentials(parsed, process.env);
    const session = randomBytes(32).toString("hex");
    using supply = await supplyOf(source);
    using files = new ProxyFiles();
    const trust = trustOf(textOf(parsed, "trust"), files);
    const running = supervise({
      code: loadFile(ownComponent("connect")),
      instance: {
        args: ["connect", "--listen", listen, "--proxy", proxy, "--identity", identity],
        env: { SALLYPORT_CONNECT_TOKEN: session },
        grants: { allowNet: [proxy], listen: [listen] },
        preopens: [{ host: supply.folder, guest: "/token", write: false }],
        tls,
      } satisfies InstanceOptions,
      stdio: "pipe",
    });
    running.stdin?.end();
    running.stderr?.on("data", (chunk: Uint8Array) => process.stderr.write(chunk));
    const address = await listening(running);
    const environment = clientEnvironment({ url: `http://sallyport:${session}@${address}`, ...trust });
    if (program !== undefined) {
      const code = await runWith(program, programArgs, { ...commandEnvironment(process.env), ...environment });
      await running.stop(0);
      return code;
    }
    const lines = [`# sallyport connect listens on http://${address}`, `unset ${unsetVariables.join(" ")}`, ...shellLines(environment)];
    process.stdout.write(`${lines.join("\n")}\n`);
    const signal = stopSignal();
    const end = await Promise.race([signal, running.result.then(describe)]);
    await running.stop(0);
    if (end === "stopped by a signal") return exitCodes.ok;
    process.stderr.write(`sallyport: ${end}\n`);
    return exitCodes.died;
  },
};

/** `HOST:PORT`. */
function proxyOf(text: string | undefined): string {
  if (text === undefined) throw new UsageError("which proxy? give it with --proxy https://HOST:PORT");
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "https:" || url.pathname !== "/" || url.search !== "" || url.username !== "" || url.password !== "")
    throw new UsageError("--proxy takes https://HOST:PORT: a token is never sent in the clear");
  return url.port === "" ? `${url.host}:443` : url.host;
}

function listenOf(text: string): string {
  if (!/^(127\.[0-9.]+|\[::1\]):[0-9]{1,5}$/.test(text))
    throw new UsageError("--listen takes an address of the loopback, such as 127.0.0.1:8080");
  return text;
}

function identityOf(parsed: ParsedArguments): string {
  const [text, ...more] = listOf(parsed, "identity");
  if (text === undefined || more.length > 0) throw new UsageError("connect takes one --identity NAME=CERT,KEY");
  return text.split("=", 1)[0]!;
}

function sourceOf(parsed: ParsedArguments): TokenSource {
  const file = textOf(parsed, "token");
  const words = (textOf(parsed, "token-command") ?? "").split(" ").filter((word) => word !== "");
  if ((file === undefined) === (words.length === 0)) throw new UsageError("connect takes --token FILE or --token-command COMMAND");
  if (file !== undefined) return { file };
  const [program, ...args] = words;
  return { command: [program!, ...args] };
}

async function supplyOf(source: TokenSource): Promise<TokenSupply> {
  try {
    return await TokenSupply.open(source, (line) => process.stderr.write(`${line}\n`));
  } catch (cause) {
    if (!(cause instanceof TokenSupplyError)) throw cause;
    throw new CommandError(exitCodes.noInput, cause.message);
  }
}

function trustOf(file: string | undefined, files: ProxyFiles): { caFile: string | undefined; bundleFile: string | undefined } {
  if (file === undefined) return { caFile: undefined, bundleFile: undefined };
  try {
    const { certificates } = loadAnchors(file);
    return { caFile: files.write("ca.pem", pemOf(certificates)), bundleFile: files.write("bundle.pem", trustBundle(certificates)) };
  } catch (cause) {
    if (!(cause instanceof KeyFileError)) throw cause;
    throw new CommandError(exitCodes.noInput, cause.message);
  }
}

/** Where it listens. @throws {CommandError} when it ends before */
async function listening({ stdout, result }: Supervised): Promise<string> {
  const said = new Promise<string>((resolve) => {
    createInterface({ input: stdout! }).on("line", (line) => {
      const [word, address] = line.split(" ");
      if (word === "listening") resolve(address!);
    });
  });
  const ended = result.then(
    (end) => {
      throw new CommandError(exitCodes.died, `it ended before it began: ${describe(end)}`);
    },
    (cause: unknown) => {
      throw asCommandError(cause);
    },
  );
  ended.catch(() => {});
  return await Promise.race([said, ended]);
}

/** The first signal ends it. */
function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.once(signal, () => resolve("stopped by a signal"));
  });
}
