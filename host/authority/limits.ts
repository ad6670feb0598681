import { type IpAddress, type IpPrefix, prefixContains, unmapped } from "../../src/wire/ip-address.ts";
import type { DnsName, ServerName } from "../../src/wire/server-name.ts";

/**
 * The names that an authority may issue for. A value that exists permits something, and less than everything: only
 * `parseLimits` and `readNameConstraints` make one.
 */
export class Limits {
  /** Each stands for itself and for every name below it. None lies below another. */
  readonly dns: readonly string[];
  /** Often empty. None lies within another. */
  readonly ip: readonly IpPrefix[];

  /** @param dns at least one. Doubles, and what lies within something wider, are left out. */
  constructor(dns: readonly DnsName[], ip: readonly IpPrefix[]) {
    const names = dns.map((it) => it.name);
    this.dns = names.filter(
      (name, index) => !names.some((other, at) => at !== index && isWithin(name, other) && (name !== other || at < index)),
    );
    this.ip = ip.filter(
      (range, index) => !ip.some((other, at) => at !== index && rangeWithin(range, other) && (range.text !== other.text || at < index)),
    );
  }

  /** Whether a certificate may carry this name. A v4-mapped IPv6 address never is: it could stand for two things. */
  covers(name: ServerName): boolean {
    if (name.tag === "dns") return this.dns.some((subtree) => isWithin(name.name, subtree));
    return unmapped(name) === name && this.ip.some((range) => contains(range, name));
  }

  /** Whether everything that `other` permits is permitted. */
  coversAll(other: Limits): boolean {
    return (
      other.dns.every((name) => this.dns.some((subtree) => isWithin(name, subtree))) &&
      other.ip.every((range) => this.ip.some((wider) => rangeWithin(range, wider)))
    );
  }
}

/** @param name and `subtree`: parsed, so both are lower case and without a trailing dot */
function isWithin(name: string, subtree: string): boolean {
  return name === subtree || name.endsWith(`.${subtree}`);
}

function rangeWithin(range: IpPrefix, wider: IpPrefix): boolean {
  return range.length >= wider.length && contains(wider, range.address);
}

function contains(range: IpPrefix, address: IpAddress): boolean {
  return range.address.tag === address.tag && prefixContains(range, address);
}
