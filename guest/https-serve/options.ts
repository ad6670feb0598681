import { MILLISECOND, type Nanoseconds, SECOND } from "../../src/reactor/index.ts";
import { parseSocketAddress, type SocketAddress, SocketAddressError } from "../../src/net/socket-address.ts";

export const USAGE = `usage: https-serve [FOLDER] [flags]

Serves FOLDER, a preopened one (default: the first), over HTTPS.

  --listen ADDRESS:PORT   where to listen (default 127.0.0.1:8443); port 0 lets the host choose
  --identity NAME         serve with this granted identity; may be repeated (default: every granted one, by name).
                          Each connection gets the first whose certificate covers the server name asked for
  --default               clients that ask for no server name get the first identity; without it they are refused
  --client-auth MODE      none (default), optional or required: whether clients show a certificate
  --client-ca FILE        PEM file below a preopened folder: the authorities that client certificates may come from
  --once N                end after N requests
  --max-connections N     connections at a time (default 1000); further ones wait
  --idle-timeout SECONDS  how long a connection may wait for a request, or a body stand still (default 30)
  --header-timeout SECONDS  how long a request head may take (default 10)
  --quiet                 no access log
  -v, --verbose           a report of every handshake on standard error
  --help                  this text
`;

/** What the command line says. */
export interface ServeOptions {
  /** Guest path of the folder; `undefined`: the first preopened one. */
  folder: string | undefined;
  listen: SocketAddress;
  /** Names, in order; empty: all. */
  identities: string[];
  /** Whether the first identity serves clients without a server name. */
  hasDefault: boolean;
  clientAuth: "none" | "optional" | "required";
  clientCa: string | undefined;
  /** Requests after which to end; Infinity for never. */
  once: number;
  maxConnections: number;
  idleTimeout: Nanoseconds;
  headerTimeout: Nanoseconds;
  quiet: boolean;
  verbose: boolean;
}

/** The command line is wrong. */
export class OptionError extends Error {
  readonly code = "ERR_SALLYPORT_OPTION";
}

/** @returns `undefined` if help is asked for @throws {OptionError} */
export function parseOptions(args: readonly string[]): ServeOptions | undefined {
  const options = defaults();
  for (let i = 0; i < args.length; i++) {
    const flag = args[i]!;
    const value = (): string => {
      const text = args[++i];
      if (text === undefined) throw new OptionError(`${flag} takes a value`);
      return text;
    };
    switch (flag) {
      case "--help":
        return undefined;
      case "--listen":
        options.listen = address(value());
        break;
      case "--identity":
        options.identities.push(value());
        break;
      case "--default":
        options.hasDefault = true;
        break;
      case "--client-auth":
        options.clientAuth = clientAuth(value());
        break;
      case "--client-ca":
        options.clientCa = value();
        break;
      case "--once":
        options.once = count(flag, value());
        break;
      case "--max-connections":
        options.maxConnections = count(flag, value());
        break;
      case "--idle-timeout":
        options.idleTimeout = duration(flag, value());
        break;
      case "--header-timeout":
        options.headerTimeout = duration(flag, value());
        break;
      case "--quiet":
        options.quiet = true;
        break;
      case "-v":
      case "--verbose":
        options.verbose = true;
        break;
      default:
        if (flag.startsWith("-")) throw new OptionError(`unknown flag ${flag}`);
        if (options.folder !== undefined) throw new OptionError("one folder can be served, and there are two");
        options.folder = flag;
    }
  }
  if (options.clientAuth !== "none" && options.clientCa === undefined)
    throw new OptionError(`--client-auth ${options.clientAuth} needs --client-ca FILE: nobody else says who may log in`);
  if (options.clientAuth === "none" && options.clientCa !== undefined)
    throw new OptionError("--client-ca does nothing without --client-auth optional or required");
  return options;
}

function defaults(): ServeOptions {
  return {
    folder: undefined,
    listen: parseSocketAddress("127.0.0.1:8443"),
    identities: [],
    hasDefault: false,
    clientAuth: "none",
    clientCa: undefined,
    once: Infinity,
    maxConnections: 1000,
    idleTimeout: BigInt(30) * SECOND,
    headerTimeout: BigInt(10) * SECOND,
    quiet: false,
    verbose: false,
  };
}

function address(text: string): SocketAddress {
  try {
    return parseSocketAddress(text);
  } catch (error) {
    if (error instanceof SocketAddressError) throw new OptionError(`--listen: ${error.message}`);
    throw error;
  }
}

function clientAuth(text: string): ServeOptions["clientAuth"] {
  if (text === "none" || text === "optional" || text === "required") return text;
  throw new OptionError("--client-auth is none, optional or required");
}

function count(flag: string, text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new OptionError(`${flag} takes a whole number from 1`);
  return Number(text);
}

function duration(flag: string, text: string): Nanoseconds {
  const match = /^([0-9]{1,6})(?:\.([0-9]{1,3}))?$/.exec(text);
  const milliseconds = match === null ? 0 : Number(match[1]) * 1000 + Number((match[2] ?? "").padEnd(3, "0"));
  if (milliseconds === 0) throw new OptionError(`${flag} takes seconds, for example 10 or 0.5`);
  return BigInt(milliseconds) * MILLISECOND;
}
