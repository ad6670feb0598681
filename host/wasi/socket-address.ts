import { type IpAddress, ipAddressOrUndefined, unmapped } from "../../src/wire/ip-address.ts";
import { classify } from "../net/address-class.ts";
import { addressFromBytes, addressFromGroups, groupsOf } from "../net/endpoint.ts";

/** The WIT variant wasi:sockets/network `ip-address`. */
export type WitIpAddress = { tag: "ipv4"; val: number[] } | { tag: "ipv6"; val: number[] };

/** The WIT variant wasi:sockets/network `ip-socket-address`. */
export type WitSocketAddress =
  | { tag: "ipv4"; val: { port: number; address: number[] } }
  | { tag: "ipv6"; val: { port: number; flowInfo: number; address: number[]; scopeId: number } };

/** The WIT enum wasi:sockets/network `ip-address-family`. */
export type WitFamily = "ipv4" | "ipv6";

/** An address and port as the host uses them. */
export interface Endpoint {
  address: IpAddress;
  port: number;
  scopeId: number;
}

export function fromWit(socketAddress: WitSocketAddress): Endpoint {
  const { port, address } = socketAddress.val;
  if (socketAddress.tag === "ipv4") return { address: addressFromBytes(Uint8Array.from(address)), port, scopeId: 0 };
  return { address: addressFromGroups(address), port, scopeId: socketAddress.val.scopeId };
}

export function toWitIp(address: IpAddress): WitIpAddress {
  return address.tag === "ipv4" ? { tag: "ipv4", val: Array.from(address.bytes) } : { tag: "ipv6", val: groupsOf(address) };
}

/** @param text as Node reports it, a zone id included. `undefined` if the socket has no address any more. */
export function toWit(text: string | undefined, port: number | undefined): WitSocketAddress | undefined {
  const [literal, zone] = (text ?? "").split("%");
  const address = ipAddressOrUndefined(literal!);
  if (address === undefined || port === undefined) return undefined;
  if (address.tag === "ipv4") return { tag: "ipv4", val: { port, address: Array.from(address.bytes) } };
  const scopeId = zone !== undefined && /^\d+$/.test(zone) ? Number(zone) : 0;
  return { tag: "ipv6", val: { port, flowInfo: 0, address: groupsOf(address), scopeId } };
}

/** What a socket of the family can be bound to: a unicast address of that family, not an IPv4 address in disguise. */
export function isBindable(address: IpAddress, family: WitFamily): boolean {
  return fits(address, family) && !isMulticast(address);
}

/** What it can be connected to. */
export function isConnectable(endpoint: Endpoint, family: WitFamily): boolean {
  return isBindable(endpoint.address, family) && endpoint.port !== 0 && endpoint.address.bytes.some((byte) => byte !== 0);
}

function fits(address: IpAddress, family: WitFamily): boolean {
  return address.tag === family && unmapped(address) === address;
}

function isMulticast(address: IpAddress): boolean {
  return classify(address) === "multicast" || (address.tag === "ipv4" && address.bytes.every((byte) => byte === 0xff));
}
