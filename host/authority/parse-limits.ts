import { domainToASCII } from "node:url";
import { parse } from "tldts";
import { type IpPrefix, ipAddressOrUndefined, parseIpPrefix, unmapped } from "../../src/wire/ip-address.ts";
import { type DnsName, parseDnsName } from "../../src/wire/server-name.ts";
import { WireError } from "../../src/wire/wire-error.ts";
import { AuthorityError } from "./authority-error.ts";
import { Limits } from "./limits.ts";

/** What an authority is to be permitted, as an operator writes it. */
export interface LimitTexts {
  /** DNS subtrees: `example.com` stands for itself and all names below it. Unicode is turned into A-labels. */
  dns: readonly string[];
  /** Ranges in CIDR notation, or single addresses. */
  ip?: readonly string[];
  /**
   * Accept suffixes that a company hands out names under (`github.io`, `googleapis.com`). What a registry hands out names
   * under (`com`, `co.uk`) is never accepted.
   */
  allowPrivateSuffixes?: boolean;
}

/**
 * Parse what an authority may issue for.
 *
 * @throws {AuthorityError} `bad-limits`: nothing permitted, a single label, a public suffix, a wildcard, an address among
 *   the names, a range too wide to be a limit, or more than 256 of them
 */
export function parseLimits({ dns, ip = [], allowPrivateSuffixes = false }: LimitTexts): Limits {
  if (dns.length === 0) throw bad("name at least one permitted DNS subtree: an authority for every name is not made here");
  if (dns.length > MAX_SUBTREES || ip.length > MAX_SUBTREES)
    throw bad(`at most ${MAX_SUBTREES} names and ${MAX_SUBTREES} ranges can be permitted`);
  return new Limits(
    dns.map((text) => parseSubtree(text, allowPrivateSuffixes)),
    ip.map(parseRange),
  );
}

/**
 * One permitted DNS subtree.
 *
 * @throws {AuthorityError} `bad-limits`
 */
export function parseSubtree(text: string, allowPrivateSuffixes: boolean): DnsName {
  const shown = JSON.stringify(text.slice(0, 300));
  if (text.includes("*")) throw bad(`${shown}: without the asterisk; a permitted name stands for all names below it too`);
  if (ipAddressOrUndefined(text) !== undefined) throw bad(`${shown} is an address: permit it as one (--permit-ip)`);
  let name: DnsName;
  try {
    // oxlint-disable-next-line no-control-regex
    name = parseDnsName(/^[\x00-\x7f]*$/.test(text) ? text : domainToASCII(text));
  } catch (error) {
    if (error instanceof WireError) throw bad(`${shown}: ${error.message}`);
    throw error;
  }
  if (!name.name.includes(".")) throw bad(`${shown} is a single label: permit names below it`);
  const { publicSuffix, isIcann } = parse(name.name, { allowPrivateDomains: true });
  if (publicSuffix !== name.name) return name;
  if (isIcann === true) throw bad(`${shown} is a public suffix: names below it belong to anybody; permit those that you mean`);
  if (!allowPrivateSuffixes)
    throw bad(
      `${shown} is a suffix under which others have names too: permit those that you mean, or allow such suffixes (--private-suffixes)`,
    );
  return name;
}

function parseRange(text: string): IpPrefix {
  const shown = JSON.stringify(text.slice(0, 100));
  let range: IpPrefix;
  try {
    range = parseIpPrefix(text);
  } catch (error) {
    if (error instanceof WireError) throw bad(`${shown}: ${error.message}`);
    throw error;
  }
  const fault = rangeFault(range);
  if (fault !== undefined) throw bad(`${shown} ${fault}`);
  return range;
}

/** Why a range is no limit, or undefined. */
export function rangeFault(range: IpPrefix): string | undefined {
  if (range.length < SHORTEST[range.address.tag]) return `is wider than a /${SHORTEST[range.address.tag]}, which limits nothing`;
  if (isStopgap(range)) return "is an address that no host can have";
  if (unmapped(range.address) !== range.address) return "is a range of v4-mapped addresses: write it as IPv4";
  return undefined;
}

/** What certificates permit of a family of which nothing is permitted: see `encodeNameConstraints`. */
export function isStopgap(range: IpPrefix): boolean {
  return stopgapRanges.some(({ text }) => text === range.text);
}

/** The limited broadcast address, and the reserved multicast address: no host can have either. */
export const stopgapRanges: readonly IpPrefix[] = ["255.255.255.255/32", "ff00::/128"].map((text) => parseIpPrefix(text));

function bad(message: string): AuthorityError {
  return new AuthorityError("bad-limits", message);
}

/** The widest range that anybody owns: 10.0.0.0/8, and fc00::/7 for local addresses. */
const SHORTEST = { ipv4: 8, ipv6: 7 } as const;

const MAX_SUBTREES = 256;
