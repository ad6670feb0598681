import { type IpAddress, type IpPrefix, ipAddressOrUndefined, parseIpPrefix, prefixContains } from "../../src/wire/ip-address.ts";
import { isLinkLocalPrefix } from "./address-class.ts";
import { parseHostName } from "./host-name.ts";

/** What an instance may do on the network, as text. Nothing is granted by default. */
export interface GrantTexts {
  /** Names and addresses that may be resolved and connected to: `example.com:443`, `*.example.com:443`, `10.0.0.0/8`, … */
  allowNet?: readonly string[];
  /** Addresses that may be bound and listened on: `127.0.0.1:0`, `[::1]:8443`, `:8443`. */
  listen?: readonly string[];
}

/** A grant that does not parse. */
export class GrantError extends Error {
  override readonly name = "GrantError";
  readonly code = "ERR_SALLYPORT_GRANT";
}

/** How far a grant reaches that covers a name. */
export type NameGrant = "named" | "any";

/** Parsed network grants of one instance. */
export class Grants {
  readonly #connect: readonly ConnectGrant[];
  readonly #listen: readonly ListenGrant[];

  private constructor(connect: readonly ConnectGrant[], listen: readonly ListenGrant[]) {
    this.#connect = connect;
    this.#listen = listen;
  }

  static readonly none: Grants = new Grants([], []);

  /** @throws {GrantError} naming the text and what is accepted instead. */
  static parse(texts: GrantTexts): Grants {
    return new Grants((texts.allowNet ?? []).map(parseConnectGrant), (texts.listen ?? []).map(parseListenGrant));
  }

  /**
   * Whether the name may be resolved, or, with a port, connected to.
   *
   * @param name as `parseHostName` returns it.
   * @returns `any` if only a `*` covers it: that grant means the public internet, not what the host can reach inside.
   */
  name(name: string, port?: number): NameGrant | undefined {
    let best: NameGrant | undefined;
    for (const { target, ports } of this.#connect) {
      if (port !== undefined && !within(ports, port)) continue;
      if (target.tag === "name" && target.name === name) return "named";
      if (target.tag === "subdomains" && name.endsWith(target.suffix)) return "named";
      if (target.tag === "any") best = "any";
    }
    return best;
  }

  /** Whether this very address, or a range it lies in, is granted; with a port, for that port. */
  address(address: IpAddress, port?: number): boolean {
    return this.#connect.some(
      ({ target, ports }) =>
        target.tag === "prefix" && (port === undefined || within(ports, port)) && prefixContains(target.prefix, address),
    );
  }

  /**
   * As `address`, but only by grants that can mean nothing else: the single address, or, for a link-local one, a range of
   * nothing but link-local addresses. `0.0.0.0/0` opens neither, and no range opens a metadata service.
   */
  restrictedAddress(address: IpAddress, kind: "link-local" | "metadata", port?: number): boolean {
    return this.#connect.some(
      ({ target, ports }) =>
        target.tag === "prefix" &&
        (port === undefined || within(ports, port)) &&
        prefixContains(target.prefix, address) &&
        (isSingle(target.prefix) || (kind === "link-local" && isLinkLocalPrefix(target.prefix))),
    );
  }

  /** Whether a socket may be bound here. Port 0, the system's choice, must be granted as 0. */
  listens(address: IpAddress, port: number): boolean {
    return this.#listen.some(({ prefix, ports }) => within(ports, port) && (prefix === undefined || prefixContains(prefix, address)));
  }
}

interface PortRange {
  first: number;
  last: number;
}

type Target =
  | { tag: "name"; name: string }
  /** `suffix` starts with a dot. */
  | { tag: "subdomains"; suffix: string }
  | { tag: "any" }
  | { tag: "prefix"; prefix: IpPrefix };

interface ConnectGrant {
  target: Target;
  ports: PortRange;
}

interface ListenGrant {
  /** `undefined`: any address. */
  prefix: IpPrefix | undefined;
  ports: PortRange;
}

const ALL_PORTS: PortRange = { first: 1, last: 65_535 };

function within(ports: PortRange, port: number): boolean {
  return ports.first <= port && port <= ports.last;
}

function parseConnectGrant(text: string): ConnectGrant {
  const { host, port } = split(text);
  const target = host === undefined ? undefined : parseTarget(host);
  const ports = port === undefined ? ALL_PORTS : parsePorts(port, 1);
  if (target === undefined || ports === undefined)
    throw new GrantError(
      `--allow-net ${quote(text)} is not understood; accepted are name:port, *.name:port, address:port, [IPv6]:port and ` +
        `address/bits:port, where the port may be a range like 8000-8100 or be left out for all ports`,
    );
  return { target, ports };
}

function parseListenGrant(text: string): ListenGrant {
  const { host, port } = split(text);
  const address = host === undefined || host === "" ? undefined : ipAddressOrUndefined(host);
  const ports = port === undefined ? undefined : parsePorts(port, 0);
  if (host === undefined || (host !== "" && address === undefined) || ports === undefined)
    throw new GrantError(
      `--listen ${quote(text)} is not understood; accepted are address:port, [IPv6]:port and :port for all addresses; port 0 lets the system choose`,
    );
  return { prefix: address === undefined ? undefined : parseIpPrefix(address.text), ports };
}

/** Host and port of a grant. A bare IPv6 address or range has no port; one with a port stands in brackets. */
function split(text: string): { host: string | undefined; port: string | undefined } {
  const bracketed = /^\[([^[\]]*)\](\/\d+)?(?::([^:]*))?$/.exec(text);
  if (bracketed !== null) {
    const inner = bracketed[1]! + (bracketed[2] ?? "");
    return { host: inner.includes(":") ? inner : undefined, port: bracketed[3] };
  }
  if (text.split(":").length > 2) return { host: text, port: undefined };
  const colon = text.indexOf(":");
  return colon < 0 ? { host: text, port: undefined } : { host: text.slice(0, colon), port: text.slice(colon + 1) };
}

function parseTarget(host: string): Target | undefined {
  if (host === "*") return { tag: "any" };
  if (host.includes("/") || ipAddressOrUndefined(host) !== undefined) {
    const prefix = prefixOrUndefined(host);
    return prefix === undefined ? undefined : { tag: "prefix", prefix };
  }
  if (host.startsWith("*.")) {
    const parent = parseHostName(host.slice(2));
    return parent === undefined ? undefined : { tag: "subdomains", suffix: `.${parent}` };
  }
  const name = parseHostName(host);
  return name === undefined ? undefined : { tag: "name", name };
}

function prefixOrUndefined(text: string): IpPrefix | undefined {
  try {
    return parseIpPrefix(text);
  } catch {
    return undefined;
  }
}

function isSingle(prefix: IpPrefix): boolean {
  return prefix.length === prefix.address.bytes.length * 8;
}

function parsePorts(text: string, lowest: number): PortRange | undefined {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) return undefined;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  return first >= lowest && first <= last && last <= 65_535 ? { first, last } : undefined;
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
