import { type IpAddress, ipAddressOrUndefined } from "./ip-address.ts";
import { WireError } from "./wire-error.ts";

/** A DNS name that parsed: lower-case ASCII, no trailing dot. */
export interface DnsName {
  readonly tag: "dns";
  readonly name: string;
}

/** What a client can be asked to connect to and verify. */
export type ServerName = DnsName | IpAddress;

/** What a client hello asked for: bytes that are no DNS name are kept as they came. */
export type RequestedServerName = { readonly tag: "none" } | DnsName | { readonly tag: "invalid"; readonly bytes: Uint8Array };

/** How names are read. */
export interface NameOptions {
  /** What one dot at the end means: an error (the default), or nothing, as people write it. */
  readonly trailingDot?: "refuse" | "drop";
}

/**
 * Parses a server name: a DNS name as {@link parseDnsName} takes it, or an IPv4 or IPv6 address without brackets.
 *
 * @throws WireError `invalid-server-name`
 */
export function parseServerName(text: string, options: NameOptions = {}): ServerName {
  return ipAddressOrUndefined(text) ?? parseDnsName(text, options);
}

/**
 * Parses a DNS host name (RFC 1123, section 2.1): labels of 1 to 63 letters, digits and inner hyphens, 253 characters in
 * all. The last label must not read as a number, decimal or hexadecimal, so that no spelling of an IPv4 address passes for
 * a name. No wildcard, no underscore. Non-ASCII names are refused: turning them into A-labels (IDNA) is left to the caller.
 *
 * @throws WireError `invalid-server-name`
 */
export function parseDnsName(text: string, options: NameOptions = {}): DnsName {
  const dropsDot = options.trailingDot === "drop" && text.endsWith(".");
  const name = dropsDot ? text.slice(0, -1) : text;
  const fault = faultOf(name);
  if (fault !== undefined) throw new WireError("invalid-server-name", fault);
  return { tag: "dns", name: name.toLowerCase() };
}

/**
 * Reads the HostName bytes of a server_name extension (RFC 6066, section 3). A trailing dot and IP literals, which the RFC
 * forbids, are `invalid`.
 */
export function requestedServerName(bytes: Uint8Array): RequestedServerName {
  if (bytes.length > MAX_NAME_LENGTH || bytes.some((byte) => byte > 0x7f)) return { tag: "invalid", bytes };
  const name = String.fromCharCode(...bytes);
  return faultOf(name) === undefined ? { tag: "dns", name: name.toLowerCase() } : { tag: "invalid", bytes };
}

/** Why a text is no name, or undefined. Looked at before lower-casing, which turns some non-ASCII letters into ASCII. */
function faultOf(name: string): string | undefined {
  if (name === "") return "the name is empty";
  if (name.length > MAX_NAME_LENGTH) return `the name is longer than ${MAX_NAME_LENGTH} characters`;
  if (!/^[A-Za-z0-9.-]+$/.test(name)) return "the name has a character other than ASCII letters, digits, hyphen and dot";
  const labels = name.split(".");
  for (const label of labels) {
    if (label === "") return "a label of the name is empty";
    if (label.length > MAX_LABEL_LENGTH) return `a label of the name is longer than ${MAX_LABEL_LENGTH} characters`;
    if (label.startsWith("-") || label.endsWith("-")) return "a label of the name begins or ends with a hyphen";
  }
  if (/^(?:[0-9]+|0[xX][0-9a-fA-F]*)$/.test(labels.at(-1)!)) return "the last label of the name is a number";
  return undefined;
}

const MAX_NAME_LENGTH = 253;
const MAX_LABEL_LENGTH = 63;
