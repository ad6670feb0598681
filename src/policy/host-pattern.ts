import { type IpPrefix, parseIpPrefix, prefixContains } from "../wire/ip-address.ts";
import { WireError } from "../wire/wire-error.ts";
import { describeFault, type Host, parseHost } from "./host-name.ts";

/** Which hosts a rule is for. */
export type HostPattern = HostSet & {
  /** Ports it is for: one, `any`, or `undefined` where the list that it stands in says what that means. */
  readonly port: number | "any" | undefined;
  /** As it stands in the policy. */
  readonly text: string;
};

type HostSet =
  /** `x`: the name and every name below it. `*.x`: only those below. `=x`: only the name. */
  | { readonly tag: "name"; readonly name: string; readonly apex: boolean; readonly below: boolean }
  /** An address, or a range of them in CIDR notation. */
  | { readonly tag: "network"; readonly prefix: IpPrefix };

/** A text is no pattern. The message says what is accepted. */
export class HostPatternError extends Error {
  override readonly name = "HostPatternError";
  readonly code = "ERR_SALLYPORT_HOST_PATTERN";
}

/**
 * Parse `example.com`, `*.example.com`, `=example.com`, `192.0.2.1`, `10.0.0.0/8`, `2001:db8::/32` or `[2001:db8::1]`, each
 * with `:443` or `:*` behind it if it is about ports. IPv6 with a port needs the brackets: `[2001:db8::/32]:443`.
 *
 * @throws {HostPatternError}
 */
export function parseHostPattern(text: string): HostPattern {
  const { hosts, port } = splitPort(text);
  return { ...parseHosts(hosts), port, text };
}

/** Whether the hosts of the pattern include this one. Ports are another matter. */
export function patternContains(pattern: HostPattern, host: Host): boolean {
  if (pattern.tag === "network") return host.tag !== "dns" && prefixContains(pattern.prefix, host);
  if (host.tag !== "dns") return false;
  if (host.name === pattern.name) return pattern.apex;
  return pattern.below && host.name.endsWith(`.${pattern.name}`);
}

function splitPort(text: string): { hosts: string; port: HostPattern["port"] } {
  const match = WITH_PORT.exec(text);
  if (match === null) return { hosts: text, port: undefined };
  const [, hosts, digits] = match;
  if (digits === "*") return { hosts: hosts!, port: "any" };
  const port = Number(digits);
  if (!/^[1-9][0-9]{0,4}$/.test(digits!) || port > 65_535) throw new HostPatternError("a port is a number from 1 to 65535, or *");
  return { hosts: hosts!, port };
}

function parseHosts(text: string): HostSet {
  if (text === "*") throw new HostPatternError("* alone is no pattern: what holds for every other host is said by $.default");
  const exact = text.startsWith("=");
  const below = text.startsWith("*.");
  const rest = exact ? text.slice(1) : below ? text.slice(2) : text;
  const network = below ? undefined : networkOf(rest);
  if (network !== undefined) return { tag: "network", prefix: network };
  const host = parseHost(rest);
  if (host.tag === "invalid") throw new HostPatternError(`${describeFault(host.fault)}: ${ACCEPTED}`);
  if (host.tag !== "dns") throw new HostPatternError(`an address has no names below it: ${ACCEPTED}`);
  return { tag: "name", name: host.name, apex: !below, below: !exact };
}

function networkOf(text: string): IpPrefix | undefined {
  const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  if (!/^[0-9.]+(?:\/|$)|:/.test(bare)) return undefined;
  try {
    return parseIpPrefix(bare);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new HostPatternError(`${error.message}: ${ACCEPTED}`);
  }
}

/** Something in brackets, or something without a colon; then a colon. */
const WITH_PORT = /^([=]?\[[^[\]]*\]|[^:[\]]*):([^:]*)$/;

const ACCEPTED = "write example.com, *.example.com, =example.com, an address or a CIDR range";
