import { type IpAddress, type IpPrefix, parseIpPrefix, prefixContains as contains } from "../../src/wire/ip-address.ts";
import { addressFromBytes } from "./endpoint.ts";

/**
 * What kind of place an address is. In ascending order of how much a host has to lose there: where an IPv6 address carries an
 * IPv4 address inside (mapped, NAT64, 6to4, Teredo, ISATAP), the class is the more dangerous of the two.
 */
export type AddressClass = (typeof CLASSES)[number];

/** Classify by the special-purpose registries (RFC 6890) and by what cloud providers put where. */
export function classify(address: IpAddress): AddressClass {
  let worst = classifyAsWritten(address);
  for (const inner of embedded(address)) {
    const it = classifyAsWritten(inner);
    if (CLASSES.indexOf(it) > CLASSES.indexOf(worst)) worst = it;
  }
  return worst;
}

/** Whether the class is one that only a literal grant opens: link-local, or a cloud's metadata service. */
export function isRestricted(kind: AddressClass): kind is "link-local" | "metadata" {
  return kind === "link-local" || kind === "metadata";
}

/** Whether every address of `prefix` is link-local: such a prefix names restricted addresses on purpose, `0.0.0.0/0` does not. */
export function isLinkLocalPrefix(prefix: IpPrefix): boolean {
  return LINK_LOCAL.some((range) => prefix.length >= range.length && contains(range, prefix.address));
}

/** The IPv4 addresses that an IPv6 address stands for. */
function embedded(address: IpAddress): IpAddress[] {
  if (address.tag === "ipv4") return [];
  const { bytes } = address;
  const at = (...indices: number[]) => addressFromBytes(Uint8Array.from(indices, (i) => bytes[i]!));
  const low = at(12, 13, 14, 15);
  const found: IpAddress[] = [];
  if (TAIL_EMBEDDING.some((prefix) => contains(prefix, address))) found.push(low);
  // RFC 8215 reserves a /48 for translators of any prefix length, RFC 6052 section 2.2 skips byte 8 for the shorter ones.
  if (contains(NAT64_LOCAL, address)) found.push(at(6, 7, 9, 10), at(7, 9, 10, 11), at(9, 10, 11, 12), low);
  if (contains(SIX_TO_FOUR, address)) found.push(at(2, 3, 4, 5));
  if (contains(TEREDO, address)) found.push(at(4, 5, 6, 7), addressFromBytes(low.bytes.map((byte) => byte ^ 0xff)));
  if ((bytes[8]! & 0xfd) === 0 && bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe) found.push(low);
  return found;
}

function classifyAsWritten(address: IpAddress): AddressClass {
  for (const [kind, ranges] of RANGES) if (ranges.some((range) => contains(range, address))) return kind;
  // All that is given out lies in one eighth of IPv6; of the rest, what stands for an IPv4 address is as good as that.
  if (address.tag === "ipv4" || contains(GLOBAL_UNICAST, address)) return "public";
  return TAIL_EMBEDDING.some((prefix) => contains(prefix, address)) || contains(NAT64_LOCAL, address) ? "public" : "reserved";
}

function prefixes(...texts: string[]): IpPrefix[] {
  return texts.map(parseIpPrefix);
}

const CLASSES = ["public", "reserved", "multicast", "shared", "private", "unspecified", "loopback", "link-local", "metadata"] as const;

const LINK_LOCAL = prefixes("169.254.0.0/16", "fe80::/10");

/** First match wins: the metadata addresses lie inside other ranges. */
const RANGES: [AddressClass, IpPrefix[]][] = [
  [
    "metadata",
    prefixes(
      "169.254.169.254/32",
      "169.254.170.2/32",
      "169.254.170.23/32",
      "100.100.100.200/32",
      "168.63.129.16/32",
      "192.0.0.192/32",
      "fd00:ec2::254/128",
      "fd00:ec2::23/128",
      "fd20:ce::254/128",
      "fd00:42::42/128",
    ),
  ],
  ["link-local", LINK_LOCAL],
  ["loopback", prefixes("127.0.0.0/8", "::1/128")],
  ["unspecified", prefixes("0.0.0.0/8", "::/128")],
  ["private", prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")],
  ["shared", prefixes("100.64.0.0/10")],
  ["multicast", prefixes("224.0.0.0/4", "ff00::/8")],
  [
    "reserved",
    prefixes(
      "192.0.0.0/24",
      "192.0.2.0/24",
      "192.88.99.0/24",
      "198.18.0.0/15",
      "198.51.100.0/24",
      "203.0.113.0/24",
      "240.0.0.0/4",
      "100::/64",
      "2001:2::/48",
      "2001:10::/28",
      "2001:db8::/32",
      "3fff::/20",
    ),
  ],
];

const GLOBAL_UNICAST = prefixes("2000::/3")[0]!;
/** Mapped (RFC 4291 2.5.5.2), compatible (2.5.5.1), SIIT (RFC 2765), NAT64's well-known prefix (RFC 6052). */
const TAIL_EMBEDDING = prefixes("::ffff:0:0/96", "::/96", "::ffff:0:0:0/96", "64:ff9b::/96");
const NAT64_LOCAL = prefixes("64:ff9b:1::/48")[0]!;
const SIX_TO_FOUR = prefixes("2002::/16")[0]!;
const TEREDO = prefixes("2001::/32")[0]!;
