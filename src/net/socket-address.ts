import type { IpAddress as WitAddress, IpSocketAddress } from "wasi:sockets/network@0.2.12";
import { formatIpAddress, type IpAddress, ipAddressOrUndefined } from "../wire/ip-address.ts";

/** An address of the internet and a port. */
export interface SocketAddress {
  readonly address: IpAddress;
  readonly port: number;
}

/** A text is no `ADDRESS:PORT`. */
export class SocketAddressError extends Error {
  readonly code = "ERR_SALLYPORT_SOCKET_ADDRESS";
}

/** Parse `127.0.0.1:8080`, `[::1]:8080` or `:8080`, which is every IPv4 address. @throws {SocketAddressError} */
export function parseSocketAddress(text: string): SocketAddress {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]*)):([0-9]{1,5})$/.exec(text);
  const address = match === null ? undefined : ipAddressOrUndefined(match[1] ?? (match[2] === "" ? "0.0.0.0" : match[2]!));
  const port = match === null ? Number.NaN : Number(match[3]);
  if (address === undefined || !(port <= 65_535)) {
    throw new SocketAddressError("an address looks like 127.0.0.1:8080, [::1]:8080 or :8080");
  }
  return { address, port };
}

/** As `parseSocketAddress` reads it. */
export function formatSocketAddress({ address, port }: SocketAddress): string {
  return address.tag === "ipv6" ? `[${address.text}]:${port}` : `${address.text}:${port}`;
}

export function toWit({ address, port }: SocketAddress): IpSocketAddress {
  const bytes = address.bytes;
  if (address.tag === "ipv4") return { tag: "ipv4", val: { port, address: [bytes[0]!, bytes[1]!, bytes[2]!, bytes[3]!] } };
  const group = (index: number) => (bytes[2 * index]! << 8) | bytes[2 * index + 1]!;
  const groups: [number, number, number, number, number, number, number, number] = [
    group(0),
    group(1),
    group(2),
    group(3),
    group(4),
    group(5),
    group(6),
    group(7),
  ];
  return { tag: "ipv6", val: { port, address: groups, flowInfo: 0, scopeId: 0 } };
}

export function fromWit(address: IpSocketAddress): SocketAddress {
  return { address: ipFromWit({ tag: address.tag, val: address.val.address } as WitAddress), port: address.val.port };
}

export function ipFromWit(address: WitAddress): IpAddress {
  const bytes = Uint8Array.from(address.tag === "ipv4" ? address.val : address.val.flatMap((group) => [group >>> 8, group & 0xff]));
  return { tag: address.tag, bytes, text: formatIpAddress(bytes) };
}
