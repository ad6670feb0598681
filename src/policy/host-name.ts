import { type IpAddress, ipAddressOrUndefined, unmapped } from "../wire/ip-address.ts";
import { type DnsName, parseDnsName } from "../wire/server-name.ts";
import { WireError } from "../wire/wire-error.ts";
import { hasALabelPrefix, isALabel } from "./a-label.ts";

/** A host that policy can decide on: a name in lower-case ASCII without trailing dot, or an address in its one spelling. */
export type Host = DnsName | IpAddress;

/** Why a text is no host. */
export type HostFault =
  /** Nothing there. */
  | "empty-name"
  /** More than 253 characters, or a label of more than 63. */
  | "name-too-long"
  /** A character outside ASCII: names are to come as A-labels (`xn--…`). Ideographic full stops are such characters too. */
  | "non-ascii-name"
  /** NUL, line ends, blanks and the like. */
  | "control-character-in-name"
  /** A `*`: no client asks for a wildcard. */
  | "wildcard-name"
  /** A spelling of an address other than dotted decimal or RFC 4291: `0x7f.1`, `2130706433`, `0177.0.0.1`. */
  | "numeric-name"
  /** `xn--` and something that is not Punycode. */
  | "malformed-a-label"
  /** Anything else that is no host name of RFC 1123. */
  | "malformed-name";

/**
 * Parse what a client asked for, in any spelling that has one meaning: upper case, one trailing dot, brackets around an
 * IPv6 address, an IPv4 address within an IPv6 address. Never throws: hostile names are the normal case.
 */
export function parseHost(text: string): Host | { readonly tag: "invalid"; readonly fault: HostFault } {
  const fault = coarseFault(text);
  if (fault !== undefined) return { tag: "invalid", fault };
  const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : undefined;
  const address = ipAddressOrUndefined(bare ?? text);
  if (address !== undefined) {
    if (bare !== undefined && address.tag !== "ipv6") return { tag: "invalid", fault: "malformed-name" };
    return unmapped(address);
  }
  if (NUMERIC.test(text)) return { tag: "invalid", fault: "numeric-name" };
  return dnsName(text);
}

/** The text of a host as rules and records have it. */
export function hostText(host: Host): string {
  return host.tag === "dns" ? host.name : host.text;
}

/** What the fault means, for people. */
export function describeFault(fault: HostFault): string {
  return sentences[fault];
}

/** Looked at before anything is lower-cased, which turns some characters outside ASCII into letters. */
function coarseFault(text: string): HostFault | undefined {
  if (text === "" || text === ".") return "empty-name";
  // One more than a name has, for the dot at the end.
  if (text.length > 254) return "name-too-long";
  // oxlint-disable-next-line no-control-regex -- refusing them is what this is for
  if (/[\0-\x20\x7f]/.test(text)) return "control-character-in-name";
  if (!/^[\x21-\x7e]*$/.test(text)) return "non-ascii-name";
  if (text.includes("*")) return "wildcard-name";
  return undefined;
}

function dnsName(text: string): Host | { readonly tag: "invalid"; readonly fault: HostFault } {
  let name: DnsName;
  try {
    name = parseDnsName(text, { trailingDot: "drop" });
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    const tooLong = text.replace(/\.$/, "").length > 253 || text.split(".").some((label) => label.length > 63);
    return { tag: "invalid", fault: tooLong ? "name-too-long" : "malformed-name" };
  }
  const isMalformed = name.name.includes("xn--") && name.name.split(".").some((label) => hasALabelPrefix(label) && !isALabel(label));
  return isMalformed ? { tag: "invalid", fault: "malformed-a-label" } : name;
}

/** The last label reads as a number: resolvers of the C library take the whole for an address. */
const NUMERIC = /(?:^|\.)(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?$/;

const sentences: Record<HostFault, string> = {
  "empty-name": "the name is empty",
  "name-too-long": "the name has more than 253 characters, or a label more than 63",
  "non-ascii-name": "the name has characters outside ASCII; write it with A-labels (xn--…)",
  "control-character-in-name": "the name holds a blank or a control character",
  "wildcard-name": "the name holds a wildcard",
  "numeric-name": "the name reads as a number; write addresses in dotted decimal",
  "malformed-a-label": "a label begins with xn-- and is not Punycode",
  "malformed-name": "the name is no host name",
};
