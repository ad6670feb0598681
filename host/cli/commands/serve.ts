import { copyFileSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isIP } from "node:net";
import { WireError } from "../../../src/wire/wire-error.ts";
import type { InstanceOptions } from "../../component/messages.ts";
import { Grants, GrantError } from "../../net/grants.ts";
import { type Command, CommandError, exitCodes, listOf, parseCommandLine, type ParsedArguments, textOf, UsageError } from "../command.ts";
import { type EphemeralPki, makeEphemeralPki } from "../ephemeral-pki.ts";
import { type InstanceSettings, instanceSettings } from "../instance-settings.ts";
import { ownComponent } from "../own-component.ts";
import { runInstance } from "../run-file.ts";

/** Flags that the component takes by the same names: it knows what their values may be. */
const COMPONENT_FLAGS = ["client-auth", "once", "max-connections", "idle-timeout", "header-timeout"];
const COMPONENT_SWITCHES = ["default", "quiet", "verbose"];

export const command: Command = {
  help: `sallyport serve: serve a folder over HTTPS

Usage: sallyport serve DIR (--identity NAME=CERT[,KEY]... | --self-signed NAME...) [flags]

Runs the component https-serve.wasm. It sees DIR, read-only, and nothing else; it chooses among the identities by the
server name that a client asks for, and never sees a key. A dead instance is followed by a new one at once.

  --identity NAME=CERT[,KEY]   use the certificate chain and key in these PEM files; may be repeated
  --self-signed NAME           try it out: make an authority and a certificate for this name or address, in memory, for a
                               day; may be repeated. The authority's certificate is written to a file, which is printed
  --listen ADDRESS:PORT        where to listen (default 127.0.0.1:8443); port 0 lets the system choose
  --default                    serve clients that ask for no server name with the first identity
  --client-auth MODE           none (default), optional or required: whether clients show a certificate
  --client-ca FILE             PEM file with the authorities that client certificates may come from
  --max-connections N          connections at a time (default 1000); further ones wait
  --idle-timeout SECONDS       how long a connection may wait for a request, or a body stand still (default 30)
  --header-timeout SECONDS     how long a request head may take (default 10)
  --handshake-timeout MS       end a TLS handshake that is not done by then (default 10000)
  --once N                     end after N requests
  --quiet                      no access log on standard output
  -v, --verbose                a report of every handshake on standard error
  --watchdog MS                restart an instance that keeps its thread busy for so long (default 10000)
  --memory MIB                 the most linear memory of the instance (default 512)
  --no-attach                  never hand a socket to the TLS library: slower, same behaviour

The access log has a line for each request: time, client, server name, version, cipher suite, ALPN, group, full or
resumed handshake, the client certificate's subject, the request, status, bytes of the body, and cut if that is not all of it.
A folder answers with its index.html; there are no listings, and links that lead out of DIR are not followed.

Exit codes: 1 it cannot serve (the address is in use, for example), 2 a value of a flag is not understood; 130 and 143 stopped
by SIGINT and SIGTERM; and those of sallyport.

Examples:
  sallyport serve public --self-signed localhost
  sallyport serve public --identity site=chain.pem,key.pem --identity other=other.pem --listen :8443
  sallyport serve public --identity site=site.pem --client-auth required --client-ca staff.pem`,

  async run(args) {
    const parsed = parseCommandLine(args, {
      identity: { type: "string", multiple: true },
      "self-signed": { type: "string", multiple: true },
      listen: { type: "string" },
      "client-ca": { type: "string" },
      "handshake-timeout": { type: "string" },
      "no-attach": { type: "boolean" },
      watchdog: { type: "string" },
      memory: { type: "string" },
      ...Object.fromEntries(COMPONENT_FLAGS.map((flag) => [flag, { type: "string" as const }])),
      ...Object.fromEntries(COMPONENT_SWITCHES.map((flag) => [flag, { type: "boolean" as const }])),
      verbose: { type: "boolean", short: "v" },
    });
    const [folder, ...surplus] = parsed.operands;
    if (folder === undefined) throw new UsageError("serve takes the folder to serve");
    if (surplus.length > 0 || parsed.rest !== undefined) throw new UsageError("serve takes one folder");
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true)
      throw new CommandError(exitCodes.noInput, `${folder}: there is no such folder`);
    const component = ownComponent("https-serve");
    using scratch = new Scratch();
    return await runInstance(component, settingsOf(parsed, folder, scratch), { restart: true });
  },
};

function settingsOf(parsed: ParsedArguments, folder: string, scratch: Scratch): InstanceSettings {
  const { flags } = parsed;
  const listen = textOf(parsed, "listen") ?? "127.0.0.1:8443";
  assertListens(listen);
  const granted = listOf(parsed, "identity");
  const names = listOf(parsed, "self-signed");
  if (granted.length === 0 && names.length === 0)
    throw new UsageError("serve needs --identity NAME=CERT,KEY, or --self-signed NAME to try it out");
  if (granted.length > 0 && names.length > 0) throw new UsageError("--self-signed is for trying out, in place of --identity");
  const clientCa = textOf(parsed, "client-ca");

  const args = ["https-serve", "/site", "--listen", listen];
  for (const text of granted) args.push("--identity", text.split("=", 1)[0]!);
  for (const flag of COMPONENT_FLAGS) {
    const value = textOf(parsed, flag);
    if (value !== undefined) args.push(`--${flag}`, value);
  }
  // A client that goes to an address asks for no server name.
  const needsDefault = names.some((name) => isIP(name) !== 0);
  for (const flag of COMPONENT_SWITCHES) if (flags[flag] === true || (flag === "default" && needsDefault)) args.push(`--${flag}`);
  if (clientCa !== undefined) args.push("--client-ca", "/client-ca/ca.pem");

  const preopens = [{ host: folder, guest: "/site" }];
  if (clientCa !== undefined) preopens.push({ host: scratch.copyOf(clientCa), guest: "/client-ca" });
  const settings = instanceSettings({ ...parsed, flags: { ...flags, listen: [listen] } }, args);
  const pki = names.length > 0 ? ephemeralPki(names) : undefined;
  const withGrants = async (): Promise<InstanceOptions> => {
    const options = await settings.options;
    if (pki !== undefined) announce(pki.caPem, names, listen, scratch);
    const identities = pki === undefined ? undefined : { "self-signed": pki.identity.forWorker() };
    return { ...options, preopens, tls: { ...options.tls, ...(identities === undefined ? {} : { identities }) } };
  };
  return { ...settings, options: withGrants() };
}

/** Before anything is made and announced. */
function assertListens(listen: string): void {
  try {
    Grants.parse({ listen: [listen] });
  } catch (error) {
    if (error instanceof GrantError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}

function ephemeralPki(names: string[]): EphemeralPki {
  try {
    return makeEphemeralPki(names);
  } catch (error) {
    if (error instanceof WireError) throw new UsageError(`--self-signed: ${error.message}`, { cause: error });
    throw error;
  }
}

function announce(caPem: string, names: string[], listen: string, scratch: Scratch): void {
  const file = scratch.write("authority", "ca.pem", caPem);
  process.stderr.write(`sallyport: an authority for this run only: ${file}\n`);
  const port = /[0-9]+$/.exec(listen)?.[0] ?? "0";
  if (port !== "0") process.stderr.write(`sallyport: try ${curlCommand(file, names[0]!, listen, port)}\n`);
}

function curlCommand(ca: string, name: string, listen: string, port: string): string {
  const host = isIP(name) === 6 ? `[${name}]` : name.replace(/^\*\./, "www.");
  const isFound = isIP(name) !== 0 || name === "localhost";
  const address = listen.startsWith(":") ? `127.0.0.1${listen}` : listen;
  return `curl --cacert ${ca} ${isFound ? "" : `--connect-to ::${address} `}https://${host}:${port}/`;
}

/** A temporary folder of this process, made when it is needed and removed at the end. */
class Scratch implements Disposable {
  #folder: string | undefined;
  readonly #remove = () => {
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
  };

  constructor() {
    // Also when a second signal ends the process at once.
    process.once("exit", this.#remove);
  }

  /** @returns the file's path */
  write(folder: string, name: string, text: string): string {
    const path = join(this.#make(folder), name);
    writeFileSync(path, text);
    return path;
  }

  /**
   * A folder with nothing in it but a copy of `file`, as `ca.pem`: the folder where it stands may hold keys.
   *
   * @throws {CommandError}
   */
  copyOf(file: string): string {
    const folder = this.#make("copy");
    try {
      copyFileSync(file, join(folder, "ca.pem"));
    } catch (cause) {
      throw new CommandError(exitCodes.noInput, `cannot read ${file}: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`);
    }
    return folder;
  }

  [Symbol.dispose](): void {
    process.off("exit", this.#remove);
    this.#remove();
  }

  #make(name: string): string {
    this.#folder ??= mkdtempSync(join(tmpdir(), "sallyport-serve-"));
    return mkdtempSync(join(this.#folder, `${name}-`));
  }
}
