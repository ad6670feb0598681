import { WireError } from "./wire-error.ts";

/** An address that parsed. `text` is the one canonical spelling: dotted decimal, or RFC 5952. */
export type IpAddress =
  | { readonly tag: "ipv4"; readonly bytes: Uint8Array; readonly text: string }
  | { readonly tag: "ipv6"; readonly bytes: Uint8Array; readonly text: string };

/** A range of addresses in CIDR notation; the bits after `length` are zero. */
export interface IpPrefix {
  readonly address: IpAddress;
  /** 0 to 32, or 0 to 128. */
  readonly length: number;
  readonly text: string;
}

/**
 * Parses an IPv4 address in dotted decimal (four numbers, no leading zeros, no other radix) or an IPv6 address (RFC 4291,
 * section 2.2, without zone id and brackets). A v4-mapped IPv6 address stays an IPv6 address: see {@link unmapped}.
 *
 * @throws WireError `invalid-ip-address`
 */
export function parseIpAddress(text: string): IpAddress {
  const address = ipAddressOrUndefined(text);
  if (address === undefined) throw invalid("the text is neither an IPv4 nor an IPv6 address");
  return address;
}

/** As {@link parseIpAddress}, for callers to which anything else is no error. */
export function ipAddressOrUndefined(text: string): IpAddress | undefined {
  if (text.length > MAX_TEXT_LENGTH) return undefined;
  if (text.includes(":")) {
    const bytes = parseIpv6(text);
    return bytes && { tag: "ipv6", bytes, text: formatIpAddress(bytes) };
  }
  const bytes = parseIpv4(text);
  return bytes && { tag: "ipv4", bytes, text };
}

/**
 * The canonical text of 4 or 16 bytes. IPv6 as in RFC 5952: lower case, the longest run of zeros as `::`, v4-mapped with a
 * dotted tail.
 *
 * @throws WireError `invalid-ip-address` for any other length
 */
export function formatIpAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) throw invalid("an IP address is 4 or 16 bytes long");
  if (isMapped(bytes)) return `::ffff:${bytes.subarray(12).join(".")}`;
  const groups: number[] = [];
  for (let at = 0; at < 16; at += 2) groups.push((bytes[at]! << 8) | bytes[at + 1]!);
  const { from, length } = longestZeroRun(groups);
  const hex = (part: number[]) => part.map((group) => group.toString(16)).join(":");
  if (length < 2) return hex(groups);
  return `${hex(groups.slice(0, from))}::${hex(groups.slice(from + length))}`;
}

/** The IPv4 address within a v4-mapped IPv6 address (::ffff:0:0/96); any other address as it is. */
export function unmapped(address: IpAddress): IpAddress {
  if (address.tag === "ipv4" || !isMapped(address.bytes)) return address;
  const bytes = address.bytes.slice(12);
  return { tag: "ipv4", bytes, text: formatIpAddress(bytes) };
}

/**
 * Parses `address/length`, or a bare address, which is a range of one.
 *
 * @throws WireError `invalid-ip-address` for a bad address or length, and for bits set after the prefix: `10.1.2.3/8` says
 *   two things at once.
 */
export function parseIpPrefix(text: string): IpPrefix {
  const slash = text.indexOf("/");
  const address = parseIpAddress(slash === -1 ? text : text.slice(0, slash));
  const bits = address.bytes.length * 8;
  const digits = slash === -1 ? String(bits) : text.slice(slash + 1);
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(digits) || Number(digits) > bits) throw invalid(`a prefix length is a number from 0 to ${bits}`);
  const length = Number(digits);
  for (let bit = length; bit < bits; bit++) {
    if (bitAt(address.bytes, bit)) throw invalid("the address has bits set after its prefix");
  }
  return { address, length, text: `${address.text}/${length}` };
}

/**
 * Whether the address lies in the range. An IPv4 range contains the v4-mapped spelling of its addresses too, so that a
 * rule cannot be passed by respelling; an IPv6 range contains an IPv4 address only if it lies within ::ffff:0:0/96 itself.
 */
export function prefixContains(prefix: IpPrefix, address: IpAddress): boolean {
  const { address: range, length } = prefix;
  if (range.tag === "ipv4") {
    const candidate = unmapped(address);
    return candidate.tag === "ipv4" && sharesPrefix(range.bytes, candidate.bytes, length);
  }
  if (address.tag === "ipv6") return sharesPrefix(range.bytes, address.bytes, length);
  // Mapped bytes have a bit set at 95, so the prefix is at least 96 bits long.
  if (!isMapped(range.bytes)) return false;
  return sharesPrefix(range.bytes.subarray(12), address.bytes, length - 96);
}

function parseIpv4(text: string): Uint8Array | undefined {
  if (!/^(?:(?:0|[1-9][0-9]{0,2})(?:\.|$)){4}$/.test(text) || text.endsWith(".")) return undefined;
  const numbers = text.split(".").map(Number);
  return numbers.every((number) => number <= 255) ? Uint8Array.from(numbers) : undefined;
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1]!, true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 16 - head.length - tail.length;
  if (halves.length === 2 ? missing < 2 : missing !== 0) return undefined;
  return Uint8Array.from([...head, ...Array<number>(missing).fill(0), ...tail]);
}

/** The bytes of groups between colons; the last part of the whole address may be an IPv4 address. */
function parseGroups(text: string, isEnd: boolean): number[] | undefined {
  if (text === "") return [];
  const bytes: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (isEnd && index === parts.length - 1 && part.includes(".")) {
      const embedded = parseIpv4(part);
      if (embedded === undefined) return undefined;
      bytes.push(...embedded);
      continue;
    }
    if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
    const group = Number.parseInt(part, 16);
    bytes.push(group >> 8, group & 0xff);
  }
  return bytes;
}

/** The first of the longest runs. */
function longestZeroRun(groups: number[]): { from: number; length: number } {
  let longest = { from: 0, length: 0 };
  for (let from = 0; from < groups.length; from++) {
    let length = 0;
    while (groups[from + length] === 0) length++;
    if (length > longest.length) longest = { from, length };
  }
  return longest;
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes.length === 16 && bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((byte) => byte === 0);
}

function sharesPrefix(a: Uint8Array, b: Uint8Array, length: number): boolean {
  for (let bit = 0; bit < length; bit++) {
    if (bitAt(a, bit) !== bitAt(b, bit)) return false;
  }
  return true;
}

function bitAt(bytes: Uint8Array, bit: number): boolean {
  return ((bytes[bit >> 3]! >> (7 - (bit & 7))) & 1) === 1;
}

function invalid(message: string): WireError {
  return new WireError("invalid-ip-address", message);
}

/** Longer than any address with an embedded IPv4 address. */
const MAX_TEXT_LENGTH = 45;
