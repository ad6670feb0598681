import { type IpAddress, type IpPrefix, ipAddressOrUndefined, parseIpPrefix, prefixContains } from "../../src/wire/ip-address.ts";
import { WireError } from "../../src/wire/wire-error.ts";
import { classify } from "../net/address-class.ts";
import { GrantError, Grants } from "../net/grants.ts";
import { parseHostName } from "../net/host-name.ts";
import { isOwnListener } from "../net/own-listeners.ts";

/** What an instance may dial. Without it nothing. */
export interface DialGrant {
  /** Names and addresses, in the spelling of `--allow-net`; everything outside by default (`*`). */
  allow?: readonly string[];
  /** Ranges in CIDR notation that are dialled although they are not on the public internet. Metadata services stay closed. */
  allowNetworks?: readonly string[];
  /** Addresses, as `address:port` or `[address]:port`, that are never dialled: what other parts of the program listen on. */
  refuse?: readonly string[];
}

/** The WIT enum `sallyport:gateway/dial.refusal`. */
export type Refusal =
  | "not-granted"
  | "metadata"
  | "loopback"
  | "private"
  | "link-local"
  | "shared"
  | "multicast"
  | "unspecified"
  | "reserved"
  | "own-listener";

/** What is to be dialled, parsed: an address, or a name in the one spelling that is compared and resolved. */
export type DialName = { tag: "address"; address: IpAddress } | { tag: "name"; name: string };

/** @returns `undefined` for what is neither */
export function parseDialName(text: string): DialName | undefined {
  const address = ipAddressOrUndefined(text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text);
  if (address !== undefined) return { tag: "address", address };
  const name = parseHostName(text);
  return name === undefined ? undefined : { tag: "name", name };
}

/** The host's rules on where an instance may dial. They hold whatever the guest decided. */
export class DialRules {
  readonly #allow: Grants;
  readonly #allowsAny: boolean;
  readonly #networks: readonly IpPrefix[];
  readonly #refused: Grants;

  /** @throws {GrantError} when a grant is not understood */
  constructor(grant: DialGrant) {
    const allow = grant.allow ?? ["*"];
    this.#allow = Grants.parse({ allowNet: allow });
    this.#allowsAny = allow.includes("*");
    this.#networks = (grant.allowNetworks ?? []).map(parseNetwork);
    this.#refused = Grants.parse({ allowNet: (grant.refuse ?? []).map(checkEndpoint) });
  }

  /** Why this is not even looked up; `undefined` if it may be. */
  refuseName(target: DialName, port: number): Refusal | undefined {
    if (target.tag === "address") return this.#allowsAddress(target.address, port) ? undefined : "not-granted";
    const { name } = target;
    if (METADATA_NAMES.some((metadata) => name === metadata || name.endsWith(`.${metadata}`))) return "metadata";
    return this.#allow.name(name, port) === undefined ? "not-granted" : undefined;
  }

  /** Why this address is not connected to, alone or among others; `undefined` if it may be. */
  refuseAddress(address: IpAddress, port: number): Refusal | undefined {
    if (this.#refused.address(address, port) || isOwnListener(address, port)) return "own-listener";
    const kind = classify(address);
    if (kind === "public") return undefined;
    if (kind === "metadata") return kind;
    return this.#isOpened(address) ? undefined : kind;
  }

  /** The first reason that one of these addresses gives, with the address. */
  refuseAnswer(addresses: readonly IpAddress[], port: number): { refusal: Refusal; address: IpAddress } | undefined {
    for (const address of addresses) {
      const refusal = this.refuseAddress(address, port);
      if (refusal !== undefined) return { refusal, address };
    }
    return undefined;
  }

  #allowsAddress(address: IpAddress, port: number): boolean {
    // The class of the address has its own say, and a more telling one.
    return this.#allowsAny || this.#allow.address(address, port) || this.#isOpened(address);
  }

  #isOpened(address: IpAddress): boolean {
    return this.#networks.some((network) => prefixContains(network, address));
  }
}

function parseNetwork(text: string): IpPrefix {
  try {
    return parseIpPrefix(text);
  } catch (error) {
    if (error instanceof WireError)
      throw new GrantError(
        `allowed network ${JSON.stringify(text.slice(0, 100))} is not understood: write address/bits (${error.message})`,
      );
    throw error;
  }
}

function checkEndpoint(text: string): string {
  if (/^(?:[0-9.]+|\[[0-9a-fA-F:.]+\]):[0-9]+$/.test(text)) return text;
  throw new GrantError(`refused endpoint ${JSON.stringify(text.slice(0, 100))} is not understood: write address:port or [address]:port`);
}

/** By which clouds answer with their metadata service, each with everything below it. */
const METADATA_NAMES: readonly string[] = [
  "metadata",
  "metadata.google.internal",
  "metadata.goog",
  "metadata.azure.internal",
  "instance-data",
  "instance-data.ec2.internal",
  "metadata.tencentyun.com",
  "metadata.packet.net",
  "metadata.platformequinix.com",
];
