/**
 * Whether one of a certificate's DNS names covers a host name (RFC 9525, section 6.3): the same name, or a wildcard that
 * stands for exactly one whole label, the leftmost.
 *
 * @param names dNSName values as the certificate spells them
 * @param host a valid host name in lower case
 */
export function coversName(names: readonly string[], host: string): boolean {
  const dot = host.indexOf(".");
  const wildcard = dot < 1 ? undefined : `*${host.slice(dot)}`;
  return names.some((name) => {
    const lower = name.toLowerCase();
    return lower === host || lower === wildcard;
  });
}
