import type { Certificate } from "../../src/wire/certificate.ts";
import type { ServerName } from "../../src/wire/server-name.ts";

/**
 * Whether a leaf covers at least one of the names (RFC 9525, sections 6.3 to 6.6), read strictly:
 *
 * - only subject alternative names count, never the common name;
 * - a DNS name matches a dNSName without regard to ASCII case, or a wildcard that is the whole left-most label and
 *   stands for exactly one label; at least two labels follow the wildcard, so that nobody covers a whole `*.com`;
 * - an address matches an iPAddress of the same bytes, never a dNSName that spells it, and no wildcard.
 *
 * @param names parsed; an empty list is covered by nothing
 */
export function leafCovers(leaf: Certificate, names: readonly ServerName[]): boolean {
  return names.some((name) =>
    name.tag === "dns"
      ? leaf.alternativeNames.dns.some((pattern) => matches(pattern.toLowerCase(), name.name))
      : leaf.alternativeNames.ip.includes(name.text),
  );
}

/** Both in lower case; `name` is a proper DNS name, so that a pattern with anything odd in it equals none. */
function matches(pattern: string, name: string): boolean {
  if (!pattern.startsWith("*.")) return pattern === name;
  const parent = pattern.slice(2);
  return parent.includes(".") && name.slice(name.indexOf(".") + 1) === parent && name.includes(".");
}
