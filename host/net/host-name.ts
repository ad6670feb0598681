import { domainToASCII } from "node:url";

/**
 * A host name in the one spelling that is compared and resolved: ASCII, lower case, no trailing dot.
 *
 * Refused are IP literals and everything that a resolver would take for one: getaddrinfo reads `2130706433`, `0x7f.1` and
 * `127.1` as addresses, so a name whose last label starts with a digit and holds nothing but hexadecimal is not a name here.
 *
 * @returns `undefined` for what is no host name.
 */
export function parseHostName(text: string): string | undefined {
  // Line breaks and tabs would vanish in the conversion below.
  if (text.length > 1024 || /[\p{Cc} ]/u.test(text)) return undefined;
  let name = text.endsWith(".") ? text.slice(0, -1) : text;
  if (/[^\x21-\x7e]/.test(name)) name = domainToASCII(name);
  name = name.toLowerCase();
  if (name.length === 0 || name.length > 253) return undefined;
  const labels = name.split(".");
  if (!labels.every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label))) return undefined;
  return /^(0x[0-9a-f]*|\d+)$/.test(labels.at(-1)!) ? undefined : name;
}
