import { type IpPrefix, prefixContains } from "../wire/ip-address.ts";
import type { Host } from "./host-name.ts";
import type { Permitted } from "./policy.ts";

/** Whether a certificate for the host may be issued, as far as the policy knows: the host has limits of its own. */
export function permits(permitted: Permitted, host: Host): boolean {
  return host.tag === "dns" ? permitsName(permitted, host.name) : permitted.networks.some((range) => prefixContains(range, host));
}

/** Whether the name is one of the permitted subtrees or lies in one. */
export function permitsName(permitted: Permitted, name: string): boolean {
  return permitted.names.some((subtree) => name === subtree || name.endsWith(`.${subtree}`));
}

/** Whether every address of the range is permitted. */
export function permitsRange(permitted: Permitted, { address, length }: IpPrefix): boolean {
  return permitted.networks.some((range) => range.length <= length && prefixContains(range, address));
}
