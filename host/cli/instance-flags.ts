import type { InstanceOptions } from "../component/messages.ts";
import { GrantError, Grants } from "../net/grants.ts";
import { type Flags, listOf, type ParsedArguments, textOf, UsageError } from "./command.ts";

/** What every command that runs an instance takes. */
export const instanceFlags: Flags = {
  "allow-net": { type: "string", multiple: true },
  listen: { type: "string", multiple: true },
  identity: { type: "string", multiple: true },
  ca: { type: "string", multiple: true },
  dir: { type: "string", multiple: true },
  env: { type: "string", multiple: true },
  watchdog: { type: "string" },
  memory: { type: "string" },
  "lenient-drops": { type: "boolean" },
  "allow-invalid": { type: "string", multiple: true },
  "no-attach": { type: "boolean" },
  "handshake-timeout": { type: "string" },
};

/** The part of a command's help that describes `instanceFlags`. */
export const instanceFlagsHelp = `Grants (nothing is granted by default; each may be given several times):
  --allow-net TARGET[:PORT]      resolve and connect to a name, *.name, address or range: example.com:443, 10.0.0.0/8
  --listen ADDRESS:PORT          listen there: 127.0.0.1:8443, [::1]:0, :8443
  --identity NAME=CERT[,KEY]     use the certificate chain and key in these PEM files, under this name; no key is shown to it
  --ca FILE                      also trust the certification authorities in this PEM file
  --dir HOST[:GUEST[:ro]]        open a folder, under the name GUEST, read-only with :ro
  --env NAME[=VALUE]             set an environment variable; without a value, pass on the one of this process
  --allow-invalid HOST:REASON    let the component override this certificate error for this server

Limits and behaviour:
  --watchdog MS                  end an instance that keeps its thread busy for so long (default 10000)
  --memory MIB                   the most linear memory of an instance (default 512)
  --handshake-timeout MS         end a TLS handshake that is not done by then (default 10000)
  --lenient-drops                tolerate a stream dropped before its pollables, which is a trap otherwise
  --no-attach                    never hand a socket to the TLS library: slower, same behaviour`;

/** How an instance is run, from the flags of `instanceFlags`. */
export interface InstanceSettings {
  options: InstanceOptions;
  /** Milliseconds; `undefined` for the default. */
  watchdog: number | undefined;
  /** Bytes; `undefined` for the default. */
  memory: number | undefined;
}

/**
 * @param args what the guest sees as its arguments, the program's name first
 * @throws {UsageError} naming the flag
 */
export function instanceSettings(parsed: ParsedArguments, args: string[], processEnv: NodeJS.ProcessEnv = process.env): InstanceSettings {
  const grants = { allowNet: listOf(parsed, "allow-net"), listen: listOf(parsed, "listen") };
  try {
    Grants.parse(grants);
  } catch (cause) {
    if (cause instanceof GrantError) throw new UsageError(cause.message, { cause });
    throw cause;
  }
  const memory = wholeNumber(parsed, "memory", 1, 4096);
  return {
    options: {
      args,
      grants,
      env: Object.fromEntries(listOf(parsed, "env").map((text) => variable(text, processEnv))),
      preopens: listOf(parsed, "dir").map(folder),
      lenientDrops: parsed.flags["lenient-drops"] === true,
    },
    watchdog: wholeNumber(parsed, "watchdog", 10, 86_400_000),
    memory: memory === undefined ? undefined : memory * 1024 * 1024,
  };
}

function wholeNumber(parsed: ParsedArguments, flag: string, least: number, most: number): number | undefined {
  const text = textOf(parsed, flag);
  if (text === undefined) return undefined;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (!(value >= least && value <= most)) throw new UsageError(`--${flag} takes a whole number from ${least} to ${most}`);
  return value;
}

function variable(text: string, processEnv: NodeJS.ProcessEnv): [name: string, value: string] {
  const equals = text.indexOf("=");
  const name = equals === -1 ? text : text.slice(0, equals);
  if (name === "" || name.includes("\0")) throw new UsageError("--env takes NAME=VALUE or NAME");
  if (equals !== -1) return [name, text.slice(equals + 1)];
  const value = processEnv[name];
  if (value === undefined)
    throw new UsageError(`--env ${name}: this process has no such variable; give it a value with --env ${name}=VALUE`);
  return [name, value];
}

function folder(text: string): { host: string; guest: string; write: boolean } {
  const [host, guest, mode, ...more] = text.split(":");
  if (!host || more.length > 0 || guest === "" || (mode !== undefined && mode !== "ro"))
    throw new UsageError(`--dir ${JSON.stringify(text)} is not understood; accepted are HOST, HOST:GUEST and HOST:GUEST:ro`);
  return { host, guest: guest ?? host, write: mode !== "ro" };
}
