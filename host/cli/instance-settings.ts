import type { InstanceOptions } from "../component/messages.ts";
import type { TlsGrants } from "../tls/grants.ts";
import { listOf, type ParsedArguments, textOf, UsageError } from "./command.ts";

/** How an instance is run, from the flags of `instanceFlags`. */
export interface InstanceSettings {
  options: InstanceOptions | Promise<InstanceOptions>;
  /** Milliseconds; `undefined` for the default. */
  watchdog: number | undefined;
  /** Bytes; `undefined` for the default. */
  memory: number | undefined;
}

/**
 * What the flags say. Grants are not looked at here: the worker that gets them understands them or refuses to start.
 *
 * @param args what the guest sees as its arguments, the program's name first
 * @throws {UsageError} naming the flag
 */
export function instanceSettings(parsed: ParsedArguments, args: string[], processEnv: NodeJS.ProcessEnv = process.env): InstanceSettings {
  const memory = wholeNumber(parsed, "memory", 1, 4096);
  const handshakeTimeout = wholeNumber(parsed, "handshake-timeout", 1, 86_400_000);
  const tls: TlsGrants = {
    allowInvalid: listOf(parsed, "allow-invalid"),
    attach: parsed.flags["no-attach"] !== true,
    ...(handshakeTimeout === undefined ? {} : { handshakeTimeout }),
  };
  const options: InstanceOptions = {
    args,
    grants: { allowNet: listOf(parsed, "allow-net"), listen: listOf(parsed, "listen") },
    tls,
    env: Object.fromEntries(listOf(parsed, "env").map((text) => variable(text, processEnv))),
    preopens: listOf(parsed, "dir").map(folder),
    lenientDrops: parsed.flags["lenient-drops"] === true,
  };
  const hasCredentials = parsed.flags.identity !== undefined || parsed.flags.ca !== undefined;
  return {
    options: hasCredentials ? withCredentials(options, parsed, processEnv) : options,
    watchdog: wholeNumber(parsed, "watchdog", 10, 86_400_000),
    memory: memory === undefined ? undefined : memory * 1024 * 1024,
  };
}

/** What reads keys and certificates is loaded only where there are some, and while the instance's thread starts. */
async function withCredentials(options: InstanceOptions, parsed: ParsedArguments, processEnv: NodeJS.ProcessEnv): Promise<InstanceOptions> {
  const { loadCredentials } = await import("./tls-settings.ts");
  return { ...options, tls: { ...options.tls, ...loadCredentials(parsed, processEnv) } };
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
