import { type IpAddress, formatIpAddress } from "../../src/wire/ip-address.ts";

/** An address from its 4 or 16 bytes. */
export function addressFromBytes(bytes: Uint8Array): IpAddress {
  return { tag: bytes.length === 4 ? "ipv4" : "ipv6", bytes, text: formatIpAddress(bytes) };
}

/** An IPv6 address from its eight 16-bit groups. */
export function addressFromGroups(groups: readonly number[]): IpAddress {
  return addressFromBytes(Uint8Array.from({ length: 16 }, (_, i) => (i % 2 === 0 ? groups[i >> 1]! >> 8 : groups[i >> 1]! & 0xff)));
}

/** The eight 16-bit groups of an IPv6 address. */
export function groupsOf(address: IpAddress): number[] {
  return Array.from({ length: 8 }, (_, i) => (address.bytes[2 * i]! << 8) | address.bytes[2 * i + 1]!);
}

/** Address and port, IPv6 in brackets. */
export function formatEndpoint(address: IpAddress, port: number): string {
  return address.tag === "ipv4" ? `${address.text}:${port}` : `[${address.text}]:${port}`;
}
