import { parseSocketAddress, type SocketAddress, SocketAddressError } from "../../src/net/socket-address.ts";

export const USAGE = `usage: proxy [--listen ADDRESS:PORT]... [--tls-listen ADDRESS:PORT]... [--direct ADDRESS:PORT]... [--no-auth]

An intercepting proxy. The host gives it its policy (sallyport:gateway/control), a certification authority called "proxy",
and the token that clients show in the variable SALLYPORT_PROXY_TOKEN.

  --listen ADDRESS:PORT   take CONNECT and plain HTTP requests there
  --tls-listen ADDRESS:PORT
                          the same within TLS to the proxy itself
  --tls-identity NAME     what it is shown as there (default proxy)
  --client-certificates none|optional|required
                          of authorities in /access/clients.pem (default none)
  --tokens off|optional|required
                          capability tokens of issuers in /access/tokens.json (default off); with off, clients of
                          --tls-listen without a certificate need the token of --listen
  --audience TEXT         what capability tokens have to name (default the identity's name)
  --end-revoked           end connections of subjects that are revoked
  --direct ADDRESS:PORT   take TLS connections there as they come, and go by the name in their client hello
  --in-process ADDRESS:PORT
                          the same for the program that the host runs in, without a token: see the host
  --no-auth               let everybody in: no token is asked for
`;

/** What the command line says. */
export interface ProxyOptions {
  readonly listen: readonly SocketAddress[];
  readonly tlsListen: readonly SocketAddress[];
  readonly direct: readonly SocketAddress[];
  readonly inProcess: readonly SocketAddress[];
  readonly tlsIdentity: string;
  readonly clientCertificates: "none" | "optional" | "required";
  readonly tokens: "off" | "optional" | "required";
  readonly audience: string;
  readonly endRevoked: boolean;
  readonly auth: boolean;
}

/** The command line is wrong. */
export class OptionError extends Error {
  readonly code = "ERR_SALLYPORT_OPTION";
}

/** @returns `undefined` if help is asked for @throws {OptionError} */
export function parseOptions(args: readonly string[]): ProxyOptions | undefined {
  const listen: SocketAddress[] = [];
  const tlsListen: SocketAddress[] = [];
  const direct: SocketAddress[] = [];
  const inProcess: SocketAddress[] = [];
  let auth = true;
  let endRevoked = false;
  let tlsIdentity = "proxy";
  let audience: string | undefined;
  let clientCertificates: ProxyOptions["clientCertificates"] = "none";
  let tokens: ProxyOptions["tokens"] = "off";
  for (let i = 0; i < args.length; i++) {
    const flag = args[i]!;
    if (flag === "--help") return undefined;
    if (flag === "--no-auth") auth = false;
    else if (flag === "--end-revoked") endRevoked = true;
    else if (flag === "--listen") listen.push(address(flag, args[++i]));
    else if (flag === "--tls-listen") tlsListen.push(address(flag, args[++i]));
    else if (flag === "--tls-identity") tlsIdentity = text(flag, args[++i]);
    else if (flag === "--audience") audience = text(flag, args[++i]);
    else if (flag === "--client-certificates") clientCertificates = oneOf(flag, args[++i], ["none", "optional", "required"]);
    else if (flag === "--tokens") tokens = oneOf(flag, args[++i], ["off", "optional", "required"]);
    else if (flag === "--in-process") inProcess.push(address(flag, args[++i]));
    else if (flag === "--direct") direct.push(address(flag, args[++i]));
    else throw new OptionError(`unknown argument ${flag}`);
  }
  if (listen.length + tlsListen.length + direct.length + inProcess.length === 0)
    throw new OptionError("there is nothing to listen on: give --listen, --tls-listen or --direct");
  if (tokens === "optional" && clientCertificates !== "required")
    throw new OptionError("--tokens optional lets everybody in unless client certificates are required");
  return {
    listen,
    tlsListen,
    direct,
    inProcess,
    auth,
    tlsIdentity,
    clientCertificates,
    tokens,
    audience: audience ?? tlsIdentity,
    endRevoked,
  };
}

function text(flag: string, value: string | undefined): string {
  if (value === undefined || value === "") throw new OptionError(`${flag} takes a text`);
  return value;
}

function oneOf<T extends string>(flag: string, value: string | undefined, words: readonly T[]): T {
  const found = words.find((word) => word === value);
  if (found === undefined) throw new OptionError(`${flag} is one of ${words.join(", ")}`);
  return found;
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
