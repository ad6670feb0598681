import { parseSocketAddress, type SocketAddress, SocketAddressError } from "../../src/net/socket-address.ts";

export const USAGE = `usage: proxy [--listen ADDRESS:PORT]... [--direct ADDRESS:PORT]... [--no-auth]

An intercepting proxy. The host gives it its policy (sallyport:gateway/control), a certification authority called "proxy",
and the token that clients show in the variable SALLYPORT_PROXY_TOKEN.

  --listen ADDRESS:PORT   take CONNECT and plain HTTP requests there
  --direct ADDRESS:PORT   take TLS connections there as they come, and go by the name in their client hello
  --no-auth               let everybody in: no token is asked for
`;

/** What the command line says. */
export interface ProxyOptions {
  readonly listen: readonly SocketAddress[];
  readonly direct: readonly SocketAddress[];
  readonly auth: boolean;
}

/** The command line is wrong. */
export class OptionError extends Error {
  readonly code = "ERR_SALLYPORT_OPTION";
}

/** @returns `undefined` if help is asked for @throws {OptionError} */
export function parseOptions(args: readonly string[]): ProxyOptions | undefined {
  const listen: SocketAddress[] = [];
  const direct: SocketAddress[] = [];
  let auth = true;
  for (let i = 0; i < args.length; i++) {
    const flag = args[i]!;
    if (flag === "--help") return undefined;
    if (flag === "--no-auth") auth = false;
    else if (flag === "--listen") listen.push(address(flag, args[++i]));
    else if (flag === "--direct") direct.push(address(flag, args[++i]));
    else throw new OptionError(`unknown argument ${flag}`);
  }
  if (listen.length + direct.length === 0) throw new OptionError("there is nothing to listen on: give --listen or --direct");
  return { listen, direct, auth };
}

function address(flag: string, text: string | undefined): SocketAddress {
  if (text === undefined) throw new OptionError(`${flag} takes an address`);
  try {
    return parseSocketAddress(text);
  } catch (error) {
    if (error instanceof SocketAddressError) throw new OptionError(`${flag}: ${error.message}`);
    throw error;
  }
}
