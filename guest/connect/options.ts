import { parseSocketAddress, type SocketAddress, SocketAddressError } from "../../src/net/socket-address.ts";
import { parseAuthority } from "../../src/http1/index.ts";

export const USAGE = `usage: connect --listen ADDRESS:PORT --proxy HOST:PORT [--identity NAME]

A proxy for programs of this machine that goes on to another proxy by TLS, with a client certificate and a capability token.
Clients show the token in SALLYPORT_CONNECT_TOKEN; the capability token is read from /token/current for each connection.

  --listen ADDRESS:PORT   where clients are
  --proxy HOST:PORT       the proxy, verified as HOST
  --identity NAME         the client certificate for it, by the name under which it was granted
`;

/** The proxy that everything goes to. */
export interface ProxyAddress {
  readonly host: string;
  readonly port: number;
}

/** What the command line says. */
export interface ConnectOptions {
  readonly listen: SocketAddress;
  readonly proxy: ProxyAddress;
  readonly identity: string | undefined;
}

/** The command line is wrong. */
export class OptionError extends Error {
  readonly code = "ERR_SALLYPORT_OPTION";
}

/** @returns `undefined` if help is asked for @throws {OptionError} */
export function parseOptions(args: readonly string[]): ConnectOptions | undefined {
  const values = new Map<string, string>();
  for (let i = 0; i < args.length; i += 2) {
    const flag = args[i]!;
    if (flag === "--help") return undefined;
    const value = args[i + 1];
    if (!FLAGS.includes(flag)) throw new OptionError(`unknown argument ${flag}`);
    if (value === undefined) throw new OptionError(`${flag} takes a value`);
    values.set(flag, value);
  }
  const [listen, proxy] = [values.get("--listen"), values.get("--proxy")];
  if (listen === undefined || proxy === undefined) throw new OptionError("--listen and --proxy are needed");
  return { listen: address(listen), proxy: authority(proxy), identity: values.get("--identity") };
}

const FLAGS = ["--listen", "--proxy", "--identity"];

function address(text: string): SocketAddress {
  try {
    return parseSocketAddress(text);
  } catch (error) {
    if (error instanceof SocketAddressError) throw new OptionError(`--listen: ${error.message}`);
    throw error;
  }
}

function authority(text: string): ProxyAddress {
  try {
    const { host, port } = parseAuthority(text);
    if (port !== undefined) return { host, port };
  } catch {
    // Said below.
  }
  throw new OptionError("--proxy takes HOST:PORT");
}
