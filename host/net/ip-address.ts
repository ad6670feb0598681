/** An IP address as its bytes: 4 or 16 of them. */
export interface IpAddress {
  readonly family: 4 | 6;
  readonly bytes: Uint8Array;
}

/** A range of addresses: all that share the first `bits` bits with `base`. */
export interface IpPrefix {
  readonly base: IpAddress;
  readonly bits: number;
}

/**
 * Parse a literal: four decimal numbers without leading zeros, or an IPv6 address as RFC 4291 section 2.2 writes them.
 * No zone id, no brackets, none of the short forms that inet_aton takes.
 *
 * @returns `undefined` for anything else.
 */
export function parseIp(text: string): IpAddress | undefined {
  if (text.length > 45) return undefined;
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

/** The usual spelling; for IPv6 that of RFC 5952. */
export function formatIp(address: IpAddress): string {
  if (address.family === 4) return address.bytes.join(".");
  const groups = groupsOf(address);
  const gap = longestZeroRun(groups);
  const text = (part: number[]) => part.map((group) => group.toString(16)).join(":");
  if (isMapped(address)) return `::ffff:${address.bytes.subarray(12).join(".")}`;
  if (gap.length < 2) return text(groups);
  return `${text(groups.slice(0, gap.start))}::${text(groups.slice(gap.start + gap.length))}`;
}

/** With the port, IPv6 in brackets. */
export function formatEndpoint(address: IpAddress, port: number): string {
  return address.family === 4 ? `${formatIp(address)}:${port}` : `[${formatIp(address)}]:${port}`;
}

export function sameIp(a: IpAddress, b: IpAddress): boolean {
  return a.family === b.family && a.bytes.every((byte, i) => byte === b.bytes[i]);
}

/** Whether `address` lies in `prefix`. Families never match each other, not even mapped. */
export function contains(prefix: IpPrefix, address: IpAddress): boolean {
  if (prefix.base.family !== address.family) return false;
  for (let bit = 0; bit < prefix.bits; bit += 8) {
    const mask = prefix.bits - bit >= 8 ? 0xff : (0xff00 >> (prefix.bits - bit)) & 0xff;
    if ((prefix.base.bytes[bit >> 3]! & mask) !== (address.bytes[bit >> 3]! & mask)) return false;
  }
  return true;
}

/** Parse `address/bits`. Bits set past the prefix are an error, as they are nearly always a mistake. */
export function parsePrefix(text: string): IpPrefix | undefined {
  const match = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  const base = match === null ? undefined : parseIp(match[1]!);
  if (match === null || base === undefined) return undefined;
  const bits = Number(match[2]);
  if (bits > base.bytes.length * 8) return undefined;
  const clean = base.bytes.every((byte, i) => (byte & (0xff >> Math.min(8, Math.max(0, bits - i * 8)))) === 0);
  return clean ? { base, bits } : undefined;
}

/** Whether this is an IPv4 address in IPv6 form, `::ffff:0:0/96`. */
export function isMapped(address: IpAddress): boolean {
  return address.family === 6 && address.bytes.subarray(0, 12).every((byte, i) => byte === (i < 10 ? 0 : 0xff));
}

/** The eight 16-bit groups of an IPv6 address. */
export function groupsOf(address: IpAddress): number[] {
  return Array.from({ length: 8 }, (_, i) => (address.bytes[2 * i]! << 8) | address.bytes[2 * i + 1]!);
}

/** An IPv6 address from its eight groups. */
export function fromGroups(groups: readonly number[]): IpAddress {
  const bytes = new Uint8Array(16);
  for (let i = 0; i < 8; i++) bytes.set([groups[i]! >> 8, groups[i]! & 0xff], 2 * i);
  return { family: 6, bytes };
}

function parseIpv4(text: string): IpAddress | undefined {
  const parts = text.split(".", 5);
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) return undefined;
  return { family: 4, bytes: Uint8Array.from(parts, Number) };
}

function parseIpv6(text: string): IpAddress | undefined {
  const halves = text.split("::", 3);
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0]!, halves.length === 1);
  const tail = halves.length === 1 ? [] : parseGroups(halves[1]!, true);
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  return fromGroups([...head, ...Array.from({ length: missing }, () => 0), ...tail]);
}

function parseGroups(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":", 9);
  for (const [i, part] of parts.entries()) {
    const dotted = last && i === parts.length - 1 && part.includes(".") ? parseIpv4(part)?.bytes : undefined;
    if (dotted !== undefined) groups.push((dotted[0]! << 8) | dotted[1]!, (dotted[2]! << 8) | dotted[3]!);
    else if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups.length > 8 ? undefined : groups;
}

function longestZeroRun(groups: number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}
