import { formatIpAddress, type IpAddress, ipAddressOrUndefined } from "../../src/wire/ip-address.ts";
import { type DnsName, parseDnsName, type ServerName } from "../../src/wire/server-name.ts";
import { WireError } from "../../src/wire/wire-error.ts";
import { IssueError } from "./authority-error.ts";
import type { LeafFields } from "./leaf-writer.ts";
import type { Limits } from "./limits.ts";

/** A name as a guest asks for it: the WIT variant `name`. */
export type RequestedName = { tag: "dns"; val: string } | { tag: "ip"; val: Uint8Array };

/** A certificate as a guest plans it: the WIT record `leaf-request`. */
export interface LeafRequest {
  names: readonly RequestedName[];
  /** Unix time in seconds; by default 5 minutes ago, or the authority's own beginning. */
  notBefore?: bigint | undefined;
  /** Seconds from now. */
  lifetime: bigint;
  key: "p256";
}

/** Within what an authority issues. */
export interface IssuingBounds {
  limits: Limits;
  /** Validity of the authority itself, Unix time. */
  notBefore: bigint;
  notAfter: bigint;
  /** Seconds from issue to the end of validity, at most. */
  longestLifetime: bigint;
}

/** Names of one certificate. */
export const MAX_NAMES = 16;

/** Seconds that certificates begin before they are made, for peers whose clock is slow. */
export const BACKDATE = 300n;

/**
 * What a leaf will say, if the authority may say so.
 *
 * @param now Unix time in seconds
 * @throws {IssueError}
 */
export function planLeaf(request: LeafRequest, bounds: IssuingBounds, now: bigint): LeafFields {
  const names = planNames(request.names, bounds.limits);
  if (now < bounds.notBefore || now >= bounds.notAfter) throw new IssueError("authority-not-valid");
  if (request.lifetime <= 0n) throw new IssueError("lifetime-too-short");
  if (request.lifetime > bounds.longestLifetime) throw new IssueError("lifetime-too-long");
  return {
    names,
    notBefore: planBeginning(request.notBefore, bounds.notBefore, now),
    notAfter: least(now + request.lifetime, bounds.notAfter),
  };
}

function planNames(requested: readonly RequestedName[], limits: Limits): ServerName[] {
  if (requested.length === 0) throw new IssueError("no-names");
  if (requested.length > MAX_NAMES) throw new IssueError("too-many-names");
  const seen = new Set<string>();
  return requested.map((it) => {
    const name = it.tag === "dns" ? parseName(it.val) : parseAddress(it.val);
    if (!limits.covers(name)) throw new IssueError(name.tag === "dns" ? "name-not-permitted" : "address-not-permitted");
    const key = name.tag === "dns" ? name.name : name.text;
    if (seen.has(key)) throw new IssueError("duplicate-name");
    seen.add(key);
    return name;
  });
}

function parseName(text: string): DnsName {
  if (text.includes("*")) throw new IssueError("wildcard-name");
  if (ipAddressOrUndefined(text) !== undefined) throw new IssueError("address-as-name");
  try {
    const name = parseDnsName(text);
    // Canonical names only: two spellings of one name would be two entries of the guest's cache and of the record.
    if (name.name === text) return name;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
  }
  throw new IssueError("malformed-name");
}

function parseAddress(value: Uint8Array): IpAddress {
  // A copy: the bytes are the guest's.
  const bytes = value.slice();
  if (bytes.length === 4) return { tag: "ipv4", bytes, text: formatIpAddress(bytes) };
  if (bytes.length === 16) return { tag: "ipv6", bytes, text: formatIpAddress(bytes) };
  throw new IssueError("malformed-name");
}

function planBeginning(requested: bigint | undefined, earliest: bigint, now: bigint): bigint {
  if (requested === undefined) return now - BACKDATE > earliest ? now - BACKDATE : earliest;
  if (requested > now) throw new IssueError("not-before-in-future");
  if (requested < now - LONGEST_BACK || requested < earliest) throw new IssueError("not-before-too-early");
  return requested;
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

const LONGEST_BACK = 86_400n;
